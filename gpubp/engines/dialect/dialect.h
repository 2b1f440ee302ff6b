// The dialect that the native kernels are written in: every difference between the targets is in this file.
//
//   target                         a lane is             lane_t is
//   CUDA (NVRTC)                   a thread              real_t
//   CPU (g++, clang++)             a vector's element    a vector of LANES real_t
//   CUDA_ON_CPU (the proof shim)   one pass of a loop    real_t, through the CUDA branch below
//
// Compile-time definition: REAL = float | double.
//
// Same bits everywhere, because every rounding is written down: lane_fma rounds once, `a * b + c` rounds twice
// (compile with -ffp-contract=off or -fmad=false), lane_div and lane_sqrt are correctly rounded, nothing calls the
// C library's mathematics. (Which NaN is the one thing that targets differ in.) No `if` on a lane's value: lane_select.
// CUDA has no standard headers here: use none.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__) || defined(CUDA_ON_CPU)
#define TARGET_CUDA 1
#else
#define TARGET_CUDA 0
#endif

#ifdef __FAST_MATH__
#error "fast-math changes results: compile without it"
#endif
#if !TARGET_CUDA && defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "float arithmetic must round to float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

// ---------------------------------------------------------------------------------------- scalars
#define DIALECT_JOIN_(a, b) a##b
#define DIALECT_JOIN(a, b) DIALECT_JOIN_(a, b)
#define DIALECT_DOUBLE_float 0
#define DIALECT_DOUBLE_double 1
#define REAL_IS_DOUBLE DIALECT_JOIN(DIALECT_DOUBLE_, REAL)

typedef REAL real_t;
#if REAL_IS_DOUBLE
typedef unsigned long long bits_t;  // a real_t's pattern: unsigned, so that shifts and overflow are defined
typedef long long mask_element_t;
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define SIGN_BIT 0x8000000000000000ull
#define INFINITY_BITS 0x7ff0000000000000ull
#define SMALLEST_NORMAL 2.2250738585072014e-308
#else
typedef unsigned int bits_t;
typedef int mask_element_t;
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define SIGN_BIT 0x80000000u
#define INFINITY_BITS 0x7f800000u
#define SMALLEST_NORMAL 1.17549435e-38f
#endif

#if TARGET_CUDA
// ------------------------------------------------------------------------------------------- CUDA
#define LANES 1
#define FN static __device__ __forceinline__
#define METHOD __device__ __forceinline__
#define LARGE_FN FN  // a call would put what its callers hold in registers onto a stack
// A function that is there once, for its code is worth that.
#ifdef CUDA_ON_CPU
#define CALLED_FN static __attribute__((noinline))
#else
#define CALLED_FN static __device__ __noinline__
#endif
#define LARGE_METHOD METHOD
#define RESTRICT __restrict__
#define CONSTANT_FN __host__ __device__ constexpr
#ifdef CUDA_ON_CPU
#define UNROLL
#define UNROLL_TILE
#define FORGET(pointer)
#define FORGET_VALUE(value)
#else
#define UNROLL _Pragma("unroll")       // loops over a layer: unrolled only here, arrays must become registers
#define UNROLL_TILE _Pragma("unroll")  // loops over a register tile: unrolled on every target
// Hides what is known of a pointer, so that addresses made before a long loop do not occupy registers during it.
#define FORGET(pointer) asm volatile("" : "+l"(pointer) : : "memory")
// The same for a 32-bit number: what follows from it is computed where it is needed, not kept over a loop.
#define FORGET_VALUE(value) asm volatile("" : "+r"(value))
#endif
#define FEW_REGISTERS 1
#define CHAINS 1  // of operations side by side: one waits while other threads go on

typedef real_t lane_t;
typedef bits_t lane_bits_t;
typedef bool lane_mask_t;
typedef int lane_index_t;  // 32 bits whatever REAL is: rows and the like

