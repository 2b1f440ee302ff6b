"""Measure the native kernels' mathematics: the worst error in ulp of each function, and its speed.

float is judged by float64 libraries (a thousand times finer than its ulp), double by mpmath.

    python scripts/measure_ulp.py                  # a few million floats and 20,000 doubles per function
    python scripts/measure_ulp.py --every          # all 2^32 floats (some minutes per function)
    python scripts/measure_ulp.py --doubles 1000000
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from ctypes import c_int, c_longlong, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import mpmath as mp
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy import special

import gpubp
from gpubp.backends.host_compiler import HostLibrary, compile_library

DIALECT = Path(gpubp.__file__).parent / "engines" / "dialect"
SOURCE = '#include "elementwise.h"\n'
REALS: dict[str, type[np.floating[Any]]] = {"float": np.float32, "double": np.float64}
CHUNK = 1 << 22
MPMATH_DIGITS = 40


@dataclass(frozen=True)
class Reference:
    """What a native function should give: in float64 arrays, and to any number of digits."""

    array: Callable[[Any], Any]
    exact: Callable[[Any], Any]
    low: float = -6.0  # the arguments that timing uses
    peer: str = ""  # what `array` is called in the table of times


def _softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def _cut(x: Any) -> Any:
    """Waves of larger angles are those of ±100,000: see mathematics.h."""
    return np.clip(x, -1e5, 1e5) if isinstance(x, np.ndarray) else max(min(x, mp.mpf(100_000)), mp.mpf(-100_000))


FUNCTIONS = {
    "exp": Reference(np.exp, mp.exp, peer="numpy.exp"),
    "expm1": Reference(np.expm1, mp.expm1, peer="numpy.expm1"),
    "logistic": Reference(special.expit, lambda x: 1 / (1 + mp.exp(-x)), peer="scipy.special.expit"),
    "tanh": Reference(np.tanh, mp.tanh, peer="numpy.tanh"),
    "erf": Reference(special.erf, mp.erf, peer="scipy.special.erf"),
    "log": Reference(np.log, mp.log, low=0.01, peer="numpy.log"),
    "log1p": Reference(np.log1p, mp.log1p, low=-0.99, peer="numpy.log1p"),
    "sin": Reference(lambda x: np.sin(_cut(x)), lambda x: mp.sin(_cut(x)), peer="numpy.sin"),
    "cos": Reference(lambda x: np.cos(_cut(x)), lambda x: mp.cos(_cut(x)), peer="numpy.cos"),
    "softplus": Reference(lambda x: np.logaddexp(x, x.dtype.type(0)), _softplus, peer="numpy.logaddexp"),
}


def stated_bounds(name: str) -> dict[str, float]:
    """The maximum errors, in ulp, that the function's comment in mathematics.h promises."""
    text = (DIALECT / "mathematics.h").read_text()
    found = re.search(rf"At most ([\d.]+) / ([\d.]+) ulp\.\nFN lane_t lane_{name}\(", text)
    if found is None:
        raise LookupError(f"mathematics.h states no maximum error just above lane_{name}")
    return {"float": float(found[1]), "double": float(found[2])}


def apply(library: HostLibrary, name: str, x: np.ndarray) -> np.ndarray:
    """map_<name> over an array of any length."""
    lanes = library.function("lane_count", (), c_int)()
    padded = np.concatenate([x, np.ones(-x.size % lanes, x.dtype)])
    result = np.empty_like(padded)
    library.function(f"map_{name}", (c_void_p, c_void_p, c_longlong))(
        padded.ctypes.data, result.ctypes.data, padded.size
    )
    return result[: x.size]


def floats(step: int) -> Iterator[np.ndarray]:
    """Every `step`-th float by its bit pattern: all exponents, both signs, denormals, infinities and NaNs."""
    for first in range(0, 1 << 32, CHUNK * step):
        yield (
            np.arange(first, min(first + CHUNK * step, 1 << 32), step, dtype=np.uint64)
            .astype(np.uint32)
            .view(np.float32)
        )


def doubles(count: int, seed: int = 1) -> np.ndarray:
    """Doubles of all exponents, and more of them where the functions bend."""
    rng = np.random.default_rng(seed)
    part = count // 5
    patterns = rng.integers(0, 1 << 64, part, dtype=np.uint64).view(np.float64)
    magnitudes = np.ldexp(rng.uniform(1, 2, part), rng.integers(-60, 11, part)) * rng.choice([-1, 1], part)
    near_one = 1 + np.ldexp(rng.uniform(-1, 1, part), -rng.integers(0, 50, part))
    values = np.concatenate(
        [patterns, magnitudes, near_one, rng.uniform(-40, 40, part), rng.uniform(-3, 3, count - 4 * part)]
    )
    return values[np.isfinite(values)]


