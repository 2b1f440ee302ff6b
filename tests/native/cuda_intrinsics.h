// The few CUDA intrinsics of dialect.h, for compiling its CUDA branch with a CPU's compiler: one lane per call.
// Include it before any header of the dialect.
#pragma once
#define CUDA_ON_CPU 1
#define __device__
#define __host__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))

static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
static inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
template <class To, class From>
static inline To cuda_reinterpret(From from) {
  static_assert(sizeof(To) == sizeof(From), "patterns of one size");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
static inline int __float_as_int(float a) { return cuda_reinterpret<int>(a); }
static inline float __int_as_float(int a) { return cuda_reinterpret<float>(a); }
static inline long long __double_as_longlong(double a) { return cuda_reinterpret<long long>(a); }
static inline double __longlong_as_double(long long a) { return cuda_reinterpret<double>(a); }
// Approximations, to a unit in the last place: a device's own may be others, the bits that are made of them may not.
static inline float approximate_reciprocal(float a) {  // rounded upwards
  float r = 1 / a;
  return __builtin_fmaf(-a, r, 1) > 0 ? __builtin_nextafterf(r, __builtin_inff()) : r;
}
static inline float approximate_inverse_root(float a) {  // rounded downwards
  float r = (float)(1 / __builtin_sqrt((double)a));
  return (double)r * r * a > 1 ? __builtin_nextafterf(r, 0) : r;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
struct float4 { float x, y, z, w; };
struct double2 { double x, y; };
template <class T>
static inline T __ldg(const T* p) {
  return *p;
}
