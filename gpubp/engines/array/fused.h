// The array engine's kernels for large networks: what lies between two matrix products, in one pass over memory each.
//
// Shapes and activations are arguments, so one compiled kernel serves every architecture. Definitions: REAL, LOSS,
// OPTIMIZER (their codes), and on CUDA THREADS. A kernel works on the cells first ... last-1 of a matrix, counted row
// by row; neighbouring cells do not depend on each other, and sums are taken in one order, so neither the vector's
// width nor the number of threads changes the bits.
//
// P networks, B rows of a batch, O columns of a layer. Parameters and optimizer state are (P, K) as in architecture.py:
// `stride` = K, `offset` = where the part at hand begins.
#include "block_network.h"
#include "dropout.h"
#include "smoothing.h"

#if !TARGET_CUDA
#define __global__
#define __launch_bounds__(threads)
#endif

// cell_of(row) gives f, and f(column, count) does `count` neighbouring cells of that row.
template <class F> FN void cells(int first, int last, int columns, const F& cell_of) {
#if TARGET_CUDA
  int i = first + (int)(blockIdx.x * blockDim.x + threadIdx.x);
  int row = i / columns;
  if (i < last) cell_of(row)(i - row * columns, 1);
#else
  for (int i = first; i < last;) {
    int column = i % columns, end = columns - column < last - i ? columns : column + last - i;
    auto cell = cell_of(i / columns);
    i += end - column;
    for (; column < end; column += LANES) cell(column, end - column < LANES ? end - column : LANES);
  }
#endif
}
// `count` numbers, stride apart. Not inlined on a CPU: the ends of rows are rare, and took most of the compiler's time.
LARGE_FN lane_t load_some(const real_t* p, int stride, int count) { return lane_load_networks(p, stride, count); }
LARGE_FN void store_some(real_t* p, int stride, int count, lane_t v) { lane_store_networks(p, stride, count, v); }
FN lane_t load(const real_t* p, int count) { return count == LANES ? lane_load(p) : load_some(p, 1, count); }
FN void store(real_t* p, int count, lane_t v) { count == LANES ? lane_store(p, v) : store_some(p, 1, count, v); }

// A CPU's own prefetchers stop at the end of a page of memory, and an optimizer reads several arrays at a time.
#if TARGET_CUDA
#define PREFETCH(pointer)
#else
#define PREFETCH(pointer) __builtin_prefetch(pointer, 1)
#endif
#define AHEAD 512

// ------------------------------------------------------------------------------------------ layers
struct Forward {
  real_t *z, *h;
  const real_t* bias;
  int stride, columns, batch, first, last;
  template <int A> METHOD void run() const {
    cells(first, last, columns, [=, *this](int row) {
      const real_t* its_bias = bias + (long long)(row / batch) * stride;
      long long at = (long long)row * columns;
      return [=, *this](int column, int count) {
        lane_t value = load(z + at + column, count) + load(its_bias + column, count);
        if (z != h) store(z + at + column, count, value);
        store(h + at + column, count, forward<A>(value));
      };
    });
  }
};
// h = f(z + b), z (P, B, O) being a matrix product; where z and h are two arrays, z becomes z + b.
extern "C" __global__ void __launch_bounds__(THREADS)
fused_forward(int activation, real_t* z, real_t* h, const real_t* params, int stride, int offset, int columns,
              int batch, int first, int last) {
  with_activation(activation, Forward{z, h, params + offset, stride, columns, batch, first, last});
}

