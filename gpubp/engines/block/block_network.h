// What the block engine's kernel is given, and how it lays out a network's working memory.
#pragma once
#include "block_train_arguments.h"
#include "losses.h"
#include "optimizers.h"
#if TARGET_CUDA
#include "block_cuda.h"
#else
#include "block_cpu.h"
#endif

#define MOST_LAYERS 32
#define PARTIAL_SUMS 64  // a sum over all parameters is taken in so many parts, by column, whatever the vector's width

struct Kahan {  // a compensated sum (Kahan 1965): the loss of a long epoch keeps its digits
  real_t total = 0, lost = 0;
  METHOD void add(real_t value) {
    real_t corrected = value - lost, next = total + corrected;
    lost = (next - total) - corrected;
    total = next;
  }
};

// One layer of a network's working memory: weights and what belongs to them with rows of ldw (biases as row I), values
// of a batch with rows of their own. h has a column of ones at O, which makes the bias gradient a row of the product.
// With dropout, h = raw times keep; without, raw is h and there is no keep. d, the gradient at the pre-activations, takes
// the place of h, but for the last layer's, whose values validation needs. g: the layer's gradient, where clipping needs
// all of them at a time; else room for it, or for a panel of it, that layers take turns with.
struct Layer {
  int I, O, activation;
  long long ldw, ldh, ldd, ldz, ldr;
  real_t *w, *slot[slot_arrays], *g, *z, *raw, *keep, *h, *d;
};

// Where a network's arrays lie: as long as there is room in the memory that a CUDA block's threads share, there; the
// others in the device's own, which is some ten times as far away. On a CPU all of them are in one piece. The bits do not
// depend on it.
struct Room {
  real_t *near, *far;
  int near_left;  // numbers
  METHOD real_t* take(long long count) {
    if (count <= near_left) {
      near += count, near_left -= (int)count;
      return near - count;
    }
    far += count;
    return far - count;
  }
};

struct Network {
  int layers, batch_rows;
  Layer layer[MOST_LAYERS];
  real_t* d;  // the gradient at the values of the layer at hand, with rows as that layer's weights have
  real_t *x, *scratch, *row_loss, *row_weight, *row_right, *parts, *sums;
  int* rows;
  long long ldx;

  METHOD int inputs() const { return layer[0].I; }
  METHOD int outputs() const { return layer[layers - 1].O; }
  METHOD real_t* input(int l) const { return l ? layer[l - 1].h : x; }
  METHOD long long input_ld(int l) const { return l ? layer[l - 1].ldh : ldx; }

  // Lays the memory out, what is used most often first; engines/block/kernel.py reserves at least as much.
  METHOD void lay_out(const Task& task, Room room) {
    layers = task.shape[0];
    const int *sizes = task.shape + 1, *activations = sizes + layers + 1;
    batch_rows = (task.batch + 15) / 16 * 16;
    row_loss = room.take(batch_rows);
    row_weight = room.take(batch_rows);
    row_right = room.take(batch_rows);
    rows = (int*)room.take(batch_rows);
    parts = room.take(PARTIAL_SUMS);
    ldx = padded(sizes[0] + 1);
    long long most_packed = 0, most_gradients = 0, most_values = 0;
    for (int l = 0; l < layers; l++) {
      Layer& at = layer[l];
      at.I = sizes[l], at.O = sizes[l + 1], at.activation = activations[l];
      at.ldw = in_place(at.I, at.O) ? at.O : padded(at.O), at.ldh = padded(at.O + 1);
      at.h = room.take(batch_rows * at.ldh);
      bool is_last = l == layers - 1;
      at.d = is_last ? room.take(batch_rows * padded(at.O)) : at.h, at.ldd = is_last ? padded(at.O) : at.ldh;
      most_values = larger(most_values, is_last ? 0 : batch_rows * padded(at.O));
      bool keeps_input = needs_input(at.activation), drops = task.drop_below && !is_last;
      at.z = keeps_input ? room.take(batch_rows * at.ldh) : at.h, at.ldz = at.ldh;
      at.raw = drops ? room.take(batch_rows * at.ldh) : at.h, at.ldr = at.ldh;
      at.keep = drops ? room.take(batch_rows * at.ldh) : nullptr;
      most_packed = larger(most_packed, scratch_numbers(at.I, at.O));
      most_gradients = larger(most_gradients, gradient_numbers(at.I + 1, at.O));
    }
    d = room.take(most_values);
    x = room.take(batch_rows * ldx);
    for (int l = 0; l < layers; l++) layer[l].w = room.take(copied(l));
    scratch = room.take(most_packed);
    real_t* gradients = task.has_clip ? nullptr : room.take(most_gradients);
    for (int l = 0; l < layers; l++) layer[l].g = task.has_clip ? room.take(matrix(l)) : gradients;
    for (int l = 0; l < layers; l++)
      for (int s = 0; s < slots; s++) layer[l].slot[s] = room.take(copied(l));
    sums = room.take(2 * layer[layers - 1].ldw);
  }
  // For the forward pass alone, on `rows` rows.
  METHOD void lay_out_forward(const int* shape, int rows, Room room) {
    layers = shape[0];
    const int *sizes = shape + 1, *activations = sizes + layers + 1;
    batch_rows = (rows + 15) / 16 * 16;
    ldx = padded(sizes[0]);
    x = room.take(batch_rows * ldx);
    for (int l = 0; l < layers; l++) {
      Layer& at = layer[l];
      at.I = sizes[l], at.O = sizes[l + 1], at.activation = activations[l];
      at.ldw = padded(at.O), at.ldh = at.ldz = at.ldr = padded(at.O + 1);
      at.z = at.raw = at.h = room.take(batch_rows * at.ldh);
      at.keep = nullptr;
    }
    long long most_packed = 0;
    for (int l = 0; l < layers; l++) {
      layer[l].w = room.take(matrix(l));
      most_packed = larger(most_packed, scratch_numbers(layer[l].I, layer[l].O));
    }
    scratch = room.take(most_packed);
  }
  METHOD long long parameters() const {
    long long count = 0;
    for (int l = 0; l < layers; l++) count += (layer[l].I + 1) * layer[l].O;
    return count;
  }
  METHOD long long matrix(int l) const { return (layer[l].I + 1) * layer[l].ldw; }
  METHOD long long copied(int l) const { return in_place(layer[l].I, layer[l].O) ? 0 : matrix(l); }
  METHOD long long larger(long long a, long long b) const { return a > b ? a : b; }
};
