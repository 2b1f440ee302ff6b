// CPU lanes: a square of numbers, transposed in registers. A part of block_cpu.h.
#pragma once
#include "dialect.h"

#if HAS_PIECES  // a compiler that has shuffles by constants: see rows.h
template <int... places> struct Places {};
template <int count, int... places> struct Counted : Counted<count - 1, count - 1, places...> {};
template <int... places> struct Counted<0, places...> {
  typedef Places<places...> type;
};

// Of two rows, `apart` from one another: in every other group of `apart` places one gives way to the other's neighbour.
template <int apart, int... l> FN void exchange(lane_t& upper, lane_t& lower, Places<l...>) {
  lane_t both = __builtin_shufflevector(upper, lower, (l & apart ? LANES + l - apart : l)...);
  lower = __builtin_shufflevector(upper, lower, (l & apart ? LANES + l : l + apart)...);
  upper = both;
}
template <int apart> FN void exchange_all(lane_t (&square)[LANES]) {
  if constexpr (apart < LANES) {
    UNROLL_TILE for (int l = 0; l < LANES; l++)
      if (!(l & apart)) exchange<apart>(square[l], square[l + apart], typename Counted<LANES>::type());
    exchange_all<2 * apart>(square);
  }
}
FN void lane_transpose(lane_t (&square)[LANES]) { exchange_all<1>(square); }
#else
FN void lane_transpose(lane_t (&square)[LANES]) {
  for (int i = 0; i < LANES; i++)
    for (int j = 0; j < i; j++) {
      real_t number = square[i][j];
      square[i][j] = square[j][i], square[j][i] = number;
    }
}
#endif
