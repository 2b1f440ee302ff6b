// Products on CUDA, by tiles of R x C results a thread.
//
// The operands travel through shared memory, STEPS of k at a time, in two buffers: while one is multiplied, the next is
// on its way in registers. Each result is one chain over k, ascending, in one register: no bit depends on the tile's
// shape, the number of threads or that of blocks. The code of a tile is there once, and called: for three kinds of
// products it would be 0.6 MB, which takes half a minute to compile.
#pragma once
#include "block_update.h"

// What a gradient's results are given to; the same for all threads.
FN Change& change_at_hand() {
  __shared__ __align__(16) char its[sizeof(Change)];
  return *(Change*)its;
}

// Threads beside each other in a tile, and below each other; the largest tile has HIGH x WIDE results a thread.
#define ACROSS (THREADS >= 512 ? 32 : THREADS >= 128 ? 16 : 8)
#define DOWN (THREADS / ACROSS)
#define HIGH (THREADS >= 256 && !REAL_IS_DOUBLE ? 8 : 4)
#define WIDE (THREADS == 256 && !REAL_IS_DOUBLE ? 8 : 4)
#ifndef STEPS
#define STEPS (REAL_IS_DOUBLE ? 8 : 16)
#endif
CONSTANT_FN int larger_of(int a, int b) { return a > b ? a : b; }
// Room for two buffers of both operands, or for four rows of a thread's results.
constexpr int stage_numbers = larger_of(2 * STEPS * (WIDE * ACROSS + HIGH * DOWN), 4 * DOWN * WIDE * ACROSS);
FN real_t* stage() {
  __shared__ __align__(32) real_t numbers[stage_numbers];
  return numbers;
}

struct Operand {  // A or B
  const real_t* from;
  long long ld;
  int count;  // of A's rows, or B's columns
  int by_k;   // they lie side by side, and k goes from row to row; else k goes along a row
};
// What a product is, the same for all threads. Results go to `out`; where that is null they are a gradient, by which
// the weights change at once.
struct Product {
  int M, N, K;
  Operand a, b;
  const real_t* start;
  real_t* out;
  long long ldo;
};
FN Product& product() {
  __shared__ Product its;
  return its;
}

FN int smaller(int a, int b) { return a < b ? a : b; }
// A thread's part of the numbers of `wide` rows (of A) or columns (of B), for STEPS of k: so many times four
// neighbours.
template <int wide> struct Fetched {
  static constexpr int pieces = wide * STEPS / 4, own = (pieces + THREADS - 1) / THREADS;
  static constexpr bool all_have = pieces % THREADS == 0;
  Pack<4> piece[own];
  const real_t* at[own];  // where the next ones are
  long long step;

  METHOD static bool has(int i) { return all_have || (int)threadIdx.x + i * THREADS < pieces; }
  METHOD static int across(bool by_k, int i) {
    int t = threadIdx.x + i * THREADS;
    return by_k ? t % (wide / 4) * 4 : t % wide;
  }
  METHOD static int along(bool by_k, int i) {
    int t = threadIdx.x + i * THREADS;
    return by_k ? t / (wide / 4) : t / wide * 4;
  }
  // Beyond the last row or column, or k, others are taken, and not used.
  METHOD static int row_or_column(const Operand& its, int first, int i) {
    return smaller(first + across(its.by_k, i), its.by_k ? (its.count - 1) & ~3 : its.count - 1);
  }
  METHOD void begin(const Operand& its, int first) {
    step = its.by_k ? STEPS * its.ld : STEPS;
    UNROLL for (int i = 0; i < own; i++) {
      long long c = row_or_column(its, first, i), s = along(its.by_k, i);
      at[i] = its.from + (its.by_k ? s * its.ld + c : c * its.ld + s);
    }
  }
  METHOD void fetch() {
    UNROLL for (int i = 0; i < own; i++) {
      if (has(i)) piece[i] = load_pack<4>(at[i]);
      at[i] += step;
    }
  }
  METHOD void fetch_last(const Operand& its, int first, int k, int K) {
    UNROLL for (int i = 0; i < own; i++) {
      long long c = row_or_column(its, first, i);
      long long s = smaller(k + along(its.by_k, i), its.by_k ? K - 1 : (K - 1) & ~3);
      if (has(i)) piece[i] = load_pack<4>(its.from + (its.by_k ? s * its.ld + c : c * its.ld + s));
    }
  }
  METHOD void put(bool by_k, real_t* to) const {  // to[k * wide + row or column]
    UNROLL for (int i = 0; i < own; i++) {
      if (!has(i)) break;
      real_t* there = to + along(by_k, i) * wide + across(by_k, i);
      if (by_k) store_pack<4>(there, piece[i]);
      else UNROLL for (int j = 0; j < 4; j++) there[j * wide] = piece[i].value[j];
    }
  }
};

