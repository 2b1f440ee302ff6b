// The lane engine: whole trainings of tiny networks in one call, one network in each lane.
//
// Definitions (gpubp/engines/lane/kernel.py sets them): those of network.h, row_losses.h and optimizers.h, and
//   ONLINE        updates of one row each: no gradient is stored
//   HAS_L2, HAS_CLIP, HAS_VALIDATION
//   WEIGHTS       row weights: 0 none, 1 a last column of the table, 2 a row of them for each network
//   SHUFFLE       a new order in every epoch
//   HAS_DROPOUT   some values of hidden layers are dropped
//   HAS_SMOOTHING labels are smoothed on their way from the table
//   DECAY_VARIES  each update has a factor of its own for L2 and weight decay
//   SHARED_ORDER  all networks take the same rows in the same order
// All networks of one call have the same number of training rows, and of validation rows.
#pragma once
#include "dropout.h"
#include "lane_train_arguments.h"
#include "row_losses.h"
#include "optimizers.h"
#include "passes.h"
#include "random.h"
#include "smoothing.h"

#define K net::parameters
#define I net::inputs
#define O net::outputs

constexpr bool stores_gradient = !ONLINE || HAS_CLIP;
// Plain gradient descent is linear: the rate can be taken into the gradient where it begins. With L2 too, so that a
// network without it gets the same bits whether or not a neighbour has some.
constexpr bool rate_in_gradient = OPTIMIZER == SGD && !HAS_CLIP && !AVERAGES;
// A shuffle's numbers and a network do not fit into a CUDA thread's registers together: the network waits in memory.
constexpr bool makes_room = SHUFFLE && FEW_REGISTERS;
// Of a shuffle: while one place goes its long way, others follow. On CUDA there are registers for some, too.
constexpr int places_together = FEW_REGISTERS ? 4 : CHAINS;
constexpr int updates_together = 5;  // of parameters, on CUDA
constexpr int rows_together = ONLINE || FEW_REGISTERS ? 1 : 4;

struct Sum {  // compensated (Kahan 1965): the loss of a long epoch keeps its digits
  lane_t total, lost;
  METHOD void clear() { total = lost = lane_set(0); }
  METHOD void add(lane_t value) {
    lane_t corrected = value - lost, next = total + corrected;
    lost = (next - total) - corrected;
    total = next;
  }
};

template <int rows> struct Pass {  // rows on their way through the networks
  Trace<rows> trace;
  lane_t t[rows][O], weight[rows], d[net::neurons][rows];
};

struct Masks {  // of the lanes' networks
  lane_uint_t seed_low, seed_high, below[net::layers];
  lane_t scale[net::layers];
#if !FEW_REGISTERS
  Words words[net::neurons];  // those of four places, which the rows take one after the other
#endif

  // epoch: of this call, from 0 on.
  METHOD void load(const Task& task, int first, int count, int epoch) {
    long long from = (long long)epoch * task.drop_stride + first;
    seed_low = lane_load_uint_networks(task.seed_low + first, count);
    seed_high = lane_load_uint_networks(task.seed_high + first, count);
    UNROLL for (int l = 0; l < net::layers - 1; l++) {
      below[l] = lane_load_uint_networks(task.drop_below + (long long)l * task.n_networks + from, count);
      scale[l] = lane_load_networks(task.drop_scale + (long long)l * task.n_networks + from, 1, count);
    }
  }
  // The factors of one row's hidden values. Places come in order, from 0 on.
  template <int layer = 0, class Factors> METHOD void draw(Factors& keep, int r, int place, int epoch) {
    if constexpr (layer + 1 < net::layers) {
      UNROLL for (int n = net::values(layer); n < net::values(layer + 1); n++) {
#if FEW_REGISTERS
        Words now = dropout_words(seed_low, seed_high, place / 4, epoch, lane_set_uint(n));
#else
        if (place % 4 == 0) words[n] = dropout_words(seed_low, seed_high, place / 4, epoch, lane_set_uint(n));
        const Words& now = words[n];
#endif
        keep[n][r] = keep_factor(word_at(now, place), below[layer], scale[layer]);
      }
      draw<layer + 1>(keep, r, place, epoch);
    }
  }
};

