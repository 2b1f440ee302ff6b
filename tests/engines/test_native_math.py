"""The native kernels' mathematics: errors within what its comments state, special values, the same bits everywhere."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gpubp
from gpubp.backends.host_compiler import HostLibrary, Isa, compile_library, find_compiler, runnable_isas

ROOT = Path(__file__).parents[2]
DIALECT = Path(gpubp.__file__).parent / "engines" / "dialect"
DRIVERS = Path(__file__).parents[1] / "native"
ELEMENTWISE = '#include "elementwise.h"\n'
CUDA_BRANCH = '#include "cuda_intrinsics.h"\n#include "elementwise.h"\n'
STRICT = ("-Wall", "-Wextra", "-Werror")
NAMES = ("exp", "expm1", "logistic", "tanh", "erf", "log", "log1p", "softplus", "sin", "cos")
REALS: dict[str, Any] = {"float": np.float32, "double": np.float64}
INF, NAN = np.inf, np.nan
# the ends of exp's range: the largest argument with a finite result, the smallest with a normal one
EXP_ENDS = {"float": (88.72283, -87.33654), "double": (709.782712893384, -708.3964185322641)}
TARGETS = ("sse2", "avx2", "avx512", "native", "cuda branch")


@pytest.fixture(autouse=True, scope="module")
def _cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUBP_CACHE_DIR", str(tmp_path_factory.mktemp("native-math")))
        yield


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


ulp = script("measure_ulp")


@cache
def library(real: str, target: str = "native") -> HostLibrary:
    """The functions compiled for one target; skips, with the reason, what this CPU cannot run."""
    if target == "cuda branch":
        return compile_library(CUDA_BRANCH, {"REAL": real}, include=(DIALECT, DRIVERS), extra=STRICT)
    compiler = find_compiler()
    assert compiler is not None, "these tests need a C++ compiler"
    if target != "native" and target not in runnable_isas(compiler):
        pytest.skip(f"this CPU does not run {target}")
    isa: Isa = target  # type: ignore[assignment]
    return compile_library(ELEMENTWISE, {"REAL": real}, include=DIALECT, isa=isa, extra=STRICT)


def apply(real: str, name: str, values: Any, target: str = "native") -> np.ndarray:
    result: np.ndarray = ulp.apply(library(real, target), name, np.atleast_1d(np.asarray(values, REALS[real])))
    return result


def patterns(array: np.ndarray) -> np.ndarray:
    """The bits, with one pattern for every NaN: which NaN comes out is the one thing that targets differ in."""
    bits = array.view(np.uint32 if array.dtype == np.float32 else np.uint64).copy()
    bits[np.isnan(array)] = 1
    return bits


def neighbours(real: str, centre: float, count: int = 50_000) -> np.ndarray:
    """Consecutive numbers around a centre of either sign, ascending."""
    kind = np.int32 if real == "float" else np.int64
    middle = np.array(abs(centre), REALS[real]).view(kind)
    run = np.arange(max(int(middle) - count, 0), int(middle) + count, dtype=kind).view(REALS[real])
    run = run[np.isfinite(run)]
    return run if centre >= 0 else -run[::-1]


@pytest.mark.parametrize("epsilon", [0.0, 1e-30, 1e-8, 1.0, 1e10])
def test_ratios_without_a_branch_are_those_of_the_cpu(epsilon: float) -> None:
    """Every pair of exponents, zeros, infinity and NaN; no denormal numbers, which optimizers flush."""
    random = np.random.default_rng(3)
    mantissas = random.integers(0, 1 << 23, (2, 254, 254)).astype(np.uint32)
    mantissas[:, ::9, ::7] = random.choice([0, 1, (1 << 23) - 1], mantissas[:, ::9, ::7].shape)
    exponents = np.arange(1, 255, dtype=np.uint32) << 23
    a, v = (exponents[:, None] + mantissas[0]).view(np.float32), (exponents + mantissas[1]).view(np.float32)
    special = np.array([0.0, INF, NAN, 1.0], np.float32)
    a = np.concatenate([a.ravel() * random.choice([-1, 1], a.size), np.repeat(special, 4), np.zeros(254), special])
    v = np.concatenate([v.ravel(), np.tile(special, 4), exponents.view(np.float32), special])
    a, v = (np.concatenate([x, np.ones(-len(x) % 16)]).astype(np.float32) for x in (a, v))
    found = []
    for include in ("", '#include "cuda_intrinsics.h"\n'):
        source = include + (DRIVERS / "ratios.cpp").read_text(encoding="utf-8")
        built = compile_library(source, {"REAL": "float"}, include=(DIALECT, DRIVERS), extra=STRICT)
        ratio = np.empty_like(a)
        arguments = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_longlong, ctypes.c_float
        built.function("ratios", arguments)(a.ctypes.data, v.ctypes.data, ratio.ctypes.data, len(a), epsilon)
        found.append(patterns(ratio))
    with np.errstate(all="ignore"):
        expected = a / (np.sqrt(v) + np.float32(epsilon))
    np.testing.assert_array_equal(found[0], patterns(expected))
    np.testing.assert_array_equal(found[1], patterns(expected))


# -------------------------------------------------------------------------------------------------- accuracy
@pytest.mark.parametrize("name", NAMES)
def test_float_error_is_within_the_stated_bound(name: str) -> None:
    worst, place = ulp.worst_float(library("float"), name, step=4099)  # a million floats of all exponents
    bound = ulp.stated_bounds(name)["float"]
    assert 0.5 * bound <= worst <= bound, f"lane_{name}({place!r})"


@pytest.mark.parametrize("name", NAMES)
def test_double_error_is_within_the_stated_bound(name: str) -> None:
    worst, place = ulp.worst_double(library("double"), name, 4000)
    bound = ulp.stated_bounds(name)["double"]
    assert 0.5 * bound <= worst <= bound, f"lane_{name}({place!r})"


@pytest.mark.parametrize(("name", "float_target", "double_target"), [("exp", 1.5, 3), ("log", 1.5, 3)])
def test_the_stated_bounds_keep_what_was_promised(name: str, float_target: float, double_target: float) -> None:
    assert ulp.stated_bounds(name)["float"] <= float_target
    assert ulp.stated_bounds(name)["double"] <= double_target
    assert all(bound <= 3 for other in NAMES for bound in ulp.stated_bounds(other).values())


def test_an_error_is_seen() -> None:
    """The measure itself: one step away from the exact result is one ulp, a wrong infinity is infinitely far."""
    exact = np.array([1.0, 1.5, 1e300, 1e300, -2.0])
    found = np.array([1 + 2**-23, 1.5, np.inf, 1.0, np.nan], np.float32)
    assert ulp.float_errors(found, exact).tolist() == [1, 0, 0, np.inf, np.inf]
    assert ulp.double_error(1 + 2**-52, ulp.mp.mpf(1)) == 1
    assert ulp.double_error(1.0, ulp.mp.inf) == np.inf


# -------------------------------------------------------------------------------------------- special values
SPECIAL_VALUES: dict[str, list[tuple[float, float]]] = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (-100.0, -1.0), (-1e30, -1.0)],
    "logistic": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (100.0, 1.0), (-1e30, 0.0)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (25.0, 1.0), (-1e30, -1.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (7.0, 1.0), (-1e30, -1.0)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-1e-40, NAN), (-INF, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (INF, INF), (-1.5, NAN), (-INF, NAN)],
    "sin": [(0.0, 0.0), (-0.0, -0.0)],
    "cos": [(0.0, 1.0), (-0.0, 1.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (100.0, 100.0), (-1e30, 0.0), (2.0**100, 2.0**100)],
}


@pytest.mark.parametrize("target", ["native", "sse2", "cuda branch"])
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name: str, real: str, target: str) -> None:
    arguments = [argument for argument, _ in SPECIAL_VALUES[name]]
    expected = np.array([value for _, value in SPECIAL_VALUES[name]], REALS[real])
    result = apply(real, name, arguments, target)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(np.signbit(result[expected == 0]), np.signbit(expected[expected == 0]))
    assert np.isnan(apply(real, name, [NAN, -NAN], target)).all()


@pytest.mark.parametrize("real", REALS)
def test_the_ends_of_the_exponential(real: str) -> None:
    last, first = (REALS[real](end) for end in EXP_ENDS[real])
    beyond, below = np.nextafter(last, REALS[real](INF)), np.nextafter(first, REALS[real](-INF))
    tiny = np.finfo(REALS[real]).tiny
    exp = apply(real, "exp", [last, beyond, first, below])
    assert np.isfinite(exp[0])
    assert exp[0] > np.finfo(REALS[real]).max * 0.999
    assert exp[1] == INF
    assert tiny <= exp[2] < tiny * 1.00001
    assert exp[3] == 0  # the result would be denormal: flushed
    np.testing.assert_array_equal(np.isfinite(apply(real, "expm1", [last, beyond])), [True, False])
    logistic = apply(real, "logistic", [first, below])
    assert tiny <= logistic[0] < tiny * 1.00001
    assert logistic[1] == 0


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", ["expm1", "tanh", "log1p", "log"])
def test_denormal_arguments(name: str, real: str) -> None:
    """Small x is its own expm1, tanh and log1p, down to one step of the last place; log sees the true exponent."""
    x = np.array([np.finfo(REALS[real]).smallest_subnormal, np.finfo(REALS[real]).tiny / 3], REALS[real])
    result = apply(real, name, x)
    if name == "log":
        np.testing.assert_allclose(result, np.log(x), rtol=1e-6 if real == "float" else 1e-15)
    else:
        np.testing.assert_allclose(result, x, rtol=0, atol=float(x[0]))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", ["tanh", "erf", "sin"])
def test_odd_functions_are_odd_to_the_bit(name: str, real: str) -> None:
    x = np.linspace(0, 8, 10_001)
    np.testing.assert_array_equal(apply(real, name, -x), -apply(real, name, x))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize(
    ("name", "centres"),
    [
        ("exp", "ends"),
        ("expm1", ("ends", -17.3, -37.4)),
        ("logistic", ("ends", 17.0, 37.0)),
        ("tanh", (9.0, 19.06, -9.0, -19.06, 1e-30)),
        ("erf", (3.9, 5.9, -3.9, -5.9, 1e-30)),
        ("log", (0.0, 1e-37, 1e38)),
        ("log1p", (-0.99999, 1e-30, 1e30)),
        ("softplus", ("ends", 17.0, 37.0)),
    ],
)
def test_monotone_near_the_ends(name: str, real: str, centres: Any) -> None:
    for centre in centres if isinstance(centres, tuple) else (centres,):
        for place in EXP_ENDS[real] if centre == "ends" else (centre,):
            result = apply(real, name, neighbours(real, place))
            falls = np.flatnonzero(result[1:] < result[:-1])
            assert falls.size == 0, f"lane_{name} falls near {neighbours(real, place)[falls[0]]!r}"


# ------------------------------------------------------------------------------------------------- same bits
@pytest.mark.parametrize("target", TARGETS[1:])
@pytest.mark.parametrize("real", REALS)
def test_every_target_gives_the_same_bits(real: str, target: str) -> None:
    x = np.concatenate(list(ulp.floats(65_521))) if real == "float" else ulp.doubles(50_000)
    for name in (*NAMES, "sqrt"):
        expected, found = (patterns(apply(real, name, x, which)) for which in (TARGETS[0], target))
        different = np.flatnonzero(expected != found)
        assert different.size == 0, f"lane_{name}({x[different[0]]!r})"


def test_the_targets_differ_in_width() -> None:
    def lanes(real: str, target: str) -> int:
        return int(library(real, target).function("lane_count", (), ctypes.c_int)())

    assert (lanes("float", "sse2"), lanes("double", "sse2")) == (4, 2)
    assert (lanes("float", "cuda branch"), lanes("double", "cuda branch")) == (1, 1)
    assert lanes("float", "native") == 2 * lanes("double", "native")


@pytest.mark.parametrize("source", [ELEMENTWISE, CUDA_BRANCH], ids=["vectors", "cuda branch"])
@pytest.mark.parametrize("real", REALS)
def test_no_undefined_behaviour(real: str, source: str) -> None:
    """In a process of its own: the sanitizer ends it at the first undefined shift, overflow or misaligned access."""
    sanitize = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    built = compile_library(source, {"REAL": real}, include=(DIALECT, DRIVERS), extra=sanitize)
    program = f"""
