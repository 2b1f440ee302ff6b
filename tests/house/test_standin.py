"""The stand-in for CuPy is as strict as the device: each refusal, each count, and nothing left behind."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import standin
from standin.array import ndarray
from standin.creation import CREATION
from standin.functions import FUNCTIONS
from standin.install import BORROWED
from standin.reductions import METHODS
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


# --- installed, and gone again ---


def cupy_modules() -> dict[str, object]:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] in ("cupy", "cupyx")}


def test_it_is_imported_as_cupy_and_leaves_nothing_behind() -> None:
    before = cupy_modules()
    with standin.installed() as cupy:
        import cupy.cuda.runtime
        import cupyx.scipy.special
        from cupy import asarray

        assert sys.modules["cupy"] is cupy
        assert standin.is_standin(cupy)
        assert asarray is cupy.asarray
        assert cupyx.scipy.special.erf(cupy.zeros(1)).item() == 0
    assert cupy_modules() == before


def test_what_was_there_is_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    real, submodule = object(), object()
    monkeypatch.setitem(sys.modules, "cupy", real)
    monkeypatch.setitem(sys.modules, "cupy.random", submodule)

    def fail_within() -> None:
        with standin.installed() as cupy:
            assert sys.modules["cupy"] is cupy
            assert "cupy.random" not in sys.modules
            raise KeyError

    with pytest.raises(KeyError):
        fail_within()
    assert (sys.modules["cupy"], sys.modules["cupy.random"]) == (real, submodule)
    assert not standin.is_standin(real)


def test_one_within_another_counts_for_itself() -> None:
    with standin.installed() as outer:
        outer.asarray(HOST)
        with standin.installed() as inner:
            inner.asarray(HOST)
            inner.asarray(HOST)
        outer.asarray(HOST)
    assert (outer.counters.to_device, inner.counters.to_device) == (2, 2)


@pytest.mark.parametrize("machine", [standin.NOT_INSTALLED, standin.BROKEN_IMPORT])
@pytest.mark.parametrize("name", ["cupy", "cupyx", "cupyx.scipy.special"])
def test_an_import_that_fails(machine: standin.Machine, name: str) -> None:
    before, finders = cupy_modules(), list(sys.meta_path)
    with standin.installed(machine), pytest.raises(ImportError):
        importlib.import_module(name)
    assert (cupy_modules(), sys.meta_path) == (before, finders)


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (standin.NO_DRIVER, "cudaErrorInsufficientDriver"),
        (standin.NO_DEVICE, "cudaErrorNoDevice"),
        (standin.ZERO_DEVICES, "cudaErrorNoDevice"),
        (standin.NO_MEMORY, "cudaErrorMemoryAllocation"),
    ],
)
def test_without_a_usable_device_every_allocation_fails(machine: standin.Machine, words: str) -> None:
    with standin.installed(machine) as cupy:
        for allocate in (lambda: cupy.zeros(2), lambda: cupy.asarray(HOST), lambda: cupy.sqrt(2.0)):
            with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match=words):
                allocate()
        assert cupy.is_available() == (machine is standin.NO_MEMORY)


def test_the_driver_answers(cp: Any) -> None:
    runtime = cp.cuda.runtime
    assert (runtime.getDeviceCount(), runtime.getDevice()) == (1, 0)
    properties = runtime.getDeviceProperties(0)
    assert isinstance(properties["name"], bytes)
    assert properties["totalGlobalMem"] == runtime.memGetInfo()[1] == cp.cuda.Device().mem_info[1]
    assert cp.cuda.Device().compute_capability == f"{properties['major']}{properties['minor']}"
    assert runtime.driverGetVersion() == runtime.runtimeGetVersion() == 13000
    with pytest.raises(runtime.CUDARuntimeError):
        runtime.getDeviceProperties(1)
    with standin.installed(standin.NO_DRIVER) as without:
        assert without.cuda.runtime.driverGetVersion() == 0


# --- refusals: what CuPy refuses ---

REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "np.asarray": lambda cp, x: np.asarray(x),
    "np.array of several": lambda cp, x: np.array([x, x]),
    "np.testing": lambda cp, x: np.testing.assert_array_equal(x, HOST),
    "a NumPy ufunc": lambda cp, x: np.exp(x),
    "a NumPy function": lambda cp, x: np.sum(x),
    "a NumPy function of several": lambda cp, x: np.concatenate([x, x]),
    "into a host array": lambda cp, x: HOST.copy().__setitem__(0, x),
    "host array in a ufunc": lambda cp, x: cp.add(x, HOST),
    "host array first in a ufunc": lambda cp, x: cp.add(HOST, x),
    "host arrays only": lambda cp, x: cp.add(HOST, HOST),
    "0-d host array": lambda cp, x: x + np.array(1.0, dtype=np.float32),
    "list in a ufunc": lambda cp, x: cp.add(x, [1, 2, 3]),
    "None in a ufunc": lambda cp, x: x == None,  # noqa: E711
    "host array as out": lambda cp, x: cp.exp(x, out=HOST.copy()),
    "host array as out of a sum": lambda cp, x: x.sum(axis=0, out=HOST[0].copy()),
    "host array in matmul": lambda cp, x: cp.matmul(x, HOST.T),
    "host array in @": lambda cp, x: x @ HOST.T,
    "host array first in @": lambda cp, x: HOST.T @ x,
    "host array as index": lambda cp, x: x[np.array([0, 1])],
    "list as index": lambda cp, x: x[[0, 1]],
    "host mask as index": lambda cp, x: x[HOST > 2],
    "a Boolean as index": lambda cp, x: x[True],
    "host array assigned": lambda cp, x: x.__setitem__(0, HOST[0]),
    "list assigned": lambda cp, x: x.__setitem__(0, [1, 2, 3]),
    "host indices in take": lambda cp, x: cp.take(x, np.array([0]), axis=0),
    "host array in take": lambda cp, x: cp.take(HOST, cp.asarray([0]), axis=0),
    "host indices in take_along_axis": lambda cp, x: cp.take_along_axis(x, np.array([[0]]), 0),
    "host array in where": lambda cp, x: cp.where(x > 1, HOST, x),
    "host condition in where": lambda cp, x: cp.where(HOST > 1, x, x),
    "host array in copyto": lambda cp, x: cp.copyto(x, HOST),
    "into a host array by copyto": lambda cp, x: cp.copyto(HOST.copy(), x),
    "host mask in copyto": lambda cp, x: cp.copyto(x, 0.0, where=HOST > 1),
    "host array in concatenate": lambda cp, x: cp.concatenate([x, HOST]),
    "host array in stack": lambda cp, x: cp.stack([x, HOST]),
    "host array in einsum": lambda cp, x: cp.einsum("ij,ij->i", x, HOST),
    "host array in clip": lambda cp, x: cp.clip(x, HOST, 3),
    "host array in a reduction": lambda cp, x: cp.sum(HOST),
    "host array in zeros_like": lambda cp, x: cp.zeros_like(HOST),
    "host array in ascontiguousarray": lambda cp, x: cp.ascontiguousarray(HOST),
    "host array filled in": lambda cp, x: x.fill(HOST),
    "device scalar as a bound": lambda cp, x: cp.arange(x.sum()),
    "device scalar in range": lambda cp, x: range(x.argmax()),
    "device scalar in a slice": lambda cp, x: x[: x.argmax()],
    "a list of device arrays": lambda cp, x: cp.asarray([x, x]),
    "iteration": lambda cp, x: list(x),
    "unpacking": lambda cp, x: (lambda *rows: rows)(*x),
    "in": lambda cp, x: 1.0 in x,
    "hash": lambda cp, x: {x},
    "where=": lambda cp, x: cp.exp(x, where=x > 0),
    "order=": lambda cp, x: cp.exp(x, order="C"),
    "initial=": lambda cp, x: cp.max(x, initial=0),
    "sum(where=)": lambda cp, x: x.sum(where=x > 0),
    "take(mode=)": lambda cp, x: cp.take(x, cp.asarray([0]), axis=0, mode="clip"),
    "where(out=)": lambda cp, x: cp.where(x > 0, x, x, out=x),
    "einsum(out=)": lambda cp, x: cp.einsum("ij->i", x, out=cp.empty(2)),
    "positional out of a reduction": lambda cp, x: x.sum(0, None, cp.empty(3)),
    "two outs": lambda cp, x: cp.add(x, x, x, x),
    "kind of a method": lambda cp, x: x.argsort(kind="stable"),
    "unsafe out": lambda cp, x: cp.exp(x, out=cp.empty(x.shape, dtype=np.int32)),
    "unsafe in place": lambda cp, x: x.astype(np.int32).__iadd__(0.5),
    "unsafe copyto": lambda cp, x: cp.copyto(cp.empty(x.shape, np.int32), x),
    "dtype of take's out": lambda cp, x: cp.take(x, cp.asarray([0]), 0, cp.empty((1, 3))),
    "a wide NumPy scalar": lambda cp, x: x * np.float64(2),
    "a wide NumPy scalar first": lambda cp, x: np.float64(2) * x,
    "a wide NumPy scalar in where": lambda cp, x: cp.where(x > 1, x, np.float64(0)),
    "a wide NumPy scalar compared": lambda cp, x: x > np.int64(2),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_refused(cp: Any, x: Any, attempt: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(TypeError):
        attempt(cp, x)
    np.testing.assert_array_equal(values(x), HOST)
    assert cp.counters.to_host == 0


@pytest.mark.parametrize("operator", [*OPERATORS, *COMPARISONS])
def test_no_operator_mixes_host_and_device(cp: Any, operator: str) -> None:
    device, host = cp.ones(3, dtype=np.int32), np.ones(3, dtype=np.int32)
    with pytest.raises(TypeError, match="do not mix"):
        getattr(device, f"__{operator}__")(host)
    if operator in OPERATORS:
        for form in ("r", "i"):
            with pytest.raises(TypeError, match="do not mix"):
                getattr(device, f"__{form}{operator}__")(host)


@pytest.mark.parametrize("expression", ["host + x", "host * x", "host < x", "host == x", "host @ x"])
def test_a_host_array_on_the_left_is_refused_too(x: Any, expression: str) -> None:
    with pytest.raises(TypeError, match=r"do not mix|device array is needed"):
        eval(expression, {"host": HOST.T if "@" in expression else HOST, "x": x})


def test_in_place_operators_do_not_move_a_device_array_to_the_host(x: Any) -> None:
    host = HOST.copy()
    with pytest.raises(TypeError):
        host += x
    np.testing.assert_array_equal(host, HOST)


def test_refusals_name_the_remedy(x: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("use `.get()`")):
        np.asarray(x)
    with pytest.raises(TypeError, match=r"np\.sum .* backend\.xp"):
        np.sum(x)
    with pytest.raises(TypeError, match="Python scalar"):
        x * np.float64(2)


WRONG_SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "ufunc out": lambda cp, x: cp.exp(x, out=cp.empty((3, 2), np.float32)),
    "take out": lambda cp, x: cp.take(x, cp.asarray([0]), 0, cp.empty((2, 3), np.float32)),
    "matmul out": lambda cp, x: cp.matmul(x, x.T, out=cp.empty((5, 2, 2), np.float32)),
    "batched matmul out": lambda cp, x: cp.matmul(cp.ones((4, 2, 3)), x.T, out=cp.empty((2, 2))),
    "sum out": lambda cp, x: x.sum(axis=0, out=cp.empty(2, np.float32)),
    "ufunc operands": lambda cp, x: x + cp.ones(2),
    "truth of many": lambda cp, x: bool(x),
    "item of many": lambda cp, x: x.item(),
    "unsupported dtype": lambda cp, x: cp.asarray(["a"]),
    "objects": lambda cp, x: cp.asarray([{}]),
    "long double": lambda cp, x: x.astype(np.longdouble),
    "an unstable sort": lambda cp, x: cp.argsort(x, kind="quicksort"),
    "a write to a broadcast": lambda cp, x: cp.broadcast_to(x, (4, 2, 3)).__setitem__(0, 0),
    "an index assigned twice": lambda cp, x: x.__setitem__(cp.asarray([1, 0, 1]), 0.0),
    "the same place twice": lambda cp, x: x.__setitem__((cp.asarray([1, -1]), cp.asarray([0, 0])), 0.0),
    "half a where": lambda cp, x: cp.where(x > 0, x),
    "set of another shape": lambda cp, x: x.set(HOST[0]),
}


@pytest.mark.parametrize("attempt", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_refused_with_a_value_error(cp: Any, x: Any, attempt: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # NumPy's own words in some of them
        attempt(cp, x)
    np.testing.assert_array_equal(values(x), HOST)


def test_matmul_does_not_write_into_what_it_reads(cp: Any) -> None:
    square = cp.ones((2, 2))
    with pytest.raises(ValueError, match="overlaps an input"):
        cp.matmul(square, square, out=square)
    with pytest.raises(ValueError, match="overlaps its input"):
        cp.take(square, cp.asarray([1, 0]), 0, square)


@pytest.mark.parametrize("index", [2, -3, 100])
def test_indices_out_of_range_do_not_wrap(cp: Any, x: Any, index: int) -> None:
    for attempt in (
        lambda: x[index],
        lambda: x[cp.asarray([index])],
        lambda: cp.take(x, cp.asarray([index]), axis=0),
        lambda: cp.take_along_axis(x, cp.full((1, 3), index), 0),
    ):
        with pytest.raises(IndexError):
            attempt()


def test_a_python_int_outside_of_the_dtype_is_refused(cp: Any) -> None:
    with pytest.raises(OverflowError):
        cp.zeros(2, dtype=np.uint32) + (-1)


@pytest.mark.parametrize("name", ["random", "errstate", "vectorize", "ElementwiseKernel", "add_at", "softmax", "_core"])
def test_what_is_not_whitelisted_is_absent_and_says_what_to_do(cp: Any, name: str) -> None:
    assert not hasattr(cp, name)
    with pytest.raises(AttributeError, match=rf"has no cupy\.{name}: .*documentation"):
        getattr(cp, name)
    with pytest.raises(ImportError):
        exec(f"from cupy import {name}")
    assert not hasattr(cp.add, "at")


# --- what crosses is counted ---

FETCHES: dict[str, Callable[[Any], Any]] = {
    "get": lambda one: one.get(),
    "item": lambda one: one.item(),
    "tolist": lambda one: one.tolist(),
    "float": float,
    "int": int,
    "complex": complex,
    "bool": bool,
    "not": lambda one: not one,
    "if": lambda one: 1 if one else 0,
    "str": str,
    "repr": repr,
    "format": lambda one: f"{one:.2f}",
}


@pytest.mark.parametrize("fetch", FETCHES.values(), ids=FETCHES)
def test_every_fetch_is_counted_once(cp: Any, x: Any, fetch: Callable[[Any], Any]) -> None:
    one = x[1, 1]
    fetched = fetch(one)
    assert cp.counters == standin.Counters(to_host=1, synchronize=1, bytes_to_host=4)
    assert not isinstance(fetched, ndarray)


def test_fetched_values_are_copies(cp: Any, x: Any) -> None:
    for fetched in (x.get(), cp.asnumpy(x), cp.asnumpy(x.T).T):
        np.testing.assert_array_equal(fetched, HOST)
        fetched += 1
    assert (cp.counters.to_host, cp.counters.bytes_to_host) == (3, 3 * HOST.nbytes)
    np.testing.assert_array_equal(values(x), HOST)
    assert cp.asnumpy(x.T).flags.c_contiguous


def test_get_into_a_host_array(cp: Any, x: Any) -> None:
    out = np.empty_like(HOST)
    assert x.get(out=out) is out
    np.testing.assert_array_equal(out, HOST)
    with pytest.raises(TypeError):
        x.get(out=np.empty((2, 3)))
    with pytest.raises(RuntimeError):
        x.get(out=np.empty((3, 2), np.float32).T)


def test_what_goes_to_the_device_is_counted(cp: Any, x: Any) -> None:
    cp.asarray(HOST)
    cp.array(HOST, dtype=np.float64)
    cp.asarray([1, 2, 3])
    cp.asarray(2.5)
    x.set(HOST + 1)
    assert cp.counters == standin.Counters(to_device=5, bytes_to_device=24 + 48 + 24 + 8 + 24)
    np.testing.assert_array_equal(values(x), HOST + 1)


def test_what_stays_on_the_device_is_free(cp: Any, x: Any) -> None:
    y = cp.asarray(x)
    assert y is x
    z = cp.array(x)
    z += x * 2 - cp.exp(x)
    z[0] = 1.0
    z[1] = x[0]
    cp.copyto(z, x, where=x > 2)
    cp.where(x > 1, x, 0.0).sum(axis=0, keepdims=True)
    cp.full((2, 2), 3.0), cp.arange(5), cp.eye(2), cp.zeros_like(x)
    cp.take(x, cp.arange(2), axis=0)
    assert (x.shape, x.ndim, x.size, x.nbytes, len(x), x.itemsize) == ((2, 3), 2, 6, 24, 2, 4)
    assert (x.strides, x.flags.c_contiguous, x.T.flags.c_contiguous) == ((12, 4), True, False)
    assert cp.counters == standin.Counters()


def test_waits_are_counted(cp: Any, x: Any) -> None:
    cp.cuda.get_current_stream().synchronize()
    cp.cuda.Device().synchronize()
    cp.cuda.runtime.deviceSynchronize()
    assert cp.counters.synchronize == 3
    mask = x > 2
    np.testing.assert_array_equal(values(x[mask]), HOST[HOST > 2])
    x[mask] = 0.0
    cp.nonzero(x)
    cp.where(mask)
    assert cp.counters == standin.Counters(synchronize=7)


# --- uninitialised memory ---


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_fresh_floats_are_nan(cp: Any, dtype: str) -> None:
    for fresh in (cp.empty((2, 3), dtype), cp.empty_like(cp.zeros((3, 2), dtype).T), cp.ndarray(4, dtype)):
        assert fresh.dtype == dtype
        assert np.isnan(values(fresh)).all()


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32", "int64", "uint64"])
def test_fresh_integers_have_all_bits_set(cp: Any, dtype: str) -> None:
    for fresh in (cp.empty(5, dtype), cp.empty_like(cp.zeros(5, dtype))):
        assert set(values(fresh).tobytes()) == {0xFF}


def test_fresh_booleans_are_true(cp: Any) -> None:
    assert values(cp.empty(3, bool)).all()


# --- it offers nothing that CuPy lacks ---


def parameters(function: Any) -> set[str]:
    """The names that a function takes, from its signature or, for compiled ones, its docstring's first line."""
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:
        return set(re.findall(r"(\w+)(?:=|,|\))", (function.__doc__ or "").strip().splitlines()[0]))


