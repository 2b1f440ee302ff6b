// Periodic embeddings of numbers (operations/periodic.py) in the block engine, before everything that changes numbers.
//
// Its parameters are rows of M numbers, one for each embedded input, so that lanes are inputs: frequencies (F rows),
// weights (C D rows), then phases (F), where it has them, and biases (D). z holds the M numbers of each row, and raw
// the D sums of each, later the gradients at them, with rows as long as those of the parameters: their padding is zero.
#pragma once
#include "block_update.h"

#if FRONT
#define TWO_PI ((real_t)6.283185307179586)
#define SUMS_AT_ONCE 4  // of a number: for each group of them the waves are computed once more

template <int KIND> struct Waves {
  static constexpr bool shifted = KIND == PBLD, rectified = KIND == PLR;
  static constexpr int sorts = shifted ? 1 : 2;  // cosines; and sines
  const Layer& at;

  METHOD int weight_row(int sort, int f, int d) const {
    return at.frequencies + (sort * at.frequencies + f) * at.sums + d;
  }
  METHOD int phase_row(int f) const { return at.frequencies * (1 + sorts * at.sums) + f; }
  METHOD int bias_row(int d) const { return at.frequencies * (1 + sorts * at.sums + (shifted ? 1 : 0)) + d; }
  METHOD lane_t parameter(int row, int m) const { return lane_load(at.w + row * at.ldw + m); }
  METHOD lane_t weight(int sort, int f, int d, int m) const { return parameter(weight_row(sort, f, d), m); }
  METHOD real_t* number(int r, int m) const { return at.z + r * at.ldz + m; }
  METHOD real_t* sum(int r, int d, int m) const { return at.raw + r * at.ldr + d * at.ldw + m; }
  METHOD lane_t turns(int r, int m) const { return lane_load(number(r, m)) * lane_set(TWO_PI); }
  METHOD lane_t angle(lane_t turns, lane_t frequency, lane_t phase) const {
    return shifted ? lane_fma(turns, frequency, phase) : turns * frequency;
  }
  METHOD lane_t phase(int f, int m) const { return shifted ? parameter(phase_row(f), m) : lane_set(0); }
};

// The sums d ... d+n-1 of LANES numbers of row r, f ascending.
template <int KIND, int n> FN void some_sums(const Waves<KIND>& its, int r, int d, int m) {
  lane_t sum[n], turns = its.turns(r, m);
  UNROLL for (int i = 0; i < n; i++) sum[i] = its.parameter(its.bias_row(d + i), m);
  for (int f = 0; f < its.at.frequencies; f++) {
    lane_t u = its.angle(turns, its.parameter(f, m), its.phase(f, m));
    lane_t cosine = lane_cos(u);
    UNROLL for (int i = 0; i < n; i++) sum[i] = lane_fma(cosine, its.weight(0, f, d + i, m), sum[i]);
    if constexpr (!Waves<KIND>::shifted) {
      lane_t sine = lane_sin(u);
      UNROLL for (int i = 0; i < n; i++) sum[i] = lane_fma(sine, its.weight(1, f, d + i, m), sum[i]);
    }
  }
  UNROLL for (int i = 0; i < n; i++) {
    if constexpr (Waves<KIND>::rectified) sum[i] = lane_at_least(sum[i], 0);
    lane_store(its.sum(r, d + i, m), sum[i]);
  }
}

template <int KIND> CALLED_FN void periodic_forward(const Layer& at, const real_t* x, long long ldx, int size) {
  Waves<KIND> its{at};
  int M = at.columns();
  block_numbers(size, (int)at.ldw, [&](int r, int m) { *its.number(r, m) = m < M ? x[r * ldx + at.numbers[m]] : 0; });
  block_sync();
  block_elements(size, M, [&](int r, int m) {
    int d = 0;
    for (; d + SUMS_AT_ONCE <= at.sums; d += SUMS_AT_ONCE) some_sums<KIND, SUMS_AT_ONCE>(its, r, d, m);
    switch (at.sums - d) {
      case 1: some_sums<KIND, 1>(its, r, d, m); break;
      case 2: some_sums<KIND, 2>(its, r, d, m); break;
      case 3: some_sums<KIND, 3>(its, r, d, m); break;
    }
  });
  block_sync();
  for (int d = 0; d < at.sums; d++)
    block_numbers(size, M, [&](int r, int m) { at.h[r * at.ldh + d * M + m] = *its.sum(r, d, m); });
  if (!at.n_passing) return;
  block_numbers(size, at.n_passing, [&](int r, int j) {
    at.h[r * at.ldh + at.sums * M + j] = x[r * ldx + at.passing[j]];
  });
}