import ctypes, numpy as np
kind = np.{REALS[real].__name__}
x = np.random.default_rng(0).integers(0, 256, 160_000, dtype=np.uint8).view(kind)
x[:7] = [0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30]
y = np.empty(x.size + 1, kind)
library = ctypes.CDLL({str(built.path)!r})
for name in {(*NAMES, "sqrt")!r}:
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in (x, y[1:])]
    library["map_" + name](*addresses, ctypes.c_longlong(x.size))
print("done")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


# ------------------------------------------------------------------------------------------------ the dialect
@pytest.fixture(params=["sse2", "native", "cuda branch"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(REALS))
def real(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Helper = Callable[..., np.ndarray]


@pytest.fixture
def helper(real: str, target: str) -> Helper:
    """helper(name, *arguments, groups=1): a function of dialect_helpers.cpp; arrays of one value per lane."""
    definitions: dict[str, object] = {"REAL": real} | ({"TEST_CUDA_BRANCH": 1} if target == "cuda branch" else {})
    built = compile_library(
        (DRIVERS / "dialect_helpers.cpp").read_text(),
        definitions,
        include=(DIALECT, DRIVERS),
        isa="sse2" if target == "sse2" else "native",
        extra=STRICT,
    )
    lanes = built.function("lane_count", (), ctypes.c_int)()

    def call(name: str, *arguments: Any, groups: int = 1) -> np.ndarray:
        """Floats are repeated to fill the lanes; the result is (groups, lanes)."""
        held: list[np.ndarray] = []  # arrays live as long as their addresses are in use
        values: list[Any] = []
        for argument in arguments:
            if isinstance(argument, int):
                values.append(ctypes.c_int(argument))
                continue
            array = np.asarray(argument, REALS[real] if np.asarray(argument).dtype.kind == "f" else np.int32)
            held.append(np.ascontiguousarray(array if array.ndim > 1 else np.resize(array, max(lanes, array.size))))
            values.append(ctypes.c_void_p(held[-1].ctypes.data))
        result = np.zeros((groups, lanes), REALS[real])
        built.function(name, [type(value) for value in values] + [ctypes.c_void_p])(*values, result.ctypes.data)
        return result

    return call


def test_fma_rounds_once_and_operators_twice(helper: Helper, real: str) -> None:
    bits = 12 if real == "float" else 27
    a = REALS[real](1 + 2.0**-bits)  # a² needs twice the bits: its last one survives in an fma only
    c = -REALS[real](a * a)
    exact = Fraction(float(a)) ** 2 + Fraction(float(c))
    assert exact != 0
    np.testing.assert_array_equal(helper("fused", [a], [a], [c]), REALS[real](float(exact)))
    np.testing.assert_array_equal(helper("rounded_twice", [a], [a], [c]), 0)


def test_division_is_correctly_rounded(helper: Helper, real: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        a, b = rng.uniform(0.1, 10, (2, 1)).astype(REALS[real])
        np.testing.assert_array_equal(helper("divided", a, b), (a / b).item())


def test_flush_keeps_normal_numbers_and_nan(helper: Helper, real: str) -> None:
    tiny = float(np.finfo(REALS[real]).tiny)
    for value, expected in [(tiny, tiny), (-tiny, -tiny), (tiny / 2, 0), (-tiny / 2, 0), (NAN, NAN), (-INF, -INF)]:
        np.testing.assert_array_equal(helper("flushed", [value]), REALS[real](expected))


def test_limits_keep_nan(helper: Helper) -> None:
    for value, expected in [(0.5, 0.5), (3.0, 1.0), (-INF, -1.0), (NAN, NAN)]:
        np.testing.assert_array_equal(helper("limited", [value]), expected)


def test_each_lane_gathers_its_own_row(helper: Helper, real: str) -> None:
    table = np.arange(40 * 5, dtype=REALS[real]).reshape(40, 5)  # rows of 5, of which 3 are asked for
    rows = np.random.default_rng(3).permutation(40)[:16].astype(np.int32)
    found = helper("gathered", table, 5, rows, groups=3)
    np.testing.assert_array_equal(found, table[rows[: found.shape[1]], :3].T)


def test_integer_lanes_become_masks_of_float_lanes(helper: Helper) -> None:
    labels = np.array([2, 0, 2, 1, 2, 2], np.int32)
    rows = np.resize(np.array([0, 1, 2, 3, 4, 5], np.int32), 16)
    found = helper("chosen", labels, rows, 2, 4, 6)[0]  # lanes stand for the places 4, 5, 6 …: two are below 6
    expected = np.where((labels[rows] == 2) & (np.arange(16) + 4 < 6), 1, -1)
    np.testing.assert_array_equal(found, expected[: found.size])


# --------------------------------------------------------------------------------------------- written files
def test_the_polynomials_are_what_their_script_derives() -> None:
    fit = script("fit_polynomials")
    with fit.mp.workdps(60):
        assert fit.header() == (DIALECT / "polynomials.h").read_text(), "run scripts/fit_polynomials.py"
