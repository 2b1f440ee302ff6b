// Elementary functions on lanes, written once for float and double and for every target.
//
// All of them are branch-free, give the same bits on every target, give NaN for NaN, and are right at ±0, at
// ±infinity and for denormal arguments. Results that would be denormal numbers may be zero (exp, logistic and
// softplus: always), because each costs a CPU some hundred cycles. Maximum errors are in ulp, units in the last
// place of the exact result, "float / double": for float the largest over all 2^32 arguments, for double over a
// million, rounded up (scripts/measure_ulp.py). tests/engines/test_native_math.py asserts them.
#pragma once
#include "polynomials.h"

#if REAL_IS_DOUBLE
#define LOG2_E 1.4426950408889634
#define LN2_HIGH 0.6931471805599453
#define LN2_LOW 2.3190468138462996e-17       // ln(2) - LN2_HIGH
#define ROUND_TO_INTEGER 6755399441055744.0  // 1.5 · 2^52: adding it rounds to an integer, left in the low bits
#define EXP_OVERFLOW 709.782712893384        // the largest number whose exp is finite
#define EXP_UNDERFLOW -708.3964185322641     // the smallest number whose exp is normal
#define EXPM1_IS_MINUS_ONE -38.0             // and so below it
#define TANH_IS_ONE 20.0
#define ERF_IS_ONE 6.0
#define PI_INVERSE 0.3183098861837907
#define PI_HIGH 3.141592653589793
#define PI_MIDDLE 1.2246467991473532e-16  // π - PI_HIGH
#define PI_LOW -2.9947698097183397e-33    // π - PI_HIGH - PI_MIDDLE
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcdull
#else
#define LOG2_E 1.44269504f
#define LN2_HIGH 0.693147182f
#define LN2_LOW -1.90465421e-9f
#define ROUND_TO_INTEGER 12582912.0f  // 1.5 · 2^23
#define EXP_OVERFLOW 88.7228317f
#define EXP_UNDERFLOW -87.3365402f
#define EXPM1_IS_MINUS_ONE -18.0f
#define TANH_IS_ONE 10.0f
#define ERF_IS_ONE 4.0f
#define PI_INVERSE 0.31830987f
#define PI_HIGH 3.1415927f
#define PI_MIDDLE -8.742278e-08f
#define PI_LOW -3.430249e-15f
#define SQRT_HALF_BITS 0x3f3504f3u
#endif
#define ONE_BITS ((bits_t)EXPONENT_BIAS << MANTISSA_BITS)
#define HALF_BITS ((bits_t)(EXPONENT_BIAS - 1) << MANTISSA_BITS)
#define LARGEST_ANGLE 1e5f  // up to which a multiple of π is taken off without losing a digit
#define MANTISSA_MASK (((bits_t)1 << MANTISSA_BITS) - 1)

// ----------------------------------------------------------------------------- exponentials
// x = n ln(2) + r with an integer n and |r| <= ln(2)/2. The first fma is exact: the leading bits cancel.
struct Reduced {
  lane_t r;
  lane_bits_t exponent;  // n, where a number's exponent stands: adding it to the pattern multiplies by 2^n
};

FN Reduced reduce_by_ln2(lane_t x) {
  lane_t shifted = lane_fma(x, lane_set(LOG2_E), lane_set(ROUND_TO_INTEGER));
  lane_t n = shifted - lane_set(ROUND_TO_INTEGER);
  lane_t r = lane_fma(n, lane_set(-LN2_HIGH), x);
  return {lane_fma(n, lane_set(-LN2_LOW), r), lane_as_bits(shifted) << MANTISSA_BITS};
}
FN lane_t exp_of_reduced(lane_t r) {
  return lane_fma(lane_fma(exp_polynomial(r), r, lane_set(1)), r, lane_set(1));
}
FN lane_t expm1_of_reduced(lane_t r) { return lane_fma(r * r, exp_polynomial(r), r); }
// 2^n; only while that is a normal number
FN lane_t power_of_two(lane_bits_t exponent) { return lane_from_bits(exponent + lane_set_bits(ONE_BITS)); }
// infinity for too large arguments, NaN for NaN
FN lane_t exp_range(lane_t x, lane_t result) {
  return lane_select(x <= lane_set(EXP_OVERFLOW), result, x * lane_infinity());
}

// e^x. At most 0.92 / 0.95 ulp.
FN lane_t lane_exp(lane_t x) {
  Reduced reduced = reduce_by_ln2(x);
  // adding to the exponent reaches 2^128 · 0.99, which multiplying by 2^n cannot
  lane_t result = lane_from_bits(lane_as_bits(exp_of_reduced(reduced.r)) + reduced.exponent);
  return lane_select(x < lane_set(EXP_UNDERFLOW), lane_set(0), exp_range(x, result));
}