struct Learner {
  lane_t w[K], slot[slot_arrays][slots ? K : 1], g[stores_gradient ? K : 1];
  lane_t rate, l2, clip, l2_share, penalty;
  Rule rule;
  LossOptions loss_options;
#if HAS_DROPOUT
  Masks masks;
#endif
#if HAS_SMOOTHING
  Smoothing smoothing;
#endif
  int this_epoch;  // counted from the training's begin
#if FEW_REGISTERS
  const int* next;  // where the row of the next place stands, and what stands there
  lane_index_t coming;
#endif

  METHOD lane_t operator()(int k) const { return w[k]; }

  // ------------------------------------------------------------------ memory
  LARGE_METHOD void load(const Task& task, int first, int count, int epoch) {
    const real_t* p = weights_of(task) + (long long)first * K;
    UNROLL for (int k = 0; k < K; k++) w[k] = lane_load_networks(p + k, K, count);
    UNROLL for (int s = 0; s < slots; s++) {
      const real_t* q = slot_of(task, s) + (long long)first * K;
      UNROLL for (int k = 0; k < K; k++) slot[s][k] = lane_load_networks(q + k, K, count);
    }
#define LOAD_HYPER(row) load_hyperparameter(task.hyper, row, task.n_networks, first, count)
    rate = LOAD_HYPER(H_RATE);
    if constexpr (HAS_L2) l2 = LOAD_HYPER(H_L2);
    if constexpr (HAS_CLIP) clip = LOAD_HYPER(H_CLIP_NORM);
    rule.load(task.hyper, task.n_networks, first, count);
    loss_options.load(task.hyper, task.n_networks, first, count);
#if HAS_DROPOUT
    masks.load(task, first, count, epoch);
#endif
#if HAS_SMOOTHING
    load_smoothing(task, first, count);
#endif
    (void)epoch;
  }
#if HAS_SMOOTHING
  METHOD void load_smoothing(const Task& task, int first, int count) {
    smoothing.hit = lane_load_networks(task.smooth_hit + first, 1, count);
    smoothing.miss = lane_load_networks(task.smooth_miss + first, 1, count);
  }
#endif
  // What schedules make of decay and smoothing for update number `which` of this call.
  METHOD void take_factors(const Task& task, int first, int count, long long which) {
#if DECAY_VARIES
    lane_t factor = lane_set(task.decay_factors[which]);
    if constexpr (HAS_L2) l2 = LOAD_HYPER(H_L2) * factor;
    if constexpr (decouples_decay) rule.weight_decay = LOAD_HYPER(H_WEIGHT_DECAY) * factor;
#endif
#if HAS_SMOOTHING
    if (task.smoothing_factors) {
      load_smoothing(task, first, count);
      smoothing = smoothing.times(lane_set(task.smoothing_factors[which]));
    }
#endif
    (void)task, (void)first, (void)count, (void)which;
  }
  LARGE_METHOD void store(const Task& task, int first, int count) {
    real_t* p = weights_of(task) + (long long)first * K;
    FORGET(p);
    UNROLL for (int k = 0; k < K; k++) lane_store_networks(p + k, K, count, w[k]);
    UNROLL for (int s = 0; s < slots; s++) {
      real_t* q = slot_of(task, s) + (long long)first * K;
      FORGET(q);
      UNROLL for (int k = 0; k < K; k++) lane_store_networks(q + k, K, count, slot[s][k]);
    }
  }
  // Outside, the parameters are the average, and the weights that are trained are the last state array.
  METHOD real_t* weights_of(const Task& task) const { return AVERAGES ? state_array(task, slots - 1) : task.params; }
  METHOD real_t* slot_of(const Task& task, int s) const {
    return AVERAGES && s == slots - 1 ? task.params : state_array(task, s);
  }
  METHOD real_t* state_array(const Task& task, int s) const {
    return task.slots_spk + (long long)s * task.n_networks * K;
  }
  METHOD void exchange_averages() {
#if AVERAGES
    UNROLL for (int k = 0; k < K; k++) {
      lane_t weight = w[k];
      w[k] = slot[slots - 1][k], slot[slots - 1][k] = weight;
    }
#endif
  }

