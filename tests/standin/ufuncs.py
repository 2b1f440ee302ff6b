"""`cupy.ufunc`: elementwise functions, and the operators of `cupy.ndarray`.

CuPy's take `out`, `dtype` and `casting`; NumPy's `where`, `order`, `subok` and `signature` do not exist. Of
the methods only `reduce` of add and multiply is here; `at` adds in any order on a device, so it stays out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from standin.array import device_array, ndarray, operands
from standin.reductions import into

# the lists are CuPy's names, of those that gpubp may need
UNARY = """
    abs absolute cbrt ceil cos cosh exp exp2 expm1 fabs floor invert isfinite isinf isnan log log10 log1p log2
    logical_not negative reciprocal rint sign signbit sin sinh sqrt square tan tanh trunc
""".split()  # noqa: SIM905
BINARY = """
    add bitwise_and bitwise_or bitwise_xor copysign divide equal floor_divide fmax fmin fmod greater
    greater_equal hypot left_shift less less_equal logaddexp logical_and logical_or logical_xor maximum
    minimum mod multiply nextafter not_equal power remainder right_shift subtract true_divide
""".split()  # noqa: SIM905


class ufunc:
    def __init__(self, name: str, compute: np.ufunc) -> None:
        self.name = f"cupy_{name}"
        self.nin = compute.nin
        self._compute = compute

    def __call__(self, *arrays: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> ndarray:
        if not self.nin <= len(arrays) <= self.nin + 1:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(arrays)}")
        if len(arrays) > self.nin:
            if out is not None:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            *arrays, out = arrays
        if isinstance(out, tuple):
            (out,) = out
        return into(out, self._compute, *operands(*arrays), dtype=dtype, casting=casting)

    def reduce(
        self, array: ndarray, axis: Any = 0, *, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> ndarray:
        if self.name not in ("cupy_add", "cupy_multiply"):
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        memory = device_array(array)
        return into(out, self._compute.reduce, memory, axis=axis, dtype=dtype, keepdims=keepdims)

    def __repr__(self) -> str:
        return f"<ufunc '{self.name}'>"


UFUNCS = {name: ufunc(name, getattr(np, name)) for name in UNARY + BINARY}


def matmul(a: Any, b: Any, *, out: Any = None) -> ndarray:
    """As NumPy's, with `out` of exactly the result's shape, which cuBLAS writes while it reads the inputs."""
    memories = device_array(a), device_array(b)
    if out is not None:
        batch = np.broadcast_shapes(memories[0].shape[:-2], memories[1].shape[:-2])
        rows, columns = memories[0].shape[-2:-1], memories[1].shape[1:][-1:]
        shape = (*batch, *rows, *columns)
        if device_array(out).shape != shape:
            raise ValueError(f"Output array has an invalid size: {out.shape}, not {shape}")
        if any(np.shares_memory(out._memory, memory) for memory in memories):
            raise ValueError("matmul(out=) overlaps an input: CuPy would go through a hidden copy")
    return into(out, np.matmul, *memories)


OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
SIGNS = {"neg": "negative", "invert": "invert", "abs": "absolute"}


def _attach_operators() -> None:
    """`a + b`, `b + a`, `a += b`, `a < b`, `-a`, `a @ b`, each through its ufunc."""

    def attach(operator: str, apply: Any) -> None:
        setattr(ndarray, f"__{operator}__", apply)

    for operator, name in {**OPERATORS, **COMPARISONS}.items():
        attach(operator, lambda self, other, f=UFUNCS[name]: f(self, other))
    for operator, name in OPERATORS.items():
        attach(f"r{operator}", lambda self, other, f=UFUNCS[name]: f(other, self))
        attach(f"i{operator}", lambda self, other, f=UFUNCS[name]: f(self, other, out=self))
    for operator, name in SIGNS.items():
        attach(operator, lambda self, f=UFUNCS[name]: f(self))
    attach("matmul", matmul)
    attach("rmatmul", lambda self, other: matmul(other, self))


_attach_operators()
