// Parametric activations (operations/parametric.py), in the block engine: each neuron has a slope a, the row behind its
// bias, and h = a raw + (1 - a) z with raw = f(z). Kernels of networks that have none do without this file.
#pragma once
#include "block_update.h"

#if FRONT
// From raw and z to h. drops: in training; else every value goes up as it is.
FN void parametric_forward(const Layer& at, int size, bool drops) {
  struct Taken {
    lane_t z, raw, slope, keep;
  };
  bool keeps = at.keep && drops;
  block_map(
      size, at.O,
      [&](int r, int j) {
        lane_t raw = lane_load(at.raw + r * at.ldr + j);
        return Taken{lane_load(at.z + r * at.ldz + j), raw, lane_load(at.slopes() + j),
                     keeps ? lane_load(at.keep + r * at.ldh + j) : raw};
      },
      [&](int r, int j, const Taken& its) {
        lane_t h = lane_fma(its.slope, its.raw, (one() - its.slope) * its.z);
        lane_store(at.h + r * at.ldh + j, keeps ? h * its.keep : h);
      });
}
// at.d is what the activation alone would make of the gradient d at the layer's values; it becomes that at its
// pre-activations. The slopes' gradient is summed over the rows in their order. whole: to the gradient itself, which is
// to be clipped; else to new slopes.
FN void parametric_backward(const Layer& at, const real_t* d, int size, bool whole, const Change& change) {
  FOR_LANES(j, at.O) {
    lane_t sum = lane_set(0), slope = lane_load(at.slopes() + j), rest = one() - slope;
    for (int r = 0; r < size; r++) {
      lane_t upstream = lane_load(d + r * at.ldu + j);
      if (at.keep) upstream = upstream * lane_load(at.keep + r * at.ldh + j);
      sum = lane_fma(upstream, lane_load(at.raw + r * at.ldr + j) - lane_load(at.z + r * at.ldz + j), sum);
      real_t* own = at.d + r * at.ldd + j;
      lane_store(own, lane_fma(slope, lane_load(own), rest * upstream));
    }
    if (whole) lane_store(at.g + (at.I + 1) * at.ldw + j, sum);
    else change.give_slopes(j, sum);
  }
}
#endif
