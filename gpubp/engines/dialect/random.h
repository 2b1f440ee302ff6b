// Counter-based random numbers and shuffles on lanes: philox.py and permutation.py say what they are, to the bit.
#pragma once
#include "dialect.h"

#define STREAM_SHUFFLE 1u
#define SHUFFLE_ROUNDS 24
#define SHUFFLE_MIXER 0x846ca68bu

struct Words {
  lane_uint_t a, b, c, d;
};

// Philox4x32-10; the key is changed on the way, so it comes by value
FN Words philox(lane_uint_t key0, lane_uint_t key1, Words x) {
  UNROLL for (int round = 0; round < 10; round++) {
    x = {lane_multiply_high(x.c, 0xcd9e8d57u) ^ x.b ^ key0, x.c * lane_set_uint(0xcd9e8d57u),
         lane_multiply_high(x.a, 0xd2511f53u) ^ x.d ^ key1, x.a * lane_set_uint(0xd2511f53u)};
    key0 = key0 + lane_set_uint(0x9e3779b9u);
    key1 = key1 + lane_set_uint(0xbb67ae85u);
  }
  return x;
}

// A shuffle of 0 ... n-1 for each lane and epoch: the same n in all lanes, their own seeds.
struct Shuffle {
  lane_uint_t n, pairing[SHUFFLE_ROUNDS], addend[SHUFFLE_ROUNDS], multiplier[SHUFFLE_ROUNDS];  // addend: multiplied

  METHOD void begin(lane_uint_t seed_low, lane_uint_t seed_high, unsigned rows, unsigned epoch) {
    n = lane_set_uint(rows);
    UNROLL for (int r = 0; r < SHUFFLE_ROUNDS; r++) {
      Words words = philox(seed_low, seed_high,
                           {lane_set_uint(r), lane_set_uint(epoch), lane_set_uint(STREAM_SHUFFLE), lane_set_uint(0)});
      // without the last term, which is 0, ptxas takes this product again for every place
      pairing[r] = lane_multiply_high(words.a, rows) ^ lane_set_uint(rows >> 31);
      multiplier[r] = words.c | lane_set_uint(1);
      addend[r] = words.b * multiplier[r];
      FORGET_VALUE(multiplier[r]);  // else their last products are taken again for every place
      FORGET_VALUE(addend[r]);
    }
  }

  // Which rows come at each lane's places; some places together, for each of them is one long chain of operations.
  template <int count> METHOD void rows(lane_uint_t (&place)[count]) const {
    UNROLL for (int r = 0; r < SHUFFLE_ROUNDS; r++) {
      UNROLL_TILE for (int c = 0; c < count; c++) {
        lane_uint_t here = place[c], partner = pairing[r] - here, around = partner + n;
        partner = lane_select_uint(around < partner, around, partner);  // a difference below 0 is a huge number
        lane_uint_t coin = lane_select_uint(here > partner, here, partner);  // the same for both of a pair
        coin = coin * multiplier[r] + addend[r];
        coin = (coin ^ (coin >> 15)) * lane_set_uint(SHUFFLE_MIXER);
        place[c] = lane_select_uint(coin >= lane_set_uint(0x80000000u), partner, here);
      }
    }
  }
};
