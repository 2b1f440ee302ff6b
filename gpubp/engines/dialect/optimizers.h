// Optimizers on lanes: optimizers.py says what they are. Some parameters of each lane's network at a time.
//
// Definition: OPTIMIZER = one of the codes. 1 - beta and log(beta) come from the host, which takes them in double: in
// float, 1 - 0.999 has lost its digits.
#pragma once
#include "mathematics.h"
#include "operations.h"

#ifdef OPTIMIZER
constexpr bool is_adam = OPTIMIZER == ADAM || OPTIMIZER == ADAMW || OPTIMIZER == AMSGRAD;

// Below it, a gradient's square would be a denormal number.
#if REAL_IS_DOUBLE
#define SMALLEST_GRADIENT 1.5e-154
#else
#define SMALLEST_GRADIENT 1.1e-19f
#endif

// What an update needs besides the parameter, its slots and its gradient.
struct Rule : OptimizerOptions, UpdateNumbers {
#if AVERAGES
  lane_t average, rest_average;
#endif
  METHOD void load(const real_t* table, int n_networks, int first, int count) {
    OptimizerOptions::load(table, n_networks, first, count);
#if AVERAGES
    average = load_hyperparameter(table, H_AVERAGE, n_networks, first, count);
    rest_average = load_hyperparameter(table, H_REST_AVERAGE, n_networks, first, count);
#endif
  }
  // Before update number `t` (from 1): Adam's bias corrections, folded into the rate and epsilon; decoupled decay.
  METHOD void begin(lane_t this_rate, long long t) {
    rate = this_rate;
    if constexpr (is_adam) {
      lane_t number = lane_set((real_t)t);
      lane_t correction = lane_sqrt(-lane_expm1(number * log2));
      step_size = lane_div(rate * correction, -lane_expm1(number * log1));
      step_epsilon = epsilon * correction;
    }
    if constexpr (decouples_decay) keep = lane_fma(-rate, weight_decay, lane_set(1));
  }

  // Some parameters w, s[i] of slot i of each, their gradients g; decays: they are weights, not biases. Some divisions
  // side by side take little longer than one.
  template <bool decays, int n, int R = OPTIMIZER>
  METHOD void update(lane_t (&w)[n], lane_t (&s)[slot_arrays][n], lane_t (&g)[n]) const {
    UNROLL for (int i = 0; i < n; i++) {
      if constexpr (decouples_decay && decays) w[i] = w[i] * keep;
      if constexpr (R == SGD) {
        w[i] = lane_fma(-rate, g[i], w[i]);
      } else if constexpr (R == MOMENTUM) {
        s[0][i] = lane_flush(lane_fma(momentum, s[0][i], -(rate * g[i])));
        w[i] = w[i] + s[0][i];
      } else if constexpr (R == NESTEROV) {
        lane_t step = rate * g[i];
        s[0][i] = lane_flush(lane_fma(momentum, s[0][i], -step));
        w[i] = w[i] + lane_fma(momentum, s[0][i], -step);
      } else if constexpr (is_adam) {
        g[i] = lane_flush(g[i], SMALLEST_GRADIENT);
        s[0][i] = lane_flush(lane_fma(beta1, s[0][i], rest1 * g[i]));
        s[1][i] = lane_flush(lane_fma(beta2, s[1][i], rest2 * (g[i] * g[i])));
        if constexpr (R == AMSGRAD) s[2][i] = lane_select(s[1][i] > s[2][i], s[1][i], s[2][i]);
      } else if constexpr (R == RMSPROP) {
        g[i] = lane_flush(g[i], SMALLEST_GRADIENT);
        s[0][i] = lane_flush(lane_fma(decay, s[0][i], rest_decay * (g[i] * g[i])));
      } else {
        static_assert(R == SGD, "an optimizer without a rule");
      }
    }
    if constexpr (is_adam) {
      lane_t ratio[n];
      lane_ratios(ratio, s[0], s[R == AMSGRAD ? 2 : 1], step_epsilon);
      UNROLL for (int i = 0; i < n; i++) w[i] = lane_fma(-step_size, ratio[i], w[i]);
    } else if constexpr (R == RMSPROP) {
      lane_t ratio[n];
      lane_ratios(ratio, g, s[0], epsilon);
      UNROLL for (int i = 0; i < n; i++) w[i] = lane_fma(-rate, ratio[i], w[i]);
    }
#if AVERAGES
    lane_t(&mean)[n] = s[slots - 1];
    UNROLL for (int i = 0; i < n; i++) mean[i] = lane_flush(lane_fma(average, mean[i], rest_average * w[i]));
#endif
  }
};
#endif
