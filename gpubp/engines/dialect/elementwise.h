// Entry points that apply each function of mathematics.h to an array: for tests, error measurements and self-checks.
//
//   CPU:  void map_exp(const real_t* x, real_t* y, long long count)   count: a multiple of lane_count()
//   CUDA: the same, as a kernel with one thread per element
#pragma once
#include "mathematics.h"

#if TARGET_CUDA && !defined(CUDA_ON_CPU)
#define MAP(name) \
  extern "C" __global__ void map_##name(const real_t* x, real_t* y, long long count) { \
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; \
    if (i < count) lane_store(y + i, lane_##name(lane_load(x + i))); \
  }
#else
#define MAP(name) \
  extern "C" void map_##name(const real_t* x, real_t* y, long long count) { \
    for (long long i = 0; i < count; i += LANES) lane_store(y + i, lane_##name(lane_load(x + i))); \
  }
extern "C" int lane_count() { return LANES; }
#endif

MAP(exp)
MAP(expm1)
MAP(logistic)
MAP(tanh)
MAP(erf)
MAP(log)
MAP(log1p)
MAP(softplus)
MAP(sin)
MAP(cos)
MAP(sqrt)