FN lane_t lane_load(const real_t* p) { return *p; }
FN void lane_store(real_t* p, lane_t v) { *p = v; }
FN lane_t lane_set(real_t a) { return a; }
FN lane_bits_t lane_set_bits(bits_t a) { return a; }
FN lane_index_t lane_load_index(const int* p) { return *p; }
FN lane_index_t lane_set_index(int a) { return a; }
FN lane_index_t lane_iota(int first) { return first; }
FN lane_mask_t lane_mask_of_index(bool m) { return m; }
FN lane_t lane_select(lane_mask_t m, lane_t yes, lane_t no) { return m ? yes : no; }
#if REAL_IS_DOUBLE
FN lane_t lane_fma(lane_t a, lane_t b, lane_t c) { return __fma_rn(a, b, c); }
FN lane_t lane_div(lane_t a, lane_t b) { return __ddiv_rn(a, b); }
FN lane_t lane_sqrt(lane_t a) { return __dsqrt_rn(a); }
FN lane_bits_t lane_as_bits(lane_t a) { return (bits_t)__double_as_longlong(a); }
FN lane_t lane_from_bits(lane_bits_t a) { return __longlong_as_double((long long)a); }
#else
FN lane_t lane_fma(lane_t a, lane_t b, lane_t c) { return __fmaf_rn(a, b, c); }
FN lane_t lane_div(lane_t a, lane_t b) { return __fdiv_rn(a, b); }
FN lane_t lane_sqrt(lane_t a) { return __fsqrt_rn(a); }
FN lane_bits_t lane_as_bits(lane_t a) { return (bits_t)__float_as_int(a); }
FN lane_t lane_from_bits(lane_bits_t a) { return __int_as_float((int)a); }
#endif
#include "divisions.h"
// values[i] = the i-th value of this lane's row; `stride` values lie between the starts of two rows, pieces of 16 bytes
template <int N>
FN void lane_gather_row(lane_t (&values)[N], const real_t* RESTRICT base, int stride, lane_index_t row) {
  // the row's address in one instruction: a product of 32 bits each, and a sum
  const char* start = (const char*)base + (unsigned long long)(unsigned)row * (unsigned)(stride * (int)sizeof(real_t));
#if REAL_IS_DOUBLE
  const double2* p = (const double2*)start;
  UNROLL for (int i = 0; i < N; i += 2) {
    double2 piece = __ldg(p + i / 2);
    values[i] = piece.x;
    if (i + 1 < N) values[i + 1] = piece.y;
  }
#else
  const float4* p = (const float4*)start;
  UNROLL for (int i = 0; i < N; i += 4) {
    float4 piece = __ldg(p + i / 4);
    values[i] = piece.x;
    if (i + 1 < N) values[i + 1] = piece.y;
    if (i + 2 < N) values[i + 2] = piece.z;
    if (i + 3 < N) values[i + 3] = piece.w;
  }
#endif
}
FN lane_index_t lane_gather_index(const int* RESTRICT base, lane_index_t i) { return __ldg(base + i); }
FN void lane_store_index(int* p, lane_index_t v) { *p = v; }
FN lane_t lane_gather(const real_t* RESTRICT base, int stride, lane_index_t i) {
  return __ldg(base + (long long)i * stride);
}
template <int N>
FN void lane_shared_row(lane_t (&values)[N], const real_t* RESTRICT base, int stride, int row) {
  lane_gather_row(values, base, stride, row);
}

// Lanes that are networks: lane l is network l of `count`, whose data lie `stride` apart. A thread is its own network.
FN lane_t lane_load_networks(const real_t* p, int, int) { return *p; }
FN void lane_store_networks(real_t* p, int, int, lane_t v) { *p = v; }
FN lane_t lane_gather_own(const real_t* RESTRICT base, int, int, lane_index_t i) { return __ldg(base + i); }
FN lane_index_t lane_gather_own_index(const int* RESTRICT base, int stride, lane_index_t i) {
  return __ldg(base + (long long)i * stride);
}

// Unsigned 32-bit lanes, for random numbers: arithmetic modulo 2^32.
typedef unsigned lane_uint_t;
FN lane_uint_t lane_set_uint(unsigned a) { return a; }
FN lane_uint_t lane_load_uint_networks(const unsigned* p, int) { return *p; }
FN lane_uint_t lane_select_uint(bool m, lane_uint_t yes, lane_uint_t no) { return m ? yes : no; }
FN lane_uint_t lane_multiply_high(lane_uint_t a, unsigned b) { return __umulhi(a, b); }
FN lane_index_t lane_index_of(lane_uint_t a) { return (int)a; }
FN lane_uint_t lane_places(int first, int) { return (unsigned)first; }
FN real_t first_element(lane_t a) { return a; }
FN lane_index_t lane_gather_column(const int* RESTRICT base, int stride, lane_index_t i) {
  return base[(long long)i * stride];
}
FN void lane_store_places(int* p, int, int, lane_index_t v) { *p = v; }

