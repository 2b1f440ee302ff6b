// The block engine: small and middle networks, one on each CPU core or in each CUDA block, whole epochs in one call.
//
// Shapes and activations are arguments, so one compiled kernel serves every architecture. Definitions: REAL, LOSS,
// OPTIMIZER (their codes), and on CUDA THREADS. The algorithm is written once, on the primitives of block_cpu.h and
// block_cuda.h. Every number is one chain of operations in an order that depends neither on tiles nor on threads nor on
// the vector's width: products over k ascending, sums over rows ascending. So every target gives the same bits.
#pragma once
#include "activations.h"
#include "optimizers.h"
#include "random.h"
#if TARGET_CUDA
#include "block_cuda.h"
#else
#include "block_cpu.h"
#endif

enum Loss { SQUARED_ERROR, CROSS_ENTROPY, BINARY_CROSS_ENTROPY, POISSON };
constexpr bool classifies = LOSS == CROSS_ENTROPY || LOSS == BINARY_CROSS_ENTROPY;

#define MOST_LAYERS 32
#define PARTIAL_SUMS 64  // a sum over all parameters is taken in so many parts, by column, whatever the vector's width

struct Task {             // one call's arguments; arrays of real_t unless said otherwise
  const int* shape;       // layers of weights, sizes (layers + 1), activations (layers), as codes
  real_t* params;         // (P, K), trained in place
  real_t *slot_a, *slot_b;  // (P, K) optimizer state, where the optimizer has it
  const real_t* hyper;    // (HYPERPARAMETERS, P)
  int n_networks;         // P
  const real_t* table;    // (N, stride): inputs, targets and, where `weighted` is 1, the weight of each row
  int stride, weighted;   // row weights: 0 none, 1 in the table, 2 in `weights`
  const real_t* weights;  // (P, weights_stride)
  int weights_stride;
  const int* order;       // (rows, order_stride): the training rows, networks side by side; stride 0: (rows,), shared
  int order_stride;
  const unsigned *seed_low, *seed_high;  // (P,); null: the given order
  int* shuffled;          // (rows, shuffled_stride): room for an epoch's order of each network at hand
  int shuffled_stride;
  int n_rows, batch, first_epoch, n_epochs;
  const real_t* factors;  // (n_epochs, steps) by which the rate is multiplied; null where the schedule is constant
  const int* held;        // as order: the validation rows
  int held_stride, n_held;
  const real_t* held_table;  // as table
  const real_t* spread;   // (P, O): see training/validation.py; unused where the loss classifies
  int has_l2, has_clip;
  real_t *losses, *held_losses, *held_scores;  // (n_epochs, P): sums over the rows; the score of a regression is R²
  real_t* memory;         // room for one network (see Memory)
};

struct Kahan {  // a compensated sum (Kahan 1965): the loss of a long epoch keeps its digits
  real_t total = 0, lost = 0;
  METHOD void add(real_t value) {
    real_t corrected = value - lost, next = total + corrected;
    lost = (next - total) - corrected;
    total = next;
  }
};

// Calls f with the activation's code as a compile-time constant: f.template run<A>().
template <class F> FN void with_activation(int code, const F& f) {
  switch (code) {
    case LOGISTIC: f.template run<LOGISTIC>(); break;
    case TANH: f.template run<TANH>(); break;
    case RELU: f.template run<RELU>(); break;
    case LEAKY_RELU: f.template run<LEAKY_RELU>(); break;
    case ELU: f.template run<ELU>(); break;
    case SELU: f.template run<SELU>(); break;
    case SILU: f.template run<SILU>(); break;
    case GELU: f.template run<GELU>(); break;
    case GELU_TANH: f.template run<GELU_TANH>(); break;
    case MISH: f.template run<MISH>(); break;
    case SOFTPLUS: f.template run<SOFTPLUS>(); break;
    case EXPONENTIAL: f.template run<EXPONENTIAL>(); break;
    default: f.template run<IDENTITY>();
  }
}