def float_errors(y: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|y - exact| in ulp of float, for float64 references; infinite where y is not the right infinity or NaN.

    Zero instead of a denormal number is no error: mathematics.h says so.
    """
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    ulp = np.ldexp(1.0, np.maximum(np.frexp(exact)[1], -125) - 24)
    finite = np.isfinite(rounded) & np.isfinite(y)
    error = np.abs(y - exact, where=finite, out=np.zeros(y.size)) / ulp
    special_right = (rounded == y) | (np.isnan(rounded) & np.isnan(y))
    error = np.where(finite, error, np.where(special_right, 0.0, np.inf))
    return np.where((y == 0) & (np.abs(exact) < np.finfo(np.float32).tiny), 0.0, error)


def double_error(y: float, exact: Any) -> float:
    """The same for one double against mpmath."""
    if not np.isfinite(y) or mp.isinf(exact):
        return 0.0 if y == float(exact) else float("inf")
    if y == 0 and abs(exact) < np.finfo(np.float64).tiny:
        return 0.0
    ulp = mp.ldexp(1, max(mp.frexp(exact)[1], -1021) - 53)
    return float(abs(mp.mpf(y) - exact) / ulp)


def worst_float(library: HostLibrary, name: str, step: int) -> tuple[float, float]:
    """The largest error of a float function in ulp, and where."""
    worst, place = 0.0, 0.0
    with np.errstate(all="ignore"):
        for x in floats(step):
            error = float_errors(apply(library, name, x), FUNCTIONS[name].array(x.astype(np.float64)))
            if error.max() > worst:
                worst, place = float(error.max()), float(x[error.argmax()])
    return worst, place


def worst_double(library: HostLibrary, name: str, count: int) -> tuple[float, float]:
    """The largest error of a double function in ulp, and where."""
    x = doubles(count)
    if name in ("log", "log1p"):  # outside of the domain there is nothing to measure
        x = x[x > 0] if name == "log" else x[x > -1]
    y = apply(library, name, x)
    worst, place = 0.0, 0.0
    with mp.workdps(MPMATH_DIGITS):
        for argument, result in zip(x.tolist(), y.tolist(), strict=True):
            error = double_error(result, FUNCTIONS[name].exact(mp.mpf(argument)))
            if error > worst:
                worst, place = error, argument
    return worst, place


def nanoseconds(function: Callable[[], Any], elements: int) -> float:
    """The best of many runs, per element."""
    times = []
    for _ in range(200):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) / elements * 1e9


def speed(library: HostLibrary, name: str, real: str) -> tuple[float, float]:
    """Nanoseconds per element: native, and the peer's, on an array that fits the second-level cache."""
    reference, size = FUNCTIONS[name], 16384
    x = np.linspace(reference.low, 6, size).astype(REALS[real])
    y = np.empty_like(x)
    call = library.function(f"map_{name}", (c_void_p, c_void_p, c_longlong))
    pointers = x.ctypes.data, y.ctypes.data
    native = nanoseconds(lambda: call(*pointers, size), size)
    return native, nanoseconds(lambda: reference.array(x), size)


def main(
    every: Annotated[bool, typer.Option(help="All 2^32 floats, instead of each 997th.")] = False,
    doubles: Annotated[int, typer.Option(help="How many doubles to compare with mpmath.")] = 20_000,
    only: Annotated[str, typer.Option(help="One function's name.")] = "",
) -> None:
    table = Table("function", "type", "max ulp", "at", "stated", "ns", "peer's ns", "peer")
    for name in [only] if only else FUNCTIONS:
        for real in REALS:
            library = compile_library(SOURCE, {"REAL": real}, include=DIALECT)
            if real == "float":
                worst, place = worst_float(library, name, 1 if every else 997)
            else:
                worst, place = worst_double(library, name, doubles)
            native, peer = speed(library, name, real)
            stated = stated_bounds(name)[real]
            table.add_row(
                name, real, f"{worst:.3f}", f"{place:.9g}", str(stated), f"{native:.2f}", f"{peer:.2f}",
                FUNCTIONS[name].peer,
            )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
