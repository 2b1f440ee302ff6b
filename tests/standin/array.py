"""`cupy.ndarray`: an array that only the device's functions can touch.

The values lie in a NumPy array, hidden in `_memory`. Everything that CuPy refuses is refused; so is what CuPy
does silently and wrongly (indices out of range wrap around) or silently and slowly (host indices are copied
to the device, iteration makes one view per element).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from standin.state import STATE

SCALARS = (bool, int, float, complex, np.generic)


class Address(int):
    """`array.data.ptr`: a number, as in CuPy, that remembers its array."""

    array: ndarray


class ndarray:
    """An array in the pretended device's memory; `ndarray(shape, dtype)` is uninitialised: poisoned."""

    __slots__ = ("__weakref__", "_values", "device")
    __hash__ = None
    __array_ufunc__ = None  # np.exp(x) raises TypeError; host_array + x comes to our own operator, which refuses

    _values: Any  # np.ndarray

    def __init__(self, shape: Any, dtype: Any = float, *, order: str = "C") -> None:
        STATE.require_memory()
        self._memory = poison(np.empty(shape, supported(dtype), order))

    @property
    def _memory(self) -> Any:
        """The values, where the current device can reach them."""
        if self.device.id != STATE.device:
            raise ValueError(
                f"Array device must be same as the current device: array device = {self.device.id} while current = "
                f"{STATE.device}"
            )
        return self._values

    @_memory.setter
    def _memory(self, values: Any) -> None:
        self._values, self.device = values, SimpleNamespace(id=STATE.device)

    # --- what is refused, each with the remedy ---

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:
        raise TypeError(f"np.{function.__name__} was called with a device array: call it as backend.xp.…")

    def __iter__(self) -> NoReturn:
        raise TypeError("Iterating over a device array makes one view per element: index it, or use .get().")

    def __contains__(self, _: Any) -> NoReturn:
        raise TypeError("`in` would compare element by element with one transfer each: use xp.any(x == value).")

    # --- shape and layout: known to the host, no transfer ---

    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    dtype = property(lambda self: self._values.dtype)
    itemsize = property(lambda self: self._values.itemsize)
    nbytes = property(lambda self: self._values.nbytes)
    strides = property(lambda self: self._values.strides)
    T = property(lambda self: wrap(self._memory.T))

    @property
    def flags(self) -> SimpleNamespace:
        flags = self._values.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata)

    @property
    def data(self) -> SimpleNamespace:
        address = Address(self._memory.ctypes.data)
        address.array = self
        return SimpleNamespace(ptr=address)

    def __len__(self) -> int:
        return len(self._memory)

    # --- values that go to the host: one transfer and one wait each ---

    def get(self, stream: None = None, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
        STATE.counters.count_to_host(self.nbytes)
        if out is None:
            return np.array(self._memory, order=order)
        if type(out) is not np.ndarray or out.dtype != self.dtype or out.shape != self.shape:
            raise TypeError(f"get(out=) needs a NumPy array of {self.dtype} and shape {self.shape}")
        if not out.flags.c_contiguous:
            raise RuntimeError("get(out=) needs a contiguous array")
        out[...] = self._memory
        return out

    def item(self) -> Any:
        STATE.counters.count_to_host(self.nbytes)
        return self._memory.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.ndim == 0 else str(self), spec)

    def __str__(self) -> str:
        return str(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    # --- values that come from the host ---

    def set(self, arr: np.ndarray) -> None:
        if type(arr) is not np.ndarray or arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError(f"set() needs a NumPy array of {self.dtype} and shape {self.shape}")
        STATE.counters.count_to_device(arr.nbytes)
        self._memory[...] = arr

    def fill(self, value: Any) -> None:
        with quiet():
            self._memory.fill(scalar(value))

    # --- views and copies ---

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        return wrap(self._memory.reshape(*shape, order=order))

    def ravel(self, order: str = "C") -> ndarray:
        return wrap(self._memory.ravel(order))

    def flatten(self, order: str = "C") -> ndarray:
        return wrap(self._memory.flatten(order))

    def transpose(self, *axes: Any) -> ndarray:
        return wrap(self._memory.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return wrap(self._memory.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> ndarray:
        return wrap(self._memory.squeeze(axis))

    def view(self, dtype: Any = None) -> ndarray:
        return wrap(self._memory.view() if dtype is None else self._memory.view(supported(dtype)))

    def copy(self, order: str = "C") -> ndarray:
        """On the current device, from wherever the array is."""
        return wrap(self._values.copy(order))

    def astype(self, dtype: Any, order: str = "K", casting: str | None = None, *, copy: bool = True) -> ndarray:
        dtype = supported(dtype)
        if not copy and dtype == self.dtype and order == "K":
            return self
        with quiet():
            return wrap(self._memory.astype(dtype, order, casting or "unsafe", copy=copy))

    # --- indexing ---

    def __getitem__(self, index: Any) -> ndarray:
        index, _ = _host_index(index)
        return wrap(self._memory[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        index, by_array = _host_index(index)
        if by_array:
            written = np.arange(self.size).reshape(self.shape)[index].ravel()
            if np.unique(written).size != written.size:
                raise ValueError("An index occurs twice in an assignment: on a device either value may win.")
        with quiet():
            self._memory[index] = operand(value)


def quiet() -> Any:
    """A device raises no floating-point warnings."""
    return np.errstate(all="ignore")


def wrap(values: Any) -> ndarray:
    """Put values that NumPy computed on the device; a NumPy scalar becomes a 0-d array, as in CuPy."""
    STATE.require_memory()
    array = object.__new__(ndarray)
    array._memory = np.asarray(values)
    return array


def device_array(array: Any) -> Any:
    """The memory of a device array; TypeError for anything else."""
    if isinstance(array, ndarray):
        return array._memory
    raise TypeError(f"Unsupported type {type(array)}: a device array is needed (backend.to_device makes one)")


def scalar(value: Any) -> Any:
    """A Python or NumPy scalar, as it is; TypeError for anything else."""
    if isinstance(value, SCALARS):
        return value
    raise TypeError(f"Unsupported type {type(value)}: host arrays and lists do not mix with device arrays")


def operand(value: Any) -> Any:
    """The memory of a device array, or a scalar; TypeError for anything else."""
    return value._memory if isinstance(value, ndarray) else scalar(value)


def operands(*values: Any) -> list[Any]:
    """Several of them, as the inputs of one operation.

    A NumPy scalar may not widen the arrays it meets: CuPy 13 ignores its dtype and CuPy 14 (as NumPy 2) does
    not, so that `float32_array * np.float64(2)` has another dtype in each. Python scalars are weak in both.
    """
    arrays = [value.dtype for value in values if isinstance(value, ndarray)]
    for value in values:
        if not arrays or not isinstance(value, np.generic):
            continue
        if np.result_type(*arrays, value.dtype) != np.result_type(*arrays):
            others = ", ".join(map(str, arrays))
            raise TypeError(
                f"A NumPy scalar of {value.dtype} meets arrays of {others}: what dtype comes out depends on "
                "CuPy's version. Use a Python scalar, or convert it to the arrays' dtype."
            )
    return [operand(value) for value in values]


def supported(dtype: Any) -> np.dtype[Any]:
    """The dtype, if a CUDA device has it."""
    found = np.dtype(dtype)
    if found.kind not in "biufc" or found.itemsize > (16 if found.kind == "c" else 8):
        raise ValueError(f"Unsupported dtype {found}")
    return found


def poison(memory: np.ndarray) -> np.ndarray:
    """Make uninitialised memory as unlike zero as can be: NaN in floats, all bits set in integers."""
    if memory.dtype.kind == "b":
        memory[...] = True  # other bytes are no booleans
    else:
        memory[...] = np.frombuffer(b"\xff" * memory.itemsize, memory.dtype)[0]
    return memory


def _host_index(index: Any) -> tuple[tuple[Any, ...], bool]:
    """The index for NumPy, and whether device arrays are in it (what it finds is then a copy, not a view)."""
    items = list(index) if isinstance(index, tuple) else [index]
    by_array = False
    for place, item in enumerate(items):
        if isinstance(item, ndarray):
            by_array = True
            items[place] = item._memory
            if item.dtype.kind == "b":  # how many are true decides the shape: the host has to wait for that
                STATE.counters.synchronize += 1
        elif isinstance(item, (bool, np.bool_)) or not isinstance(
            item, (int, np.integer, slice, type(None), type(...))
        ):
            raise TypeError(
                f"A device array is indexed with {type(item)}: only integers, slices, None, ... and device "
                "arrays are indices (CuPy would copy a host array or list to the device, unasked)"
            )
    if not any(item is ... for item in items):
        items.append(...)  # so that a single element is a 0-d view and not a NumPy scalar
    return tuple(items), by_array
