"""The stand-in for CuPy computes what NumPy computes, in arrays that stay on its device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import standin
from standin.array import ndarray
from standin.ufuncs import COMPARISONS, OPERATORS, UFUNCS

HOST = np.arange(6, dtype=np.float32).reshape(2, 3) + 1


@pytest.fixture
def cp() -> Iterator[Any]:
    with standin.installed() as cupy:
        yield cupy


@pytest.fixture
def x(cp: Any) -> Any:
    """A device array (2, 3), float32, with the counters at zero."""
    array = cp.asarray(HOST)
    cp.counters.reset()
    return array


def values(array: Any) -> np.ndarray:
    """What lies in a device array, uncounted."""
    assert isinstance(array, ndarray)
    return array._memory


def test_results_are_device_arrays_also_where_numpy_gives_scalars(cp: Any, x: Any) -> None:
    for result in (x.sum(), x[0, 0], cp.sqrt(2.0), x.argmax(), cp.count_nonzero(x), x.max(axis=1)[0], x.mean()):
        assert isinstance(result, ndarray)
        assert result.ndim == 0


def test_a_single_element_is_a_view(x: Any) -> None:
    corner = x[1, 2]
    corner[...] = 9.0
    assert values(x)[1, 2] == 9
    x.reshape(3, 2)[0] = 7.0
    assert values(x)[0].tolist() == [7, 7, 3]


def test_indexing_by_device_arrays_gives_copies(cp: Any, x: Any) -> None:
    rows = x[cp.asarray([1, 0])]
    rows[...] = 0.0
    first = x[cp.asarray(0)]
    first[...] = 0.0
    np.testing.assert_array_equal(values(x), HOST)


def test_python_scalars_are_weak_and_fitting_numpy_scalars_pass(cp: Any, x: Any) -> None:
    for result in (x * 2.5, 2.5 * x, x + 1, 1 - x, x * np.float32(2), np.float32(2) * x, cp.where(x > 1, x, 0.0)):
        assert result.dtype == np.float32
    words = cp.arange(4, dtype=np.uint32)
    assert ((words * np.uint32(0x9E3779B9)) >> 7).dtype == np.uint32
    assert (words + 1.0).dtype == np.float64


def test_in_place_operators_write_where_they_stand(cp: Any, x: Any) -> None:
    y = x
    x += 1
    x *= x
    x -= cp.ones(3, dtype=np.float32)
    x /= 2
    x **= 2
    assert y is x
    np.testing.assert_allclose(values(x), (((HOST + 1) ** 2 - 1) / 2) ** 2)
    z = cp.asarray([12, 10])
    z //= 5
    z <<= 3
    z >>= 1
    z |= 1
    z &= 7
    z ^= 2
    z %= 4
    assert z.tolist() == [((12 // 5 << 3 >> 1 | 1) & 7 ^ 2) % 4, ((10 // 5 << 3 >> 1 | 1) & 7 ^ 2) % 4]


def test_operators_agree_with_numpy(cp: Any, x: Any) -> None:
    y = cp.asarray(HOST[::-1].copy())
    for name in OPERATORS:
        device, host = (x, y), (HOST, HOST[::-1])
        if name in ("and", "or", "xor", "lshift", "rshift"):
            device, host = (x.astype(int), y.astype(int)), (HOST.astype(int), HOST[::-1].astype(int))
        expected = getattr(host[0], f"__{name}__")(host[1])
        np.testing.assert_array_equal(values(getattr(device[0], f"__{name}__")(device[1])), expected)
        np.testing.assert_array_equal(values(getattr(device[1], f"__r{name}__")(device[0])), expected)
    for name in COMPARISONS:
        np.testing.assert_array_equal(values(getattr(x, f"__{name}__")(y)), getattr(HOST, f"__{name}__")(HOST[::-1]))
    np.testing.assert_array_equal(values(-x), -HOST)
    np.testing.assert_array_equal(values(abs(-x)), HOST)
    np.testing.assert_array_equal(values(~(x > 2)), ~(HOST > 2))
    np.testing.assert_allclose(values(x @ y.T), HOST @ HOST[::-1].T)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "max", "min", "argmax", "argmin", "any", "all", "var", "std"])
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_agree_with_numpy(cp: Any, x: Any, name: str, axis: int | None, keepdims: bool) -> None:
    expected = getattr(np, name)(HOST, axis=axis, keepdims=keepdims)
    for found in (getattr(x, name)(axis, keepdims=keepdims), getattr(cp, name)(x, axis=axis, keepdims=keepdims)):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(values(found), expected)
    out = cp.empty(np.shape(expected), expected.dtype)
    assert getattr(x, name)(axis=axis, out=out, keepdims=keepdims) is out
    np.testing.assert_array_equal(values(out), expected)


AGREE: dict[str, Callable[[Any, Any], Any]] = {
    "matmul, batched": lambda xp, a: xp.matmul(xp.stack([a, a]), a.T),
    "matmul, vectors": lambda xp, a: xp.matmul(a[0], a[1]),
    "dot": lambda xp, a: xp.dot(a, a.T),
    "tensordot": lambda xp, a: xp.tensordot(a, a, axes=2),
    "einsum": lambda xp, a: xp.einsum("pi,pj->pij", a, a),
    "norm": lambda xp, a: xp.linalg.norm(a, axis=1),
    "add.reduce": lambda xp, a: xp.add.reduce(a, axis=1),
    "multiply.reduce": lambda xp, a: xp.multiply.reduce(a),
    "cumsum": lambda xp, a: xp.cumsum(a, axis=1),
    "argsort": lambda xp, a: xp.argsort(-a, axis=1, kind="stable"),
    "sort": lambda xp, a: xp.sort(-a),
    "clip": lambda xp, a: xp.clip(a, 2, a * 0 + 4),
    "clip from above": lambda xp, a: xp.clip(a, None, 4),
    "take": lambda xp, a: xp.take(a, a[0].astype(int) - 1, axis=1),
    "take one": lambda xp, a: xp.take(a, 1, axis=1),
    "take_along_axis": lambda xp, a: xp.take_along_axis(a, xp.argsort(-a, axis=1), 1),
    "reshape": lambda xp, a: xp.reshape(a, (3, -1)),
    "ravel": lambda xp, a: xp.ravel(a.T),
    "flatten": lambda xp, a: a.T.flatten(),
    "transpose": lambda xp, a: a.transpose(1, 0),
    "swapaxes": lambda xp, a: xp.swapaxes(a, 0, 1),
    "moveaxis": lambda xp, a: xp.moveaxis(a, 0, 1),
    "squeeze": lambda xp, a: xp.squeeze(a[None]),
    "expand_dims": lambda xp, a: xp.expand_dims(a, -1),
    "atleast_2d": lambda xp, a: xp.atleast_2d(a[0]),
    "broadcast_arrays": lambda xp, a: xp.broadcast_arrays(a[0], a)[0],
    "concatenate": lambda xp, a: xp.concatenate([a, a], axis=1),
    "tile": lambda xp, a: xp.tile(a, (2, 1)),
    "repeat": lambda xp, a: xp.repeat(a, 2, axis=0),
    "view": lambda xp, a: a.view(np.uint32),
    "astype": lambda xp, a: (a * 1e10).astype(np.float16),
    "full": lambda xp, a: xp.full((2,), 7, dtype=np.uint8),
    "full of one of the array's": lambda xp, a: xp.full(2, a[0, 0]),
    "full_like": lambda xp, a: xp.full_like(a, 3),
    "ones": lambda xp, a: xp.ones((2, 1)) + xp.ones_like(a),
    "arange": lambda xp, a: xp.arange(2, 9, 3, dtype=np.uint32),
    "eye": lambda xp, a: xp.eye(3, k=1),
    "where": lambda xp, a: xp.where(a > 2, 1.0, a),
    "nonzero": lambda xp, a: xp.nonzero(a > 2)[1],
    "array_equal": lambda xp, a: xp.array_equal(a, a),
    "logaddexp": lambda xp, a: xp.logaddexp(a, -a),
    "division by zero": lambda xp, a: (a - a) / (a - a) + 1 / (a - a),
    "masked": lambda xp, a: a[a > 2],
    "new axes": lambda xp, a: a[:, None, ..., 1:],
    "ascontiguousarray": lambda xp, a: xp.ascontiguousarray(a.T, dtype=np.float64),
    "result_type": lambda xp, a: xp.zeros(1, xp.result_type(a, np.float64)),
}


@pytest.mark.parametrize("compute", AGREE.values(), ids=AGREE)
def test_functions_agree_with_numpy(cp: Any, x: Any, compute: Callable[[Any, Any], Any]) -> None:
    """And give no warning: a device has none."""
    with np.errstate(all="ignore"):
        expected = np.asarray(compute(np, HOST.copy()))
    found = compute(cp, x)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(values(found), expected)


@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs_agree_with_numpy(cp: Any, name: str) -> None:
    compute = getattr(np, name)
    whole = any(word in name for word in ("bitwise", "shift", "invert"))
    inputs = [np.array([1, 2, 3], dtype=np.int64 if whole else np.float32)] * compute.nin
    device = [cp.asarray(host) for host in inputs]
    expected = compute(*inputs)
    out = cp.empty(3, expected.dtype)
    for found in (getattr(cp, name)(*device), getattr(cp, name)(*device, out), getattr(cp, name)(*device, out=out)):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(values(found), expected)
    assert found is out


def test_copies_are_independent(x: Any) -> None:
    for duplicate in (x.copy(), copy.deepcopy(x), x.astype(np.float32)):
        duplicate.fill(0)
    assert x.astype(np.float32, copy=False) is x
    np.testing.assert_array_equal(values(x), HOST)


def test_memory_can_be_compared(cp: Any, x: Any) -> None:
    assert cp.shares_memory(x, x.T)
    assert not cp.shares_memory(x, x.copy())