#else
// -------------------------------------------------------------------------------------------- CPU
#ifdef VECTOR_BYTES  // asked for: 16, which every CPU has; few networks need no more
#elif defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define LANES (VECTOR_BYTES / (int)sizeof(real_t))
#ifdef __OPTIMIZE__
#define FN static inline __attribute__((always_inline))
#define METHOD inline __attribute__((always_inline))
#else  // for tests and debuggers: compiled in half the time, and one can step into each
#define FN static inline
#define METHOD inline
#endif
// What is called for a whole batch, or seldom: inlined twice, it would only take longer to compile.
#define LARGE_FN static __attribute__((noinline))
#define CALLED_FN LARGE_FN
#define LARGE_METHOD __attribute__((noinline))
#define RESTRICT __restrict__
#define CONSTANT_FN constexpr
#define UNROLL  // unrolling whole layers made g++ ten times slower and the code no faster
#ifdef __clang__
#define UNROLL_TILE _Pragma("clang loop unroll(full)")
#else
#define UNROLL_TILE _Pragma("GCC unroll 64")
#endif
#define FORGET(pointer) asm volatile("" : "+r"(pointer))
#define FORGET_VALUE(value)
#define FEW_REGISTERS 0
#define CHAINS 8  // of operations side by side, so that one goes on while others wait for their results

#define LANE_VECTOR(element) __attribute__((vector_size(LANES * sizeof(element))))
typedef real_t lane_t LANE_VECTOR(real_t);
typedef bits_t lane_bits_t LANE_VECTOR(bits_t);
typedef mask_element_t lane_mask_t LANE_VECTOR(mask_element_t);  // what comparing lanes gives: 0 or -1 in each
typedef int lane_index_t LANE_VECTOR(int);                       // 32 bits whatever REAL is: rows and the like
typedef lane_t lane_unaligned_t __attribute__((aligned(sizeof(real_t)), may_alias));
typedef lane_index_t lane_index_unaligned_t __attribute__((aligned(sizeof(int)), may_alias));

FN lane_t lane_load(const real_t* p) { return *(const lane_unaligned_t*)p; }
FN void lane_store(real_t* p, lane_t v) { *(lane_unaligned_t*)p = v; }
FN lane_t lane_set(real_t a) { return a - lane_t{}; }  // minus, because 0 + -0 is not -0
FN lane_bits_t lane_set_bits(bits_t a) { return a - lane_bits_t{}; }
FN lane_index_t lane_load_index(const int* p) { return *(const lane_index_unaligned_t*)p; }
FN lane_index_t lane_set_index(int a) { return a - lane_index_t{}; }
FN lane_index_t lane_iota(int first) {
  lane_index_t r;
  for (int l = 0; l < LANES; l++) r[l] = first + l;
  return r;
}
FN lane_mask_t lane_mask_of_index(lane_index_t m) { return __builtin_convertvector(m, lane_mask_t); }
FN lane_t lane_select(lane_mask_t m, lane_t yes, lane_t no) { return m ? yes : no; }
FN lane_bits_t lane_as_bits(lane_t a) { return (lane_bits_t)a; }
FN lane_t lane_from_bits(lane_bits_t a) { return (lane_t)a; }
FN lane_t lane_div(lane_t a, lane_t b) { return a / b; }
FN lane_t lane_div_tame(lane_t a, lane_t b) { return a / b; }  // see divisions.h