// One layer of a network's working memory: weights and what belongs to them with rows of ldw (biases as row I), values
// of a batch with rows of their own. h has a column of ones at O, which makes the bias gradient a row of the product.
struct Layer {
  int I, O, activation;
  long long ldw, ldh, ldd, ldz;
  real_t *w, *a, *b, *g, *z, *h, *d;
};

struct Network {
  int layers, batch_rows;
  Layer layer[MOST_LAYERS];
  real_t *x, *transposed, *row_loss, *row_weight, *row_right, *parts;
  int* rows;
  long long ldx;

  METHOD int inputs() const { return layer[0].I; }
  METHOD int outputs() const { return layer[layers - 1].O; }
  METHOD real_t* input(int l) const { return l ? layer[l - 1].h : x; }
  METHOD long long input_ld(int l) const { return l ? layer[l - 1].ldh : ldx; }

  // Lays the memory out; kernels/block.py reserves at least as much.
  METHOD void lay_out(const Task& task) {
    layers = task.shape[0];
    const int *sizes = task.shape + 1, *activations = sizes + layers + 1;
    batch_rows = (task.batch + 15) / 16 * 16;
    real_t* next = task.memory;
    int widest = 0;
    ldx = padded(sizes[0] + 1);
    x = next, next += batch_rows * ldx;
    for (int l = 0; l < layers; l++) {
      Layer& at = layer[l];
      at.I = sizes[l], at.O = sizes[l + 1], at.activation = activations[l];
      at.ldw = padded(at.O), at.ldd = padded(at.O), at.ldh = padded(at.O + 1);
      long long matrix = (at.I + 1) * at.ldw;
      at.w = next, next += matrix;
      at.a = next, next += slots > 0 ? matrix : 0;
      at.b = next, next += slots > 1 ? matrix : 0;
      at.g = next, next += matrix;
      at.h = next, next += batch_rows * at.ldh;
      at.d = next, next += batch_rows * at.ldd;
      bool keeps_input = needs_input(at.activation);
      at.z = keeps_input ? next : at.h, at.ldz = keeps_input ? at.ldd : at.ldh;
      next += keeps_input ? batch_rows * at.ldd : 0;
      if (l && at.O * padded(at.I) > widest) widest = at.O * padded(at.I);
    }
    transposed = next, next += widest;
    row_loss = next, next += batch_rows;
    row_weight = next, next += batch_rows;
    row_right = next, next += batch_rows;
    parts = next, next += PARTIAL_SUMS;
    rows = (int*)next;
  }
};

// ---------------------------------------------------------------------------------------- passes
struct ActivationForward {
  const Layer& at;
  int size;
  template <int A> METHOD void run() const {
    block_elements(size, at.O, [&](int r, int j) {
      lane_store(at.h + r * at.ldh + j, forward<A>(lane_load(at.z + r * at.ldz + j)));
    });
  }
};
struct ActivationBackward {  // d of this layer's values becomes d of its pre-activations
  const Layer& at;
  int size;
  template <int A> METHOD void run() const {
    block_elements(size, at.O, [&](int r, int j) {
      real_t* d = at.d + r * at.ldd + j;
      lane_store(d, backward<A>(lane_load(d), lane_load(at.z + r * at.ldz + j), lane_load(at.h + r * at.ldh + j)));
    });
  }
};

// Up to the last layer's pre-activations, where the loss goes on with its own link; squared error takes the outputs.
FN void block_forward(const Network& net, int size) {
  for (int l = 0; l < net.layers; l++) {
    const Layer& at = net.layer[l];
    block_product(size, at.O, at.I, net.input(l), net.input_ld(l), 1, at.w, at.ldw, at.w + at.I * at.ldw, at.z, at.ldz);
    block_sync();
    if (l == net.layers - 1 && LOSS != SQUARED_ERROR) return;
    with_activation(at.activation, ActivationForward{at, size});
    FOR_EACH(r, size) at.h[r * at.ldh + at.O] = 1;  // after the vector that it lies in, which the same thread wrote
    block_sync();
  }
}