// e^x - 1, without cancellation for small x. At most 1.6 / 2.2 ulp.
FN lane_t lane_expm1(lane_t x) {
  Reduced reduced = reduce_by_ln2(lane_at_least(x, EXPM1_IS_MINUS_ONE));
  lane_t half = lane_from_bits(reduced.exponent + lane_set_bits(HALF_BITS));  // 2^(n-1): 2^128 is no number
  lane_t result = lane_fma(half, expm1_of_reduced(reduced.r), half - lane_set((real_t)0.5));
  return exp_range(x, lane_copy_sign(result + result, x));
}

// 1 / (1 + e^-x), the sigmoid. At most 2.5 / 2.3 ulp.
FN lane_t lane_logistic(lane_t x) {
  Reduced reduced = reduce_by_ln2(-lane_at_most(lane_at_least(x, EXP_UNDERFLOW), -EXP_UNDERFLOW));
  lane_t denominator = lane_fma(exp_of_reduced(reduced.r), power_of_two(reduced.exponent), lane_set(1));
  return lane_select(x < lane_set(EXP_UNDERFLOW), lane_set(0), lane_div_tame(lane_set(1), denominator));
}

// (e^2a - 1) / (e^2a + 1) for a = |x|, the signs put back. At most 2.6 / 2.7 ulp.
FN lane_t lane_tanh(lane_t x) {
  lane_t a = lane_at_most(lane_abs(x), TANH_IS_ONE);
  Reduced reduced = reduce_by_ln2(a + a);
  lane_t power = power_of_two(reduced.exponent), q = expm1_of_reduced(reduced.r);
  lane_t denominator = lane_fma(power, q, power + lane_set(1));
  lane_mask_t large = power > lane_set(8);  // then as 1 - 2 / (e^2a + 1): monotone up to 1
  lane_t numerator = lane_select(large, lane_set(2), lane_fma(power, q, power - lane_set(1)));
  lane_t ratio = lane_div_tame(numerator, denominator);
  return lane_copy_sign(lane_select(large, lane_set(1) - ratio, ratio), x);
}

// The error function: a polynomial for small |x|, else 1 - e^-g with a polynomial for g. At most 1.2 / 1.2 ulp.
FN lane_t lane_erf(lane_t x) {
  lane_t a = lane_at_most(lane_abs(x), ERF_IS_ONE);
  lane_t small = lane_fma(erf_polynomial(a * a), a, a);
  Reduced reduced = reduce_by_ln2(-erfc_exponent_polynomial(a - lane_set(ERF_SPLIT)));
  lane_t large = lane_fma(-exp_of_reduced(reduced.r), power_of_two(reduced.exponent), lane_set(1));
  return lane_copy_sign(lane_select(a < lane_set(ERF_SPLIT), small, large), x);
}

// ------------------------------------------------------------------------------- logarithms
// x = 2^k m with m in [√½, √2), for normal x > 0
struct Split {
  lane_t k, m;
  lane_bits_t exponent;  // k, where a number's exponent stands
};

FN Split split_exponent(lane_t x) {
  lane_bits_t bits = lane_as_bits(x) + lane_set_bits(ONE_BITS - SQRT_HALF_BITS);
  lane_t m = lane_from_bits((bits & lane_set_bits(MANTISSA_MASK)) + lane_set_bits(SQRT_HALF_BITS));
  // a small integer becomes a float by standing in the last places of 2^MANTISSA_BITS
  real_t place = (real_t)((bits_t)1 << MANTISSA_BITS);
  lane_bits_t biased = bits >> MANTISSA_BITS;
  lane_t k = lane_from_bits(biased | lane_set_bits((bits_t)(EXPONENT_BIAS + MANTISSA_BITS) << MANTISSA_BITS));
  return {k - lane_set(place + EXPONENT_BIAS), m, (bits & lane_set_bits(~MANTISSA_MASK)) - lane_set_bits(ONE_BITS)};
}

// k ln(2) + log(1 + f) + correction, with s = f / (2 + f) and log(1 + f) = f - f²/2 + s (f²/2 + s² P(s²)),
// as in fdlibm's e_log.c (Sun Microsystems, 1993): the large terms are exact, the divided one is small.
FN lane_t log_from_parts(lane_t k, lane_t f, lane_t correction) {
  lane_t s = lane_div_tame(f, lane_set(2) + f), z = s * s, half_square = lane_set((real_t)0.5) * f * f;
  lane_t small = lane_fma(k, lane_set(LN2_LOW), correction);
  lane_t bent = lane_fma(s, lane_fma(z, log_polynomial(z), half_square), small) - half_square;
  return lane_fma(k, lane_set(LN2_HIGH), f + bent);
}

