"""The PTX instructions that the kernels are made of, each spelled out as NVRTC writes it.

What is not here is refused. That is on purpose for `add.f32`, `mul.f32` and their like without a rounding: ptxas may
contract such a product and sum into an fma; and for everything with `.ftz`, which flushes denormal numbers, or
`.approx`, but for the two approximations that divisions.h makes exact results of.
https://docs.nvidia.com/cuda/parallel-thread-execution says what each of them does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from proof.exact import fma

Compute = Callable[..., np.ndarray]
DTYPES = {
    "pred": np.dtype(np.bool_), "u8": np.dtype(np.uint8), "s8": np.dtype(np.int8), "b16": np.dtype(np.uint16),
    "u16": np.dtype(np.uint16), "s16": np.dtype(np.int16),
    "b32": np.dtype(np.uint32), "u32": np.dtype(np.uint32), "s32": np.dtype(np.int32),
    "b64": np.dtype(np.uint64), "u64": np.dtype(np.uint64), "s64": np.dtype(np.int64), "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """result = compute(*operands), where the operands are arrays of the types named."""

    compute: Compute
    operands: tuple[str, ...]


def _shift(shift: Compute, filled: Compute) -> Compute:
    """PTX shifts by more than the width too."""

    def compute(a: np.ndarray, by: np.ndarray) -> np.ndarray:
        width = 8 * a.dtype.itemsize
        within = np.minimum(by, width - 1).astype(a.dtype)
        return np.where(by < width, shift(a, within), filled(a, width))

    return compute


def _zero(a: np.ndarray, width: int) -> np.ndarray:
    return np.zeros_like(a)


def _sign(a: np.ndarray, width: int) -> np.ndarray:
    return a >> a.dtype.type(width - 1)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Towards zero."""
    floor = a // b
    return floor + ((floor * b != a) & ((a < 0) != (b < 0)))


def _high_u32(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(np.uint64) * b.astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)


def _converted(dtype: np.dtype) -> Compute:
    return lambda a: a.astype(dtype)


def _select(yes: np.ndarray, no: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(which, yes, no))


def _multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return a * b + c


def _reciprocal(a: np.ndarray) -> np.ndarray:
    """To a unit in the last place, rounded upwards: a device's may be another one, what is made of it may not."""
    near = (1 / a).astype(np.float32)
    short = near.astype(np.float64) * a < 1
    return _without_denormals(np.where(short, np.nextafter(near, np.float32(np.inf)), near))


def _inverse_root(a: np.ndarray) -> np.ndarray:
    """The same, rounded downwards."""
    near = (1 / np.sqrt(a.astype(np.float64))).astype(np.float32)
    beyond = near.astype(np.float64) ** 2 * a > 1
    return _without_denormals(np.where(beyond, np.nextafter(near, np.float32(0)), near))


def _without_denormals(a: np.ndarray) -> np.ndarray:
    return np.where(np.abs(a) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), a), a).astype(np.float32)


