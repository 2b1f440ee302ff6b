// The forward and backward pass of one row through each lane's network.
//
// Sums run in a fixed order, one fma chain for each result: forward from the bias over inputs ascending; backward over
// outputs ascending. So unrolling, vector width and target do not change the bits.
#pragma once
#include "activations.h"
#include "network.h"

#define TILE 8  // results of a layer that are summed at a time, in registers

struct Trace {  // what a forward pass leaves for the backward pass
  lane_t x[net::inputs];
  lane_t z[net::neurons];  // pre-activations; those that no one reads again are optimised away
  lane_t h[net::neurons];

  // input i of a layer of weights
  template <int layer> METHOD lane_t input(int i) const {
    if constexpr (layer == 0) return x[i];
    else return h[net::values(layer - 1) + i];
  }
};

template <int layer, int count, class Weights> FN void forward_tile(const Weights& weight, Trace& trace, int first) {
  constexpr int I = net::sizes[layer], O = net::sizes[layer + 1];
  lane_t sum[count];
  UNROLL_TILE for (int o = 0; o < count; o++) sum[o] = weight(net::biases(layer) + first + o);
  UNROLL for (int i = 0; i < I; i++) {
    lane_t in = trace.input<layer>(i);
    UNROLL_TILE for (int o = 0; o < count; o++)
      sum[o] = lane_fma(in, weight(net::weights(layer) + i * O + first + o), sum[o]);
  }
  UNROLL_TILE for (int o = 0; o < count; o++) trace.z[net::values(layer) + first + o] = sum[o];
}

// weight(k): parameter k as lanes. The last layer stops at its pre-activations: the loss goes on from there.
template <int layer, class Weights> FN void forward_layers(const Weights& weight, Trace& trace) {
  constexpr int O = net::sizes[layer + 1], at = net::values(layer);
  UNROLL for (int first = 0; first < O / TILE * TILE; first += TILE)
    forward_tile<layer, TILE>(weight, trace, first);
  if constexpr (O % TILE) forward_tile<layer, O % TILE>(weight, trace, O / TILE * TILE);
  if constexpr (layer + 1 < net::layers) {
    UNROLL for (int o = 0; o < O; o++) trace.h[at + o] = forward<net::activations[layer]>(trace.z[at + o]);
    forward_layers<layer + 1>(weight, trace);
  }
}

// d: the gradients at all pre-activations, those of the last layer given; weight(k) is read before take(k, ...) is told
// that parameter's gradient as a product (input · d; for biases 1 · d), so take may change the weight at once.
template <int layer, class Weights, class Take>
FN void backward_layers(const Weights& weight, const Trace& trace, lane_t (&d)[net::neurons], Take& take) {
  constexpr int I = net::sizes[layer], O = net::sizes[layer + 1], at = net::values(layer);
  UNROLL for (int i = 0; i < I; i++) {
    lane_t in = trace.input<layer>(i), below = lane_set(0);
    UNROLL for (int o = 0; o < O; o++) {
      int k = net::weights(layer) + i * O + o;
      if constexpr (layer > 0) below = lane_fma(weight(k), d[at + o], below);
      take.weight(k, in, d[at + o]);
    }
    if constexpr (layer > 0) {
      constexpr int before = net::values(layer - 1);
      d[before + i] = backward<net::activations[layer - 1]>(below, trace.z[before + i], trace.h[before + i]);
    }
  }
  UNROLL for (int o = 0; o < O; o++) take.bias(net::biases(layer) + o, d[at + o]);
  if constexpr (layer > 0) backward_layers<layer - 1>(weight, trace, d, take);
}