// What dropout.h makes of a layer's values h: dropped = h times their factors. A dropped value is marked by the sign of
// its zero, a kept zero being +0, so that the backward pass needs no mask. Rows of cells: P times the quads of places
// that the batch, from place `start` of the epoch on, has a part in.
extern "C" __global__ void __launch_bounds__(THREADS)
fused_drop(const real_t* h, real_t* dropped, const unsigned* seed_low, const unsigned* seed_high, const unsigned* below,
           const real_t* scale, int columns, int batch, int start, int epoch, int neuron, int first, int last) {
  int first_quad = start / 4, quads = (start + batch - 1) / 4 - first_quad + 1;
  cells(first, last, columns, [=](int row) {
    int network = row / quads, quad = row - network * quads + first_quad;
    long long matrix = (long long)network * batch * columns;
    return [=](int column, int count) {
      Words words = dropout_words(lane_set_uint(seed_low[network]), lane_set_uint(seed_high[network]), quad, epoch,
                                  lane_places(neuron + column, neuron + column + count - 1));
      UNROLL for (int i = 0; i < 4; i++) {
        int r = quad * 4 + i - start;
        if (r < 0 || r >= batch) continue;
        long long at = matrix + (long long)r * columns + column;
        lane_t keep = keep_factor(word_at(words, i), lane_set_uint(below[network]), lane_set(scale[network]));
        lane_t value = load(h + at, count) * keep;
        lane_t zero = lane_copy_sign(lane_abs(value), lane_set((real_t)-1));
        store(dropped + at, count, lane_select(keep == lane_set(0), zero, value + lane_set(0)));
      }
    };
  });
}

struct Backward {
  const real_t *d, *z;
  real_t* h;
  const real_t *dropped, *scale;
  int columns, batch, first, last;
  template <int A> METHOD void run() const {
    cells(first, last, columns, [=, *this](int row) {
      long long at = (long long)row * columns;
      lane_t factor = dropped ? lane_set(scale[row / batch]) : one();
      return [=, *this](int column, int count) {
        lane_t value = load(d + at + column, count);
        if (dropped) {
          lane_mask_t gone = (lane_mask_t)(lane_as_bits(load(dropped + at + column, count)) == lane_set_bits(SIGN_BIT));
          value = value * lane_select(gone, lane_set(0), factor);
        }
        value = backward<A>(value, load(z + at + column, count), load(h + at + column, count));
        store(h + at + column, count, lane_flush(value));  // matrix products with denormals would be slow
      };
    });
  }
};
// From d (P, B, O), the gradient at what a layer gives, that at its pre-activations, in the place of its values h.
// dropped: null without dropout.
extern "C" __global__ void __launch_bounds__(THREADS)
fused_backward(int activation, const real_t* d, const real_t* z, real_t* h, const real_t* dropped, const real_t* scale,
               int columns, int batch, int first, int last) {
  with_activation(activation, Backward{d, z, h, dropped, scale, columns, batch, first, last});
}

// ---------------------------------------------------------------------------------------- networks
// What an update needs of each network besides its hyperparameters; (numbers, all networks).
enum StepNumber { S_L2_SHARE, S_OF_OPTIMIZER };  // from there on, those of UpdateNumbers

struct Networks {
  const real_t* hyper;  // (HYPERPARAMETERS, all)
  real_t* steps;        // (numbers, all)
  int all, base;        // network 0 of a kernel is number `base` of all

  METHOD real_t& step(int number, int network) const { return steps[(long long)number * all + base + network]; }
  METHOD lane_t value(int row, int network) const { return lane_set(hyper[(long long)row * all + base + network]); }
  METHOD Rule rule_of(int network) const {
    Rule rule;
    rule.load(hyper, all, base + network, 1);
    return rule;
  }
  METHOD LossOptions options_of(int network) const {
    LossOptions options;
    options.load(hyper, all, base + network, 1);
    return options;
  }
};
#define NETWORKS const real_t *hyper, real_t *steps, int all, int base

