// The block engine: small and middle networks, one on each CPU core or in each CUDA block, whole epochs in one call.
//
// Shapes and activations are arguments, so one compiled kernel serves every architecture. Definitions: REAL, LOSS,
// OPTIMIZER (their codes), and on CUDA THREADS. The algorithm is written once, on the primitives of block_cpu.h and
// block_cuda.h. Every number is one chain of operations in an order that depends neither on tiles nor on threads nor on
// the vector's width: products over k ascending, sums over rows ascending. So every target gives the same bits.
#include "block_losses.h"
#include "block_network.h"
#include "block_passes.h"
#include "random.h"

// Copies a layer's matrix between `here`, whose rows are padded, and `there`, where they are not.
CALLED_FN void block_move(bool in, const Layer& at, real_t* here, real_t* there) {
  const real_t* from = in ? there : here;
  real_t* to = in ? here : there;
  long long from_ld = in ? at.columns() : at.ldw, to_ld = in ? at.ldw : at.columns();
  block_numbers_map(
      at.rows(), at.columns(), [&](int i, int j) { return from[i * from_ld + j]; },
      [&](int i, int j, real_t value) { to[i * to_ld + j] = value; });
}

struct Trainer {
  const Task& task;
  int network, column;  // among all networks; among those whose `shuffled` orders lie side by side
  Network& net;         // laid out
  LossOptions loss_options = LossOptions();

  // Between the flat rows of parameters and optimizer state, and the padded matrices that are trained.
  LARGE_METHOD void copy(bool in) {
    long long flat = network * net.parameters();
    for (int l = 0; l < net.layers; l++) {
      Layer& at = net.layer[l];
      if (at.in_place()) {
        at.w = weights() + flat;
        for (int s = 0; s < slots; s++) at.slot[s] = slot_of(s) + flat;
        flat += at.rows() * at.columns();
        continue;
      }
      block_move(in, at, at.w, weights() + flat);
      for (int s = 0; s < slots; s++) block_move(in, at, at.slot[s], slot_of(s) + flat);
      flat += at.rows() * at.columns();
    }
    block_sync();
  }
  // Outside, the parameters are the average, and the weights that are trained are the last state array.
  METHOD real_t* weights() const { return AVERAGES ? state_array(slots - 1) : task.params; }
  METHOD real_t* slot_of(int s) const { return AVERAGES && s == slots - 1 ? task.params : state_array(s); }
  METHOD real_t* state_array(int s) const { return task.slots_spk + (long long)s * task.n_networks * net.parameters(); }
  METHOD void exchange_averages() {
#if AVERAGES
    block_sync();
    if (block_lays_out()) {
      for (int l = 0; l < net.layers; l++) {
        Layer& at = net.layer[l];
        real_t* weights = at.w;
        at.w = at.slot[slots - 1], at.slot[slots - 1] = weights;
      }
    }
    block_sync();
#endif
  }
  METHOD lane_t hyper(int row) const { return lane_set(task.hyper[(long long)row * task.n_networks + network]); }

  LARGE_METHOD void shuffle(int epoch) {
    Shuffle order;
    order.begin(lane_set_uint(task.seed_low[network]), lane_set_uint(task.seed_high[network]), task.n_rows, epoch);
    constexpr int together = (CHAINS + 1) / 2;  // vectors of places; with more, a small table's would be mostly empty
    FOR_STEPS(first, task.n_rows, LANES * together) {
      lane_uint_t at[together];
      UNROLL_TILE for (int i = 0; i < together; i++) at[i] = lane_places(first + i * LANES, task.n_rows - 1);
      order.rows(at);
      UNROLL_TILE for (int i = 0; i < together; i++) {
        int place = first + i * LANES;
        lane_index_t from = lane_index_of(at[i]);
        lane_index_t row = task.order_stride ? lane_gather_column(task.order + network, task.order_stride, from)
                                             : lane_gather_column(task.order, 1, from);
        lane_store_places(task.shuffled + (long long)place * task.shuffled_stride + column, task.shuffled_stride,
                          task.n_rows - place, row);
      }
    }
    block_sync();
  }
  METHOD int row_at(int place) const {
    if (task.shuffled) return task.shuffled[(long long)place * task.shuffled_stride + column];
    return task.order_stride ? task.order[(long long)place * task.order_stride + network] : task.order[place];
  }
  METHOD int validation_row(int place) const {
    if (!task.validation_stride) return task.validation[place];
    return task.validation[(long long)place * task.validation_stride + network];
  }
  METHOD real_t weight_of(int row) const {
    return task.weights ? task.weights[(long long)network * task.weights_stride + row] : 1;
  }

