// Layers before the dense ones, in the block engine: forward and backward, for all kinds in turn. Kernels of networks
// that have none do without this file.
#pragma once
#include "block_embedding.h"
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

// Of the gradient d at its values, that at the inputs that pass, `from` on, for the layer before, which needs no other;
// in rows of ld. By way of the layer's values, which nobody needs any more.
CALLED_FN void pass_down(const Layer& at, real_t* d, int from, long long ld, int size) {
  if (!at.n_passing) return;
  block_numbers(size, at.n_passing, [&](int r, int j) { at.h[r * at.ldh + j] = d[r * at.ldu + from + j]; });
  block_sync();
  block_numbers(size, at.n_passing, [&](int r, int j) { d[r * ld + at.passing[j]] = at.h[r * at.ldh + j]; });
}

FN void front_forward(const Layer& at, const real_t* x, long long ldx, int size) {
  switch (at.kind) {
    case PBLD: return periodic_forward<PBLD>(at, x, ldx, size);
    case PL: return periodic_forward<PL>(at, x, ldx, size);
    case PLR: return periodic_forward<PLR>(at, x, ldx, size);
    case EMBED: return embedding_forward(at, x, ldx, size);
    default: scale_forward(at, x, ldx, size);
  }
}
// below: of the gradient at the values of the layer before it the distance from row to row; 0: there is none. whole: to
// the gradient itself, which is to be clipped; else to new parameters.
FN void front_backward(const Layer& at, const real_t* x, long long ldx, real_t* d, int size, long long below,
                       bool whole, const Change& change) {
  switch (at.kind) {
    case PBLD: periodic_backward<PBLD>(at, d, size, whole, change); break;
    case PL: periodic_backward<PL>(at, d, size, whole, change); break;
    case PLR: periodic_backward<PLR>(at, d, size, whole, change); break;
    case EMBED: embedding_backward(at, x, ldx, d, size, whole, change); break;
    default: return scale_backward(at, x, ldx, d, size, below != 0, whole, change);
  }
  if (below) pass_down(at, d, at.kind == EMBED ? 0 : at.sums * at.columns(), below, size);
}
#else
FN void front_forward(const Layer&, const real_t*, long long, int) {}
FN void front_backward(const Layer&, const real_t*, long long, real_t*, int, long long, bool, const Change&) {}
#endif
