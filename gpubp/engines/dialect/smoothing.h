// Label smoothing on lanes, where networks differ in it or where it changes: smoothing.py says what it is.
#pragma once
#include "dialect.h"

struct Smoothing {  // what a one-hot target's 1 and 0 become
  lane_t hit, miss;

  METHOD lane_t of(lane_t t) const { return lane_select(t == lane_set(1), hit, lane_fma(t, hit - miss, miss)); }
  METHOD Smoothing times(lane_t factor) const {
    return {lane_fma(-factor, lane_set(1) - hit, lane_set(1)), factor * miss};
  }
};
