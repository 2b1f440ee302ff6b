// Layers before the dense ones, in the block engine: forward and backward, for all kinds in turn. Kernels of networks
// that have none do without this file.
#pragma once
#include "block_update.h"

FN void front_forward(const Layer&, const real_t*, long long, int) {}
FN void front_backward(const Layer&, const real_t*, long long, const real_t*, int, bool, const Change&) {}
