// The block engine's step from gradients to new weights: L2, clipping, the optimizer.
#pragma once
#include "block_network.h"

// The sum of squares of all rows x columns, in PARTIAL_SUMS parts by column, whatever the vector's width; added to the
// parts.
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

// A layer's weights and the optimizer's numbers, changed by the gradient g of LANES of them at (i, j); row I are the
// biases. A copy of everything it needs, so that a CPU keeps that in registers while it writes.
struct Change {
  Layer at;
  Rule rule;
#if FRONT
  Rule bias_rule;
#endif
  lane_t l2_share;
  int has_l2;  // and no clipping, which adds the L2 term itself

  struct Weights {
    lane_t w, slot[slot_arrays];
  };
  METHOD Weights take(int i, int j) const {
    long long k = i * at.ldw + j;
    Weights its;
    its.w = lane_load(at.w + k);
    its.slot[0] = lane_set(0);
    UNROLL for (int s = 0; s < slots; s++) its.slot[s] = lane_load(at.slot[s] + k);
    return its;
  }
  METHOD void give(int i, int j, Weights its, lane_t g) const {
    bool decays = i < at.decaying_rows();
    if (decays && has_l2) g = lane_fma(l2_share, its.w, g);
    Weights all[1] = {its};
    lane_t gradient[1] = {g};
#if FRONT
    if (!decays) update<false>(bias_rule, all, gradient);
#else
    if (decouples_decay && !decays) update<false>(rule, all, gradient);
#endif
    else update<true>(rule, all, gradient);
    store(i, j, all[0]);
  }
  // The first half of it for some weights, no biases, at a time; `store` is the second.
  template <int n> METHOD void change(Weights (&its)[n], lane_t (&g)[n]) const {
    if (has_l2) UNROLL for (int i = 0; i < n; i++) g[i] = lane_fma(l2_share, its[i].w, g[i]);
    update<true>(rule, its, g);
  }
#if FRONT
  // LANES of a parametric layer's slopes, whose rule this one is.
  METHOD void give_slopes(int j, lane_t g) const {
    Weights its[1] = {take(at.I + 1, j)};
    lane_t gradient[1] = {g};
    change(its, gradient);
    store(at.I + 1, j, its[0]);
  }
#endif
  template <bool decays, int n> METHOD void update(const Rule& rule, Weights (&its)[n], lane_t (&g)[n]) const {
    lane_t w[n], state[slot_arrays][n];
    UNROLL for (int i = 0; i < n; i++) {
      w[i] = its[i].w;
      UNROLL for (int s = 0; s < slot_arrays; s++) state[s][i] = its[i].slot[s];
    }
    rule.template update<decays, n>(w, state, g);
    UNROLL for (int i = 0; i < n; i++) {
      its[i].w = w[i];
      UNROLL for (int s = 0; s < slot_arrays; s++) its[i].slot[s] = state[s][i];
    }
  }
  METHOD void store(int i, int j, Weights its) const {
    long long k = i * at.ldw + j;
    lane_store(at.w + k, its.w);
    UNROLL for (int s = 0; s < slots; s++) lane_store(at.slot[s] + k, its.slot[s]);
  }
};

#if FRONT
// Of each layer's rows of the table of factors: of the rate, L2 and weight decay, of the rate of biases, and the first
// three of slopes.
enum { OF_RATE, OF_L2, OF_DECAY, OF_BIAS_RATE, OF_SLOPE_RATE, OF_SLOPE_L2, OF_SLOPE_DECAY, GROUP_FACTORS };
#endif

struct Update {  // of one network, over its batches
  const Task& task;
  Network& net;
  Rule rule;
  lane_t rate, l2, clip, l2_share;
  real_t* parts;
#if FRONT
  int network;
  lane_t this_rate;
  long long number;
#endif

