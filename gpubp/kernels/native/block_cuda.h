// The primitives of block.h on CUDA: a block of THREADS threads is one network, a lane is one thread's element.
#pragma once
#include "dialect.h"

FN int padded(int columns) { return columns; }

#define FOR_STEPS(i, n, step) for (int i = threadIdx.x * (step); i < (n); i += THREADS * (step))
#define FOR_LANES(i, n) FOR_STEPS(i, n, 1)
#define FOR_EACH(i, n) FOR_STEPS(i, n, 1)
template <class F> FN void block_elements(int rows, int columns, const F& f) {
  FOR_EACH(i, rows * columns) f(i / columns, i % columns);
}
template <class F> FN void block_numbers(int rows, int columns, const F& f) { block_elements(rows, columns, f); }
FN void block_sync() { __syncthreads(); }
FN bool block_first() { return threadIdx.x == 0; }

// Each thread sums 4 x 4 results at a time: rows m, m + 1, ... and columns n, n + columns / 4, ..., so that
// neighbouring threads read neighbouring numbers.
#define TILE_EDGE 4

FN void tiled_product(int M, int N, int K, const real_t* A, long long a_row, long long a_step, const real_t* B,
                      long long ldb, const real_t* start, real_t* out, long long ldo) {
  int across = (N + TILE_EDGE - 1) / TILE_EDGE, down = (M + TILE_EDGE - 1) / TILE_EDGE;
  _Pragma("unroll 1") for (int t = threadIdx.x; t < across * down; t += THREADS) {
    int n = t % across, m = t / across * TILE_EDGE;
    real_t sum[TILE_EDGE][TILE_EDGE];
    UNROLL for (int j = 0; j < TILE_EDGE; j++) {
      int column = n + j * across;
      real_t first = start && column < N ? start[column] : 0;
      UNROLL for (int i = 0; i < TILE_EDGE; i++) sum[i][j] = first;
    }
    _Pragma("unroll 1") for (int k = 0; k < K; k++) {
      real_t a[TILE_EDGE], b[TILE_EDGE];
      UNROLL for (int i = 0; i < TILE_EDGE; i++) a[i] = m + i < M ? A[(m + i) * a_row + k * a_step] : 0;
      UNROLL for (int j = 0; j < TILE_EDGE; j++) b[j] = n + j * across < N ? B[k * ldb + n + j * across] : 0;
      UNROLL for (int i = 0; i < TILE_EDGE; i++) {
        UNROLL for (int j = 0; j < TILE_EDGE; j++) sum[i][j] = lane_fma(a[i], b[j], sum[i][j]);
      }
    }
    UNROLL for (int i = 0; i < TILE_EDGE; i++) {
      UNROLL for (int j = 0; j < TILE_EDGE; j++) {
        if (m + i < M && n + j * across < N) out[(m + i) * ldo + n + j * across] = sum[i][j];
      }
    }
  }
}

// See block_cpu.h for what these are.
FN void block_product(int M, int N, int K, const real_t* A, long long lda, const real_t* B, long long ldb,
                      const real_t* start, real_t* out, long long ldo, real_t*) {
  tiled_product(M, N, K, A, lda, 1, B, ldb, start, out, ldo);
}
FN void block_product_transposed(int M, int N, int K, const real_t* A, long long lda, const real_t* B, long long ldb,
                                 real_t* out, long long ldo, real_t* scratch) {
  FOR_EACH(i, N * K) scratch[(i % K) * N + i / K] = B[(i / K) * ldb + i % K];
  block_sync();  // transposed weights are written before others take them
  tiled_product(M, N, K, A, lda, 1, scratch, N, nullptr, out, ldo);
}
template <class F>
FN void block_gradient(int M, int N, int K, const real_t* A, long long lda, const real_t* B, long long ldb, bool whole,
                       real_t* g, long long ldg, const F& f) {
  tiled_product(M, N, K, A, 1, lda, B, ldb, nullptr, g, ldg);
  if (whole) return;
  block_sync();  // gradients are written before others take them
  block_elements(M, N, [&](int m, int n) { f(m, n, g[m * ldg + n]); });
}
FN long long scratch_numbers(int I, int O) { return (long long)I * O; }
FN long long gradient_numbers(int M, int N) { return (long long)M * N; }
FN bool in_place(int, int) { return false; }

FN lane_t lane_load_rows(const real_t* p, long long) { return *p; }
FN void lane_store_rows(real_t* p, long long, lane_t v) { *p = v; }
