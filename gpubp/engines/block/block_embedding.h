// Vectors of categories (operations/embedding.py) in the block engine.
//
// Its parameters are one row for each embedded input, group by group, so that lanes are a vector's numbers. raw holds
// the sum of each row and group, later the gradient at it, with rows as long as those of the parameters: their padding
// is zero. z holds which input of a group is not zero in each row, if only one is: in a column of ones and zeros its
// vector alone is read, and only its own rows are added to its gradient. Zeros would change no bit of a sum.
#pragma once
#include "block_update.h"

#if FRONT
enum { ALL_ZERO = -1, SEVERAL = -2 };

struct Vectors {
  const Layer& at;
  const real_t* x;
  long long ldx;
  int size;

  METHOD int begin(int k) const { return k ? at.group_ends[k - 1] : 0; }
  METHOD int end(int k) const { return at.group_ends[k]; }
  METHOD int* only(int r, int k) const { return (int*)at.z + k * size + r; }
  METHOD real_t input(int r, int i) const { return x[r * ldx + at.numbers[i]]; }
  METHOD real_t* sum(int r, int k) const { return at.raw + r * at.ldr + k * at.ldw; }
  METHOD lane_t add(int r, int i, const real_t* value, lane_t sum) const {
    return lane_fma(lane_set(input(r, i)), lane_load(value), sum);
  }
};

CALLED_FN void embedding_forward(const Layer& at, const real_t* x, long long ldx, int size) {
  Vectors its{at, x, ldx, size};
  if (at.n_passing)
    block_numbers(size, at.n_passing, [&](int r, int j) { at.h[r * at.ldh + j] = x[r * ldx + at.passing[j]]; });
  if (!at.groups) return;
  block_numbers(at.groups, size, [&](int k, int r) {
    int count = 0, last = ALL_ZERO;
    for (int i = its.begin(k); i < its.end(k); i++) {
      bool is_there = its.input(r, i) != 0;
      count += is_there, last = is_there ? i : last;
    }
    *its.only(r, k) = count > 1 ? (int)SEVERAL : last;
  });
  block_sync();
  block_elements(size * at.groups, at.columns(), [&](int q, int d) {
    int r = q / at.groups, k = q - r * at.groups, only = *its.only(r, k);
    lane_t sum = lane_set(0);
    int first = only == SEVERAL ? its.begin(k) : only, end = only == SEVERAL ? its.end(k) : only + 1;
    if (only != ALL_ZERO)
      for (int i = first; i < end; i++) sum = its.add(r, i, at.w + i * at.ldw + d, sum);
    lane_store(its.sum(r, k) + d, sum);
  });
  block_sync();
  for (int k = 0; k < at.groups; k++)
    block_numbers(size, at.columns(), [&](int r, int d) {
      at.h[r * at.ldh + at.n_passing + k * at.columns() + d] = its.sum(r, k)[d];
    });
}

// From the gradient d at its values to its parameters, rows ascending.
CALLED_FN void embedding_backward(const Layer& at, const real_t* x, long long ldx, const real_t* d, int size, int whole,
                                  const Change& change) {
  Vectors its{at, x, ldx, size};
  for (int k = 0; k < at.groups; k++)
    block_numbers(size, at.columns(), [&](int r, int j) {
      its.sum(r, k)[j] = d[r * at.ldu + at.n_passing + k * at.columns() + j];
    });
  block_sync();
  for (int k = 0; k < at.groups; k++) {
    int first = its.begin(k);
    block_elements(its.end(k) - first, at.columns(), [&](int q, int j) {
      int i = first + q;
      lane_t g = lane_set(0);
      for (int r = 0; r < size; r++) {
        int only = *its.only(r, k);
        if (only == i || only == SEVERAL) g = its.add(r, i, its.sum(r, k) + j, g);
      }
      if (whole) lane_store(at.g + i * at.ldw + j, g);
      else change.give(i, j, change.take(i, j), g);
    });
  }
}
#endif
