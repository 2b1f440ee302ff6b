// CPU lanes: values 0, 1, ... of each lane's row, out of rows of values. A part of dialect.h.
//
// A row is read in pieces of 16 bytes. Pieces of several lanes lie side by side in a vector, and squares of values are
// transposed within its 16-byte parts. (Left to itself, g++ makes gathers of half the width of it and joins their
// results in memory, from where the whole vector has to wait for them.)
#pragma once

#define PIECE (16 / (int)sizeof(real_t))  // values
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define HAS_PIECES 1
#endif
#endif
#ifndef HAS_PIECES  // g++ before 12
#define HAS_PIECES 0
FN void gather_piece(lane_t*, const real_t*, int, lane_index_t, int) {}
#else

typedef double piece_t __attribute__((vector_size(16), aligned(sizeof(real_t)), may_alias));
typedef double half_t __attribute__((vector_size(32)));
typedef double doubles_t __attribute__((vector_size(VECTOR_BYTES)));

// Which elements of two vectors, in every 16 bytes, are interleaved: the lower or the upper ones.
#if VECTOR_BYTES == 64
#define LOW_DOUBLES 0, 8, 2, 10, 4, 12, 6, 14
#define HIGH_DOUBLES 1, 9, 3, 11, 5, 13, 7, 15
#define LOW_FLOATS 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_FLOATS 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#elif VECTOR_BYTES == 32
#define LOW_DOUBLES 0, 4, 2, 6
#define HIGH_DOUBLES 1, 5, 3, 7
#define LOW_FLOATS 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_FLOATS 2, 10, 3, 11, 6, 14, 7, 15
#else
#define LOW_DOUBLES 0, 2
#define HIGH_DOUBLES 1, 3
#define LOW_FLOATS 0, 4, 1, 5
#define HIGH_FLOATS 2, 6, 3, 7
#endif
#define INTERLEAVE_DOUBLES(a, b, which) ((lane_t)__builtin_shufflevector((doubles_t)(a), (doubles_t)(b), which))
#define INTERLEAVE_FLOATS(a, b, which) __builtin_shufflevector(a, b, which)

// The pieces at `column` of the rows of lanes first, first + PIECE, first + 2 PIECE ...
FN lane_t side_by_side(const real_t* RESTRICT base, int stride, lane_index_t row, int first, int column) {
#define PIECE_OF(lane) (*(const piece_t*)(base + (long long)row[lane] * stride + column))
#define HALF(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3)
#if VECTOR_BYTES == 64
  half_t low = HALF(PIECE_OF(first), PIECE_OF(first + PIECE));
  half_t high = HALF(PIECE_OF(first + 2 * PIECE), PIECE_OF(first + 3 * PIECE));
  return (lane_t)__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#elif VECTOR_BYTES == 32
  return (lane_t)HALF(PIECE_OF(first), PIECE_OF(first + PIECE));
#else
  return (lane_t)PIECE_OF(first);
#endif
}

// values[0 ... PIECE-1] = those from `column` on
FN void gather_piece(lane_t* values, const real_t* RESTRICT base, int stride, lane_index_t row, int column) {
  lane_t a = side_by_side(base, stride, row, 0, column), b = side_by_side(base, stride, row, 1, column);
#if REAL_IS_DOUBLE
  values[0] = INTERLEAVE_DOUBLES(a, b, LOW_DOUBLES);
  values[1] = INTERLEAVE_DOUBLES(a, b, HIGH_DOUBLES);
#else
  lane_t c = side_by_side(base, stride, row, 2, column), d = side_by_side(base, stride, row, 3, column);
  lane_t ab = INTERLEAVE_FLOATS(a, b, LOW_FLOATS), cd = INTERLEAVE_FLOATS(c, d, LOW_FLOATS);
  values[0] = INTERLEAVE_DOUBLES(ab, cd, LOW_DOUBLES);
  values[1] = INTERLEAVE_DOUBLES(ab, cd, HIGH_DOUBLES);
  ab = INTERLEAVE_FLOATS(a, b, HIGH_FLOATS), cd = INTERLEAVE_FLOATS(c, d, HIGH_FLOATS);
  values[2] = INTERLEAVE_DOUBLES(ab, cd, LOW_DOUBLES);
  values[3] = INTERLEAVE_DOUBLES(ab, cd, HIGH_DOUBLES);
#endif
}
#endif
