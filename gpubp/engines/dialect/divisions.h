// CUDA lanes: divisions and square roots without a branch. A part of dialect.h.
//
// __fdiv_rn and __fsqrt_rn ask whether their operands are ordinary numbers, and call a slow path where they are not.
// Around that branch nothing can be moved, so that one division after the other waits for all of its steps. Here are
// the same steps as on their fast path (read from machine code of sm_75, 80, 86, 89, 90, 100 and 120: an approximation,
// Newton's step, the quotient put right by its exact remainder), which round correctly wherever nothing on the way
// under- or overflows, and what keeps it so. double has the hardware's own divisions.
#pragma once

#if REAL_IS_DOUBLE
FN lane_t lane_div_tame(lane_t a, lane_t b) { return lane_div(a, b); }
template <int N>
FN void lane_ratios(lane_t (&ratio)[N], const lane_t* a, const lane_t* v, lane_t epsilon) {
  UNROLL for (int i = 0; i < N; i++) ratio[i] = lane_div(a[i], lane_sqrt(v[i]) + epsilon);
}
#else
#ifndef CUDA_ON_CPU  // there, cuda_intrinsics.h has them
FN float approximate_reciprocal(float a) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
}
FN float approximate_inverse_root(float a) {
  float r;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
}
#endif

// a / b, where 1 <= b <= 2^126 (1 - 2^-20) and |a| is 0 or from 2^-100 on, or where b is 2; NaN for NaN, +0 for a zero.
FN lane_t lane_div_tame(lane_t a, lane_t b) {
  lane_t near = approximate_reciprocal(b);
  lane_t reciprocal = lane_fma(near, lane_fma(-b, near, 1.0f), near);
  lane_t quotient = a * reciprocal;
  return lane_fma(reciprocal, lane_fma(-b, quotient, a), quotient);
}

// ratio[i] = a[i] / (lane_sqrt(v[i]) + epsilon), where none of a and v is a denormal number or -0, and v not negative.
// Both are scaled by powers of two, which changes no bit, so that remainders are no denormal numbers. What is beyond
// that, for a, v or epsilon, shows in the ratios: then they are taken again.
template <int N>
FN void lane_ratios(lane_t (&ratio)[N], const lane_t* a, const lane_t* v, lane_t epsilon) {
  constexpr float up = 1 << 24, smallest = 1 / (up * up * up * (1 << 6));  // 2^-78
  lane_t finite = 0;
  lane_bits_t least = ~0u;
  UNROLL for (int i = 0; i < N; i++) {
    lane_t scaled = v[i] * (4 * up);                                         // by 2^26
    lane_t near = approximate_inverse_root(scaled + (float)SMALLEST_NORMAL);  // finite for 0, the same for the others
    lane_t root = scaled * near;
    root = lane_fma(lane_fma(-root, root, scaled), near * 0.5f, root);
    lane_t scaled_ratio = lane_div_tame(a[i] * (up * up), lane_fma(root, 1.0f / 8192, epsilon));
    finite = lane_fma(scaled_ratio, 0, finite);
    lane_bits_t size = 2 * lane_as_bits(scaled_ratio) - 1;  // without the sign; 0 is the largest
    least = size < least ? size : least;
    ratio[i] = scaled_ratio * (1 / (up * up));
  }
  bool tame = least >= 2 * lane_as_bits(smallest) - 1 && finite == 0;
  if (tame && epsilon >= smallest * (1 << 18) && epsilon <= up) return;
  UNROLL for (int i = 0; i < N; i++) {
    if (a[i] == a[i] && v[i] == v[i]) ratio[i] = lane_div(a[i], lane_sqrt(v[i]) + epsilon);
  }
}
#endif
