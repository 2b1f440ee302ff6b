// Layers before the dense ones, in the block engine: forward and backward, for all kinds in turn. Kernels of networks
// that have none do without this file.
#pragma once
#include "block_update.h"

#if FRONT
// SCALE (operations/scale.py): h = x times a factor for each column.
FN void scale_forward(const Layer& at, const real_t* x, long long ldx, int size) {
  struct Taken {
    lane_t x, factor;
  };
  block_map(
      size, at.O, [&](int r, int j) { return Taken{lane_load(x + r * ldx + j), lane_load(at.w + j)}; },
      [&](int r, int j, const Taken& its) { lane_store(at.h + r * at.ldh + j, its.x * its.factor); });
}
// From the gradient d at its values that of its factors, summed over the rows in their order. Nothing before it learns.
FN void scale_backward(const Layer& at, const real_t* x, long long ldx, const real_t* d, int size, bool whole,
                       const Change& change) {
  FOR_LANES(j, at.O) {
    lane_t sum = lane_set(0);
    for (int r = 0; r < size; r++) sum = lane_fma(lane_load(d + r * at.ldu + j), lane_load(x + r * ldx + j), sum);
    if (whole) lane_store(at.g + j, sum);
    else change.give(0, j, change.take(0, j), sum);
  }
}

FN void front_forward(const Layer& at, const real_t* x, long long ldx, int size) {
  switch (at.kind) {
    default: scale_forward(at, x, ldx, size);
  }
}
// whole: to the gradient itself, which is to be clipped; else to new parameters.
FN void front_backward(const Layer& at, const real_t* x, long long ldx, const real_t* d, int size, bool whole,
                       const Change& change) {
  switch (at.kind) {
    default: scale_backward(at, x, ldx, d, size, whole, change);
  }
}
#else
FN void front_forward(const Layer&, const real_t*, long long, int) {}
FN void front_backward(const Layer&, const real_t*, long long, const real_t*, int, bool, const Change&) {}
#endif
