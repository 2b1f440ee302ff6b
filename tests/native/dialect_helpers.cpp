// Each helper of dialect.h that elementwise.h does not reach, on one group of lanes, for
// tests/engines/test_native_math.py.
#ifdef TEST_CUDA_BRANCH
#include "cuda_intrinsics.h"
#endif
#include "elementwise.h"

extern "C" {
// y[l] = a[l] b[l] + c[l], rounded once, and rounded twice
void fused(const real_t* a, const real_t* b, const real_t* c, real_t* y) {
  lane_store(y, lane_fma(lane_load(a), lane_load(b), lane_load(c)));
}
void rounded_twice(const real_t* a, const real_t* b, const real_t* c, real_t* y) {
  lane_store(y, lane_load(a) * lane_load(b) + lane_load(c));
}
void divided(const real_t* a, const real_t* b, real_t* y) { lane_store(y, lane_div(lane_load(a), lane_load(b))); }
void flushed(const real_t* a, real_t* y) { lane_store(y, lane_flush(lane_load(a))); }
void limited(const real_t* a, real_t* y) { lane_store(y, lane_at_least(lane_at_most(lane_load(a), 1), -1)); }

// y[i][l] = the i-th of the three values of row rows[l], of rows `stride` apart
void gathered(const real_t* table, int stride, const int* rows, real_t* y) {
  lane_t values[3];
  lane_gather_row(values, table, stride, lane_load_index(rows));
  FORGET(y);
  for (int i = 0; i < 3; i++) lane_store(y + i * LANES, values[i]);
}
// y[l] = 1 where labels[rows[l]] is `label` and first + l is below `valid`, else -1
void chosen(const int* labels, const int* rows, int label, int first, int valid, real_t* y) {
  lane_index_t found = lane_gather_index(labels, lane_load_index(rows));
  lane_mask_t match = lane_mask_of_index(found == lane_set_index(label));
  lane_mask_t inside = lane_mask_of_index(lane_iota(first) < lane_set_index(valid));
  lane_store(y, lane_select(match & inside, lane_set(1), lane_set(-1)));
}
}
