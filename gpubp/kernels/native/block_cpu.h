// The primitives of block.h on a CPU: a lane is one of LANES neighbouring columns, a block is one core, or for a large
// network a team of threads that share every loop and meet at block_sync. How many they are does not change the bits.
#pragma once
#include "dialect.h"

extern "C" int sched_yield(void);

struct Team {
  int member, members;
  int* meeting;  // two numbers that all members share: how many have arrived, and how often all have met
};
static thread_local Team team __attribute__((tls_model("initial-exec"))) = {0, 1, nullptr};

FN void block_sync() {
  if (team.members == 1) return;
  int met = __atomic_load_n(team.meeting + 1, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(team.meeting, 1, __ATOMIC_ACQ_REL) == team.members) {
    __atomic_store_n(team.meeting, 0, __ATOMIC_RELAXED);
    __atomic_store_n(team.meeting + 1, met + 1, __ATOMIC_RELEASE);
    return;
  }
  for (int spins = 0; __atomic_load_n(team.meeting + 1, __ATOMIC_ACQUIRE) == met; spins++)
    if (spins > 2000) sched_yield();
}
FN bool block_first() { return team.member == 0; }
// This member's share of [0, n) in whole steps: from share_begin to share_end.
FN int share_of(int n, int step, int member) { return (int)((long)((n + step - 1) / step) * member / team.members) * step; }
FN int share_begin(int n, int step) { return share_of(n, step, team.member); }
FN int share_end(int n, int step) {
  int end = share_of(n, step, team.member + 1);
  return end < n ? end : n;
}

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
#define FOR_LANES(i, n) for (int i = share_begin(n, LANES), i##_end = share_end(n, LANES); i < i##_end; i += LANES)
// Single numbers i in [0, n).
#define FOR_EACH(i, n) for (int i = share_begin(n, 1), i##_end = share_end(n, 1); i < i##_end; i++)
// f(row, column) for a matrix of rows x columns: LANES columns at a time.
template <class F> FN void block_elements(int rows, int columns, const F& f) {
  FOR_EACH(r, rows) for (int j = 0; j < columns; j += LANES) f(r, j);
}

// The same, one number at a time.
template <class F> FN void block_numbers(int rows, int columns, const F& f) {
  FOR_EACH(r, rows) for (int j = 0; j < columns; j++) f(r, j);
}

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
LARGE_FN void block_product(int M, int N, int K, const real_t* A, long a_row, long a_step, const real_t* B, long ldb,
                      const real_t* start, real_t* out, long ldo) {
  int vectors = (N + LANES - 1) / LANES, first_vector = 0;
  if (team.members > 1) {  // rows are shared where there are enough, else columns
    if (M >= team.members * TILE_ROWS) {
      int begin = share_begin(M, TILE_ROWS), end = share_end(M, TILE_ROWS);
      if (begin >= end) return;
      A += begin * a_row, out += begin * ldo, M = end - begin;
    } else {
      first_vector = share_begin(vectors, TILE_VECTORS), vectors = share_end(vectors, TILE_VECTORS);
    }
  }
  // Rows in tiles of nearly equal height: 7 rows as 4 + 3, not as 6 + 1.
  int tiles = (M + TILE_ROWS - 1) / TILE_ROWS, height = M / tiles, taller = M - height * tiles;
  for (int v = first_vector; v < vectors; v += TILE_VECTORS) {
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
  FOR_LANES(m, M) {
    for (int n = 0; n < N; n++) {
      lane_t column;
      for (int l = 0; l < LANES; l++) column[l] = m + l < M ? A[(m + l) * lda + n] : 0;
      lane_store(out + n * ldo + m, column);
    }
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