  // The batch's row numbers and weights (rows beyond `size` repeat the first: lanes go in whole groups), and its
  // inputs.
  LARGE_METHOD void read(int start, int size, bool validates) {
    FOR_EACH(r, net.batch_rows) {
      int row = validates ? validation_row(start + (r < size ? r : 0)) : row_at(start + (r < size ? r : 0));
      net.rows[r] = row;
      net.row_weight[r] = weight_of(row);
    }
    block_sync();
    block_numbers_map(
        size, net.inputs(),
        [&](int r, int c) { return task.inputs[(long long)net.rows[r] * net.inputs() + c]; },
        [&](int r, int c, real_t value) { net.x[r * net.ldx + c] = value; });
    FOR_EACH(r, size) net.x[r * net.ldx + net.inputs()] = 1;
    block_sync();
  }
  METHOD real_t weighted_sum(const real_t* values, int size) const {
    real_t sum = 0;
    UNROLL_SUM for (int r = 0; r < size; r++) sum = sum + (task.weights ? values[r] * net.row_weight[r] : values[r]);
    return sum;
  }

  // What schedules make of decay and smoothing for update number `which` of this call.
  METHOD void scale_decay(Update& update, long long which) const {
    lane_t factor = lane_set(task.decay_factors[which]);
    update.l2 = hyper(H_L2) * factor;
    if constexpr (decouples_decay) update.rule.weight_decay = hyper(H_WEIGHT_DECAY) * factor;
  }
  METHOD Smoothing smoothing(long long which) const {
    if (!task.smooth_hit) return Smoothing();
    Smoothing its = {lane_set(task.smooth_hit[network]), lane_set(task.smooth_miss[network])};
    return task.smoothing_factors ? its.times(lane_set(task.smoothing_factors[which])) : its;
  }

  METHOD void train() {
    clear();
    copy(true);
    Update update{task, net, Rule(), hyper(H_RATE), hyper(H_L2), hyper(H_CLIP_NORM), lane_t(), net.parts};
    update.rule.load(task.hyper, task.n_networks, network, 1);
#if FRONT
    update.network = network;
#endif
    loss_options.load(task.hyper, task.n_networks, network, 1);
    int steps = (task.n_rows + task.batch - 1) / task.batch;
    for (int epoch = 0; epoch < task.n_epochs; epoch++) {
      if (task.shuffled) shuffle(task.first_epoch + epoch);
      Kahan loss;
      for (int step = 0; step < steps; step++) {
        int start = step * task.batch, size = task.n_rows - start < task.batch ? task.n_rows - start : task.batch;
        long long which = (long long)epoch * steps + step;
        real_t factor = task.factors ? task.factors[which] : 1;
        read(start, size, false);
        real_t total = (real_t)size;
        if (task.weights) {
          total = 0;
          for (int r = 0; r < size; r++) total = total + net.row_weight[r];
          total = total > 0 ? total : 1;
        }
        if (task.drop_below) block_draw(task, net, network, epoch, start, size);
        block_forward(net, size, true);
        lane_t share = lane_div(one(), lane_set(total));
        Losses{net, loss_options, task.targets, size, share, task.smooth_hit != nullptr, smoothing(which)}.evaluate();
        real_t batch_loss = weighted_sum(net.row_loss, size);
        if (task.decay_factors) scale_decay(update, which);
        long long number = task.first_update + which + 1;
        loss.add(batch_loss + update.begin(lane_set(factor), number, lane_set(total)));
        block_backward(net, size, update);
        if (task.has_clip) update.clipped();
      }
      long long at = (long long)epoch * task.n_networks + network;
      if (block_first()) task.losses[at] = loss.total;
      if (task.validation) {
        exchange_averages();
        validate(at);
        exchange_averages();
      }
    }
    copy(false);
  }