// fma and square root have no operator: the vector instruction's builtin where there is one, else element by element
// (g++ makes vector code of that too, less reliably; without fma instructions it calls the C library's exact one).
#ifdef __clang__
#if defined(__FMA__) || defined(__aarch64__)
#if __has_builtin(__builtin_elementwise_fma)
#define VECTOR_FMA(a, b, c) __builtin_elementwise_fma(a, b, c)
#endif
#if __has_builtin(__builtin_elementwise_sqrt)
#define VECTOR_SQRT(a) __builtin_elementwise_sqrt(a)
#endif
#endif
#if !defined(VECTOR_FMA) && defined(__FMA__)  // clang before 16
#define ALL_ELEMENTS (-1), 4  // as below
#if VECTOR_BYTES == 64 && REAL_IS_DOUBLE
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddpd512_mask(a, b, c, ALL_ELEMENTS)
#elif VECTOR_BYTES == 64
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddps512_mask(a, b, c, ALL_ELEMENTS)
#elif VECTOR_BYTES == 32 && REAL_IS_DOUBLE
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddpd256(a, b, c)
#elif VECTOR_BYTES == 32
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddps256(a, b, c)
#elif REAL_IS_DOUBLE
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddpd(a, b, c)
#else
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddps(a, b, c)
#endif
#endif
#elif VECTOR_BYTES == 64
#define ALL_ELEMENTS (-1), 4  // mask, and "rounding as it is set": to nearest
#if REAL_IS_DOUBLE
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddpd512_mask(a, b, c, ALL_ELEMENTS)
#define VECTOR_SQRT(a) __builtin_ia32_sqrtpd512_mask(a, a, ALL_ELEMENTS)
#else
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddps512_mask(a, b, c, ALL_ELEMENTS)
#define VECTOR_SQRT(a) __builtin_ia32_sqrtps512_mask(a, a, ALL_ELEMENTS)
#endif
#elif VECTOR_BYTES == 32 && defined(__FMA__)
#if REAL_IS_DOUBLE
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddpd256(a, b, c)
#define VECTOR_SQRT(a) __builtin_ia32_sqrtpd256(a)
#else
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddps256(a, b, c)
#define VECTOR_SQRT(a) __builtin_ia32_sqrtps256(a)
#endif
#elif VECTOR_BYTES == 16 && defined(__FMA__)
#if REAL_IS_DOUBLE
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddpd(a, b, c)
#define VECTOR_SQRT(a) __builtin_ia32_sqrtpd(a)
#else
#define VECTOR_FMA(a, b, c) __builtin_ia32_vfmaddps(a, b, c)
#define VECTOR_SQRT(a) __builtin_ia32_sqrtps(a)
#endif
#endif

#ifdef VECTOR_FMA
FN lane_t lane_fma(lane_t a, lane_t b, lane_t c) { return (lane_t)VECTOR_FMA(a, b, c); }
#else
FN float element_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FN double element_fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
FN lane_t lane_fma(lane_t a, lane_t b, lane_t c) {
  lane_t r;
  for (int l = 0; l < LANES; l++) r[l] = element_fma(a[l], b[l], c[l]);
  return r;
}
#endif
#ifdef VECTOR_SQRT
FN lane_t lane_sqrt(lane_t a) { return (lane_t)VECTOR_SQRT(a); }
#else
FN float element_sqrt(float a) { return __builtin_sqrtf(a); }
FN double element_sqrt(double a) { return __builtin_sqrt(a); }
FN lane_t lane_sqrt(lane_t a) {
  lane_t r;
  for (int l = 0; l < LANES; l++) r[l] = element_sqrt(a[l]);
  return r;
}
#endif

template <int N>
FN void lane_ratios(lane_t (&ratio)[N], const lane_t* a, const lane_t* v, lane_t epsilon) {  // see divisions.h
  for (int i = 0; i < N; i++) ratio[i] = lane_div(a[i], lane_sqrt(v[i]) + epsilon);
}

// values[i] = the i-th value of each lane's row; `stride` values lie between the starts of two rows.
#include "rows.h"
template <int N>
FN void lane_gather_row(lane_t (&values)[N], const real_t* RESTRICT base, int stride, lane_index_t row) {
  if constexpr (HAS_PIECES && N >= PIECE) {
    UNROLL_TILE for (int i = 0; i < N - PIECE; i += PIECE) gather_piece(values + i, base, stride, row, i);
    gather_piece(values + N - PIECE, base, stride, row, N - PIECE);  // rather some values twice than any beyond the row
  } else {
    for (int l = 0; l < LANES; l++) {
      const real_t* p = base + (long long)row[l] * stride;
      for (int i = 0; i < N; i++) values[i][l] = p[i];
    }
  }
}
FN lane_index_t lane_gather_index(const int* RESTRICT base, lane_index_t i) {
  lane_index_t r;
  for (int l = 0; l < LANES; l++) r[l] = base[i[l]];
  return r;
}
FN void lane_store_index(int* p, lane_index_t v) { *(lane_index_unaligned_t*)p = v; }
FN lane_t lane_gather(const real_t* RESTRICT base, int stride, lane_index_t i) {
  lane_t r;
  for (int l = 0; l < LANES; l++) r[l] = base[(long long)i[l] * stride];
  return r;
}
// the same row for all lanes
template <int N>
FN void lane_shared_row(lane_t (&values)[N], const real_t* RESTRICT base, int stride, int row) {
  const real_t* p = base + (long long)row * stride;
  for (int i = 0; i < N; i++) values[i] = lane_set(p[i]);
}

