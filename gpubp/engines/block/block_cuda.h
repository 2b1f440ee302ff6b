// The primitives of block.h on CUDA: a network is a block of THREADS threads, or, where GROUPED is 1, a team of blocks;
// a lane is one thread's element. block_tiles.h has the products. Rows of matrices begin at multiples of four numbers
// (engines/block/memory.py), so that four travel at once.
#pragma once
#include "dialect.h"

#ifndef GROUPED
#define GROUPED 0
#endif
#ifndef BLOCKS
#define BLOCKS 1  // that a multiprocessor is to have room for, by their registers
#endif

// -------------------------------------------------------------------------------------------- who works, and meeting
struct Team {
  int member, members;
  int* meeting;  // how many blocks have arrived, how often all of them have
};
#if GROUPED
FN Team& team() {
  __shared__ Team its;
  return its;
}
FN int own_member() { return team().member; }
FN int all_members() { return team().members; }
// All threads of the network's blocks arrive before any goes on, and see what the others have written.
FN void block_sync() {
  __syncthreads();
  if (threadIdx.x == 0) {
    volatile int* met = team().meeting + 1;
    int before = *met;
    __threadfence();
    if (atomicAdd(team().meeting, 1) == team().members - 1) {
      *(volatile int*)team().meeting = 0;
      __threadfence();
      *met = before + 1;
    } else {
      while (*met == before) __nanosleep(20);
    }
    __threadfence();
  }
  __syncthreads();
}
#else
FN int own_member() { return 0; }
FN int all_members() { return 1; }
FN void block_sync() { __syncthreads(); }
#endif
FN int own_rank() { return own_member() * THREADS + (int)threadIdx.x; }
FN int all_threads() { return all_members() * THREADS; }
FN bool block_first() { return own_rank() == 0; }
FN bool block_lays_out() { return threadIdx.x == 0; }  // the block's Network, which its threads share

// -------------------------------------------------------------------------------------------- elements
#define FOR_STEPS(i, n, step) for (int i = own_rank() * (step); i < (n); i += all_threads() * (step))
#define FOR_LANES(i, n) FOR_STEPS(i, n, 1)
#define FOR_EACH(i, n) FOR_STEPS(i, n, 1)
// The places of a matrix that a thread goes through, without a division for each.
struct Places {
  int r, c, down, across, columns;
  METHOD Places(int first, int step, int columns)
      : r(first / columns), c(first % columns), down(step / columns), across(step % columns), columns(columns) {}
  METHOD void next() {
    r += down, c += across;
    if (c >= columns) c -= columns, r++;
  }
};
template <class F> FN void block_elements(int rows, int columns, const F& f) {
  _Pragma("unroll 1") for (Places at(own_rank(), all_threads(), columns); at.r < rows; at.next()) f(at.r, at.c);
}
template <class F> FN void block_numbers(int rows, int columns, const F& f) { block_elements(rows, columns, f); }
// give(r, c, take(r, c)) for every element. What is taken is far away: a thread asks for several before it gives any. A
// branch would make it wait for each, so beyond the last one it asks for its first once more.
#ifndef AT_ONCE
#define AT_ONCE 4
#endif
template <class Take, class Give> FN void block_map(int rows, int columns, const Take& take, const Give& give) {
  Places at(own_rank(), all_threads(), columns);
  _Pragma("unroll 1") while (at.r < rows) {
    decltype(take(0, 0)) taken[AT_ONCE];
    int r[AT_ONCE], c[AT_ONCE];
    UNROLL for (int i = 0; i < AT_ONCE; i++, at.next()) {
      r[i] = at.r, c[i] = at.c;
      bool is_there = r[i] < rows;
      taken[i] = take(is_there ? r[i] : r[0], is_there ? c[i] : c[0]);
    }
    UNROLL for (int i = 0; i < AT_ONCE; i++) if (r[i] < rows) give(r[i], c[i], taken[i]);
  }
}
template <class Take, class Give> FN void block_numbers_map(int rows, int columns, const Take& take, const Give& give) {
  block_map(rows, columns, take, give);
}
#define UNROLL_SUM _Pragma("unroll 8")  // what is summed is far away: several are fetched at a time

template <int N> struct alignas(N * sizeof(real_t) < 16 ? N * sizeof(real_t) : 16) Pack { real_t value[N]; };
typedef Pack<4> four_t;
template <int N> FN Pack<N> load_pack(const real_t* p) { return *(const Pack<N>*)p; }
template <int N> FN void store_pack(real_t* p, const Pack<N>& v) { *(Pack<N>*)p = v; }

constexpr bool trains_in_place = false;
struct Scratch {};  // a CPU's
FN Scratch own_scratch(real_t*, int) { return {}; }

FN lane_t lane_load_rows(const real_t* p, long long) { return *p; }
FN void lane_store_rows(real_t* p, long long, lane_t v) { *p = v; }