// A thread's R x C results. They lie in groups of up to four neighbours, so that a warp reads neighbouring numbers.
template <int R, int C> struct Tile {
  static constexpr int rows = R * DOWN, columns = C * ACROSS;
  static constexpr int high = R < 4 ? R : 4, wide = C < 4 ? C : 4;  // of a group
  lane_t sum[R][C];

  METHOD static int row(int r) { return r / high * (DOWN * high) + (int)threadIdx.x / ACROSS * high + r % high; }
  METHOD static int column(int c) { return c / wide * (ACROSS * wide) + (int)threadIdx.x % ACROSS * wide + c % wide; }

  METHOD void begin(const real_t* start, int n, int N) {
    UNROLL for (int c = 0; c < C; c++) {
      int at = n + column(c);
      lane_t first = start && at < N ? start[at] : 0;
      UNROLL for (int r = 0; r < R; r++) sum[r][c] = first;
    }
  }
  METHOD void step(const real_t* a, const real_t* b) {
    Pack<high> left[R / high];
    Pack<wide> right[C / wide];
    UNROLL for (int g = 0; g < R / high; g++) left[g] = load_pack<high>(a + row(g * high));
    UNROLL for (int g = 0; g < C / wide; g++) right[g] = load_pack<wide>(b + column(g * wide));
    UNROLL for (int r = 0; r < R; r++) {
      UNROLL for (int c = 0; c < C; c++)
        sum[r][c] = lane_fma(left[r / high].value[r % high], right[c / wide].value[c % wide], sum[r][c]);
    }
  }
  // Adds the products over all k.
  METHOD void multiply(const Operand& a, const Operand& b, int m, int n, int K) {
    constexpr int buffer = STEPS * (rows + columns);
    Fetched<rows> left;
    Fetched<columns> right;
    real_t *here = stage(), *there = stage() + buffer;
    left.begin(a, m), right.begin(b, n);
    if (K >= STEPS) left.fetch(), right.fetch();
    else left.fetch_last(a, m, 0, K), right.fetch_last(b, n, 0, K);
    left.put(a.by_k, here), right.put(b.by_k, here + STEPS * rows);
    __syncthreads();
    int k = 0;
    _Pragma("unroll 1") for (; K - k >= STEPS; k += STEPS) {
      bool more = K - k > STEPS;
      if (K - k >= 2 * STEPS) left.fetch(), right.fetch();
      else if (more) left.fetch_last(a, m, k + STEPS, K), right.fetch_last(b, n, k + STEPS, K);
      UNROLL for (int i = 0; i < STEPS; i++) step(here + i * rows, here + STEPS * rows + i * columns);
      if (more) left.put(a.by_k, there), right.put(b.by_k, there + STEPS * rows);
      __syncthreads();  // the next numbers are there, and everyone has read those before them
      real_t* other = here;
      here = there, there = other;
    }
    if (k == K) return;
    _Pragma("unroll 1") for (int i = 0; i < K - k; i++) step(here + i * rows, here + STEPS * rows + i * columns);
    __syncthreads();
  }
  METHOD void store(int m, int n, int M, int N, real_t* out, long long ldo) const {
    UNROLL for (int r = 0; r < R; r++) {
      if (m + row(r) >= M) continue;
      UNROLL for (int g = 0; g < C; g += wide) {
        real_t* to = out + (m + row(r)) * ldo + n + column(g);
        if (n + column(g) + wide <= N) {
          Pack<wide> results;
          UNROLL for (int c = 0; c < wide; c++) results.value[c] = sum[r][g + c];
          store_pack<wide>(to, results);
        } else {
          UNROLL for (int c = 0; c < wide; c++) if (n + column(g) + c < N) to[c] = sum[r][g + c];
        }
      }
    }
  }
  // Changes the weights by their gradients, the results, which go by way of shared memory: neighbouring threads have
  // neighbours.
  METHOD void change(int m, int n, int M, int N, const Change& rule) const {
    constexpr int together = high * DOWN;
    _Pragma("unroll 1") for (int group = 0; group < R / high; group++) {
      UNROLL for (int g = 0; g < R / high; g++) if (g == group) {
        UNROLL for (int r = 0; r < high; r++) {
          UNROLL for (int c = 0; c < C; c += wide) {
            Pack<wide> results;
            UNROLL for (int i = 0; i < wide; i++) results.value[i] = sum[g * high + r][c + i];
            store_pack<wide>(stage() + row(r) * columns + column(c), results);
          }
        }
      }
      __syncthreads();  // the results lie there
      int top = m + group * together;
      _Pragma("unroll 1") for (int first = threadIdx.x; first < together * columns; first += THREADS * AT_ONCE) {
        int at[AT_ONCE], r[AT_ONCE], c[AT_ONCE], last = -1;
        UNROLL for (int i = 0; i < AT_ONCE; i++) {
          at[i] = first + i * THREADS, r[i] = top + at[i] / columns, c[i] = n + at[i] % columns;
          if (at[i] < together * columns && r[i] < M && c[i] < N) last = i;
          else at[i] = -1;
        }
        if (last < 0) continue;
        Change::Weights its[AT_ONCE];
        lane_t g[AT_ONCE];
        UNROLL for (int i = 0; i < AT_ONCE; i++) {  // as in block_map: one of its own rather than a branch
          int from = first + (at[i] < 0 ? last : i) * THREADS;
          its[i] = rule.take(top + from / columns, n + from % columns);
          g[i] = stage()[from];
        }
        rule.change(its, g);
        UNROLL for (int i = 0; i < AT_ONCE; i++) if (at[i] >= 0) rule.store(r[i], c[i], its[i]);
      }
      __syncthreads();  // the results have been taken before others lie there
    }
  }
};