  // ------------------------------------------------------------------ rows
  METHOD lane_t weight_of(const Task& task, int first, int count, lane_index_t row) const {
    if constexpr (WEIGHTS == 1) return lane_gather(task.table + I + O, task.stride, row);
    else if constexpr (WEIGHTS == 2)
      return lane_gather_own(task.weights + (long long)first * task.weights_stride, task.weights_stride, count, row);
    else return one();
  }
  template <int rows>
  METHOD void take_row(const Task& task, int first, int count, const lane_t (&values)[I + O], lane_index_t row,
                       Pass<rows>& pass, int r) const {
    UNROLL for (int i = 0; i < I; i++) pass.trace.x[i][r] = values[i];
    UNROLL for (int o = 0; o < O; o++) pass.t[r][o] = values[I + o];
    pass.weight[r] = weight_of(task, first, count, row);
  }
  // The row at a place of the epoch.
  METHOD lane_index_t row_at(const Task& task, int first, int place) const {
    if constexpr (SHUFFLE) return lane_load_index(task.shuffled + (long long)place * task.shuffled_stride);
    else if constexpr (SHARED_ORDER) return lane_set_index(task.order[place]);
    else return lane_load_index(task.order + (long long)place * task.order_stride + first);
  }
#if FEW_REGISTERS
  // A thread has few others to wait with: it asks for the next place's row before it works on this one.
  METHOD void first_row(const Task& task, int first) {
    next = SHUFFLE ? task.shuffled : SHARED_ORDER ? task.order : task.order + first;
    coming = lane_load_index(next);
  }
  METHOD lane_index_t take_next(const Task& task, int, int place) {
    lane_index_t row = coming;
    int step = SHUFFLE ? task.shuffled_stride : SHARED_ORDER ? 1 : task.order_stride;
    next += place + 1 < task.n_rows ? step : 0;
    coming = lane_load_index(next);
    return row;
  }
#else
  METHOD void first_row(const Task&, int) const {}
  METHOD lane_index_t take_next(const Task& task, int first, int place) const { return row_at(task, first, place); }
#endif
  // Places come in order.
  template <int rows>
  METHOD void read(const Task& task, int first, int count, int place, Pass<rows>& pass, int r) {
    lane_t values[I + O];
    lane_index_t row = take_next(task, first, place);
    if constexpr (SHARED_ORDER && !SHUFFLE && !FEW_REGISTERS)
      lane_shared_row(values, task.table, task.stride, task.order[place]);
    else lane_gather_row(values, task.table, task.stride, row);
    take_row(task, first, count, values, row, pass, r);
#if HAS_SMOOTHING
    UNROLL for (int o = 0; o < O; o++) pass.t[r][o] = smoothing.of(pass.t[r][o]);
#endif
  }
  LARGE_METHOD void shuffle(const Task& task, int first, int count, int epoch) {
    Shuffle order;
    lane_uint_t seed_low = lane_load_uint_networks(task.seed_low + first, count);
    lane_uint_t seed_high = lane_load_uint_networks(task.seed_high + first, count);
    FORGET_VALUE(seed_low);
    FORGET_VALUE(seed_high);
    order.begin(seed_low, seed_high, task.n_rows, epoch);
    int place = 0;
    for (; place + places_together <= task.n_rows; place += places_together)
      shuffle_places<places_together>(order, task, first, place);
    for (; place < task.n_rows; place++) shuffle_places<1>(order, task, first, place);
  }
  template <int together>
  METHOD void shuffle_places(const Shuffle& order, const Task& task, int first, int place) const {
    lane_uint_t at[together];
    UNROLL_TILE for (int c = 0; c < together; c++) at[c] = lane_set_uint(place + c);
    order.rows(at);
    UNROLL_TILE for (int c = 0; c < together; c++) {
      lane_index_t row;
      if constexpr (SHARED_ORDER) row = lane_gather_index(task.order, lane_index_of(at[c]));
      else row = lane_gather_own_index(task.order + first, task.order_stride, lane_index_of(at[c]));
      lane_store_index(task.shuffled + (long long)(place + c) * task.shuffled_stride, row);
    }
  }

  // Row r, after its way forward: its loss, the predictions y, and the gradients at the last pre-activations in dz.
  template <int rows> METHOD lane_t evaluate_row(const Pass<rows>& pass, int r, lane_t (&y)[O], lane_t (&dz)[O]) const {
    lane_t z[O];
    UNROLL for (int o = 0; o < O; o++) z[o] = pass.trace.z[net::values(net::layers - 1) + o][r];
    return evaluate(loss_options, z, pass.t[r], y, dz);
  }