// from the last layer's d to the gradients of all parameters
FN void block_backward(const Network& net, int size) {
  if constexpr (LOSS == SQUARED_ERROR) {
    const Layer& last = net.layer[net.layers - 1];
    with_activation(last.activation, ActivationBackward{last, size});
    block_sync();
  }
  for (int l = net.layers - 1; l >= 0; l--) {
    const Layer& at = net.layer[l];
    block_product(at.I + 1, at.O, size, net.input(l), 1, net.input_ld(l), at.d, at.ldd, nullptr, at.g, at.ldw);
    if (l == 0) break;
    const Layer& below = net.layer[l - 1];
    long long ldt = padded(at.I);
    block_transpose(at.I, at.O, at.w, at.ldw, net.transposed, ldt);
    block_sync();
    block_product(size, at.I, at.O, at.d, at.ldd, 1, net.transposed, ldt, nullptr, below.d, below.ldd);
    block_sync();
    with_activation(below.activation, ActivationBackward{below, size});
    block_sync();
  }
  block_sync();
}

// ---------------------------------------------------------------------------------------- losses
// A lane is a row of the batch. Targets and predictions are read where they lie.
struct Losses {
  const Network& net;
  const real_t* table;
  int stride, size;
  lane_t share;  // what a row's gradient is multiplied by, besides its weight

  METHOD lane_t target(lane_index_t row, int o) const { return lane_gather(table + net.inputs() + o, stride, row); }
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
        lane_t t = target(row, o), y_o;
        if constexpr (LOSS == SQUARED_ERROR) {
          y_o = lane_load_rows(y(r, o), at.ldh);
          loss = lane_fma((y_o - t) * lane_set((real_t)0.5), y_o - t, loss);
        } else if constexpr (LOSS == BINARY_CROSS_ENTROPY) {
          lane_t z_o = lane_load_rows(z(r, o), at.ldz);
          y_o = lane_logistic(z_o);
          loss = loss + lane_fma(-t, z_o, lane_softplus(z_o));
          lane_t predicted = lane_select(y_o > lane_set((real_t)0.5), one(), lane_set(0));
          lane_t wanted = lane_select(t > lane_set((real_t)0.5), one(), lane_set(0));
          right = lane_select(predicted != wanted, lane_set(0), right);
        } else {  // POISSON
          lane_t z_o = lane_load_rows(z(r, o), at.ldz);
          y_o = lane_exp(z_o);
          lane_t saturated = t * (lane_log(where_positive(t, t, one())) - one());
          loss = loss + (lane_fma(-t, z_o, y_o) + saturated);
        }
        lane_store_rows(y(r, o), at.ldh, y_o);
        lane_store_rows(d(r, o), at.ldd, (y_o - t) * weight);
      }
      lane_store(net.row_loss + r, loss);
      lane_store(net.row_right + r, right);
    }
  }

  METHOD void evaluate() const {
    if constexpr (LOSS == CROSS_ENTROPY) cross_entropy();
    else sums();
    block_sync();
  }
};

// ---------------------------------------------------------------------------------------- updates
// The sum of squares of all rows x columns, `PARTIAL_SUMS` columns apart; added to the parts.
FN void add_squares(int rows, int columns, const real_t* matrix, long long ld, real_t* parts) {
  FOR_LANES(p, PARTIAL_SUMS) {
    lane_t sum = lane_load(parts + p);
    for (int r = 0; r < rows; r++)
      for (int j = p; j < columns; j += PARTIAL_SUMS) {
        lane_t value = lane_load(matrix + r * ld + j);
        sum = lane_fma(value, value, sum);
      }
    lane_store(parts + p, sum);
  }
  block_sync();
}
FN real_t sum_of_parts(const real_t* parts) {
  real_t sum = 0;
  for (int p = 0; p < PARTIAL_SUMS; p++) sum = sum + parts[p];
  return sum;
}

struct Update {  // of one network, over its batches
  const Task& task;
  Network& net;
  Rule rule;
  lane_t rate, l2, clip, weight_decay;
  real_t* parts;

