// Layers before the dense ones, in the block engine: forward and backward, for all kinds in turn. Kernels of networks
// that have none do without this file.
#pragma once
#include "block_periodic.h"
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
// From the gradient d at its values that of its factors, summed over the rows in their order; and, where a layer before
// it learns, d becomes that at its inputs.
FN void scale_backward(const Layer& at, const real_t* x, long long ldx, real_t* d, int size, bool goes_on, bool whole,
                       const Change& change) {
  FOR_LANES(j, at.O) {
    lane_t sum = lane_set(0), factor = lane_load(at.w + j);
    for (int r = 0; r < size; r++) {
      lane_t upstream = lane_load(d + r * at.ldu + j);
      sum = lane_fma(upstream, lane_load(x + r * ldx + j), sum);
      if (goes_on) lane_store(d + r * at.ldu + j, upstream * factor);
    }
    if (whole) lane_store(at.g + j, sum);
    else change.give(0, j, change.take(0, j), sum);
  }
}

FN void front_forward(const Layer& at, const real_t* x, long long ldx, int size) {
  switch (at.kind) {
    case PBLD: return periodic_forward<PBLD>(at, x, ldx, size);
    case PL: return periodic_forward<PL>(at, x, ldx, size);
    case PLR: return periodic_forward<PLR>(at, x, ldx, size);
    default: scale_forward(at, x, ldx, size);
  }
}
// goes_on: a layer before it learns. whole: to the gradient itself, which is to be clipped; else to new parameters.
FN void front_backward(const Layer& at, const real_t* x, long long ldx, real_t* d, int size, bool goes_on, bool whole,
                       const Change& change) {
  switch (at.kind) {
    case PBLD: return periodic_backward<PBLD>(at, d, size, whole, change);
    case PL: return periodic_backward<PL>(at, d, size, whole, change);
    case PLR: return periodic_backward<PLR>(at, d, size, whole, change);
    default: scale_backward(at, x, ldx, d, size, goes_on, whole, change);
  }
}
#else
FN void front_forward(const Layer&, const real_t*, long long, int) {}
FN void front_backward(const Layer&, const real_t*, long long, real_t*, int, bool, bool, const Change&) {}
#endif
