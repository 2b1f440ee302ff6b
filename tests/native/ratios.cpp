// Adam's and RMSprop's ratios on arrays, for tests: count is a multiple of the lanes.
#include "dialect.h"

extern "C" void ratios(const real_t* a, const real_t* v, real_t* ratio, long long count, real_t epsilon) {
  for (long long i = 0; i < count; i += LANES) {
    lane_t its_a[1] = {lane_load(a + i)}, its_v[1] = {lane_load(v + i)}, its_ratio[1];
    lane_ratios(its_ratio, its_a, its_v, lane_set(epsilon));
    lane_store(ratio + i, its_ratio[0]);
  }
}
