// The block engine's forward and backward pass over a batch.
#pragma once
#include "block_network.h"

struct ActivationForward {
  const Layer& at;
  int size;
  template <int A> METHOD void run() const {
    block_elements(size, at.O, [&](int r, int j) {
      lane_store(at.h + r * at.ldh + j, forward<A>(lane_load(at.z + r * at.ldz + j)));
    });
  }
};
struct ActivationBackward {  // d of this layer's values becomes d of its pre-activations
  const Layer& at;
  int size;
  template <int A> METHOD void run() const {
    block_elements(size, at.O, [&](int r, int j) {
      real_t* d = at.d + r * at.ldd + j;
      lane_store(d, backward<A>(lane_load(d), lane_load(at.z + r * at.ldz + j), lane_load(at.h + r * at.ldh + j)));
    });
  }
};

// Up to the last layer's pre-activations, where the loss goes on with its own link; squared error takes the outputs.
FN void block_forward(const Network& net, int size) {
  for (int l = 0; l < net.layers; l++) {
    const Layer& at = net.layer[l];
    block_product(size, at.O, at.I, net.input(l), net.input_ld(l), 1, at.w, at.ldw, at.w + at.I * at.ldw, at.z, at.ldz);
    block_sync();
    if (l == net.layers - 1 && LOSS != SQUARED_ERROR) return;
    with_activation(at.activation, ActivationForward{at, size});
    FOR_EACH(r, size) at.h[r * at.ldh + at.O] = 1;  // after the vector that it lies in, which the same thread wrote
    block_sync();
  }
}

// from the last layer's d to the gradients of all parameters
FN void block_backward(const Network& net, int size) {
  if constexpr (LOSS == SQUARED_ERROR) {
    const Layer& last = net.layer[net.layers - 1];
    with_activation(last.activation, ActivationBackward{last, size});
    block_sync();
  }
  for (int l = net.layers - 1; l >= 0; l--) {
    const Layer& at = net.layer[l];
    block_product(at.I + 1, at.O, size, net.input(l), 1, net.input_ld(l), at.d, at.ldd, nullptr, at.g, at.ldw);
    if (l == 0) break;
    const Layer& below = net.layer[l - 1];
    long long ldt = padded(at.I);
    block_transpose(at.I, at.O, at.w, at.ldw, net.transposed, ldt);
    block_sync();
    block_product(size, at.I, at.O, at.d, at.ldd, 1, net.transposed, ldt, nullptr, below.d, below.ldd);
    block_sync();
    with_activation(below.activation, ActivationBackward{below, size});
    block_sync();
  }
  block_sync();
}
