// The block engine's forward and backward pass over a batch.
#pragma once
#include "block_layers.h"
#include "block_parametric.h"
#include "block_update.h"
#if TARGET_CUDA
#include "block_tiles.h"
#endif
#include "dropout.h"

struct ActivationForward {
  const Layer& at;
  int size;
  template <int A> METHOD void run() const {
    block_map(size, at.O, [&](int r, int j) { return lane_load(at.z + r * at.ldz + j); }, [&](int r, int j, lane_t z) {
      lane_store(at.raw + r * at.ldr + j, forward<A>(z));
    });
  }
};
struct ActivationBackward {  // from the gradient at this layer's values that at its pre-activations
  const Layer& at;
  int size;
  const real_t* d;
  long long ld;
  struct Taken {
    lane_t d, z, raw, keep;
  };
  METHOD Taken take(int r, int j) const {
    Taken its;
    its.d = lane_load(d + r * ld + j);
    its.z = lane_load(at.z + r * at.ldz + j);
    its.raw = lane_load(at.raw + r * at.ldr + j);
    its.keep = at.keep ? lane_load(at.keep + r * at.ldh + j) : its.d;
    return its;
  }
  template <int A> METHOD void run() const {
    block_map(size, at.O, [&](int r, int j) { return take(r, j); }, [&](int r, int j, const Taken& its) {
      lane_t value = at.keep ? its.d * its.keep : its.d;
      lane_store(at.d + r * at.ldd + j, backward<A>(value, its.z, its.raw));
    });
  }
};

// The factors of all hidden values of a batch that begins at place `start` of the epoch, which the call numbers from 0.
CALLED_FN void block_draw(const Task& task, const Network& net, int network, int epoch_of_call, int start, int size) {
  int epoch = task.first_epoch + epoch_of_call;
  long long from = (long long)epoch_of_call * task.drop_stride + network;
  lane_uint_t seed_low = lane_set_uint(task.seed_low[network]), seed_high = lane_set_uint(task.seed_high[network]);
  int first = start / 4, neuron = 0;
  int hidden = 0;
  for (int l = 0; l < net.layers - 1; l++) {
    const Layer& at = net.layer[l];
    if (!at.is_dense()) continue;
    lane_uint_t below = lane_set_uint(task.drop_below[from + (long long)hidden * task.n_networks]);
    lane_t scale = lane_set(task.drop_scale[from + (long long)hidden * task.n_networks]);
    hidden++;
    block_elements((start + size - 1) / 4 - first + 1, at.O, [&](int q, int j) {
      Words words = dropout_words(seed_low, seed_high, first + q, epoch, lane_places(neuron + j, neuron + at.O - 1));
      UNROLL for (int i = 0; i < 4; i++) {
        int r = (first + q) * 4 + i - start;
        if (r >= 0 && r < size) lane_store(at.keep + r * at.ldh + j, keep_factor(word_at(words, i), below, scale));
      }
    });
    neuron += at.O;
  }
  block_sync();
}
// drops: in training; else every value goes up as it is.
FN void block_drop(const Layer& at, int size, bool drops) {
  struct Taken {
    lane_t raw, keep;
  };
  block_map(
      size, at.O,
      [&](int r, int j) {
        lane_t raw = lane_load(at.raw + r * at.ldr + j);
        return Taken{raw, drops ? lane_load(at.keep + r * at.ldh + j) : raw};
      },
      [&](int r, int j, const Taken& its) { lane_store(at.h + r * at.ldh + j, drops ? its.raw * its.keep : its.raw); });
}

// Up to the last layer's pre-activations, where the loss goes on with its own link; one without takes the outputs.
CALLED_FN void block_forward(const Network& net, int size, bool drops) {
  for (int l = 0; l < net.layers; l++) {
    const Layer& at = net.layer[l];
    if (at.is_dense()) {
      block_product(size, at.O, at.I, net.input(l), net.input_ld(l), at.w, at.ldw, at.w + at.I * at.ldw, at.z, at.ldz,
                    net.scratch);
      block_sync();
      if (l == net.layers - 1 && has_link) return;
      with_activation(at.activation, ActivationForward{at, size});
#if FRONT
      if (at.is_parametric()) parametric_forward(at, size, drops);
      else
#endif
      if (at.keep) block_drop(at, size, drops);
    } else {
      front_forward(at, net.input(l), net.input_ld(l), size);
    }
    FOR_EACH(r, size) at.h[r * at.ldh + at.O] = 1;  // after the vector that it lies in, which the same thread wrote
    block_sync();
  }
}

// From the last layer's d to new parameters, or where the gradient is to be clipped to that of all parameters. A
// layer's weights change when its d has gone through them to the layer below.
CALLED_FN void block_backward(const Network& net, int size, const Update& update) {
  if constexpr (!has_link) {
    const Layer& last = net.layer[net.layers - 1];
    with_activation(last.activation, ActivationBackward{last, size, last.d, last.ldd});
    block_sync();
  }
  for (int l = net.layers - 1; l >= 0; l--) {
    const Layer& at = net.layer[l];
    if (l) {
      block_product_transposed(size, at.I, at.O, at.d, at.ldd, at.w, at.ldw, net.d, net.layer[l - 1].ldu, net.scratch);
      block_sync();
    }
    block_gradient(at.I + 1, at.O, size, net.input(l), net.input_ld(l), at.d, at.ldd, update.task.has_clip, at.g,
                   at.ldw, net.panel_numbers, update.change(at));
    block_sync();
    if (l == 0) return;
    const Layer& below = net.layer[l - 1];
    if (!below.is_dense()) {
      for (int f = l - 1; f >= 0; f--) {
        const Layer& front = net.layer[f];
        front_backward(front, net.input(f), net.input_ld(f), net.d, size, f ? net.layer[f - 1].ldu : 0,
                       update.task.has_clip, update.change(front));
        block_sync();
      }
      return;
    }
    with_activation(below.activation, ActivationBackward{below, size, net.d, below.ldu});
    block_sync();
#if FRONT
    if (below.is_parametric()) {
      parametric_backward(below, net.d, size, update.task.has_clip, update.slopes_change(below));
      block_sync();
    }
#endif
  }
}
