// The block engine's step from gradients to new weights: L2, clipping, the optimizer.
#pragma once
#include "block_network.h"

// The sum of squares of all rows x columns, `PARTIAL_SUMS` columns apart; added to the parts.
FN void add_squares(int rows, int columns, const real_t* matrix, long long ld, real_t* parts) {
  FOR_LANES(p, PARTIAL_SUMS) {
    lane_t sum = lane_load(parts + p);
    for (int r = 0; r < rows; r++)
      for (int j = p; j < columns; j += PARTIAL_SUMS) {
        lane_t value = lane_load(matrix + r * ld + j);
        sum = lane_fma(value, value, sum);
      }
    lane_store(parts + p, sum);
  }
  block_sync();
}
FN real_t sum_of_parts(const real_t* parts) {
  real_t sum = 0;
  for (int p = 0; p < PARTIAL_SUMS; p++) sum = sum + parts[p];
  return sum;
}

struct Update {  // of one network, over its batches
  const Task& task;
  Network& net;
  Rule rule;
  lane_t rate, l2, clip, weight_decay;
  real_t* parts;

  // Weights with the optimizer's numbers; `decays`: no biases.
  template <bool decays> METHOD void change(const Layer& at, int first, int count, lane_t l2_share) {
    block_elements(count, at.O, [&](int i, int j) {
      long long k = (first + i) * at.ldw + j;
      lane_t w = lane_load(at.w + k), g = lane_load(at.g + k), a = lane_set(0), b = lane_set(0);
      if constexpr (slots > 0) a = lane_load(at.a + k);
      if constexpr (slots > 1) b = lane_load(at.b + k);
      if (decays && task.has_l2 && !task.has_clip) g = lane_fma(l2_share, w, g);
      rule.update<decays>(w, a, b, g);
      lane_store(at.w + k, w);
      if constexpr (slots > 0) lane_store(at.a + k, a);
      if constexpr (slots > 1) lane_store(at.b + k, b);
    });
  }
  METHOD void clear_parts() {
    FOR_EACH(p, PARTIAL_SUMS) parts[p] = 0;
    block_sync();
  }

  // After the gradients are there: L2, clipping, the optimizer. Returns the L2 term.
  LARGE_METHOD real_t apply(lane_t total) {
    lane_t l2_share = task.has_l2 ? lane_div(l2, total) : lane_set(0);
    real_t penalty = 0;
    if (task.has_l2) {
      clear_parts();
      for (int l = 0; l < net.layers; l++)
        add_squares(net.layer[l].I, net.layer[l].O, net.layer[l].w, net.layer[l].ldw, parts);
      penalty = first_element(l2) * (real_t)0.5 * sum_of_parts(parts);
      block_sync();
    }
    if (task.has_clip) clip_gradient(l2_share);
    for (int l = 0; l < net.layers; l++) {
      change<true>(net.layer[l], 0, net.layer[l].I, l2_share);
      change<false>(net.layer[l], net.layer[l].I, 1, l2_share);
    }
    block_sync();
    return penalty;
  }
  LARGE_METHOD void clip_gradient(lane_t l2_share) {
    clear_parts();
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      if (task.has_l2) {
        block_elements(at.I, at.O, [&](int i, int j) {
          real_t* g = at.g + i * at.ldw + j;
          lane_store(g, lane_fma(l2_share, lane_load(at.w + i * at.ldw + j), lane_load(g)));
        });
        block_sync();
      }
      add_squares(at.I + 1, at.O, at.g, at.ldw, parts);
    }
    lane_t norm = lane_sqrt(lane_set(sum_of_parts(parts)));
    lane_t factor = lane_select(norm > clip, lane_div(clip, norm), one());
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      block_elements(at.I + 1, at.O, [&](int i, int j) {
        real_t* g = at.g + i * at.ldw + j;
        lane_store(g, lane_load(g) * factor);
      });
    }
    block_sync();
  }
};
