// What the block engine's kernel is given, and how it lays out a network's working memory.
#pragma once
#include "block_memory.h"
#include "block_train_arguments.h"
#include "losses.h"
#include "optimizers.h"
#if TARGET_CUDA
#include "block_cuda.h"
#else
#include "block_cpu.h"
#endif

#define MOST_LAYERS 32

struct Kahan {  // a compensated sum (Kahan 1965): the loss of a long epoch keeps its digits
  real_t total = 0, lost = 0;
  METHOD void add(real_t value) {
    real_t corrected = value - lost, next = total + corrected;
    lost = (next - total) - corrected;
    total = next;
  }
};

// Whether networks have layers beside plain dense ones, or groups of parameters with rates of their own; kernels of
// those that have none know plain dense layers alone.
#ifndef FRONT
#define FRONT 0
#endif
#define LAYER_DETAILS 9  // numbers of a layer's, after the kinds: see engines/block/kernel.py
CONSTANT_FN bool is_periodic(int kind) { return kind == PBLD || kind == PL || kind == PLR; }

// One layer of a network's working memory: weights and what belongs to them with rows of ldw (biases as row I), values
// of a batch with rows of their own. h has a column of ones at O, which makes the bias gradient a row of the product.
// With dropout, h = raw times keep; without, raw is h and there is no keep. d, the gradient at the pre-activations,
// takes the place of h, but for the last layer's, whose values validation needs. Of a parametric layer z, raw and h are
// three arrays: see block_parametric.h. g: the layer's gradient, where clipping needs all of them at a time; else room
// for a panel of it, that layers take turns with. The gradient at the values has rows of ldu.
struct Layer {
#if FRONT
  int kind, place;                          // among the layers
  int columns_of, rows_of, decaying_rows_of;  // of its parameters
  int frequencies, sums;                      // of a periodic layer, for each number
  int n_passing, groups;                      // inputs that are outputs, too; of vectors, of which one is taken each
  const int *numbers, *passing, *group_ends;  // places of inputs: those that it changes, and the others
#endif
  int I, O, activation, copied;  // weights and optimizer state are copies of the caller's
  long long ldw, ldh, ldd, ldz, ldr;
  real_t *w, *slot[slot_arrays], *g, *z, *raw, *keep, *h, *d;
  long long ldu;

  METHOD bool in_place() const { return trains_in_place && !copied; }
  // Its parameters are rows of numbers; those that do not decay, biases, come last, but for slopes behind them.
#if FRONT
  METHOD bool is_dense() const { return kind == DENSE || kind == PARAMETRIC; }
  METHOD bool is_parametric() const { return kind == PARAMETRIC; }
  METHOD real_t* slopes() const { return w + (I + 1) * ldw; }  // the last row of a parametric layer's parameters
  METHOD int columns() const { return columns_of; }
  METHOD int rows() const { return rows_of; }
  METHOD int decaying_rows() const { return decaying_rows_of; }
#else
  METHOD bool is_dense() const { return true; }
  METHOD int columns() const { return O; }
  METHOD int rows() const { return I + 1; }
  METHOD int decaying_rows() const { return I; }
#endif
};

// Where a network's arrays lie. On a CPU `shared` is null.
struct Arena {
  real_t *shared, *own;
  METHOD real_t* at(int place) const {
    return place >= 0 ? own + place : place == -1 ? nullptr : shared + (-2 - place);
  }
};

struct Network {
  int layers, batch_rows;
  Layer layer[MOST_LAYERS];
  real_t* d;  // the gradient at the values of the layer at hand
  real_t *x, *row_loss, *row_weight, *row_right, *parts, *sums;
  int* rows;
  long long ldx, panel_numbers;
  Scratch scratch;  // of the products

  METHOD int inputs() const { return layer[0].I; }
  METHOD int outputs() const { return layer[layers - 1].O; }
  METHOD real_t* input(int l) const { return l ? layer[l - 1].h : x; }
  METHOD long long input_ld(int l) const { return l ? layer[l - 1].ldh : ldx; }

  // As the table says that engines/block/memory.py made. Members of a team have parts of their own of the scratch
  // memory and of the gradients' panels.
  METHOD void lay_out(const int* shape, const int* table, Arena arena) {
    layers = shape[0];
    const int *sizes = shape + 1, *activations = sizes + layers + 1;
#if FRONT
    const int *kinds = activations + layers, *details = kinds + layers;
#endif
    batch_rows = table[N_BATCH_ROWS], ldx = table[N_LDX], panel_numbers = table[N_PANEL_NUMBERS];
    row_loss = arena.at(table[N_ROW_LOSS]);
    row_weight = arena.at(table[N_ROW_WEIGHT]);
    row_right = arena.at(table[N_ROW_RIGHT]);
    rows = (int*)arena.at(table[N_ROWS]);
    parts = arena.at(table[N_PARTS]);
    d = arena.at(table[N_D]);
    x = arena.at(table[N_X]);
    sums = arena.at(table[N_SUMS]);
    scratch = own_scratch(arena.at(table[N_SCRATCH]), table[N_PACKED_STEPS]);
    real_t* gradients = arena.at(table[N_GRADIENTS]);
    if (gradients) gradients += own_member() * panel_numbers;
    for (int l = 0; l < layers; l++) {
      const int* of_layer = table + NETWORK_NUMBERS + l * (LAYER_NUMBERS + slots);
      Layer& at = layer[l];
#if FRONT
      at.kind = kinds[l], at.place = l;
      const int* its = details + l * LAYER_DETAILS;
      at.columns_of = its[0], at.rows_of = its[1], at.decaying_rows_of = its[2];
      at.frequencies = its[3], at.sums = its[4], at.n_passing = its[6], at.groups = its[7];
      at.numbers = details + layers * LAYER_DETAILS + its[8];
      at.passing = at.numbers + its[5], at.group_ends = at.passing + at.n_passing;
#endif
      at.I = sizes[l], at.O = sizes[l + 1], at.activation = activations[l];
      at.ldw = of_layer[L_LDW], at.ldd = of_layer[L_LDD], at.ldu = of_layer[L_LDU];
      at.ldh = at.ldz = at.ldr = of_layer[L_LDH];
#if FRONT
      if (is_periodic(at.kind)) at.ldz = at.ldw, at.ldr = at.sums * at.ldw;
      if (at.kind == EMBED) at.ldr = at.groups * at.ldw;
#endif
      at.h = arena.at(of_layer[L_H]);
      at.d = arena.at(of_layer[L_D]);
      at.z = arena.at(of_layer[L_Z]);
      at.raw = arena.at(of_layer[L_RAW]);
      at.keep = arena.at(of_layer[L_KEEP]);
      at.w = arena.at(of_layer[L_W]);
      at.copied = at.w != nullptr;
      at.g = arena.at(of_layer[L_G]);
      if (!at.g) at.g = gradients;
      for (int s = 0; s < slots; s++) at.slot[s] = arena.at(of_layer[LAYER_NUMBERS + s]);
    }
  }
  METHOD long long parameters() const {
    long long count = 0;
    for (int l = 0; l < layers; l++) count += layer[l].rows() * layer[l].columns();
    return count;
  }
};
