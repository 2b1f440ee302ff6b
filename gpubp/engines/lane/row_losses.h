// A row's loss in each lane's network.
//
// Definition: LOSS = one of the codes. evaluate(options, z, t, y, dz) takes the last layer's pre-activations and the
// targets, and gives the predictions, the gradient at z (not divided by the batch) and, as its value, the row's loss.
#pragma once
#include "losses.h"
#include "network.h"

#define O net::outputs
#define OUTPUT_ACTIVATION net::activations[net::layers - 1]

FN void softmax(const lane_t (&z)[O], lane_t (&y)[O], lane_t& largest, lane_t& sum) {
  largest = z[0];
  UNROLL for (int o = 1; o < O; o++) largest = lane_select(z[o] > largest, z[o], largest);
  sum = lane_set(0);
  UNROLL for (int o = 0; o < O; o++) {
    y[o] = lane_exp(z[o] - largest);
    sum = sum + y[o];
  }
  lane_t scale = lane_div_tame(one(), sum);
  UNROLL for (int o = 0; o < O; o++) y[o] = y[o] * scale;
}

FN void output(const lane_t (&z)[O], lane_t (&y)[O]) {
  if constexpr (OUTPUT_ACTIVATION == SOFTMAX) {
    lane_t largest, sum;
    softmax(z, y, largest, sum);
  } else {
    UNROLL for (int o = 0; o < O; o++) y[o] = forward<OUTPUT_ACTIVATION>(z[o]);
  }
}

#ifdef LOSS
FN lane_t evaluate(const LossOptions& options, const lane_t (&z)[O], const lane_t (&t)[O], lane_t (&y)[O],
                   lane_t (&dz)[O]) {
  lane_t loss = lane_set(0);
  if constexpr (LOSS == CROSS_ENTROPY) {
    lane_t largest, sum;
    softmax(z, y, largest, sum);
    UNROLL for (int o = 0; o < O; o++) {
      loss = lane_fma(t[o], z[o] - largest, loss);
      dz[o] = y[o] - t[o];
    }
    return lane_log(sum) - loss;
  } else {
    output(z, y);
    UNROLL for (int o = 0; o < O; o++) {
      lane_t gradient = add_loss(options, z[o], y[o], t[o], loss);
      dz[o] = has_link ? gradient : backward<OUTPUT_ACTIVATION>(gradient, z[o], y[o]);
    }
    return loss;
  }
}

// 1 where the prediction is right, else 0: the largest output, or every output on its target's side of one half
FN lane_t is_right(const lane_t (&y)[O], const lane_t (&t)[O]) {
  lane_t right = one();
  if constexpr (loss_link == SOFTMAX) {
    lane_t best = y[0], its_target = t[0], largest_target = t[0];
    UNROLL for (int o = 1; o < O; o++) {
      its_target = lane_select(y[o] > best, t[o], its_target);
      best = lane_select(y[o] > best, y[o], best);
      largest_target = lane_select(t[o] > largest_target, t[o], largest_target);
    }
    right = lane_select(its_target < largest_target, lane_set(0), one());
  } else {
    UNROLL for (int o = 0; o < O; o++) right = right * same_side(y[o], t[o]);
  }
  return right;
}
#endif
#undef O