  // Before update number `t` (from 1) on a batch of weight `total`. Returns the L2 term.
  LARGE_METHOD real_t begin(lane_t factor, long long t, lane_t total) {
    rule.begin(rate * factor, t);
#if FRONT
    this_rate = rate * factor, number = t;
#endif
    if (!task.has_l2) return 0;
    l2_share = lane_div(l2, total);
    clear_parts();
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      if (at.is_dense()) add_squares(at.I, at.O, at.w, at.ldw, parts);
    }
    real_t penalty = first_element(l2) * (real_t)0.5 * sum_of_parts(parts);
    block_sync();
#if FRONT
    for (int l = 0; !net.layer[l].is_dense(); l++) {
      const Layer& at = net.layer[l];
      clear_parts();
      add_squares(at.decaying_rows(), at.columns(), at.w, at.ldw, parts);
      penalty = penalty + first_element(l2 * group_factor(at, OF_L2)) * (real_t)0.5 * sum_of_parts(parts);
      block_sync();
    }
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      if (!at.is_parametric()) continue;
      clear_parts();
      add_squares(1, at.O, at.slopes(), at.ldw, parts);
      penalty = penalty + first_element(l2 * group_factor(at, OF_SLOPE_L2)) * (real_t)0.5 * sum_of_parts(parts);
      block_sync();
    }
#endif
    return penalty;
  }
  METHOD void clear_parts() {
    FOR_EACH(p, PARTIAL_SUMS) parts[p] = 0;
    block_sync();
  }

#if FRONT
  METHOD Change change(const Layer& at) const {
    return {at, rule_of(at, OF_RATE), rule_of(at, OF_BIAS_RATE), share_of(at), task.has_l2 && !task.has_clip};
  }
  METHOD Change slopes_change(const Layer& at) const {
    Rule own = rule_of(at, OF_SLOPE_RATE, OF_SLOPE_DECAY);
    return {at, own, own, l2_share * group_factor(at, OF_SLOPE_L2), task.has_l2 && !task.has_clip};
  }
  METHOD lane_t group_factor(const Layer& at, int which) const {
    return lane_set(task.groups[(long long)(at.place * GROUP_FACTORS + which) * task.n_networks + network]);
  }
  METHOD Rule rule_of(const Layer& at, int of_rate, int of_decay = OF_DECAY) const {
    Rule own = rule;
    lane_t rate = group_factor(at, of_rate), decay = group_factor(at, of_decay);
    if (first_element(rate) == 1 && first_element(decay) == 1) return own;
    if constexpr (decouples_decay) own.weight_decay = own.weight_decay * decay;
    own.begin(this_rate * rate, number);
    return own;
  }
  METHOD lane_t share_of(const Layer& at) const {
    return at.is_dense() ? l2_share : l2_share * group_factor(at, OF_L2);
  }
#else
  METHOD Change change(const Layer& at) const { return {at, rule, l2_share, task.has_l2 && !task.has_clip}; }
  METHOD lane_t share_of(const Layer&) const { return l2_share; }
#endif

  // With the whole gradient: L2, clipping, the optimizer.
  LARGE_METHOD void clipped() {
    clear_parts();
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      if (task.has_l2) {
        lane_t share = share_of(at);
        block_elements(at.decaying_rows(), at.columns(), [&](int i, int j) {
          real_t* g = at.g + i * at.ldw + j;
          lane_store(g, lane_fma(share, lane_load(at.w + i * at.ldw + j), lane_load(g)));
        });
#if FRONT
        if (at.is_parametric()) {
          lane_t of_slopes = l2_share * group_factor(at, OF_SLOPE_L2);
          real_t* g = at.g + (at.I + 1) * at.ldw;
          FOR_LANES(j, at.O) lane_store(g + j, lane_fma(of_slopes, lane_load(at.slopes() + j), lane_load(g + j)));
        }
#endif
        block_sync();
      }
      add_squares(at.rows(), at.columns(), at.g, at.ldw, parts);
    }
    lane_t norm = lane_sqrt(lane_set(sum_of_parts(parts)));
    lane_t factor = lane_select(norm > clip, lane_div(clip, norm), one());
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      Change its = change(at);
#if FRONT
      int rows = at.rows() - at.is_parametric();
      if (at.is_parametric()) {
        Change of_slopes = slopes_change(at);
        FOR_LANES(j, at.O) of_slopes.give_slopes(j, lane_load(at.g + rows * at.ldw + j) * factor);
      }
#else
      int rows = at.rows();
#endif
      block_map(
          rows, at.columns(), [&](int i, int j) { return its.take(i, j); },
          [&](int i, int j, Change::Weights taken) {
            its.give(i, j, taken, lane_load(at.g + i * at.ldw + j) * factor);
          });
    }
    block_sync();
  }
};