  // ------------------------------------------------------------------ gradients, as backward_layers hands them over
  template <int rows> METHOD void weight(int k, const lane_t (&in)[rows], const lane_t (&delta)[rows]) {
    if constexpr (stores_gradient) {
      lane_t sum = g[k];
      UNROLL_TILE for (int r = 0; r < rows; r++) sum = lane_fma(in[r], delta[r], sum);
      g[k] = sum;
    } else if constexpr (rate_in_gradient) {
      lane_t old = w[k];
      w[k] = lane_fma(-in[0], delta[0], old);
      if constexpr (HAS_L2) shrink(k, old);
    }
    else change<true>(k, in[0] * delta[0]);
  }
  template <int rows> METHOD void bias(int k, const lane_t (&delta)[rows]) {
    if constexpr (stores_gradient) {
      UNROLL_TILE for (int r = 0; r < rows; r++) g[k] = g[k] + delta[r];
    } else if constexpr (rate_in_gradient) w[k] = w[k] - delta[0];
    else change<false>(k, delta[0]);
  }
  // Those of neighbours together: a CUDA thread's own way of having several operations under way.
  template <int n, int rows> METHOD void weights(int k, const lane_t (&in)[rows], const lane_t (*delta)[rows]) {
    if constexpr (stores_gradient || rate_in_gradient) {
      UNROLL for (int o = 0; o < n; o++) weight(k + o, in, delta[o]);
    } else {
      lane_t gradient[n];
      UNROLL for (int o = 0; o < n; o++) gradient[o] = in[0] * delta[o][0];
      changes<true, n>(k, gradient);
    }
  }
  template <int n, int rows> METHOD void biases(int k, const lane_t (*delta)[rows]) {
    if constexpr (stores_gradient || rate_in_gradient) {
      UNROLL for (int o = 0; o < n; o++) bias(k + o, delta[o]);
    } else {
      lane_t gradient[n];
      UNROLL for (int o = 0; o < n; o++) gradient[o] = delta[o][0];
      changes<false, n>(k, gradient);
    }
  }
  template <bool decays, int n> METHOD void changes(int k, const lane_t* gradients) {
    constexpr int now = n < updates_together ? n : updates_together;
    lane_t gradient[now];
    UNROLL for (int i = 0; i < now; i++) {
      gradient[i] = gradients[i];
      if constexpr (HAS_L2 && decays && !HAS_CLIP) gradient[i] = with_l2(k + i, gradient[i]);
    }
    update_by<decays, now>(k, gradient);
    if constexpr (n > now) changes<decays, n - now>(k + now, gradients + now);
  }
  template <bool decays> METHOD void change(int k, lane_t gradient) {
    if constexpr (rate_in_gradient) {
      lane_t old = w[k];
      w[k] = old - gradient;
      if constexpr (HAS_L2 && decays) shrink(k, old);
    } else {
      if constexpr (HAS_L2 && decays && !HAS_CLIP) gradient = with_l2(k, gradient);
      lane_t its_gradient[1] = {gradient};
      update_by<decays, 1>(k, its_gradient);
    }
  }
  template <bool decays, int n> METHOD void update_by(int k, lane_t (&gradient)[n]) {
    lane_t weight[n], state[slot_arrays][n];
    UNROLL for (int i = 0; i < n; i++) {
      weight[i] = w[k + i];
      UNROLL for (int s = 0; s < slots; s++) state[s][i] = slot[s][k + i];
    }
    rule.template update<decays, n>(weight, state, gradient);
    UNROLL for (int i = 0; i < n; i++) {
      w[k + i] = weight[i];
      UNROLL for (int s = 0; s < slots; s++) slot[s][k + i] = state[s][i];
    }
  }
  template <int layer = 0> METHOD void change_all() {
    constexpr int k = net::weights(layer), at = net::biases(layer), end = net::weights(layer + 1);
    changes<true, at - k>(k, g + k);
    changes<false, end - at>(at, g + at);
    if constexpr (layer + 1 < net::layers) change_all<layer + 1>();
  }
  // The L2 term where the rate is in the gradient, and in l2_share. With l2 = 0 it changes no bit.
  METHOD void shrink(int k, lane_t old) {
    penalty = lane_fma(l2 * lane_set((real_t)0.5) * old, old, penalty);
    w[k] = lane_fma(-l2_share, old, w[k]);
  }
  METHOD lane_t with_l2(int k, lane_t gradient) {
    penalty = lane_fma(l2 * lane_set((real_t)0.5) * w[k], w[k], penalty);
    return lane_fma(l2_share, w[k], gradient);
  }

