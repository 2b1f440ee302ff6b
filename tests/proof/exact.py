"""The fused multiply-add, rounded once, on arrays: NumPy has none."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

# Within these sizes no intermediate result of the double-word arithmetic overflows or loses bits to underflow.
SMALLEST, LARGEST = 2.0**-480, 2.0**480
SPLITTER = 2.0**27 + 1


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a · b + c with one rounding, to nearest; all float32 or all float64."""
    if not a.shape == b.shape == c.shape:
        a, b, c = np.broadcast_arrays(a, b, c)
    return _fma32(a, b, c) if a.dtype == np.float32 else _fma64(a, b, c)


def _fma32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The product is exact in float64; the sum is rounded to odd there, which a second rounding cannot spoil."""
    product = a.astype(np.float64) * b.astype(np.float64)
    return _add_to_odd(product, c.astype(np.float64)).astype(np.float32)


def _fma64(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """S. Boldo and G. Melquiond, Emulation of a FMA and correctly rounded sums (IEEE Trans. Computers, 2008)."""
    high, low = _two_product(a, b)
    sum_low, error_low = _two_sum(c, low)
    sum_high, error_high = _two_sum(high, sum_low)
    result = sum_high + _add_to_odd(error_low, error_high)
    size, size_c = np.abs(a * b), np.abs(c)
    within = (size > SMALLEST) & (size < LARGEST) & ((size_c > SMALLEST) | (size_c == 0)) & (size_c < LARGEST)
    within &= (np.abs(a) < LARGEST) & (np.abs(b) < LARGEST)
    if within.all():
        return result
    exact = (a == 0) | (b == 0) | ~np.isfinite(a) | ~np.isfinite(b)  # is the product
    result = np.where(exact, a * b + c, result)
    within |= exact
    for i in np.flatnonzero(~within):
        result.flat[i] = _fma_of_one(float(a.flat[i]), float(b.flat[i]), float(c.flat[i]))
    return result


def _fma_of_one(a: float, b: float, c: float) -> float:
    """By rational numbers, which round once, to a denormal number too."""
    if not np.isfinite(c):
        return c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b rounded, and what the rounding lost (Knuth)."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def _two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a · b rounded, and what the rounding lost (Dekker)."""
    product = a * b
    a_high, b_high = _upper_half(a), _upper_half(b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _upper_half(a: np.ndarray) -> np.ndarray:
    scaled = a * SPLITTER
    return scaled - (scaled - a)


def _add_to_odd(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b in float64, rounded to the neighbour with an odd last bit unless it is exact."""
    total, error = _two_sum(a, b)
    bits: Any = np.array(total).view(np.int64)
    inexact = (error != 0) & (bits & 1 == 0) & np.isfinite(total)
    away = np.where((error > 0) == (total > 0), 1, -1)
    return np.where(inexact, bits + away, bits).view(np.float64)