// To the gradient itself, or to a new parameter.
template <int KIND>
FN void give_gradient(const Waves<KIND>& its, int row, int m, lane_t g, bool whole, const Change& change) {
  if (whole) lane_store(its.at.g + row * its.at.ldw + m, g);
  else change.give(row, m, change.take(row, m), g);
}

// The weights of frequency f in the sums d ... d+n-1, rows ascending.
template <int KIND, int n>
FN void some_weights(const Waves<KIND>& its, int f, int d, int m, int size, bool whole, const Change& change) {
  lane_t g[2][n], frequency = its.parameter(f, m), phase = its.phase(f, m);
  UNROLL for (int i = 0; i < n; i++) g[0][i] = g[1][i] = lane_set(0);
  for (int r = 0; r < size; r++) {
    lane_t u = its.angle(its.turns(r, m), frequency, phase), wave[2];
    wave[0] = lane_cos(u);
    if constexpr (!Waves<KIND>::shifted) wave[1] = lane_sin(u);
    UNROLL for (int s = 0; s < Waves<KIND>::sorts; s++) {
      UNROLL for (int i = 0; i < n; i++) g[s][i] = lane_fma(wave[s], lane_load(its.sum(r, d + i, m)), g[s][i]);
    }
  }
  UNROLL for (int s = 0; s < Waves<KIND>::sorts; s++) {
    UNROLL for (int i = 0; i < n; i++) give_gradient(its, its.weight_row(s, f, d + i), m, g[s][i], whole, change);
  }
}

// From the gradient d at its values to its parameters. Nothing before it changes its numbers.
template <int KIND>
CALLED_FN void periodic_backward(const Layer& at, const real_t* d, int size, int whole, const Change& change) {
  Waves<KIND> its{at};
  int M = at.columns();
  for (int i = 0; i < at.sums; i++)
    block_numbers(size, M, [&](int r, int m) {
      real_t* sum = its.sum(r, i, m);
      bool passes = !Waves<KIND>::rectified || *sum > 0;
      *sum = passes ? d[r * at.ldu + i * M + m] : 0;
    });
  block_sync();
  block_elements(at.frequencies, M, [&](int f, int m) {
    lane_t d_frequency = lane_set(0), d_phase = lane_set(0), frequency = its.parameter(f, m), phase = its.phase(f, m);
    for (int r = 0; r < size; r++) {
      lane_t turns = its.turns(r, m), u = its.angle(turns, frequency, phase), d_cosine = lane_set(0), du;
      for (int i = 0; i < at.sums; i++)
        d_cosine = lane_fma(lane_load(its.sum(r, i, m)), its.weight(0, f, i, m), d_cosine);
      if constexpr (Waves<KIND>::shifted) {
        du = -(lane_sin(u) * d_cosine);
        d_phase = d_phase + du;
      } else {
        lane_t d_sine = lane_set(0);
        for (int i = 0; i < at.sums; i++)
          d_sine = lane_fma(lane_load(its.sum(r, i, m)), its.weight(1, f, i, m), d_sine);
        du = lane_fma(lane_cos(u), d_sine, -(lane_sin(u) * d_cosine));
      }
      d_frequency = lane_fma(turns, du, d_frequency);
    }
    int i = 0;
    for (; i + SUMS_AT_ONCE <= at.sums; i += SUMS_AT_ONCE)
      some_weights<KIND, SUMS_AT_ONCE>(its, f, i, m, size, whole, change);
    switch (at.sums - i) {
      case 1: some_weights<KIND, 1>(its, f, i, m, size, whole, change); break;
      case 2: some_weights<KIND, 2>(its, f, i, m, size, whole, change); break;
      case 3: some_weights<KIND, 3>(its, f, i, m, size, whole, change); break;
    }
    if constexpr (Waves<KIND>::shifted) give_gradient(its, its.phase_row(f), m, d_phase, whole, change);
    give_gradient(its, f, m, d_frequency, whole, change);
  });
  block_elements(at.sums, M, [&](int i, int m) {
    lane_t sum = lane_set(0);
    for (int r = 0; r < size; r++) sum = sum + lane_load(its.sum(r, i, m));
    give_gradient(its, its.bias_row(i), m, sum, whole, change);
  });
}
#endif