// -------------------------------------------------------------------------------------------- loss
// A lane is a row of the batch. d (P, B, O), which may be z itself, gets the gradient, times the row's share; row_loss
// (P, B) the loss without it. A loss without a link takes the outputs as z, the others the last matrix product, to
// which they add the biases. The targets of a network are target_stride numbers after those of the one before, 0 where
// networks share them. hit, miss (P,): the labels' smoothing, or null. shares: null for 1 / B. Cells: (P, B).
extern "C" __global__ void __launch_bounds__(THREADS)
fused_loss(NETWORKS, const real_t* z, real_t* d, const real_t* params, int stride, int offset, const real_t* targets,
           int target_stride, const real_t* hit, const real_t* miss, const real_t* shares, real_t* row_loss,
           int columns, int batch, int first, int last) {
  Networks networks{hyper, steps, all, base};
  cells(first, last, batch, [=](int network) {
    LossOptions options = networks.options_of(network);
    const real_t* bias = params + (long long)network * stride + offset;
    Smoothing smoothing = Smoothing();
    if (hit) smoothing = {lane_set(hit[network]), lane_set(miss[network])};
    return [=](int r, int count) {
      long long row = (long long)network * batch + r;
      const real_t* z_at = z + row * columns;
      real_t* d_at = d + row * columns;
      const real_t* t_at = targets + (long long)network * target_stride + (long long)r * columns;
      auto load_z = [=](int o) { return load_some(z_at + o, columns, count); };
      auto load_t = [=](int o) {
        lane_t t = load_some(t_at + o, columns, count);
        if constexpr (takes_smooth_labels) return hit ? smoothing.of(t) : t;
        else return t;
      };
      auto store_d = [=](int o, lane_t value) { store_some(d_at + o, columns, count, lane_flush(value)); };
      lane_t share = shares ? load(shares + row, count) : lane_div(one(), lane_set((real_t)batch)), loss = lane_set(0);
      if constexpr (LOSS == CROSS_ENTROPY) {
        lane_t largest = load_z(0) + lane_set(bias[0]), sum = lane_set(0);
        for (int o = 1; o < columns; o++) {
          lane_t value = load_z(o) + lane_set(bias[o]);
          largest = lane_select(value > largest, value, largest);
        }
        for (int o = 0; o < columns; o++) {
          lane_t value = load_z(o) + lane_set(bias[o]) - largest, e = lane_exp(value);
          loss = lane_fma(-load_t(o), value, loss);
          sum = sum + e;
          store_d(o, e);
        }
        loss = loss + lane_log(sum);
        lane_t scale = lane_div(one(), sum);
        for (int o = 0; o < columns; o++) store_d(o, (load_some(d_at + o, columns, count) * scale - load_t(o)) * share);
      } else {
        for (int o = 0; o < columns; o++) {
          lane_t value = load_z(o), t = load_t(o);
          if constexpr (has_link) value = value + lane_set(bias[o]);
          store_d(o, add_loss(options, value, linked(value), t, loss) * share);
        }
      }
      store(row_loss + row, count, loss);
    };
  });
}

// ------------------------------------------------------------------------------------------ update
// Counts the updates (P,) of the networks, and fills their steps. rates (P,); decays (P,): what L2 and weight decay are
// multiplied by, null: 1; totals (P,): the batch's weight, null: B.
extern "C" __global__ void __launch_bounds__(THREADS)
fused_begin(NETWORKS, const real_t* rates, const real_t* decays, const real_t* totals, int* updates, int batch,
            int first, int last) {
  Networks networks{hyper, steps, all, base};
  cells(first, last, 1, [=](int network) {
    return [=](int, int) {
      int number = updates[network] + 1;
      updates[network] = number < 1 << 30 ? number : 1 << 30;  // Adam's corrections have long been 1
      lane_t total = lane_set(totals ? totals[network] : (real_t)batch);
      lane_t l2 = networks.value(H_L2, network);
      Rule rule = networks.rule_of(network);
      if (decays) {
        l2 = l2 * lane_set(decays[network]);
        if constexpr (decouples_decay) rule.weight_decay = rule.weight_decay * lane_set(decays[network]);
      }
      networks.step(S_L2_SHARE, network) = first_element(lane_div(l2, total));
      rule.begin(lane_set(rates[network]), number);
      rule.for_numbers([&](int i, const lane_t& value) {
        networks.step(S_OF_OPTIMIZER + i, network) = first_element(value);
      });
    };
  });
}

struct Parameters {  // one network's part of a layer: weights, or biases
  real_t *w, *slot[slot_arrays];
  Rule rule;