// The natural logarithm: -infinity at ±0, NaN below. At most 0.85 / 0.85 ulp.
FN lane_t lane_log(lane_t x) {
  const int shift = MANTISSA_BITS + 1;
  lane_mask_t denormal = x < lane_set(SMALLEST_NORMAL);
  Split split = split_exponent(lane_select(denormal, x * lane_set((real_t)((bits_t)1 << shift)), x));
  lane_t k = split.k - lane_select(denormal, lane_set(shift), lane_set(0));
  lane_t result = log_from_parts(k, split.m - lane_set(1), lane_set(0));
  result = lane_select(x < lane_infinity(), result, x);
  return lane_select(x > lane_set(0), result, lane_select(x == lane_set(0), -lane_infinity(), lane_nan()));
}

// log(1 + x) for x > -1 and NaN
FN lane_t log1p_inside(lane_t x) {
  lane_t u = lane_set(1) + x;
  lane_t large = lane_at_least(x, 1), small = lane_at_most(x, 1);
  lane_t lost = small - (u - large);  // what the sum's rounding lost, exactly
  Split split = split_exponent(u);
  lane_mask_t near = split.k == lane_set(0);  // 1 + x is between √½ and √2: x itself is f, with nothing lost
  lane_t f = lane_select(near, x, split.m - lane_set(1));
  lane_t inverse_power = lane_from_bits(lane_set_bits(ONE_BITS) - split.exponent);
  lane_t inverse_m = lane_fma(f, f, lane_set(1) - f);  // 1 / (1 + f), near enough for so small a term
  lane_mask_t nothing = near | (x > lane_set((real_t)((bits_t)4 << MANTISSA_BITS)));  // too small to count, too
  lane_t correction = lane_select(nothing, lane_set(0), lost * inverse_power * inverse_m);
  return lane_copy_sign(log_from_parts(split.k, f, correction), x);
}

// log(1 + x), without cancellation for small x: -infinity at -1, NaN below. At most 0.9 / 0.85 ulp.
FN lane_t lane_log1p(lane_t x) {
  lane_t result = lane_select(x < lane_infinity(), log1p_inside(x), x);
  return lane_select(x > lane_set(-1), result, lane_select(x == lane_set(-1), -lane_infinity(), lane_nan()));
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). At most 1.7 / 1.7 ulp.
FN lane_t lane_softplus(lane_t x) {
  lane_t a = -lane_abs(x);
  Reduced reduced = reduce_by_ln2(lane_at_least(a, EXP_UNDERFLOW));
  lane_t e = exp_of_reduced(reduced.r) * power_of_two(reduced.exponent);
  e = lane_select(a < lane_set(EXP_UNDERFLOW), lane_set(0), e);
  return lane_at_least(x, 0) + log1p_inside(e);
}

// ------------------------------------------------------------------------------------- waves
// sin(r) for r = x - h π, |r| <= π/2 (Cody and Waite 1980). The first difference is exact: its leading bits cancel.
FN lane_t sin_beyond(lane_t x, lane_t h) {
  lane_t r = lane_fma(h, lane_set(-PI_HIGH), x);
  r = lane_fma(h, lane_set(-PI_MIDDLE), r);
  r = lane_fma(h, lane_set(-PI_LOW), r);
  lane_t z = r * r;
  return lane_fma(r * z, sin_polynomial(z), r);
}
// Where `bits` are odd the sign changes.
FN lane_t negate_if_odd(lane_t a, lane_bits_t bits) {
  return lane_from_bits(lane_as_bits(a) ^ (bits << (int)(sizeof(real_t) * 8 - 1)));
}

// sin(x) for |x| <= 100,000; beyond, as at ±100,000. At most 2.1 / 1.6 ulp.
FN lane_t lane_sin(lane_t x) {
  lane_t a = lane_at_most(lane_abs(x), LARGEST_ANGLE);
  lane_t shifted = lane_fma(a, lane_set(PI_INVERSE), lane_set(ROUND_TO_INTEGER));
  lane_t sine = negate_if_odd(sin_beyond(a, shifted - lane_set(ROUND_TO_INTEGER)), lane_as_bits(shifted));
  return lane_from_bits(lane_as_bits(sine) ^ (lane_as_bits(x) & lane_set_bits(SIGN_BIT)));
}

// cos(x) for |x| <= 100,000; beyond, as at 100,000. At most 2.1 / 2.1 ulp.
FN lane_t lane_cos(lane_t x) {  // with a whole m: cos(r + (m + ½) π) = -(-1)^m sin(r)
  lane_t a = lane_at_most(lane_abs(x), LARGEST_ANGLE);
  lane_t shifted = lane_fma(a, lane_set(PI_INVERSE), lane_set((real_t)-0.5)) + lane_set(ROUND_TO_INTEGER);
  lane_t h = (shifted - lane_set(ROUND_TO_INTEGER)) + lane_set((real_t)0.5);
  return negate_if_odd(-sin_beyond(a, h), lane_as_bits(shifted));
}
