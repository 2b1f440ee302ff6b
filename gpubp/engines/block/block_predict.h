// Prediction on the block engine's primitives: the outputs of every network for every row, a piece of rows at a time.
//
// One compiled kernel serves every architecture. Definitions: REAL and, on CUDA, THREADS; LOSS and OPTIMIZER must name
// some, but none is used: squared errors take the outputs of the last layer, which is what is wanted here.
#include "block_network.h"
#include "block_predict_arguments.h"
#include "block_passes.h"

struct Predictor {
  const real_t *params, *X;
  real_t* out;  // (P, N, O)
  int n_rows;
  Network& net;  // laid out for the forward pass

  METHOD void take_weights(int network) {
    const real_t* flat = params + network * net.parameters();
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      int columns = at.columns();
      block_numbers(at.rows(), columns, [&](int i, int j) { at.w[i * at.ldw + j] = flat[(long long)i * columns + j]; });
      flat += at.rows() * columns;
    }
    block_sync();
  }
  METHOD void predict(int network, int start, int size) {
    int I = net.inputs(), O = net.outputs();
    block_numbers(size, I, [&](int r, int c) { net.x[r * net.ldx + c] = X[(long long)(start + r) * I + c]; });
    block_sync();
    block_forward(net, size, false);
    const Layer& last = net.layer[net.layers - 1];
    if (last.activation == SOFTMAX) {
      FOR_LANES(r, size) softmax(last, r);
      block_sync();
    }
    real_t* to = out + ((long long)network * n_rows + start) * O;
    block_numbers(size, O, [&](int r, int o) { to[(long long)r * O + o] = last.h[r * last.ldh + o]; });
    block_sync();
  }
  METHOD void softmax(const Layer& at, int r) {
    real_t* h = at.h + r * at.ldh;
    lane_t largest = lane_load_rows(h, at.ldh), sum = lane_set(0);
    for (int o = 1; o < at.O; o++) {
      lane_t value = lane_load_rows(h + o, at.ldh);
      largest = lane_select(value > largest, value, largest);
    }
    for (int o = 0; o < at.O; o++) {
      lane_t e = lane_exp(lane_load_rows(h + o, at.ldh) - largest);
      sum = sum + e;
      lane_store_rows(h + o, at.ldh, e);
    }
    lane_t scale = lane_div(one(), sum);
    for (int o = 0; o < at.O; o++) lane_store_rows(h + o, at.ldh, lane_load_rows(h + o, at.ldh) * scale);
  }
  // Item i is piece i % pieces of network i / pieces; `before` is the network whose weights are there, or -1.
  METHOD int item(int i, int pieces, int rows_at_once, int before) {
    int network = i / pieces, start = i % pieces * rows_at_once;
    if (network != before) take_weights(network);
    predict(network, start, n_rows - start < rows_at_once ? n_rows - start : rows_at_once);
    return network;
  }
};

#if TARGET_CUDA
// A block for each of the items first ... last-1; `memory` has a part for each of them.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) block_predict(PREDICT_PARAMETERS) {
  extern __shared__ four_t shared[];
  __shared__ Network net;
  if (block_first())
    net.lay_out(shape, layout, {(real_t*)shared, memory + (long long)blockIdx.x * memory_stride});
  block_sync();
  Predictor{params, X, out, n_rows, net}.item(first + blockIdx.x, (n_rows + rows_at_once - 1) / rows_at_once,
                                              rows_at_once, -1);
}
#else
// The items first ... last-1, one after the other; `memory` is this call's own.
extern "C" void block_predict(PREDICT_PARAMETERS) {
  Network net;
  net.lay_out(shape, layout, {nullptr, memory});
  int network = -1, pieces = (n_rows + rows_at_once - 1) / rows_at_once;
  Predictor predictor{params, X, out, n_rows, net};
  for (int i = first; i < last; i++) network = predictor.item(i, pieces, rows_at_once, network);
  (void)memory_stride;
}
extern "C" int lane_count() { return 1; }
#endif
