"""The functions of the module `cupy` that make arrays, and those that move them between host and device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from standin.array import device_array, ndarray, operand, poison, quiet, scalar, supported, wrap
from standin.state import STATE

CREATION: dict[str, Callable[..., Any]] = {}


def provided(function: Callable[..., Any]) -> Callable[..., Any]:
    """It becomes `cupy.<its name>`."""
    CREATION[function.__name__] = function
    return function


# --- from and to the host ---


@provided
def array(obj: Any, dtype: Any = None, copy: bool = True, order: str = "K", *, ndmin: int = 0) -> ndarray:
    """A copy on the device, of host data (one transfer) or of a device array."""
    if isinstance(obj, ndarray):
        obj = obj.astype(obj.dtype if dtype is None else dtype, order, copy=copy)
        return obj if obj.ndim >= ndmin else wrap(obj._memory.reshape((1,) * (ndmin - obj.ndim) + obj.shape))
    if isinstance(obj, (list, tuple)) and _holds_device_array(obj):
        raise TypeError("A list of device arrays: use xp.stack or xp.concatenate.")
    values = np.array(obj, ndmin=ndmin)
    found = supported(values.dtype if dtype is None else dtype)
    values = values.astype(found, order)
    STATE.counters.count_to_device(values.nbytes)
    return wrap(values)


def _holds_device_array(items: Sequence[Any]) -> bool:
    return any(
        isinstance(item, ndarray) or (isinstance(item, (list, tuple)) and _holds_device_array(item)) for item in items
    )


@provided
def asarray(a: Any, dtype: Any = None, order: str | None = None) -> ndarray:
    """The array itself if it is on the device already, with that dtype and order."""
    if isinstance(a, ndarray) and order == "C":
        return ascontiguousarray(a, dtype)
    return array(a, dtype, copy=False, order=order or "K")


@provided
def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """The array itself if it fits already; unlike NumPy's, host arrays are refused and 0-d stays 0-d."""
    memory = device_array(a)
    found = memory.dtype if dtype is None else supported(dtype)
    if memory.flags.c_contiguous and memory.dtype == found:
        return a
    return a.astype(found, "C")


@provided
def asnumpy(a: Any, stream: None = None, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
    if isinstance(a, ndarray):
        return a.get(order=order, out=out)
    return np.asarray(a, order=order)


@provided
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    mask = True if where is None else device_array(where)
    with quiet():
        np.copyto(device_array(dst), operand(src), casting=casting, where=mask)


# --- new arrays ---


@provided
def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


@provided
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    if dtype is None:
        dtype = operand(fill_value).dtype if hasattr(fill_value, "dtype") else np.array(scalar(fill_value)).dtype
    filled = empty(shape, dtype, order)
    filled[...] = fill_value
    return filled


@provided
def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return full(shape, 0, dtype, order)


@provided
def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return full(shape, 1, dtype, order)


@provided
def empty_like(a: Any, /, dtype: Any = None, *, shape: Any = None) -> ndarray:
    """In the memory order of `a`, as NumPy and CuPy do it."""
    return wrap(poison(np.empty_like(device_array(a), dtype=None if dtype is None else supported(dtype), shape=shape)))


@provided
def full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> ndarray:
    filled = empty_like(a, dtype, shape=shape)
    filled[...] = fill_value
    return filled


@provided
def zeros_like(a: Any, dtype: Any = None, *, shape: Any = None) -> ndarray:
    return full_like(a, 0, dtype, shape=shape)


@provided
def ones_like(a: Any, dtype: Any = None, *, shape: Any = None) -> ndarray:
    return full_like(a, 1, dtype, shape=shape)


@provided
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    """The bounds are host numbers: a device scalar would have to be fetched first."""
    bounds = (0, scalar(start)) if stop is None else (scalar(start), scalar(stop))
    return wrap(np.arange(*bounds, scalar(step), dtype=dtype))


@provided
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> ndarray:
    return wrap(np.eye(N, M, k, dtype=supported(dtype)))