def _table() -> dict[str, Meaning]:
    table: dict[str, Meaning] = {}

    def add(name: str, compute: Compute, *operands: str) -> None:
        table[name] = Meaning(compute, operands)

    for f in ("f32", "f64"):
        for name, compute in {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}.items():
            add(f"{name}.rn.{f}", compute, f, f)
        add(f"fma.rn.{f}", fma, f, f, f)
        add(f"sqrt.rn.{f}", np.sqrt, f)
        add(f"rcp.rn.{f}", np.reciprocal, f)
        add(f"neg.{f}", np.negative, f)
        add(f"abs.{f}", np.abs, f)
        for order, ordered in {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}.items():
            opposite = {"lt": np.greater_equal, "le": np.greater, "gt": np.less_equal, "ge": np.less}[order]
            add(f"setp.{order}.{f}", ordered, f, f)
            add(f"setp.{order}u.{f}", lambda a, b, opposite=opposite: ~opposite(a, b), f, f)  # true for NaN
        add(f"setp.eq.{f}", np.equal, f, f)
        add(f"setp.nan.{f}", lambda a, b: np.isnan(a) | np.isnan(b), f, f)
        add(f"setp.num.{f}", lambda a, b: ~(np.isnan(a) | np.isnan(b)), f, f)
        add(f"setp.neu.{f}", np.not_equal, f, f)  # true for NaN
    add("rcp.approx.ftz.f32", _reciprocal, "f32")
    add("rsqrt.approx.ftz.f32", _inverse_root, "f32")
    add("cvt.rn.f32.s64", _converted(np.dtype(np.float32)), "s64")
    add("cvt.rn.f64.s64", _converted(np.dtype(np.float64)), "s64")
    add("cvt.rn.f32.s32", _converted(np.dtype(np.float32)), "s32")
    add("cvt.rn.f64.s32", _converted(np.dtype(np.float64)), "s32")

    comparisons = {
        "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal,
        "ne": np.not_equal,
    }  # fmt: skip
    for i in ("s32", "u32", "s64", "u64"):
        add(f"add.{i}", np.add, i, i)
        add(f"sub.{i}", np.subtract, i, i)
        add(f"mul.lo.{i}", np.multiply, i, i)
        add(f"mad.lo.{i}", _multiply_add, i, i, i)
        add(f"min.{i}", np.minimum, i, i)
        add(f"max.{i}", np.maximum, i, i)
        add(f"div.{i}", _divide, i, i)
        add(f"rem.{i}", lambda a, b: a - _divide(a, b) * b, i, i)
        for order, compare in comparisons.items():
            add(f"setp.{order}.{i}", compare, i, i)
        add(f"shr.{i}", _shift(np.right_shift, _sign if i[0] == "s" else _zero), i, "u32")
    add("neg.s32", np.negative, "s32")
    add("neg.s64", np.negative, "s64")
    add("mul.hi.u32", _high_u32, "u32", "u32")
    for wide, narrow in (("s64", "s32"), ("u64", "u32")):
        add(f"mul.wide.{narrow}", lambda a, b, w=DTYPES[wide]: a.astype(w) * b.astype(w), narrow, narrow)
        add(f"cvt.{wide}.{narrow}", _converted(DTYPES[wide]), narrow)
        add(f"cvt.u32.{wide}", _converted(DTYPES["u32"]), wide)

    add("setp.eq.s16", np.equal, "s16", "s16")
    add("setp.ne.s16", np.not_equal, "s16", "s16")
    for b in ("b32", "b64"):
        add(f"setp.eq.{b}", np.equal, b, b)
        add(f"setp.ne.{b}", np.not_equal, b, b)
        add(f"shl.{b}", _shift(np.left_shift, _zero), b, "u32")
    for b in ("b32", "b64", "pred"):
        add(f"and.{b}", np.bitwise_and, b, b)
        add(f"or.{b}", np.bitwise_or, b, b)
        add(f"xor.{b}", np.bitwise_xor, b, b)
        add(f"not.{b}", np.invert, b)
    for t in ("b32", "b64", "u16", "u32", "s32", "u64", "f32", "f64", "pred"):
        add(f"mov.{t}", lambda a: a, t)
        add(f"selp.{t}", _select, t, t, "pred")
    add("cvta.to.global.u64", lambda a: a, "u64")  # generic addresses are global ones, but for a window
    for space, window in (("shared", SHARED_WINDOW), ("local", LOCAL_WINDOW)):
        add(f"cvta.{space}.u64", lambda a, window=window: a + window, "u64")
        add(f"cvta.to.{space}.u64", lambda a, window=window: a - window, "u64")
    return table


# Generic addresses from here on are those of shared memory, and of what a thread has for itself.
SHARED_WINDOW, LOCAL_WINDOW = np.uint64(1 << 48), np.uint64(1 << 49)
MEANINGS = _table()

# Of one number, or of two or four neighbours, at an aligned address.
VECTORS = {"": 1, ".v2": 2, ".v4": 4}
LOADS = {
    f"{load}{vector}.{t}": DTYPES[t]
    for load in ("ld.global", "ld.global.nc", "ld.shared", "ld.local", "ld")
    for vector in VECTORS
    for t in ("f32", "f64", "u32", "s32", "b32", "u64", "b64")
}
STORES = {
    f"{store}{vector}.{t}": DTYPES[t]
    for store in ("st.global", "st.shared", "st.local", "st")
    for vector in VECTORS
    for t in ("f32", "f64", "u8", "u32", "b32", "u64", "b64")
}
BARRIERS = ("bar.sync", "barrier.sync")
