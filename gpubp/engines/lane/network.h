// The shape of a network, fixed at compile time, and where each parameter lies in its flat row of K.
//
// Definitions: SIZES = inputs, hidden ..., outputs; ACTIVATIONS = one code (activations.h) for each layer of weights.
// The layout is that of gpubp.operations.architecture: layer after layer, W (I, O) row by row and then b (O).
#pragma once
#include "dialect.h"

namespace net {
constexpr int sizes[] = {SIZES};
constexpr int activations[] = {ACTIVATIONS};
constexpr int layers = sizeof(sizes) / sizeof(int) - 1;  // of weights
static_assert(sizeof(activations) / sizeof(int) == layers, "one activation for each layer of weights");

CONSTANT_FN int weights(int layer) {
  int offset = 0;
  for (int l = 0; l < layer; l++) offset += (sizes[l] + 1) * sizes[l + 1];
  return offset;
}
CONSTANT_FN int biases(int layer) { return weights(layer) + sizes[layer] * sizes[layer + 1]; }
// where the values of a layer of neurons (0: the first hidden one) begin among those of all layers
CONSTANT_FN int values(int layer) {
  int offset = 0;
  for (int l = 0; l < layer; l++) offset += sizes[l + 1];
  return offset;
}
constexpr int inputs = sizes[0];
constexpr int outputs = sizes[layers];
constexpr int parameters = weights(layers);  // K
constexpr int neurons = values(layers);
}  // namespace net
