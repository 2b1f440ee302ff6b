// Losses that are sums over the outputs, on lanes: losses.py says what they are. Cross-entropy, whose softmax takes all
// outputs of a row at a time, is written where the outputs lie.
//
// Definition: LOSS = one of the codes.
#pragma once
#include "activations.h"

#ifdef LOSS
constexpr bool has_link = loss_link != NO_LINK;

// The output of a pre-activation by the loss's own link.
FN lane_t linked(lane_t z) { return forward<loss_link == SOFTMAX || !has_link ? IDENTITY : loss_link>(z); }

// Adds what an output y costs where t is its target, and gives the gradient, not divided by the batch: at the
// pre-activation z where the loss has a link, else at y (z is not read).
template <int L = LOSS>
FN lane_t add_loss(const LossOptions& options, lane_t z, lane_t y, lane_t t, lane_t& loss) {
  lane_t residual = y - t;
  if constexpr (L == SQUARED_ERROR) {
    loss = lane_fma(residual * lane_set((real_t)0.5), residual, loss);
  } else if constexpr (L == BINARY_CROSS_ENTROPY) {
    loss = loss + lane_fma(-t, z, lane_softplus(z));
  } else if constexpr (L == POISSON) {  // t log t - t z - t + exp(z), with 0 log 0 = 0
    lane_t saturated = t * (lane_log(where_positive(t, t, one())) - one());
    loss = loss + (lane_fma(-t, z, y) + saturated);
  } else if constexpr (L == HUBER) {
    lane_t size = lane_abs(residual), capped = lane_select(size > options.delta, options.delta, size);
    loss = lane_fma(capped, lane_fma(lane_set((real_t)-0.5), capped, size), loss);
    residual = lane_select(residual < lane_set(0), -capped, capped);
  } else {
    static_assert(L == CROSS_ENTROPY, "a loss without a formula");
  }
  return residual;
}

// 1 where an output and its target lie on the same side of one half, else 0
FN lane_t same_side(lane_t y, lane_t t) {
  lane_t predicted = lane_select(y > lane_set((real_t)0.5), one(), lane_set(0));
  lane_t wanted = lane_select(t > lane_set((real_t)0.5), one(), lane_set(0));
  return lane_select(predicted != wanted, lane_set(0), one());
}
#endif
