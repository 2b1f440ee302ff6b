// Prediction by lanes: the outputs of every network for every row, one row in each lane.
//
// Definitions: those of network.h. All lanes share a network, whose parameters are read from memory.
#pragma once
#include "lane_predict_arguments.h"
#include "row_losses.h"
#include "passes.h"

struct SharedParameters {
  const real_t* flat;
  METHOD lane_t operator()(int k) const { return lane_set(flat[k]); }
};

// X (N, I); out (P, N, O); rows first ... first + count - 1
FN void predict_rows(const real_t* RESTRICT params, int n_networks, const real_t* RESTRICT X, real_t* RESTRICT out,
                     int n_rows, int first, int count) {
  constexpr int I = net::inputs, O = net::outputs;
  Trace<1> trace;
  UNROLL for (int i = 0; i < I; i++) trace.x[i][0] = lane_load_networks(X + (long long)first * I + i, I, count);
  for (int network = 0; network < n_networks; network++) {
    SharedParameters weight{params + (long long)network * net::parameters};
    forward_layers<0, 1, false>(weight, trace);
    lane_t z[O], y[O];
    UNROLL for (int o = 0; o < O; o++) z[o] = trace.z[net::values(net::layers - 1) + o][0];
    output(z, y);
    real_t* at = out + ((long long)network * n_rows + first) * O;
    UNROLL for (int o = 0; o < O; o++) lane_store_networks(at + o, O, count, y[o]);
  }
}

#if TARGET_CUDA
extern "C" __global__ void __launch_bounds__(THREADS) lane_predict(PREDICT_PARAMETERS) {
  int row = first + blockIdx.x * blockDim.x + threadIdx.x;
  if (row < last) predict_rows(params, n_networks, X, out, n_rows, row, 1);
}
#else
extern "C" void lane_predict(PREDICT_PARAMETERS) {
  for (int row = first; row < last; row += LANES)
    predict_rows(params, n_networks, X, out, n_rows, row, last - row < LANES ? last - row : LANES);
}
extern "C" int lane_count() { return LANES; }
#endif
