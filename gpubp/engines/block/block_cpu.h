// The primitives of block.h on a CPU: a lane is one of LANES neighbouring columns, a block is one core, or for a large
// network a team of threads that share every loop and meet at block_sync. How many they are does not change the bits.
#pragma once
#include "dialect.h"
#include "transpose.h"

extern "C" int sched_yield(void);

// Where the calls of a launch meet: how many of them have not begun yet, and for each team, `MEETING` numbers further
// on, how many of its members have arrived, and, a cache line further on, how often all have met.
#define MEETING 32
#define MET 16
// Calls that are missing where one of them cannot begin (no thread could be started for it): all others do nothing.
#define GIVEN_UP (1 << 30)

struct Team {
  int member, members;
  int* meeting;
};
static thread_local Team team __attribute__((tls_model("initial-exec"))) = {0, 1, nullptr};

// Waits until all calls of the launch have begun; false where that cannot be.
FN bool all_begin(int* meeting) {
  int missing = __atomic_sub_fetch(meeting, 1, __ATOMIC_ACQ_REL);
  for (int spins = 0; missing != 0; spins++) {
    if (missing > GIVEN_UP / 2) return false;
    if (spins > 2000) sched_yield();
    missing = __atomic_load_n(meeting, __ATOMIC_ACQUIRE);
  }
  return true;
}

FN void block_sync() {
  if (team.members == 1) return;
  int met = __atomic_load_n(team.meeting + MET, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(team.meeting, 1, __ATOMIC_ACQ_REL) == team.members) {
    __atomic_store_n(team.meeting, 0, __ATOMIC_RELAXED);
    __atomic_store_n(team.meeting + MET, met + 1, __ATOMIC_RELEASE);
    return;
  }
  for (int spins = 0; __atomic_load_n(team.meeting + MET, __ATOMIC_ACQUIRE) == met; spins++)
    if (spins > 2000) sched_yield();
}
FN bool block_first() { return team.member == 0; }
FN bool block_lays_out() { return true; }  // a Network of its own
FN int own_member() { return team.member; }
// Where part `part` of [0, n), cut into `parts` of whole steps, begins.
FN int part_begin(int n, int step, int part, int parts) {
  int begin = (int)((long)((n + step - 1) / step) * part / parts) * step;
  return begin < n ? begin : n;
}
// This member's share of [0, n) in whole steps: from share_begin to share_end.
FN int share_begin(int n, int step) { return part_begin(n, step, team.member, team.members); }
FN int share_end(int n, int step) { return part_begin(n, step, team.member + 1, team.members); }

// A register tile: at most TILE_ROWS rows of TILE_VECTORS vectors, so that sums and operands fit the registers.
#if VECTOR_BYTES >= 64
#define TILE_ROWS 6
#define TILE_VECTORS 4
#else
#define TILE_ROWS 4
#define TILE_VECTORS 2
#endif

// What engines/block/memory.py asks, to lay a network's memory out.
extern "C" int vector_numbers() { return LANES; }
extern "C" int tile_rows() { return TILE_ROWS; }
extern "C" int tile_vectors() { return TILE_VECTORS; }
constexpr bool trains_in_place = true;  // large matrices, where the caller has them

// i in [0, n), `step` at a time.
#define FOR_STEPS(i, n, step) for (int i = share_begin(n, step), i##_end = share_end(n, step); i < i##_end; i += step)
// Elements, or rows: LANES at a time; buffers are padded, so the last step may go beyond n.
#define FOR_LANES(i, n) FOR_STEPS(i, n, LANES)
// Single numbers.
#define FOR_EACH(i, n) FOR_STEPS(i, n, 1)
// f(row, column) for a matrix of rows x columns: LANES columns at a time.
template <class F> FN void block_elements(int rows, int columns, const F& f) {
  FOR_EACH(r, rows) for (int j = 0; j < columns; j += LANES) f(r, j);
}
// give(row, column, take(row, column)) for the same.
template <class Take, class Give> FN void block_map(int rows, int columns, const Take& take, const Give& give) {
  block_elements(rows, columns, [&](int r, int j) { give(r, j, take(r, j)); });
}
// f(row, column) for a matrix, one number at a time.
template <class F> FN void block_numbers(int rows, int columns, const F& f) {
  FOR_EACH(r, rows) for (int j = 0; j < columns; j++) f(r, j);
}
template <class Take, class Give> FN void block_numbers_map(int rows, int columns, const Take& take, const Give& give) {
  block_numbers(rows, columns, [&](int r, int j) { give(r, j, take(r, j)); });
}
#define UNROLL_SUM

