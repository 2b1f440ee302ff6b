// Dropout masks on lanes: dropout.py says which random words they come from, to the bit.
#pragma once
#include "random.h"

#define STREAM_DROPOUT 4u

// A hidden neuron's words at the places 4 quad ... 4 quad + 3 of an epoch.
FN Words dropout_words(lane_uint_t seed_low, lane_uint_t seed_high, int quad, int epoch, lane_uint_t neuron) {
  return philox(seed_low, seed_high,
                {lane_set_uint(quad), lane_set_uint(epoch), lane_set_uint(STREAM_DROPOUT), neuron});
}
FN lane_uint_t word_at(const Words& words, int place) {
  return place & 2 ? (place & 1 ? words.d : words.c) : (place & 1 ? words.b : words.a);
}
// What a value is multiplied by: 0 where it is dropped, else 1 / (1 - share).
FN lane_t keep_factor(lane_uint_t word, lane_uint_t below, lane_t scale) {
  return lane_select(lane_mask_of_index(word >= below), scale, lane_set(0));
}
