"""Reductions, sorts and the like: methods of `cupy.ndarray`, with the keywords that CuPy takes.

Only `axis` may be positional: after it, the order of NumPy's and CuPy's parameters differs. `initial` and
`where` do not exist. Every result is an array on the device, a 0-d one where NumPy gives a scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from standin.array import device_array, ndarray, operands, quiet, supported, wrap
from standin.state import STATE

Method = Callable[..., ndarray]


def into(out: Any, compute: Callable[..., Any], *inputs: Any, **options: Any) -> ndarray:
    """Call NumPy; give back `out` if there is one, and a new device array otherwise."""
    if options.get("dtype") is not None:
        options["dtype"] = supported(options["dtype"])
    with quiet():
        if out is None:
            return wrap(compute(*inputs, **options))
        compute(*inputs, out=device_array(out), **options)
        return out


def _reduction(name: str) -> Method:
    def method(self: ndarray, axis: Any = None, *, out: Any = None, keepdims: bool = False) -> ndarray:
        return into(out, getattr(np, name), self._memory, axis=axis, keepdims=keepdims)

    return method


def _accumulation(name: str) -> Method:
    def method(
        self: ndarray, axis: Any = None, *, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> ndarray:
        return into(out, getattr(np, name), self._memory, axis=axis, dtype=dtype, keepdims=keepdims)

    return method


def _spread(name: str) -> Method:
    def method(
        self: ndarray,
        axis: Any = None,
        *,
        dtype: Any = None,
        out: Any = None,
        ddof: int = 0,
        keepdims: bool = False,
    ) -> ndarray:
        compute = getattr(np, name)
        return into(out, compute, self._memory, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims)

    return method


def _running(name: str) -> Method:
    def method(self: ndarray, axis: Any = None, *, dtype: Any = None, out: Any = None) -> ndarray:
        return into(out, getattr(np, name), self._memory, axis=axis, dtype=dtype)

    return method


def argsort(self: ndarray, axis: int = -1) -> ndarray:
    """Stable, always; CuPy 13's methods have no `kind` (its functions do)."""
    return wrap(np.argsort(self._memory, axis=axis, kind="stable"))


def sort(self: ndarray, axis: int = -1) -> None:
    """In place, and stable."""
    self._memory.sort(axis=axis, kind="stable")


def clip(self: ndarray, minimum: Any, maximum: Any, /, *, out: Any = None) -> ndarray:
    given = [bound for bound in (minimum, maximum) if bound is not None]
    values, *bounds = operands(self, *given)
    low = bounds.pop(0) if minimum is not None else None
    high = bounds.pop(0) if maximum is not None else None
    return into(out, np.clip, values, low, high)


def take(self: ndarray, indices: Any, axis: int | None = None, out: Any = None) -> ndarray:
    """No `mode`: CuPy wraps indices that are out of range, silently; here they raise IndexError."""
    index = indices if isinstance(indices, (int, np.integer)) else device_array(indices)
    found = np.take(self._memory, index, axis=axis)
    if out is None:
        return wrap(found)
    target = device_array(out)
    if target.dtype != self.dtype:
        raise TypeError(f"Output dtype mismatch: {target.dtype}, not {self.dtype}")
    if target.shape != found.shape:
        raise ValueError(f"Output shape mismatch: {target.shape}, not {found.shape}")
    if np.shares_memory(target, self._memory):
        raise ValueError("take(out=) overlaps its input: on a device the rows are written in any order")
    target[...] = found
    return out


def nonzero(self: ndarray) -> tuple[ndarray, ...]:
    """How many there are decides the shapes, so the host waits."""
    STATE.counters.synchronize += 1
    return tuple(wrap(indices) for indices in np.nonzero(self._memory))


METHODS: dict[str, Callable[..., Any]] = {
    **{name: _reduction(name) for name in ("max", "min", "any", "all", "argmax", "argmin")},
    **{name: _accumulation(name) for name in ("sum", "prod", "mean")},
    **{name: _spread(name) for name in ("var", "std")},
    **{name: _running(name) for name in ("cumsum", "cumprod")},
    **{method.__name__: method for method in (argsort, sort, clip, take, nonzero)},
}
for _name, _method in METHODS.items():
    setattr(ndarray, _name, _method)