  // Weights with the optimizer's numbers; `decays`: no biases.
  template <bool decays> METHOD void change(const Layer& at, int first, int count, lane_t l2_share) {
    block_elements(count, at.O, [&](int i, int j) {
      long long k = (first + i) * at.ldw + j;
      lane_t w = lane_load(at.w + k), g = lane_load(at.g + k), a = lane_set(0), b = lane_set(0);
      if constexpr (slots > 0) a = lane_load(at.a + k);
      if constexpr (slots > 1) b = lane_load(at.b + k);
      if (decays && task.has_l2 && !task.has_clip) g = lane_fma(l2_share, w, g);
      rule.update<decays>(w, a, b, g);
      lane_store(at.w + k, w);
      if constexpr (slots > 0) lane_store(at.a + k, a);
      if constexpr (slots > 1) lane_store(at.b + k, b);
    });
  }
  METHOD void clear_parts() {
    FOR_EACH(p, PARTIAL_SUMS) parts[p] = 0;
    block_sync();
  }

  // After the gradients are there: L2, clipping, the optimizer. Returns the L2 term.
  METHOD real_t apply(lane_t total) {
    lane_t l2_share = task.has_l2 ? lane_div(l2, total) : lane_set(0);
    real_t penalty = 0;
    if (task.has_l2) {
      clear_parts();
      for (int l = 0; l < net.layers; l++)
        add_squares(net.layer[l].I, net.layer[l].O, net.layer[l].w, net.layer[l].ldw, parts);
      penalty = first_element(l2) * (real_t)0.5 * sum_of_parts(parts);
      block_sync();
    }
    if (task.has_clip) clip_gradient(l2_share);
    for (int l = 0; l < net.layers; l++) {
      change<true>(net.layer[l], 0, net.layer[l].I, l2_share);
      change<false>(net.layer[l], net.layer[l].I, 1, l2_share);
    }
    block_sync();
    return penalty;
  }
  METHOD void clip_gradient(lane_t l2_share) {
    clear_parts();
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      if (task.has_l2) {
        block_elements(at.I, at.O, [&](int i, int j) {
          real_t* g = at.g + i * at.ldw + j;
          lane_store(g, lane_fma(l2_share, lane_load(at.w + i * at.ldw + j), lane_load(g)));
        });
        block_sync();
      }
      add_squares(at.I + 1, at.O, at.g, at.ldw, parts);
    }
    lane_t norm = lane_sqrt(lane_set(sum_of_parts(parts)));
    lane_t factor = lane_select(norm > clip, lane_div(clip, norm), one());
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      block_elements(at.I + 1, at.O, [&](int i, int j) {
        real_t* g = at.g + i * at.ldw + j;
        lane_store(g, lane_load(g) * factor);
      });
    }
    block_sync();
  }
};

// ---------------------------------------------------------------------------------------- a network's training
struct Trainer {
  const Task& task;
  int network, column;  // among all networks; among those whose `shuffled` orders lie side by side
  Network& net;         // laid out

