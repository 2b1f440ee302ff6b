// Minimax polynomials of mathematics.h, coefficients from the constant upwards.
// Written by scripts/fit_polynomials.py: change them there. The errors are relative to the function that
// a polynomial serves, before the roundings of its evaluation.
#pragma once
#include "dialect.h"

#define ERF_SPLIT ((real_t)0.875)

#if !REAL_IS_DOUBLE

// (exp(r) - 1 - r) / r² for |r| <= ln(2)/2: relative error 2^-25.8
FN lane_t exp_polynomial(lane_t x) {
  return polynomial(x,
    0.49999997f, 0.16666543f, 0.0416672f, 0.008366529f,
    0.0013882542f);
}

// (log((1 + s) / (1 - s)) / s - 2) / z with z = s², for |s| <= (√2 - 1) / (√2 + 1): relative error 2^-30.1
FN lane_t log_polynomial(lane_t x) {
  return polynomial(x,
    0.66666776f, 0.3997754f, 0.29871857f);
}

// erf(x) / x - 1 with z = x², for |x| <= 0.875: relative error 2^-25.2
FN lane_t erf_polynomial(lane_t x) {
  return polynomial(x,
    0.12837915f, -0.3761255f, 0.11282455f, -0.026791465f,
    0.0050321827f, -0.0006203263f);
}

// -log(erfc(t + 0.875)) for t >= 0, up to where erf rounds to 1: relative error 2^-26.1
FN lane_t erfc_exponent_polynomial(lane_t x) {
  return polynomial(x,
    1.5328244f, 2.430219f, 0.8265527f, 0.04683907f,
    -0.011199756f, 0.0020370623f, -0.00020099636f);
}

// (sin(r) / r - 1) / z with z = r², for |r| <= π/2: relative error 2^-26.2
FN lane_t sin_polynomial(lane_t x) {
  return polynomial(x,
    -0.1666666f, 0.008333063f, -0.000198093f, 2.6050745e-06f);
}

#endif

#if REAL_IS_DOUBLE

// (exp(r) - 1 - r) / r² for |r| <= ln(2)/2: relative error 2^-54.7
FN lane_t exp_polynomial(lane_t x) {
  return polynomial(x,
    0.5000000000000006, 0.16666666666666588, 0.04166666666657667, 0.008333333333389556,
    0.001388888893159645, 0.00019841269719029703, 2.4801505233379146e-05, 2.7557407483812162e-06,
    2.7626054790205566e-07, 2.5053808031501277e-08);
}

// (log((1 + s) / (1 - s)) / s - 2) / z with z = s², for |s| <= (√2 - 1) / (√2 + 1): relative error 2^-58.9
FN lane_t log_polynomial(lane_t x) {
  return polynomial(x,
    0.6666666666666734, 0.39999999999414343, 0.2857142874247179, 0.22222198563760454,
    0.18183564851186337, 0.15314036289579597, 0.14796100262069128);
}

// erf(x) / x - 1 with z = x², for |x| <= 0.875: relative error 2^-54.9
FN lane_t erf_polynomial(lane_t x) {
  return polynomial(x,
    0.12837916709551256, -0.3761263890318299, 0.11283791670915586, -0.026866170637143423,
    0.005223977542443857, -0.0008548321977574322, 0.00012055141085704315, -1.4920942147728282e-05,
    1.638737614606056e-06, -1.5619267128142794e-07, 1.0456813051846512e-08);
}

// -log(erfc(t + 0.875)) for t >= 0, up to where erf rounds to 1: relative error 2^-54.9
FN lane_t erfc_exponent_polynomial(lane_t x) {
  return polynomial(x,
    1.5328244365985517, 2.4302197229548095, 0.8265416933355579, 0.04689605452134843,
    -0.01132333923122277, 0.0021439946452595595, -0.0002007742460588064, -5.931916020156756e-05,
    3.94421110841918e-05, -1.2266656966819754e-05, 2.154967402942109e-06, 4.0016836298024196e-08,
    -1.766838958135812e-07, 6.780635069110708e-08, -1.532224027004702e-08, 2.2207307453478662e-09,
    -1.918080586870534e-10, 7.536664310604682e-12);
}

// (sin(r) / r - 1) / z with z = r², for |r| <= π/2: relative error 2^-56.3
FN lane_t sin_polynomial(lane_t x) {
  return polynomial(x,
    -0.16666666666666666, 0.00833333333333319, -0.00019841269841207454, 2.755731921082709e-06,
    -2.5052106843727516e-08, 1.6058938212389646e-10, -7.642951833474464e-13, 2.720749524620591e-15);
}

#endif
