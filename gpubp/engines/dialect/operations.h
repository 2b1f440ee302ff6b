// Written by scripts/generate_operations.py from the entries in gpubp/operations: change those, and run it again.
//
// Definitions: LOSS, OPTIMIZER = one of the codes, where a kernel has them.
#pragma once
#include "dialect.h"

enum Activation {
  IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, ELU, SELU, SILU, GELU, GELU_TANH, MISH, SOFTPLUS, SOFTMAX, EXPONENTIAL,
  SOFTSIGN
};
enum Loss {
  SQUARED_ERROR, CROSS_ENTROPY, BINARY_CROSS_ENTROPY, POISSON, HUBER
};
enum Optimizer {
  SGD, MOMENTUM, NESTEROV, ADAM, ADAMW, RMSPROP, AMSGRAD
};
enum LayerKind {
  DENSE, SCALE, PBLD, PL, PLR, EMBED, PARAMETRIC
};
enum Hyperparameter {
  H_RATE, H_L2, H_CLIP_NORM, H_MOMENTUM, H_BETA1, H_REST1, H_LOG1, H_BETA2, H_REST2, H_LOG2, H_EPSILON, H_WEIGHT_DECAY,
  H_DECAY, H_REST_DECAY, H_DELTA, H_AVERAGE, H_REST_AVERAGE, HYPERPARAMETERS
};

// Whether an activation's backward pass reads the pre-activation.
CONSTANT_FN bool needs_input(int activation) {
  return activation == SILU || activation == GELU || activation == GELU_TANH || activation == MISH;
}

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
    case SOFTSIGN: f.template run<SOFTSIGN>(); break;
    default: f.template run<IDENTITY>();
  }
}

// Row `row` of the table of hyperparameters (HYPERPARAMETERS, P), of each lane's network.
FN lane_t load_hyperparameter(const real_t* table, int row, int n_networks, int first, int count) {
  return lane_load_networks(table + row * (long long)n_networks + first, 1, count);
}

#ifdef LOSS
static_assert(LOSS >= SQUARED_ERROR && LOSS <= HUBER, "a loss that there is not");
constexpr bool classifies = LOSS == CROSS_ENTROPY || LOSS == BINARY_CROSS_ENTROPY;
constexpr bool takes_smooth_labels = LOSS == CROSS_ENTROPY;
#define NO_LINK -1
// The output activation that belongs to the loss; NO_LINK: it takes the outputs as they are.
constexpr int loss_link =
    LOSS == CROSS_ENTROPY ? SOFTMAX
    : LOSS == BINARY_CROSS_ENTROPY ? LOGISTIC
    : LOSS == POISSON ? EXPONENTIAL
    : NO_LINK;

struct LossOptions {  // of each lane's network
  lane_t delta;

  METHOD void load(const real_t* table, int n_networks, int first, int count) {
    if constexpr (LOSS == HUBER) {
      delta = load_hyperparameter(table, H_DELTA, n_networks, first, count);
    }
  }
};
#endif

#ifdef OPTIMIZER
static_assert(OPTIMIZER >= SGD && OPTIMIZER <= AMSGRAD, "an optimizer that there is not");
// Whether the parameters are a running average of the weights that are trained.
#ifndef AVERAGES
#define AVERAGES 0
#endif
constexpr int optimizer_slots =
    OPTIMIZER == MOMENTUM ? 1
    : OPTIMIZER == NESTEROV ? 1
    : OPTIMIZER == ADAM ? 2
    : OPTIMIZER == ADAMW ? 2
    : OPTIMIZER == RMSPROP ? 1
    : OPTIMIZER == AMSGRAD ? 3
    : 0;
// State arrays (P, K): the optimizer's, and as the last one the average (outside of kernels: the weights themselves).
constexpr int slots = optimizer_slots + AVERAGES;
constexpr int slot_arrays = slots > 0 ? slots : 1;  // C++ knows no arrays of none
constexpr bool decouples_decay = OPTIMIZER == ADAMW;

struct OptimizerOptions {  // of each lane's network
  lane_t momentum, beta1, rest1, log1, beta2, rest2, log2, epsilon, weight_decay, decay, rest_decay;

  METHOD void load(const real_t* table, int n_networks, int first, int count) {
    if constexpr (OPTIMIZER == MOMENTUM || OPTIMIZER == NESTEROV) {
      momentum = load_hyperparameter(table, H_MOMENTUM, n_networks, first, count);
    }
    if constexpr (OPTIMIZER == ADAM || OPTIMIZER == ADAMW || OPTIMIZER == AMSGRAD) {
      beta1 = load_hyperparameter(table, H_BETA1, n_networks, first, count);
      rest1 = load_hyperparameter(table, H_REST1, n_networks, first, count);
      log1 = load_hyperparameter(table, H_LOG1, n_networks, first, count);
    }
    if constexpr (OPTIMIZER == ADAM || OPTIMIZER == ADAMW || OPTIMIZER == AMSGRAD) {
      beta2 = load_hyperparameter(table, H_BETA2, n_networks, first, count);
      rest2 = load_hyperparameter(table, H_REST2, n_networks, first, count);
      log2 = load_hyperparameter(table, H_LOG2, n_networks, first, count);
    }
    if constexpr (OPTIMIZER == ADAM || OPTIMIZER == ADAMW || OPTIMIZER == RMSPROP || OPTIMIZER == AMSGRAD) {
      epsilon = load_hyperparameter(table, H_EPSILON, n_networks, first, count);
    }
    if constexpr (OPTIMIZER == ADAMW) {
      weight_decay = load_hyperparameter(table, H_WEIGHT_DECAY, n_networks, first, count);
    }
    if constexpr (OPTIMIZER == RMSPROP) {
      decay = load_hyperparameter(table, H_DECAY, n_networks, first, count);
      rest_decay = load_hyperparameter(table, H_REST_DECAY, n_networks, first, count);
    }
  }
};

struct UpdateNumbers {  // which an update of each lane's network needs besides its options
  lane_t rate, step_size, step_epsilon, keep;

  // each(i, number) for those that the optimizer computes, the rate first.
  template <class Each> METHOD void for_numbers(const Each& each) {
    each(0, rate);
    if constexpr (OPTIMIZER == ADAM) each(1, step_size), each(2, step_epsilon);
    if constexpr (OPTIMIZER == ADAMW) each(1, step_size), each(2, step_epsilon), each(3, keep);
    if constexpr (OPTIMIZER == AMSGRAD) each(1, step_size), each(2, step_epsilon);
  }
};
#endif