  // f(in the padded memory, in the flat row) for every parameter of three matrices at a time
  METHOD void copy(bool in) {
    long long flat = (long long)network * parameters();
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      FOR_EACH(i, (at.I + 1) * at.O) {
        long long k = i / at.O * at.ldw + i % at.O;
        move(in, at.w + k, task.params + flat + i);
        if constexpr (slots > 0) move(in, at.a + k, task.slot_a + flat + i);
        if constexpr (slots > 1) move(in, at.b + k, task.slot_b + flat + i);
      }
      flat += (at.I + 1) * at.O;
    }
    block_sync();
  }
  METHOD void move(bool in, real_t* here, real_t* there) { *(in ? here : there) = *(in ? there : here); }
  METHOD long long parameters() const {
    long long count = 0;
    for (int l = 0; l < net.layers; l++) count += (net.layer[l].I + 1) * net.layer[l].O;
    return count;
  }
  METHOD lane_t hyper(int row) const { return lane_set(task.hyper[(long long)row * task.n_networks + network]); }

  METHOD void shuffle(int epoch) {
    Shuffle order;
    order.begin(lane_set_uint(task.seed_low[network]), lane_set_uint(task.seed_high[network]), task.n_rows, epoch);
    FOR_LANES(place, task.n_rows) {
      lane_index_t at = order.row(lane_places(place, task.n_rows - 1));
      lane_index_t row = task.order_stride ? lane_gather_column(task.order + network, task.order_stride, at)
                                           : lane_gather_column(task.order, 1, at);
      lane_store_places(task.shuffled + (long long)place * task.shuffled_stride + column, task.shuffled_stride,
                        task.n_rows - place, row);
    }
    block_sync();
  }
  METHOD int row_at(int place) const {
    if (task.seed_low) return task.shuffled[(long long)place * task.shuffled_stride + column];
    return task.order_stride ? task.order[(long long)place * task.order_stride + network] : task.order[place];
  }
  METHOD int held_row(int place) const {
    return task.held_stride ? task.held[(long long)place * task.held_stride + network] : task.held[place];
  }
  METHOD real_t weight_of(int row) const {
    if (task.weighted == 1) return task.table[(long long)row * task.stride + net.inputs() + net.outputs()];
    if (task.weighted == 2) return task.weights[(long long)network * task.weights_stride + row];
    return 1;
  }

  // The batch's row numbers and weights (rows beyond `size` repeat the first: lanes go in whole groups), and its inputs.
  METHOD void read(const real_t* table, int start, int size, bool from_held) {
    FOR_EACH(r, net.batch_rows) {
      int row = from_held ? held_row(start + (r < size ? r : 0)) : row_at(start + (r < size ? r : 0));
      net.rows[r] = row;
      net.row_weight[r] = weight_of(row);
    }
    block_sync();
    FOR_EACH(i, size * (net.inputs() + 1)) {
      int r = i / (net.inputs() + 1), c = i % (net.inputs() + 1);
      net.x[r * net.ldx + c] = c < net.inputs() ? table[(long long)net.rows[r] * task.stride + c] : 1;
    }
    block_sync();
  }
  METHOD real_t weighted_sum(const real_t* values, int size) const {
    real_t sum = 0;
    for (int r = 0; r < size; r++) sum = sum + (task.weighted ? values[r] * net.row_weight[r] : values[r]);
    return sum;
  }

  METHOD void train() {
    clear();
    copy(true);
    Update update{task, net, Rule(), hyper(H_RATE), hyper(H_L2), hyper(H_CLIP_NORM), hyper(H_WEIGHT_DECAY), net.parts};
    update.rule.load(task.hyper, task.n_networks, network, 1);
    int steps = (task.n_rows + task.batch - 1) / task.batch;
    for (int epoch = 0; epoch < task.n_epochs; epoch++) {
      if (task.seed_low) shuffle(task.first_epoch + epoch);
      Kahan loss;
      for (int step = 0; step < steps; step++) {
        int start = step * task.batch, size = task.n_rows - start < task.batch ? task.n_rows - start : task.batch;
        real_t factor = task.factors ? task.factors[(long long)epoch * steps + step] : 1;
        read(task.table, start, size, false);
        real_t total = (real_t)size;
        if (task.weighted) {
          total = 0;
          for (int r = 0; r < size; r++) total = total + net.row_weight[r];
          total = total > 0 ? total : 1;
        }
        block_forward(net, size);
        Losses{net, task.table, task.stride, size, lane_div(one(), lane_set(total))}.evaluate();
        real_t batch_loss = weighted_sum(net.row_loss, size);
        block_backward(net, size);
        update.rule.begin(update.rate * lane_set(factor), update.weight_decay,
                          (long long)(task.first_epoch + epoch) * steps + step + 1);
        loss.add(batch_loss + update.apply(lane_set(total)));
      }
      long long at = (long long)epoch * task.n_networks + network;
      if (block_first()) task.losses[at] = loss.total;
      if (task.held) validate(at);
    }
    copy(false);
  }

  // Padding takes part in whole-vector operations: it has to be zero, and stays so.
  METHOD void clear() {
    for (int l = 0; l < net.layers; l++) {
      const Layer& at = net.layer[l];
      FOR_EACH(i, (at.I + 1) * at.ldw) {
        at.w[i] = 0;
        if constexpr (slots > 0) at.a[i] = 0;
        if constexpr (slots > 1) at.b[i] = 0;
      }
      FOR_EACH(i, net.batch_rows * at.ldd) at.d[i] = 0;
      FOR_EACH(i, net.batch_rows * at.ldh) at.h[i] = 0;
    }
    block_sync();
  }

  METHOD void validate(long long at) {
    const Layer& last = net.layer[net.layers - 1];
    Kahan loss, right;
    real_t *residual = last.g, *lost = last.g + last.ldw;  // gradients are not needed now: O sums, and what they lost
    FOR_EACH(o, last.O) residual[o] = lost[o] = 0;
    block_sync();
    for (int start = 0; start < task.n_held; start += task.batch) {
      int size = task.n_held - start < task.batch ? task.n_held - start : task.batch;
      read(task.held_table, start, size, true);
      block_forward(net, size);
      Losses{net, task.held_table, task.stride, size, lane_set(0)}.evaluate();
      for (int r = 0; r < size; r++) {
        loss.add(net.row_loss[r] * net.row_weight[r]);
        if constexpr (classifies) right.add(net.row_right[r] * net.row_weight[r]);
      }
      if constexpr (!classifies) {
        FOR_EACH(o, last.O) {
          Kahan sum;
          sum.total = residual[o], sum.lost = lost[o];
          for (int r = 0; r < size; r++) {
            real_t off = last.h[r * last.ldh + o] -
                         task.held_table[(long long)net.rows[r] * task.stride + net.inputs() + o];
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
    if (block_first()) task.held_losses[at] = loss.total, task.held_scores[at] = right.total;
  }
  METHOD real_t divide(real_t a, real_t b) const { return first_element(lane_div(lane_set(a), lane_set(b))); }
};

#define TRAIN_PARAMETERS \
  const int *shape, real_t *params, real_t *slot_a, real_t *slot_b, const real_t *hyper, int n_networks, \
      const real_t *table, int stride, int weighted, const real_t *weights, int weights_stride, const int *order, \
      int order_stride, const unsigned *seed_low, const unsigned *seed_high, int *shuffled, int shuffled_stride, \
      int n_rows, int batch, int first_epoch, int n_epochs, const real_t *factors, const int *held, int held_stride, \
      int n_held, const real_t *held_table, const real_t *spread, int has_l2, int has_clip, real_t *losses, \
      real_t *held_losses, real_t *held_scores, real_t *memory, int memory_stride, int *meeting, int member, \
      int members, int first, int last
#define TRAIN_TASK \
  {shape, params, slot_a, slot_b, hyper, n_networks, table, stride, weighted, weights, weights_stride, order, \
   order_stride, seed_low, seed_high, shuffled, shuffled_stride, n_rows, batch, first_epoch, n_epochs, factors, held, \
   held_stride, n_held, held_table, spread, has_l2, has_clip, losses, held_losses, held_scores, memory}

#if TARGET_CUDA
// A block trains one of the networks first ... last-1; `memory` and `shuffled` have a part for each of them.
extern "C" __global__ void __launch_bounds__(THREADS, 1) block_train(TRAIN_PARAMETERS) {
  __shared__ Network net;  // in a thread's own memory, 256 times the same 3 kB, it would take a stack frame
  int column = blockIdx.x;
  Task task = TRAIN_TASK;
  task.memory += (long long)column * memory_stride;
  if (block_first()) net.lay_out(task);
  block_sync();
  Trainer{task, first + column, column, net}.train();
}
#else
// Trains the networks first ... last-1, one after the other; `memory` and `shuffled` are this call's own, or shared by
// `members` calls at the same time that work on the same networks as a team; `meeting` are two zeros, theirs alone.
extern "C" void block_train(TRAIN_PARAMETERS) {
  team = {member, members, meeting};
  Task task = TRAIN_TASK;
  Network net;
  net.lay_out(task);
  for (int network = first; network < last; network++) {
    Trainer{task, network, 0, net}.train();
    block_sync();
  }
  (void)memory_stride;
}
extern "C" int lane_count() { return 1; }
#endif
