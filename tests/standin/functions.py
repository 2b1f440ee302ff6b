"""The functions of the module `cupy`, with the keywords that CuPy 13 and 14 both take, and no others.

Add one only after a look into CuPy's documentation: what is not here shall fail in the tests, as it would on
a machine with a GPU. Left out on purpose: `random` (gpubp's numbers are counter-based), `errstate` (a device
raises no warnings), and `RawModule` (kernels are loaded by cuda-core: standin/cuda_core.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from standin.array import device_array, ndarray, operand, operands, scalar, wrap
from standin.reductions import METHODS, into

FUNCTIONS: dict[str, Callable[..., Any]] = {}


def provided(function: Callable[..., Any]) -> Callable[..., Any]:
    """It becomes `cupy.<its name>`."""
    FUNCTIONS[function.__name__] = function
    return function


def _from_method(name: str) -> Callable[..., Any]:
    def function(a: Any, *arguments: Any, **options: Any) -> Any:
        device_array(a)
        return getattr(a, name)(*arguments, **options)

    return wraps(getattr(ndarray, name))(function)  # the method's parameters are the function's


for _name in [*METHODS, "ravel", "squeeze", "swapaxes", "transpose", "copy"]:
    FUNCTIONS[_name] = _from_method(_name)


# --- shapes ---


@provided
def reshape(a: Any, shape: Any, /, order: str = "C") -> ndarray:
    return wrap(np.reshape(device_array(a), shape, order=order))


@provided
def expand_dims(a: Any, axis: Any) -> ndarray:
    return wrap(np.expand_dims(device_array(a), axis))


@provided
def atleast_2d(*arys: Any) -> Any:
    found = [wrap(np.atleast_2d(device_array(a))) for a in arys]
    return found[0] if len(found) == 1 else found


@provided
def moveaxis(a: Any, source: Any, destination: Any) -> ndarray:
    return wrap(np.moveaxis(device_array(a), source, destination))


@provided
def broadcast_to(array: Any, shape: Any) -> ndarray:
    """Read-only here, as in NumPy: in CuPy a write reaches every element that shares the place."""
    return wrap(np.broadcast_to(device_array(array), shape))


@provided
def broadcast_arrays(*args: Any) -> list[ndarray]:
    shape = np.broadcast_shapes(*(device_array(array).shape for array in args))
    return [broadcast_to(array, shape) for array in args]


@provided
def concatenate(tup: Any, axis: int | None = 0, out: Any = None, *, dtype: Any = None) -> ndarray:
    return into(out, np.concatenate, [device_array(a) for a in tup], axis=axis, dtype=dtype)


@provided
def stack(tup: Any, axis: int = 0, out: Any = None, *, dtype: Any = None) -> ndarray:
    return into(out, np.stack, [device_array(a) for a in tup], axis=axis, dtype=dtype)


@provided
def tile(A: Any, reps: Any) -> ndarray:
    return wrap(np.tile(device_array(A), reps))


@provided
def repeat(a: Any, repeats: int, axis: int | None = None) -> ndarray:
    return wrap(np.repeat(device_array(a), scalar(repeats), axis))


# --- choosing and computing ---


@provided
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """No `out`: to write into an array, use `copyto(dst, src, where=condition)`."""
    mask = device_array(condition).astype(bool)
    if x is None and y is None:
        return condition.nonzero()
    if x is None or y is None:
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    return into(None, np.where, mask, *operands(x, y))


@provided
def take_along_axis(a: Any, indices: Any, axis: int) -> ndarray:
    return wrap(np.take_along_axis(device_array(a), device_array(indices), axis))


@provided
def dot(a: Any, b: Any, out: Any = None) -> ndarray:
    return into(out, np.dot, device_array(a), device_array(b))


@provided
def tensordot(a: Any, b: Any, axes: Any = 2) -> ndarray:
    return wrap(np.tensordot(device_array(a), device_array(b), axes))


@provided
def einsum(subscripts: str, *operands: Any, dtype: Any = None, optimize: Any = False) -> ndarray:
    """No `out`."""
    return into(None, np.einsum, subscripts, *map(device_array, operands), dtype=dtype, optimize=optimize)


@provided
def count_nonzero(a: Any, axis: Any = None) -> ndarray:
    return wrap(np.count_nonzero(device_array(a), axis=axis))


@provided
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> ndarray:
    return wrap(np.array_equal(device_array(a1), device_array(a2), equal_nan))


@provided
def shares_memory(a: Any, b: Any) -> bool:
    return np.shares_memory(device_array(a), device_array(b))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> ndarray:
    """`cupy.linalg.norm`."""
    return into(None, np.linalg.norm, device_array(x), ord=ord, axis=axis, keepdims=keepdims)


@provided
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    return np.result_type(*(operand(a) if isinstance(a, ndarray) else a for a in arrays_and_dtypes))


@provided
def argsort(a: Any, axis: int = -1, kind: str | None = None) -> ndarray:
    """Stable, always: there is no other kind, but NumPy needs `kind="stable"` to be so too."""
    _require_stable(kind)
    return wrap(device_array(a)).argsort(axis)


@provided
def sort(a: Any, axis: int = -1, kind: str | None = None) -> ndarray:
    """A sorted copy; the method sorts in place."""
    _require_stable(kind)
    ordered = wrap(device_array(a).copy())
    ordered.sort(axis)
    return ordered


def _require_stable(kind: str | None) -> None:
    if kind not in (None, "stable"):
        raise ValueError(f"kind={kind!r} is not supported: CuPy's sorts are stable")
