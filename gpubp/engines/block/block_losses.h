// The losses of a batch, in the block engine. A lane is a row of the batch; targets and predictions are read where they
// lie.
#pragma once
#include "block_network.h"
#include "smoothing.h"

struct Losses {
  const Network& net;
  const LossOptions& options;
  const real_t* targets;
  int size;
  lane_t share;  // what a row's gradient is multiplied by, besides its weight
  bool smooths = false;
  Smoothing smoothing = Smoothing();

  METHOD lane_t target(lane_index_t row, int o) const {
    lane_t t = lane_gather(targets + o, net.outputs(), row);
    if constexpr (takes_smooth_labels) return smooths ? smoothing.of(t) : t;
    else return t;
  }
  METHOD real_t* z(int r, int o) const { return net.layer[net.layers - 1].z + r * net.layer[net.layers - 1].ldz + o; }
  METHOD real_t* y(int r, int o) const { return net.layer[net.layers - 1].h + r * net.layer[net.layers - 1].ldh + o; }
  METHOD real_t* d(int r, int o) const { return net.layer[net.layers - 1].d + r * net.layer[net.layers - 1].ldd + o; }

  METHOD void cross_entropy() const {
    const Layer& at = net.layer[net.layers - 1];
    FOR_LANES(r, size) {
      lane_index_t row = lane_load_index(net.rows + r);
      lane_t largest = lane_load_rows(z(r, 0), at.ldz), sum = lane_set(0), loss = lane_set(0);
      for (int o = 1; o < at.O; o++) {
        lane_t value = lane_load_rows(z(r, o), at.ldz);
        largest = lane_select(value > largest, value, largest);
      }
      lane_t best = lane_set(-1), its_target = lane_set(0), largest_target = lane_set(-1);
      for (int o = 0; o < at.O; o++) {
        lane_t value = lane_load_rows(z(r, o), at.ldz) - largest, t = target(row, o), e = lane_exp(value);
        loss = lane_fma(t, value, loss);
        sum = sum + e;
        lane_store_rows(y(r, o), at.ldh, e);
        its_target = lane_select(e > best, t, its_target);
        best = lane_select(e > best, e, best);
        largest_target = lane_select(t > largest_target, t, largest_target);
      }
      lane_t scale = lane_div(one(), sum), weight = lane_load(net.row_weight + r) * share;
      for (int o = 0; o < at.O; o++) {
        lane_t value = lane_load_rows(y(r, o), at.ldh) * scale;
        lane_store_rows(y(r, o), at.ldh, value);
        lane_store_rows(d(r, o), at.ldd, (value - target(row, o)) * weight);
      }
      lane_store(net.row_loss + r, lane_log(sum) - loss);
      lane_store(net.row_right + r, lane_select(its_target < largest_target, lane_set(0), one()));
    }
  }

  // Losses that are sums over the outputs.
  METHOD void sums() const {
    const Layer& at = net.layer[net.layers - 1];
    FOR_LANES(r, size) {
      lane_index_t row = lane_load_index(net.rows + r);
      lane_t loss = lane_set(0), right = one(), weight = lane_load(net.row_weight + r) * share;
      for (int o = 0; o < at.O; o++) {
        lane_t t = target(row, o), z_o, y_o;
        if constexpr (has_link) z_o = lane_load_rows(z(r, o), at.ldz), y_o = linked(z_o);
        else z_o = y_o = lane_load_rows(y(r, o), at.ldh);
        lane_t gradient = add_loss(options, z_o, y_o, t, loss);
        if constexpr (classifies) right = right * same_side(y_o, t);
        lane_store_rows(y(r, o), at.ldh, y_o);
        lane_store_rows(d(r, o), at.ldd, gradient * weight);
      }
      lane_store(net.row_loss + r, loss);
      lane_store(net.row_right + r, right);
    }
  }

  LARGE_METHOD void evaluate() const {
    if constexpr (LOSS == CROSS_ENTROPY) cross_entropy();
    else sums();
    block_sync();
  }
};