// out[m][n] = start[m][n] + sum over k of A[m][k] B[k][n], k ascending, one fma each; start null: zeros.
template <int R, int C>
static void tile(const real_t* A, long a_row, long a_step, const real_t* B, long ldb, int K, const real_t* start,
                 long lds, real_t* out, long ldo) {
  lane_t sum[R][C];
  UNROLL_TILE for (int r = 0; r < R; r++) {
    UNROLL_TILE for (int c = 0; c < C; c++) sum[r][c] = start ? lane_load(start + r * lds + c * LANES) : lane_set(0);
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

typedef void (*tile_t)(const real_t*, long, long, const real_t*, long, int, const real_t*, long, real_t*, long);
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

// A strip of `width` vectors of a product, all M rows of it, in tiles of nearly equal height: 7 rows as 4 + 3, not 6 +
// 1.
LARGE_FN void strip_product(int M, int width, int K, const real_t* A, long a_row, long a_step, const real_t* B,
                            long ldb, const real_t* start, long lds, real_t* out, long ldo) {
  int tiles = (M + TILE_ROWS - 1) / TILE_ROWS, height = M / tiles, taller = M - height * tiles;
  tile_t tall = tile_of(height + 1, width), low = tile_of(height, width);
  for (int t = 0; t < tiles; t++) {
    bool is_tall = t < taller;
    int rows = is_tall ? height + 1 : height;
    (is_tall ? tall : low)(A, a_row, a_step, B, ldb, K, start, lds, out, ldo);
    A += rows * a_row, start += start ? rows * lds : 0, out += rows * ldo;
  }
}

// What a member of the team computes of an M x N matrix: some strips of columns, while there are enough for everyone,
// else some rows of some strips.
struct Share {
  int row, rows, vector, vectors;
};
FN Share share_of_matrix(int M, int N) {
  int vectors = (N + LANES - 1) / LANES;
  if (team.members == 1) return {0, M, 0, vectors};
  int strips = (vectors + TILE_VECTORS - 1) / TILE_VECTORS;
  int across = strips < team.members ? strips : team.members, down = team.members / across;
  int part = team.member % across, below = team.member / across;
  if (below >= down) return {0, 0, 0, 0};
  int row = part_begin(M, TILE_ROWS, below, down), vector = part_begin(vectors, TILE_VECTORS, part, across);
  return {row, part_begin(M, TILE_ROWS, below + 1, down) - row, vector,
          part_begin(vectors, TILE_VECTORS, part + 1, across) - vector};
}
// Of an M x N matrix of weights a member has whole rows, as far as there are enough: they are neighbours in memory,
// where what one member writes is nothing that another's processor fetches ahead.
FN Share share_of_weights(int M, int N) {
  if (M < TILE_ROWS * team.members) return share_of_matrix(M, N);
  int row = share_begin(M, TILE_ROWS);
  return {row, share_end(M, TILE_ROWS) - row, 0, (N + LANES - 1) / LANES};
}
#define EACH_STRIP(v, width, share) \
  for (int v = (share).vector, v##_end = v + (share).vectors, width; \
       width = v##_end - v < TILE_VECTORS ? v##_end - v : TILE_VECTORS, v < v##_end; v += TILE_VECTORS)

// Large matrices are taken some of their rows at a time, each strip of them copied into one piece: so they stay in the
// caches, and no page of memory is entered for a few numbers.
struct Scratch {
  real_t* at;  // this member's own
  int steps;   // rows of a strip for which there is room
};
FN Scratch own_scratch(real_t* all, int steps) {
  return {all + team.member * (long)TILE_VECTORS * LANES * steps, steps};
}
#define LARGE_MATRIX (1 << 17)  // numbers
#define ROWS_AT_ONCE 258        // of A: as many as its own part of the L2 cache holds

// to[k] = a strip's numbers of row k of B (K, N), or of its transpose's
FN void pack(int K, int width, const real_t* B, long ldb, real_t* to) {
  for (int k = 0; k < K; k++, B += ldb)
    for (int c = 0; c < width; c++, to += LANES) lane_store(to, lane_load(B + c * LANES));
}
FN void pack_transposed(int K, int rows, int width, const real_t* B, long ldb, real_t* to) {
  for (int c = 0; c < width; c++, rows -= LANES, B += LANES * ldb, to += LANES) {
    for (int k = 0; k < K; k += LANES) {
      lane_t square[LANES];
      for (int l = 0; l < LANES; l++) square[l] = l < rows ? lane_load(B + l * ldb + k) : lane_set(0);
      lane_transpose(square);
      for (int l = 0; l < LANES && k + l < K; l++) lane_store(to + (k + l) * width * LANES, square[l]);
    }
  }
}
template <bool transposed>
LARGE_FN void packed_product(int M, int N, int K, const real_t* A, long lda, const real_t* B, long ldb,
                             const real_t* start, real_t* out, long ldo, Scratch scratch) {
  Share own = share_of_matrix(M, N);
  real_t* packed = scratch.at;
  for (int m = own.row, end = m + own.rows; m < end; m += ROWS_AT_ONCE) {
    int rows = end - m < ROWS_AT_ONCE ? end - m : ROWS_AT_ONCE;
    for (int k = 0; k < K; k += scratch.steps) {
      int steps = K - k < scratch.steps ? K - k : scratch.steps;
      EACH_STRIP(v, width, own) {
        int n = v * LANES;
        if (transposed) pack_transposed(steps, N - n, width, B + n * ldb + k, ldb, packed);
        else pack(steps, width, B + k * ldb + n, ldb, packed);
        real_t* at = out + m * ldo + n;
        const real_t* first = k ? at : start ? start + n : nullptr;
        strip_product(rows, width, steps, A + m * lda + k, lda, 1, packed, width * LANES, first, k ? ldo : 0, at, ldo);
      }
    }
  }
}

// A few columns would leave most of a vector empty: with N of them, its lanes are the rows of A instead, taken as
// squares that are transposed in registers. The same sums in the same order.
#define MOST_NARROW (LANES / 4)
FN bool is_narrow(int M, int N, int K) { return team.members == 1 && N <= MOST_NARROW && M >= LANES && K >= LANES; }
template <int N>
LARGE_FN void narrow_product(int M, int K, const real_t* A, long lda, const real_t* B, long ldb, const real_t* start,
                             real_t* out, long ldo) {
  for (int m = 0; m < M; m += LANES, A += LANES * lda, out += LANES * ldo) {
    int rows = M - m < LANES ? M - m : LANES;
    lane_t sum[N];
    for (int n = 0; n < N; n++) sum[n] = lane_set(start ? start[n] : 0);
    for (int k = 0; k < K; k += LANES) {
      lane_t square[LANES];
      for (int l = 0; l < LANES; l++) square[l] = lane_load(A + (l < rows ? l : 0) * lda + k);
      lane_transpose(square);
      const real_t* b = B + k * ldb;
      for (int l = 0; l < LANES && k + l < K; l++, b += ldb)
        UNROLL_TILE for (int n = 0; n < N; n++) sum[n] = lane_fma(square[l], lane_set(b[n]), sum[n]);
    }
    lane_t square[LANES];
    for (int n = 0; n < LANES; n++) square[n] = n < N ? sum[n] : lane_set(0);
    lane_transpose(square);
    for (int l = 0; l < rows; l++) lane_store(out + l * ldo, square[l]);
  }
}
FN void narrow_product_of(int M, int N, int K, const real_t* A, long lda, const real_t* B, long ldb,
                          const real_t* start, real_t* out, long ldo) {
  switch (N) {
    case 1: return narrow_product<1>(M, K, A, lda, B, ldb, start, out, ldo);
#if VECTOR_BYTES >= 32
    case 2: return narrow_product<2>(M, K, A, lda, B, ldb, start, out, ldo);
    case 3: return narrow_product<3>(M, K, A, lda, B, ldb, start, out, ldo);
    default: return narrow_product<4>(M, K, A, lda, B, ldb, start, out, ldo);
#endif
  }
}

// out (M, N) = start (N,) or 0, plus A (M, K) B (K, N). Matrices have rows of lda, ldb, ldo.
FN void block_product(int M, int N, int K, const real_t* A, long lda, const real_t* B, long ldb, const real_t* start,
                      real_t* out, long ldo, Scratch scratch) {
  if (is_narrow(M, N, K)) return narrow_product_of(M, N, K, A, lda, B, ldb, start, out, ldo);
  if (K * ldb >= LARGE_MATRIX) return packed_product<false>(M, N, K, A, lda, B, ldb, start, out, ldo, scratch);
  Share own = share_of_matrix(M, N);
  if (own.rows == 0) return;
  EACH_STRIP(v, width, own) {
    int n = v * LANES;
    strip_product(own.rows, width, K, A + own.row * lda, lda, 1, B + n, ldb, start ? start + n : nullptr, 0,
                  out + own.row * ldo + n, ldo);
  }
}
// out (M, N) = A (M, K) times the transpose of B (N, K)
FN void block_product_transposed(int M, int N, int K, const real_t* A, long lda, const real_t* B, long ldb, real_t* out,
                                 long ldo, Scratch scratch) {
  packed_product<true>(M, N, K, A, lda, B, ldb, nullptr, out, ldo, scratch);
}

// The transpose of A (K, M) times B (K, N). whole: into g, with rows of ldg; else f.give(m, n, f.take(m, n), LANES
// results from n on) is called by the member that computed them, and g is room for the panel of rows at hand.
FN int panel_rows(int M, long columns, long panel_numbers) {
  int rows = (int)(panel_numbers / columns / TILE_ROWS * TILE_ROWS);
  rows = rows > 0 ? rows : TILE_ROWS;
  return rows < M ? rows : M;
}
// The gradient of a few columns, its lanes along the rows: the product of B's transpose and A, into `room`, whose
// squares are transposed for f.
template <class F>
FN void narrow_gradient(int M, int N, int K, const real_t* A, long lda, const real_t* B, long ldb, real_t* room,
                        const F f) {
  int vectors = (M + LANES - 1) / LANES;
  long ld = vectors * LANES;
  Share whole = {0, N, 0, vectors};
  EACH_STRIP(v, width, whole)
    strip_product(N, width, K, B, 1, ldb, A + v * LANES, lda, nullptr, 0, room + v * LANES, ld);
  for (int m = 0; m < M; m += LANES) {
    lane_t square[LANES];
    for (int n = 0; n < LANES; n++) square[n] = n < N ? lane_load(room + n * ld + m) : lane_set(0);
    lane_transpose(square);
    for (int l = 0; l < LANES && m + l < M; l++) f.give(m + l, 0, f.take(m + l, 0), square[l]);
  }
}
template <class F>
FN void block_gradient(int M, int N, int K, const real_t* A, long lda, const real_t* B, long ldb, bool whole, real_t* g,
                       long ldg, long panel_numbers, const F f) {
  bool fits = (long)N * (M + LANES) <= panel_numbers;
  if (!whole && fits && is_narrow(M, N, LANES)) return narrow_gradient(M, N, K, A, lda, B, ldb, g, f);
  Share own = share_of_weights(M, N);
  if (own.rows * own.vectors == 0) return;
  if (!whole) ldg = own.vectors * LANES;
  int at_once = whole ? own.rows : panel_rows(M, ldg, panel_numbers);
  for (int m = own.row, end = m + own.rows; m < end; m += at_once) {
    int rows = end - m < at_once ? end - m : at_once;
    real_t* panel = whole ? g + m * ldg + own.vector * LANES : g;
    EACH_STRIP(v, width, own)
      strip_product(rows, width, K, A + m, 1, lda, B + v * LANES, ldb, nullptr, 0, panel + (v - own.vector) * LANES,
                    ldg);
    if (whole) continue;
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < own.vectors; v++) {
        int j = (own.vector + v) * LANES;
        f.give(m + r, j, f.take(m + r, j), lane_load(panel + r * ldg + v * LANES));
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