  // Goes over the parameters in order, telling weights from biases: each(k, true) for a weight.
  template <int layer = 0, class Each> METHOD void for_parameters(Each each) {
    UNROLL for (int k = net::weights(layer); k < net::biases(layer); k++) each.template operator()<true>(k);
    UNROLL for (int k = net::biases(layer); k < net::weights(layer + 1); k++) each.template operator()<false>(k);
    if constexpr (layer + 1 < net::layers) for_parameters<layer + 1>(each);
  }
  struct AddL2 {
    Learner& learner;
    template <bool decays> METHOD void operator()(int k) const {
      if constexpr (decays) learner.g[k] = learner.with_l2(k, learner.g[k]);
    }
  };
  struct Change {
    Learner& learner;
    template <bool decays> METHOD void operator()(int k) const { learner.change<decays>(k, learner.g[k]); }
  };
  METHOD void clip_gradient() {
    lane_t squares = lane_set(0);
    UNROLL for (int k = 0; k < K; k++) squares = lane_fma(g[k], g[k], squares);
    lane_t norm = lane_sqrt(squares);
    lane_t factor = lane_select(norm > clip, lane_div(clip, norm), one());
    UNROLL for (int k = 0; k < K; k++) g[k] = g[k] * factor;
  }

  // Some rows forward and back. Returns `loss` with theirs added; share: of a row of weight 1 in the gradient.
  template <int rows>
  METHOD lane_t pass_rows(const Task& task, int first, int count, int place, lane_t share, lane_t this_rate,
                          lane_t loss) {
    Pass<rows> pass;
    UNROLL for (int r = 0; r < rows; r++) read(task, first, count, place + r, pass, r);
#if HAS_DROPOUT
    UNROLL for (int r = 0; r < rows; r++) masks.draw(pass.trace.keep, r, place + r, this_epoch);
#endif
    forward_layers<0, rows, true>(*this, pass.trace);
    UNROLL for (int r = 0; r < rows; r++) {
      lane_t y[O], dz[O], row_loss = evaluate_row(pass, r, y, dz);
      loss = WEIGHTS ? lane_fma(row_loss, pass.weight[r], loss) : loss + row_loss;
      lane_t scale = WEIGHTS ? pass.weight[r] * share : share;
      if constexpr (rate_in_gradient) scale = scale * this_rate;
      UNROLL for (int o = 0; o < O; o++) pass.d[net::values(net::layers - 1) + o][r] = dz[o] * scale;
    }
    backward_layers<net::layers - 1, rows>(*this, pass.trace, pass.d, *this);
    return loss;
  }

  // ------------------------------------------------------------------ one update
  // From place `start` of the epoch, `size` rows. Returns the sum of their losses, each times its weight, and the L2
  // term.
  METHOD lane_t update(const Task& task, int first, int count, int start, int size, real_t factor, long long number) {
    lane_t this_rate = rate * lane_set(factor), total = lane_set((real_t)size);
    if constexpr (WEIGHTS) {
      total = lane_set(0);
      for (int r = 0; r < size; r++) total = total + weight_of(task, first, count, row_at(task, first, start + r));
      total = where_positive(total, total, one());
    }
    lane_t share = one();
    if constexpr (!ONLINE || WEIGHTS) share = lane_div(one(), total);
    if constexpr (HAS_L2) l2_share = lane_div(l2, total), penalty = lane_set(0);
    if constexpr (HAS_L2 && rate_in_gradient) l2_share = l2_share * this_rate;
    if constexpr (stores_gradient) { UNROLL for (int k = 0; k < K; k++) g[k] = lane_set(0); }
    rule.begin(this_rate, number);

    lane_t loss = lane_set(0);
    int r = 0;
    if constexpr (rows_together > 1) {
      for (; r + rows_together <= size; r += rows_together)
        loss = pass_rows<rows_together>(task, first, count, start + r, share, this_rate, loss);
    }
    for (; r < size; r++) loss = pass_rows<1>(task, first, count, start + r, share, this_rate, loss);
    if constexpr (stores_gradient) {
      if constexpr (HAS_L2 && HAS_CLIP) for_parameters(AddL2{*this});
      if constexpr (HAS_CLIP) clip_gradient();
      if constexpr (FEW_REGISTERS && !rate_in_gradient) change_all();
      else for_parameters(Change{*this});
    }
    return HAS_L2 ? loss + penalty : loss;
  }

