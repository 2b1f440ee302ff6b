// Activations on lanes, each with its derivative: activations.py says what they are.
//
// forward<A>(z); backward<A>(dh, z, h) = dh · f'(z). Softmax and exponential exist as the links of their losses alone.
#pragma once
#include "mathematics.h"
#include "operations.h"

#define LEAKY_SLOPE (real_t)0.01
#define SELU_SCALE (real_t)1.0507009873554804934193349852946
#define SELU_ALPHA (real_t)1.6732632423543772848170429916717
#define SQRT_HALF (real_t)0.70710678118654752440
#define SQRT_2_OVER_PI (real_t)0.79788456080286535588
#define NORMAL_PEAK (real_t)0.39894228040143267794  // 1 / sqrt(2 pi)
#define GELU_CUBIC (real_t)0.044715

FN lane_t one() { return lane_set(1); }
FN lane_t positive_part(lane_t z) { return lane_select(z < lane_set(0), lane_set(0), z); }
FN lane_t negative_part(lane_t z) { return lane_select(z > lane_set(0), lane_set(0), z); }
FN lane_t where_positive(lane_t h, lane_t yes, lane_t no) { return lane_select(h > lane_set(0), yes, no); }
FN lane_t normal_distribution(lane_t z) {
  return lane_fma(lane_erf(z * lane_set(SQRT_HALF)), lane_set((real_t)0.5), lane_set((real_t)0.5));
}
FN lane_t gelu_gate(lane_t z) {  // tanh(sqrt(2/pi) (z + 0.044715 z^3))
  return lane_tanh(lane_fma(z * z, lane_set(GELU_CUBIC), one()) * z * lane_set(SQRT_2_OVER_PI));
}

template <int A> FN lane_t forward(lane_t z) {
  if constexpr (A == LOGISTIC) return lane_logistic(z);
  else if constexpr (A == TANH) return lane_tanh(z);
  else if constexpr (A == RELU) return positive_part(z);
  else if constexpr (A == LEAKY_RELU) return where_positive(z, z, lane_set(LEAKY_SLOPE) * z);
  else if constexpr (A == ELU) return lane_expm1(negative_part(z)) + positive_part(z);
  else if constexpr (A == SELU)
    return lane_fma(lane_expm1(negative_part(z)), lane_set(SELU_ALPHA), positive_part(z)) * lane_set(SELU_SCALE);
  else if constexpr (A == SILU) return z * lane_logistic(z);
  else if constexpr (A == GELU) return z * normal_distribution(z);
  else if constexpr (A == GELU_TANH) return z * lane_fma(gelu_gate(z), lane_set((real_t)0.5), lane_set((real_t)0.5));
  else if constexpr (A == MISH) return z * lane_tanh(lane_softplus(z));
  else if constexpr (A == SOFTPLUS) return lane_softplus(z);
  else if constexpr (A == EXPONENTIAL) return lane_exp(z);
  else if constexpr (A == SOFTSIGN) return lane_div(z, one() + lane_abs(z));
  else {
    static_assert(A == IDENTITY, "an activation of several neurons at once is not elementwise");
    return z;
  }
}

template <int A> FN lane_t backward(lane_t dh, lane_t z, lane_t h) {
  if constexpr (A == LOGISTIC) return dh * (h * (one() - h));
  else if constexpr (A == TANH) return dh * lane_fma(-h, h, one());
  else if constexpr (A == RELU) return where_positive(h, dh, lane_set(0));
  else if constexpr (A == LEAKY_RELU) return where_positive(h, dh, dh * lane_set(LEAKY_SLOPE));
  else if constexpr (A == ELU) return dh * (negative_part(h) + one());
  else if constexpr (A == SELU)
    return dh * where_positive(h, lane_set(SELU_SCALE), h + lane_set(SELU_SCALE * SELU_ALPHA));
  else if constexpr (A == SILU) {
    lane_t gate = lane_logistic(z);
    return dh * lane_fma(h, one() - gate, gate);
  } else if constexpr (A == GELU) {
    lane_t density = lane_exp(z * z * lane_set((real_t)-0.5)) * lane_set(NORMAL_PEAK);
    return dh * lane_fma(density, z, normal_distribution(z));
  } else if constexpr (A == GELU_TANH) {
    lane_t t = gelu_gate(z);
    lane_t inner = lane_fma(z * z, lane_set(3 * GELU_CUBIC), one()) * z * lane_set(SQRT_2_OVER_PI);
    return dh * (lane_fma(inner, lane_fma(-t, t, one()), t + one()) * lane_set((real_t)0.5));
  } else if constexpr (A == MISH) {
    lane_t t = lane_tanh(lane_softplus(z));
    return dh * lane_fma(lane_logistic(z) * z, lane_fma(-t, t, one()), t);
  } else if constexpr (A == SOFTPLUS) return dh * -lane_expm1(-h);
  else if constexpr (A == EXPONENTIAL) return dh * h;
  else if constexpr (A == SOFTSIGN) {
    lane_t rest = one() - lane_abs(h);
    return dh * (rest * rest);
  } else return dh;
}
