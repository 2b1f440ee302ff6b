// The primitives of block.h on a CPU: a block is one core, a lane is one of LANES neighbouring columns.
#pragma once
#include "dialect.h"

// A register tile: at most TILE_ROWS rows of TILE_VECTORS vectors, so that sums and operands fit the registers.
#if VECTOR_BYTES >= 64
#define TILE_ROWS 6
#define TILE_VECTORS 4
#else
#define TILE_ROWS 4
#define TILE_VECTORS 2
#endif

// Rows of a matrix in memory begin `padded(columns)` apart: whole vectors, and no power of two, which would put the
// rows of a large matrix into the same few cache sets.
FN int padded(int columns) {
  int whole = (columns + LANES - 1) / LANES * LANES;
  return whole >= 128 && whole % 64 == 0 ? whole + LANES : whole;
}

// Elements, or rows, i in [0, n): LANES at a time; buffers are padded, so the last step may go beyond n.
#define FOR_LANES(i, n) for (int i = 0; i < (n); i += LANES)
// Single numbers i in [0, n).
#define FOR_EACH(i, n) for (int i = 0; i < (n); i++)
FN void block_sync() {}
FN bool block_first() { return true; }

// out[m][n] = start[n] + sum over k of A[m][k] B[k][n], k ascending, one fma each.
template <int R, int C>
static void tile(const real_t* A, long a_row, long a_step, const real_t* B, long ldb, int K, const real_t* start,
                 real_t* out, long ldo) {
  lane_t sum[R][C];
  UNROLL_TILE for (int c = 0; c < C; c++) {
    lane_t first = start ? lane_load(start + c * LANES) : lane_set(0);
    UNROLL_TILE for (int r = 0; r < R; r++) sum[r][c] = first;
  }
  for (int k = 0; k < K; k++, A += a_step, B += ldb) {
    lane_t b[C];
    UNROLL_TILE for (int c = 0; c < C; c++) b[c] = lane_load(B + c * LANES);
    UNROLL_TILE for (int r = 0; r < R; r++) {
      lane_t a = lane_set(A[r * a_row]);
      UNROLL_TILE for (int c = 0; c < C; c++) sum[r][c] = lane_fma(a, b[c], sum[r][c]);
    }
  }
  UNROLL_TILE for (int r = 0; r < R; r++) {
    UNROLL_TILE for (int c = 0; c < C; c++) lane_store(out + r * ldo + c * LANES, sum[r][c]);
  }
}

typedef void (*tile_t)(const real_t*, long, long, const real_t*, long, int, const real_t*, real_t*, long);
template <int R> FN tile_t tile_of_width(int c) {
  switch (c) {
    case 1: return tile<R, 1>;
    case 2: return tile<R, 2>;
#if TILE_VECTORS > 2
    case 3: return tile<R, 3>;
    default: return tile<R, 4>;
#else
    default: return tile<R, 2>;
#endif
  }
}
FN tile_t tile_of(int r, int c) {
  switch (r) {
    case 1: return tile_of_width<1>(c);
    case 2: return tile_of_width<2>(c);
    case 3: return tile_of_width<3>(c);
#if TILE_ROWS > 4
    case 4: return tile_of_width<4>(c);
    case 5: return tile_of_width<5>(c);
    default: return tile_of_width<6>(c);
#else
    default: return tile_of_width<4>(c);
#endif
  }
}

// out (M, N) = start (N,) or 0, plus A (M, K) B (K, N). A's element (m, k) is at m · a_row + k · a_step, so that a
// transposed matrix costs nothing; B and out have rows of ldb and ldo.
FN void block_product(int M, int N, int K, const real_t* A, long a_row, long a_step, const real_t* B, long ldb,
                      const real_t* start, real_t* out, long ldo) {
  int vectors = (N + LANES - 1) / LANES;
  // Rows in tiles of nearly equal height: 7 rows as 4 + 3, not as 6 + 1.
  int tiles = (M + TILE_ROWS - 1) / TILE_ROWS, height = M / tiles, taller = M - height * tiles;
  for (int v = 0; v < vectors; v += TILE_VECTORS) {
    int width = vectors - v < TILE_VECTORS ? vectors - v : TILE_VECTORS;
    long n = (long)v * LANES;
    tile_t tall = tile_of(height + 1, width), low = tile_of(height, width);
    for (int t = 0, m = 0; t < tiles; t++) {
      bool is_tall = t < taller;
      (is_tall ? tall : low)(A + m * a_row, a_row, a_step, B + n, ldb, K, start ? start + n : nullptr,
                             out + m * ldo + n, ldo);
      m += is_tall ? height + 1 : height;
    }
  }
}

// out (N, M) = the transpose of A (M, N), whole vectors of it
FN void block_transpose(int M, int N, const real_t* A, long lda, real_t* out, long ldo) {
  for (int m = 0; m < M; m += LANES)
    for (int n = 0; n < N; n++) {
      lane_t column;
      for (int l = 0; l < LANES; l++) column[l] = m + l < M ? A[(m + l) * lda + n] : 0;
      lane_store(out + n * ldo + m, column);
    }
}

// LANES numbers that lie `stride` apart: one number of each of LANES neighbouring rows
FN lane_t lane_load_rows(const real_t* p, long stride) {
  lane_t r;
  for (int l = 0; l < LANES; l++) r[l] = p[l * stride];
  return r;
}
FN void lane_store_rows(real_t* p, long stride, lane_t v) {
  for (int l = 0; l < LANES; l++) p[l * stride] = v[l];
}