  // Padding takes part in whole-vector operations: it has to be zero, and stays so.
  METHOD void clear() {
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      FOR_EACH(i, at.in_place() ? 0 : at.rows() * at.ldw) {
        at.w[i] = 0;
        for (int s = 0; s < slots; s++) at.slot[s][i] = 0;
      }
      FOR_EACH(i, net.batch_rows * at.ldd) at.d[i] = 0;
      FOR_EACH(i, net.batch_rows * at.ldh) at.h[i] = 0;
    }
    FOR_EACH(i, FRONT ? net.batch_rows * net.ldx : 0) net.x[i] = 0;
    block_sync();
  }

  LARGE_METHOD void validate(long long at) {
    const Layer& last = net.layer[net.layers - 1];
    Kahan loss, right;
    real_t *residual = net.sums, *lost = net.sums + last.ldw;  // O sums, and what they lost
    FOR_EACH(o, last.O) residual[o] = lost[o] = 0;
    block_sync();
    for (int start = 0; start < task.n_validation; start += task.batch) {
      int size = task.n_validation - start < task.batch ? task.n_validation - start : task.batch;
      read(start, size, true);
      block_forward(net, size, false);
      Losses{net, loss_options, task.validation_targets, size, lane_set(0)}.evaluate();
      for (int r = 0; r < size; r++) {
        loss.add(net.row_loss[r] * net.row_weight[r]);
        if constexpr (classifies) right.add(net.row_right[r] * net.row_weight[r]);
      }
      if constexpr (!classifies) {
        FOR_EACH(o, last.O) {
          Kahan sum;
          sum.total = residual[o], sum.lost = lost[o];
          for (int r = 0; r < size; r++) {
            real_t off = last.h[r * last.ldh + o] - task.validation_targets[(long long)net.rows[r] * last.O + o];
            sum.add(off * off * net.row_weight[r]);
          }
          residual[o] = sum.total, lost[o] = sum.lost;
        }
      }
      block_sync();  // everyone has seen this batch's losses and weights
    }
    if constexpr (!classifies) {
      real_t sum = 0;
      for (int o = 0; o < last.O; o++) {
        real_t spread = task.spread[(long long)network * last.O + o];
        real_t exact = residual[o] == 0 ? 1 : 0;
        sum = sum + (spread > 0 ? 1 - divide(residual[o], spread) : exact);
      }
      right.total = divide(sum, (real_t)last.O);
      block_sync();
    }
    if (block_first()) task.validation_losses[at] = loss.total, task.validation_scores[at] = right.total;
  }
  METHOD real_t divide(real_t a, real_t b) const { return first_element(lane_div(lane_set(a), lane_set(b))); }
};

#if TARGET_CUDA
// A block trains one of the networks first ... last-1, or a team of `members` blocks does, one team beside the other;
// `memory` and `shuffled` have a part for each network, `meeting` a pair of numbers. What a team has in common lies in
// the device's memory.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) block_train(TRAIN_PARAMETERS) {
  extern __shared__ four_t shared[];
  __shared__ Network net;  // in a thread's own memory, 256 times the same 3 kB, it would take a stack frame
  int column = blockIdx.x / members;
  Task task = TRAIN_TASK;
#if GROUPED
  if (threadIdx.x == 0) team() = {(int)blockIdx.x % members, members, meeting + 2 * column};
#endif
  if (threadIdx.x == 0)
    net.lay_out(shape, layout, {(real_t*)shared, memory + (long long)column * memory_stride});
  __syncthreads();
  Trainer{task, first + column, column, net}.train();
}
#else
// Trains the networks first ... last-1, one after the other; `memory` and `shuffled` are this call's own, or shared by
// `members` calls at the same time that work on the same networks as a team. A launch may be several teams: `member`
// counts on from one to the next. `meeting`: see block_cpu.h; null where a call is alone.
extern "C" void block_train(TRAIN_PARAMETERS) {
  team = {member % members, members, meeting ? meeting + MEETING * (1 + member / members) : nullptr};
  if (meeting && !all_begin(meeting)) return;
  Task task = TRAIN_TASK;
  Network net;
  net.lay_out(shape, layout, {nullptr, memory});
  for (int network = first; network < last; network++) {
    Trainer{task, network, 0, net}.train();
    block_sync();
  }
  (void)memory_stride;
}
extern "C" int lane_count() { return 1; }
#endif