  // params and average: of a kernel's networks; slots: of all
  METHOD Parameters(real_t* params, real_t* average, real_t* slots_spk, int stride, int offset,
                    const Networks& networks, int network)
      : w(params + (long long)network * stride + offset), rule(networks.rule_of(network)) {
    for (int s = 0; s < optimizer_slots; s++) {
      long long place = (long long)s * networks.all + networks.base + network;
      slot[s] = slots_spk + place * stride + offset;
    }
    if constexpr (AVERAGES) slot[slots - 1] = average + (long long)network * stride + offset;
    rule.for_numbers([&](int i, lane_t& value) { value = lane_set(networks.step(S_OF_OPTIMIZER + i, network)); });
  }
  template <bool decays> METHOD void update(int i, int count, lane_t value, lane_t gradient) const {
    PREFETCH(w + i + AHEAD);
    UNROLL for (int s = 0; s < slots; s++) PREFETCH(slot[s] + i + AHEAD);
    lane_t its[1] = {value}, state[slot_arrays][1] = {{lane_set(0)}}, g[1] = {gradient};
    UNROLL for (int s = 0; s < slots; s++) state[s][0] = load(slot[s] + i, count);
    rule.template update<decays, 1>(its, state, g);
    store(w + i, count, its[0]);
    UNROLL for (int s = 0; s < slots; s++) store(slot[s] + i, count, state[s][0]);
  }
};

// The optimizer's step for `columns` weights of each network, L2 included, or for as many biases. slots_spk: of all
// networks. average: the weights' running average, where there is one. Their gradients lie in `gradient`, from
// gradient_offset on, gradient_stride apart. factors (P,) are of clipping, or null. Cells: (P, columns).
extern "C" __global__ void __launch_bounds__(THREADS)
fused_update(NETWORKS, real_t* params, real_t* average, real_t* slots_spk, int stride, int offset, int are_biases,
             const real_t* gradient, int gradient_stride, int gradient_offset, const real_t* factors, int columns,
             int first, int last) {
  Networks networks{hyper, steps, all, base};
  cells(first, last, columns, [=](int network) {
    Parameters part(params, average, slots_spk, stride, offset, networks, network);
    const real_t* its_gradient = gradient + (long long)network * gradient_stride + gradient_offset;
    real_t l2_share = are_biases ? 0 : networks.step(S_L2_SHARE, network);
    lane_t factor = factors ? lane_set(factors[network]) : one();
    return [=](int i, int count) {
      lane_t w = load(part.w + i, count), g = load(its_gradient + i, count);
      if (l2_share != 0) g = lane_fma(lane_set(l2_share), w, g);
      if (factors) g = g * factor;
      if (decouples_decay && are_biases) part.update<false>(i, count, w, g);
      else part.update<true>(i, count, w, g);
    };
  });
}

#define PARTS 64     // sums of a chunk, by column, whatever the vector's width
#define CHUNK 4096   // numbers of a chunk

// Sums of the squares of `total` numbers of each network: parts (P, chunks, PARTS), from parts_offset on, parts_stride
// apart. decaying: null, or the weights whose L2 term is added to the values first. Cells: (P * chunks, PARTS).
extern "C" __global__ void __launch_bounds__(THREADS)
fused_squares(NETWORKS, const real_t* values, const real_t* decaying, int stride, int offset, int total, real_t* parts,
              int parts_stride, int parts_offset, int first, int last) {
  Networks networks{hyper, steps, all, base};
  int chunks = (total + CHUNK - 1) / CHUNK;
  cells(first, last, PARTS, [=](int row) {
    int network = row / chunks, chunk = row - network * chunks, start = chunk * CHUNK;
    int size = total - start < CHUNK ? total - start : CHUNK;
    long long from = (long long)network * stride + offset + start;
    real_t* out = parts + (long long)network * parts_stride + parts_offset + chunk * PARTS;
    real_t l2_share = decaying ? networks.step(S_L2_SHARE, network) : 0;
    return [=](int part, int count) {
      lane_t sum = lane_set(0);
      for (int i = part; i < size; i += PARTS) {
        int left = size - i < count ? size - i : count;
        lane_t value = load(values + from + i, left);
        if (l2_share != 0) value = lane_fma(lane_set(l2_share), load(decaying + from + i, left), value);
        if (left < count)  // lanes beyond the end repeat the last
          value = lane_select(lane_mask_of_index(lane_iota(0) < lane_set_index(left)), value, lane_set(0));
        sum = lane_fma(value, value, sum);
      }
      store(out + part, count, sum);
    };
  });
}

#if !TARGET_CUDA
extern "C" int lane_count() { return LANES; }
#endif