def test_it_offers_only_what_cupy_has() -> None:
    """Against CuPy itself, which needs no device for that."""
    cupy = pytest.importorskip("cupy", reason="needs CuPy, but no device", exc_type=ImportError)
    assert not standin.is_standin(cupy)
    ignored = {"self", "arguments", "options", "operands", "subscripts"}

    def surplus(mine: Any, real: Any) -> set[str]:
        named = {
            name
            for name, parameter in inspect.signature(mine).parameters.items()
            if parameter.kind is not parameter.POSITIONAL_ONLY
        }
        return named - ignored - parameters(real) - ({"dtype", "optimize"} if real is cupy.einsum else set())

    assert [name for name in BORROWED if not hasattr(cupy, name)] == []
    assert [name for name in UFUNCS if not isinstance(getattr(cupy, name, None), cupy.ufunc)] == []
    functions = {**CREATION, **FUNCTIONS}
    assert {name: surplus(f, getattr(cupy, name)) for name, f in functions.items()} == {
        name: set() for name in functions
    }
    methods = [*METHODS, "astype", "copy", "fill", "flatten", "get", "item", "ravel", "reshape", "set", "squeeze"]
    methods += ["swapaxes", "tolist", "transpose", "view"]
    found = {name: surplus(getattr(ndarray, name), getattr(cupy.ndarray, name)) for name in methods}
    assert found == {name: set() for name in methods}