  // ------------------------------------------------------------------ epochs
  METHOD void train(const Task& task, int first, int count) {
    if constexpr (!makes_room) load(task, first, count, 0);
    int steps = (task.n_rows + task.batch - 1) / task.batch;
    for (int epoch = 0; epoch < task.n_epochs; epoch++) {
      this_epoch = task.first_epoch + epoch;
      if constexpr (SHUFFLE) shuffle(task, first, count, this_epoch);
      if constexpr (makes_room) load(task, first, count, epoch);
#if HAS_DROPOUT
      else if (epoch && task.drop_stride) masks.load(task, first, count, epoch);
#endif
      first_row(task, first);
      Sum loss;
      loss.clear();
      for (int step = 0; step < steps; step++) {
        int start = step * task.batch, size = task.n_rows - start < task.batch ? task.n_rows - start : task.batch;
        if constexpr (ONLINE) size = 1;
        long long which = (long long)epoch * steps + step, number = task.first_update + which + 1;
        real_t factor = task.factors ? task.factors[which] : 1;
        take_factors(task, first, count, which);
        loss.add(update(task, first, count, start, size, factor, number));
      }
      long long at = (long long)epoch * task.n_networks + first;
      lane_store_networks(task.losses + at, 1, count, loss.total);
      if constexpr (HAS_VALIDATION) {
        exchange_averages();
        validate(task, first, count, at);
        exchange_averages();
      }
      if constexpr (makes_room) store(task, first, count);
    }
    if constexpr (!makes_room) store(task, first, count);
  }

  LARGE_METHOD void validate(const Task& task, int first, int count, long long at) {
    Sum loss, right, residual[O];
    loss.clear(), right.clear();
    UNROLL for (int o = 0; o < O; o++) residual[o].clear();
    for (int v = 0; v < task.n_validation; v++) {
      Pass<1> pass;
      lane_t y[O], dz[O], values[I + O];
      lane_index_t row = task.validation_stride
                             ? lane_load_index(task.validation + (long long)v * task.validation_stride + first)
                             : lane_set_index(task.validation[v]);
      lane_gather_row(values, task.validation_table, task.stride, row);
      take_row(task, first, count, values, row, pass, 0);
      const auto& t = pass.t[0];
      lane_t weight = pass.weight[0];
      forward_layers<0, 1, false>(*this, pass.trace);
      loss.add(evaluate_row(pass, 0, y, dz) * weight);
      if constexpr (classifies) right.add(is_right(y, t) * weight);
      else UNROLL for (int o = 0; o < O; o++) residual[o].add((y[o] - t[o]) * (y[o] - t[o]) * weight);
    }
    lane_store_networks(task.validation_losses + at, 1, count, loss.total);
    if constexpr (!classifies) {
      lane_t sum = lane_set(0);
      UNROLL for (int o = 0; o < O; o++) {
        lane_t spread = lane_load_networks(task.spread + (long long)first * O + o, O, count);
        lane_t exact = lane_select(residual[o].total == lane_set(0), one(), lane_set(0));
        lane_t r2 = one() - lane_div(residual[o].total, where_positive(spread, spread, one()));
        sum = sum + where_positive(spread, r2, exact);
      }
      right.total = lane_div(sum, lane_set(O));
    }
    lane_store_networks(task.validation_scores + at, 1, count, right.total);
  }
};

#if TARGET_CUDA
// A thread trains one of the networks first ... last-1; `shuffled` has a column for each of them. One block on a
// multiprocessor is enough: without that word the compiler spills some registers to make room for more blocks.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) lane_train(TRAIN_PARAMETERS) {
  int network = first + blockIdx.x * blockDim.x + threadIdx.x;
  if (network >= last) return;  // no barrier follows
  Task task = TRAIN_TASK;
  if constexpr (SHUFFLE) task.shuffled += network - first;
  Learner learner;
  learner.train(task, network, 1);
}
#else
// Trains the networks first ... last-1, LANES at a time; `shuffled` has LANES columns, and is this call's own.
extern "C" void lane_train(TRAIN_PARAMETERS) {
  Task task = TRAIN_TASK;
  for (int network = first; network < last; network += LANES) {
    Learner learner;
    learner.train(task, network, last - network < LANES ? last - network : LANES);
  }
}
extern "C" int lane_count() { return LANES; }
#endif
#undef K
#undef I
#undef O
