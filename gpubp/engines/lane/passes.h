// The forward and backward pass of one row, or a few rows at once, through each lane's network.
//
// Sums run in a fixed order, one fma chain for each result: forward from the bias over inputs ascending; backward over
// outputs ascending; gradients over rows ascending. So unrolling, vector width, target and how many rows go together do
// not change the bits. Several rows together read each weight, and write its gradient, once for all of them: a network
// that does not fit into the L1 cache waits for nothing else.
//
// Definition: HAS_DROPOUT; where it is 1, trace.keep holds the factors of the hidden values on their way up.
#pragma once
#include "activations.h"
#include "network.h"

#ifndef HAS_DROPOUT
#define HAS_DROPOUT 0
#endif

template <int rows> struct Trace {  // what a forward pass leaves for the backward pass
  lane_t x[net::inputs][rows];
  lane_t z[net::neurons][rows];  // pre-activations; those that no one reads again are optimised away
  lane_t h[net::neurons][rows];
#if HAS_DROPOUT
  lane_t keep[net::neurons][rows], dropped[net::neurons][rows];  // dropped: h times keep
#endif

  // input i of a layer of weights
  template <int layer> METHOD const lane_t (&input(int i) const)[rows] {
    if constexpr (layer == 0) return x[i];
#if HAS_DROPOUT
    else return dropped[net::values(layer - 1) + i];
#else
    else return h[net::values(layer - 1) + i];
#endif
  }
};

template <int layer, int count, int rows, class Weights>
FN void forward_tile(const Weights& weight, Trace<rows>& trace, int first) {
  constexpr int I = net::sizes[layer], O = net::sizes[layer + 1];
  lane_t sum[count][rows];
  UNROLL_TILE for (int o = 0; o < count; o++)
    UNROLL_TILE for (int r = 0; r < rows; r++) sum[o][r] = weight(net::biases(layer) + first + o);
  UNROLL for (int i = 0; i < I; i++) {
    const auto& in = trace.template input<layer>(i);
    UNROLL_TILE for (int o = 0; o < count; o++) {
      lane_t w = weight(net::weights(layer) + i * O + first + o);
      UNROLL_TILE for (int r = 0; r < rows; r++) sum[o][r] = lane_fma(in[r], w, sum[o][r]);
    }
  }
  UNROLL_TILE for (int o = 0; o < count; o++)
    UNROLL_TILE for (int r = 0; r < rows; r++) trace.z[net::values(layer) + first + o][r] = sum[o][r];
}

// weight(k): parameter k as lanes. The last layer stops at its pre-activations: the loss goes on from there.
// drops: in training; else every value goes up as it is.
template <int layer, int rows, bool drops, class Weights>
FN void forward_layers(const Weights& weight, Trace<rows>& trace) {
  constexpr int TILE = rows == 1 ? 8 : 4;  // results that are summed at a time, in registers
  constexpr int O = net::sizes[layer + 1], at = net::values(layer);
  UNROLL for (int first = 0; first < O / TILE * TILE; first += TILE)
    forward_tile<layer, TILE, rows>(weight, trace, first);
  if constexpr (O % TILE) forward_tile<layer, O % TILE, rows>(weight, trace, O / TILE * TILE);
  if constexpr (layer + 1 < net::layers) {
    UNROLL for (int o = 0; o < O; o++)
      UNROLL_TILE for (int r = 0; r < rows; r++)
        trace.h[at + o][r] = forward<net::activations[layer]>(trace.z[at + o][r]);
#if HAS_DROPOUT
    UNROLL for (int o = 0; o < O; o++)
      UNROLL_TILE for (int r = 0; r < rows; r++)
        trace.dropped[at + o][r] = drops ? trace.h[at + o][r] * trace.keep[at + o][r] : trace.h[at + o][r];
#endif
    forward_layers<layer + 1, rows, drops>(weight, trace);
  }
}

// d: the gradients at all pre-activations, those of the last layer given; weight(k) is read before take(k, ...) is told
// that parameter's gradient as a sum of products (input · d; for biases 1 · d) over the rows, so take may change the
// weight at once. On CUDA, take is told those of an input together: weights<count>(k, ...), biases<count>(k, ...).
template <int layer, int rows, class Weights, class Take>
FN void backward_layers(const Weights& weight, const Trace<rows>& trace, lane_t (&d)[net::neurons][rows], Take& take) {
  constexpr int I = net::sizes[layer], O = net::sizes[layer + 1], at = net::values(layer);
  UNROLL for (int i = 0; i < I; i++) {
    const auto& in = trace.template input<layer>(i);
    lane_t below[rows];
    UNROLL_TILE for (int r = 0; r < rows; r++) below[r] = lane_set(0);
    UNROLL for (int o = 0; o < O; o++) {
      int k = net::weights(layer) + i * O + o;
      if constexpr (layer > 0) {
        UNROLL_TILE for (int r = 0; r < rows; r++) below[r] = lane_fma(weight(k), d[at + o][r], below[r]);
      }
      if constexpr (!FEW_REGISTERS) take.weight(k, in, d[at + o]);
    }
    if constexpr (FEW_REGISTERS) take.template weights<O>(net::weights(layer) + i * O, in, d + at);
    if constexpr (layer > 0) {
      constexpr int before = net::values(layer - 1);
#if HAS_DROPOUT
      UNROLL_TILE for (int r = 0; r < rows; r++) below[r] = below[r] * trace.keep[before + i][r];
#endif
      UNROLL_TILE for (int r = 0; r < rows; r++)
        d[before + i][r] =
            backward<net::activations[layer - 1]>(below[r], trace.z[before + i][r], trace.h[before + i][r]);
    }
  }
  if constexpr (FEW_REGISTERS) take.template biases<O>(net::biases(layer), d + at);
  else for (int o = 0; o < O; o++) take.bias(net::biases(layer) + o, d[at + o]);
  if constexpr (layer > 0) backward_layers<layer - 1, rows>(weight, trace, d, take);
}