// Lanes that are networks: lane l is network l of `count`, whose data lie `stride` apart. Lanes beyond the last network
// repeat it when they read, and write nothing.
FN int network_of(int lane, int count) { return lane < count ? lane : count - 1; }
FN lane_t lane_load_networks(const real_t* p, int stride, int count) {
  lane_t r;
  for (int l = 0; l < LANES; l++) r[l] = p[(long long)network_of(l, count) * stride];
  return r;
}
FN void lane_store_networks(real_t* p, int stride, int count, lane_t v) {
  for (int l = 0; l < LANES && l < count; l++) p[(long long)l * stride] = v[l];
}
FN lane_t lane_gather_own(const real_t* RESTRICT base, int stride, int count, lane_index_t i) {
  lane_t r;
  for (int l = 0; l < LANES; l++) r[l] = base[(long long)network_of(l, count) * stride + i[l]];
  return r;
}
// base[i · stride + lane]: tables that have the networks side by side
FN lane_index_t lane_gather_own_index(const int* RESTRICT base, int stride, lane_index_t i) {
  lane_index_t r;
  for (int l = 0; l < LANES; l++) r[l] = base[(long long)i[l] * stride + l];
  return r;
}

// Unsigned 32-bit lanes, for random numbers: arithmetic modulo 2^32.
typedef unsigned lane_uint_t LANE_VECTOR(unsigned);
typedef unsigned long long lane_wide_t LANE_VECTOR(unsigned long long);
FN lane_uint_t lane_set_uint(unsigned a) { return a - lane_uint_t{}; }
FN lane_uint_t lane_load_uint_networks(const unsigned* p, int count) {
  lane_uint_t r;
  for (int l = 0; l < LANES; l++) r[l] = p[network_of(l, count)];
  return r;
}
FN lane_uint_t lane_select_uint(lane_index_t m, lane_uint_t yes, lane_uint_t no) { return m ? yes : no; }
FN lane_uint_t lane_multiply_high(lane_uint_t a, unsigned b) {
  return __builtin_convertvector((__builtin_convertvector(a, lane_wide_t) * (unsigned long long)b) >> 32, lane_uint_t);
}
FN lane_index_t lane_index_of(lane_uint_t a) { return (lane_index_t)a; }
// Lanes that are places: first, first + 1, ... up to last, which is then repeated
FN lane_uint_t lane_places(int first, int last) {
  lane_uint_t r;
  for (int l = 0; l < LANES; l++) r[l] = first + l < last ? first + l : last;
  return r;
}
FN real_t first_element(lane_t a) { return a[0]; }
FN lane_index_t lane_gather_column(const int* RESTRICT base, int stride, lane_index_t i) {
  lane_index_t r;
  for (int l = 0; l < LANES; l++) r[l] = base[(long long)i[l] * stride];
  return r;
}
FN void lane_store_places(int* p, int stride, int count, lane_index_t v) {
  for (int l = 0; l < LANES && l < count; l++) p[(long long)l * stride] = v[l];
}
#endif

// ----------------------------------------------------------------------- made of the above, the same everywhere
FN lane_t lane_infinity() { return lane_from_bits(lane_set_bits(INFINITY_BITS)); }
FN lane_t lane_nan() { return lane_from_bits(lane_set_bits(INFINITY_BITS | (INFINITY_BITS >> 1))); }
FN lane_t lane_abs(lane_t a) { return lane_from_bits(lane_as_bits(a) & lane_set_bits(~SIGN_BIT)); }
FN lane_t lane_copy_sign(lane_t magnitude, lane_t sign) {  // the magnitude must not be negative
  return lane_from_bits(lane_as_bits(magnitude) | (lane_as_bits(sign) & lane_set_bits(SIGN_BIT)));
}
// One instruction each on a CPU; a NaN stays a NaN.
FN lane_t lane_at_most(lane_t a, real_t limit) { return lane_select(a > lane_set(limit), lane_set(limit), a); }
FN lane_t lane_at_least(lane_t a, real_t limit) { return lane_select(a < lane_set(limit), lane_set(limit), a); }
// Zero for what is smaller than `limit` (the smallest normal number, or more): arithmetic on denormal numbers takes a
// CPU some hundred cycles. Part of the mathematics, not a processor flag, so that every target does the same.
FN lane_t lane_flush(lane_t a, real_t limit = SMALLEST_NORMAL) {
  return lane_select(lane_abs(a) < lane_set(limit), lane_set(0), a);
}
// coefficients[0] + x (coefficients[1] + x (...)), by fma from the innermost
FN lane_t polynomial(lane_t, real_t last) { return lane_set(last); }
template <class... Higher>
FN lane_t polynomial(lane_t x, real_t constant, Higher... higher) {
  return lane_fma(polynomial(x, higher...), x, lane_set(constant));
}