// The product at hand, by tiles of R x C results a thread; the blocks of a team take turns.
template <int R, int C> CALLED_FN void tiles() {
  typedef Tile<R, C> tile_t;
  const Product its = product();
  const Change change = change_at_hand();
  int across = (its.N + tile_t::columns - 1) / tile_t::columns, down = (its.M + tile_t::rows - 1) / tile_t::rows;
  _Pragma("unroll 1") for (int t = own_member(); t < across * down; t += all_members()) {
    int m = t / across * tile_t::rows, n = t % across * tile_t::columns;
    tile_t tile;
    tile.begin(its.start, n, its.N);
    tile.multiply(its.a, its.b, m, n, its.K);
    if (its.out) tile.store(m, n, its.M, its.N, its.out, its.ldo);
    else tile.change(m, n, its.M, its.N, change);
  }
}
// About the time that the product takes by tiles of R x C, of which one takes `weight` for each k.
template <int R, int C> FN int time_by(int M, int N, int weight) {
  int across = (N + C * ACROSS - 1) / (C * ACROSS), down = (M + R * DOWN - 1) / (R * DOWN);
  return (across * down + all_members() - 1) / all_members() * weight;
}
FN void run(const Product& its) {
  if (threadIdx.x == 0) product() = its;
  __syncthreads();
  // The time of a tile is that of its multiply-adds and, where it is small, of its reads.
  int large = time_by<HIGH, WIDE>(its.M, its.N, HIGH * WIDE + 6), middle = time_by<4, 4>(its.M, its.N, 18);
  int high = time_by<HIGH, 1>(its.M, its.N, HIGH == 8 ? 12 : 9), small = time_by<2, 2>(its.M, its.N, 9);
  int least = smaller(smaller(large, middle), smaller(high, small));
  if (large == least) tiles<HIGH, WIDE>();
  else if (middle == least) tiles<4, 4>();
  else if (high == least) tiles<HIGH, 1>();
  else tiles<2, 2>();
}

// -------------------------------------------------------------------------------------------- products
// See block_cpu.h for what these are.
FN void block_product(int M, int N, int K, const real_t* A, long long lda, const real_t* B, long long ldb,
                      const real_t* start, real_t* out, long long ldo, Scratch) {
  run({M, N, K, {A, lda, M, false}, {B, ldb, N, true}, start, out, ldo});
}
FN void block_product_transposed(int M, int N, int K, const real_t* A, long long lda, const real_t* B, long long ldb,
                                 real_t* out, long long ldo, Scratch) {
  run({M, N, K, {A, lda, M, false}, {B, ldb, N, false}, nullptr, out, ldo});
}
// The last of A's columns are ones (biases): a tile of its own would be mostly empty.
FN void block_gradient(int M, int N, int K, const real_t* A, long long lda, const real_t* B, long long ldb, bool whole,
                       real_t* g, long long ldg, long long, const Change& change) {
  FOR_EACH(n, N) {
    real_t sum = 0;
    UNROLL_SUM for (int k = 0; k < K; k++) sum = sum + B[k * ldb + n];
    if (whole) g[(M - 1) * ldg + n] = sum;
    else change.give(M - 1, n, change.take(M - 1, n), sum);
  }
  if (threadIdx.x == 0) change_at_hand() = change;
  run({M - 1, N, K, {A, lda, M - 1, true}, {B, ldb, N, true}, nullptr, whole ? g : nullptr, ldg});
}
