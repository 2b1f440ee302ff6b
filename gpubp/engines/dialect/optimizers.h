// Optimizers on lanes: optimizers.py says what they are. One parameter of each lane's network at a time.
//
// Definition: OPTIMIZER = one of the codes. A hyperparameter is a row of the table that the host packs (see the enum);
// 1 - beta and log(beta) come from the host, which takes them in double: in float, 1 - 0.999 has lost its digits.
#pragma once
#include "mathematics.h"

enum Optimizer { SGD, MOMENTUM, NESTEROV, ADAM, ADAMW, RMSPROP };
enum Hyperparameter {
  H_RATE, H_L2, H_CLIP_NORM, H_MOMENTUM, H_BETA1, H_REST1, H_LOG1, H_BETA2, H_REST2, H_LOG2, H_EPSILON, H_DECAY,
  H_REST_DECAY, H_WEIGHT_DECAY, HYPERPARAMETERS
};

#ifdef OPTIMIZER
static_assert(OPTIMIZER >= SGD && OPTIMIZER <= RMSPROP, "an optimizer without a rule");
constexpr bool is_adam = OPTIMIZER == ADAM || OPTIMIZER == ADAMW;
constexpr int slots = OPTIMIZER == SGD ? 0 : is_adam ? 2 : 1;

// Below it, a gradient's square would be a denormal number.
#if REAL_IS_DOUBLE
#define SMALLEST_GRADIENT 1.5e-154
#else
#define SMALLEST_GRADIENT 1.1e-19f
#endif

struct Rule {  // what an update needs besides the parameter, its slots and its gradient
  lane_t rate, l2_share, momentum, beta1, rest1, log1, beta2, rest2, log2, epsilon, step_size, step_epsilon, keep;

  METHOD void load(const real_t* table, int n_networks, int first, int count) {
#define LOAD(row) lane_load_networks(table + (row) * (long long)n_networks + first, 1, count)
    if constexpr (OPTIMIZER == MOMENTUM || OPTIMIZER == NESTEROV) momentum = LOAD(H_MOMENTUM);
    if constexpr (is_adam) {
      beta1 = LOAD(H_BETA1), rest1 = LOAD(H_REST1), log1 = LOAD(H_LOG1);
      beta2 = LOAD(H_BETA2), rest2 = LOAD(H_REST2), log2 = LOAD(H_LOG2);
    }
    if constexpr (OPTIMIZER == RMSPROP) beta2 = LOAD(H_DECAY), rest2 = LOAD(H_REST_DECAY);
    if constexpr (is_adam || OPTIMIZER == RMSPROP) epsilon = LOAD(H_EPSILON);
  }

  // Before update number `t` (from 1): Adam's bias corrections, folded into the rate and epsilon; decoupled decay.
  METHOD void begin(lane_t this_rate, lane_t weight_decay, long long t) {
    rate = this_rate;
    if constexpr (is_adam) {
      lane_t number = lane_set((real_t)t);
      lane_t correction = lane_sqrt(-lane_expm1(number * log2));
      step_size = lane_div(rate * correction, -lane_expm1(number * log1));
      step_epsilon = epsilon * correction;
    }
    if constexpr (OPTIMIZER == ADAMW) keep = lane_fma(-rate, weight_decay, lane_set(1));
  }

  // w, its slots a and b, its gradient g; decays: w is a weight, not a bias
  template <bool decays> METHOD void update(lane_t& w, lane_t& a, lane_t& b, lane_t g) const {
    if constexpr (OPTIMIZER == SGD) {
      w = lane_fma(-rate, g, w);
    } else if constexpr (OPTIMIZER == MOMENTUM) {
      a = lane_flush(lane_fma(momentum, a, -(rate * g)));
      w = w + a;
    } else if constexpr (OPTIMIZER == NESTEROV) {
      lane_t step = rate * g;
      a = lane_flush(lane_fma(momentum, a, -step));
      w = w + lane_fma(momentum, a, -step);
    } else {
      lane_t gradient[1] = {g};
      update_together<decays, 1>(&w, &a, &b, gradient);
    }
  }
  // The same for neighbouring parameters. Adam and RMSprop divide, and some divisions side by side take little longer
  // than one.
  template <bool decays, int n> METHOD void update_together(lane_t* w, lane_t* a, lane_t* b, lane_t (&g)[n]) const {
    if constexpr (is_adam) {
      UNROLL for (int i = 0; i < n; i++) {
        if constexpr (OPTIMIZER == ADAMW && decays) w[i] = w[i] * keep;
        g[i] = lane_flush(g[i], SMALLEST_GRADIENT);
        a[i] = lane_flush(lane_fma(beta1, a[i], rest1 * g[i]));
        b[i] = lane_flush(lane_fma(beta2, b[i], rest2 * (g[i] * g[i])));
      }
      lane_t ratio[n];
      lane_ratios(ratio, a, b, step_epsilon);
      UNROLL for (int i = 0; i < n; i++) w[i] = lane_fma(-step_size, ratio[i], w[i]);
    } else if constexpr (OPTIMIZER == RMSPROP) {
      UNROLL for (int i = 0; i < n; i++) {
        g[i] = lane_flush(g[i], SMALLEST_GRADIENT);
        a[i] = lane_flush(lane_fma(beta2, a[i], rest2 * (g[i] * g[i])));
      }
      lane_t ratio[n];
      lane_ratios(ratio, g, a, epsilon);
      UNROLL for (int i = 0; i < n; i++) w[i] = lane_fma(-rate, ratio[i], w[i]);
    } else {
      UNROLL for (int i = 0; i < n; i++) update<decays>(w[i], a[slots > 0 ? i : 0], b[0], g[i]);
    }
  }
};
#endif
