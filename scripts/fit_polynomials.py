"""Derive the polynomials of the native kernels' mathematics and write them as a C++ header.

Each polynomial is the minimax one (Remez exchange in 60 digits) for the *relative error of the function that it
serves*, rounded to the target type; the error written beside it is the rounded polynomial's.

    python scripts/fit_polynomials.py            # write gpubp/engines/dialect/polynomials.h
    python scripts/fit_polynomials.py --check    # fail if the file is not what this script writes
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import mpmath as mp
import numpy as np
import typer

HEADER = Path(__file__).parents[1] / "gpubp" / "engines" / "dialect" / "polynomials.h"
SCALARS: dict[str, type[np.floating[Any]]] = {"float": np.float32, "double": np.float64}
Function = Callable[[Any], Any]

HALF_LN2 = 0.34665  # ln(2)/2 and a little: the reduced argument may be rounded past the half
LOG_Z = 0.02944  # ((√2 - 1) / (√2 + 1))² and a little
ERF_SPLIT = 0.875  # exact in binary; below it erf has its own polynomial, above it erfc's logarithm has one
SIN_R = 1.5745  # π/2 and a little: the multiple of π that is taken off may be the next but one, far from zero
TINY = 1e-12  # the targets are 0/0 at zero itself


@dataclass(frozen=True)
class Polynomial:
    """`target` on [low, high]; `weight` turns the polynomial's error into the served function's relative error."""

    name: str
    meaning: str
    target: Function
    weight: Function
    interval: dict[str, tuple[float, float]]  # per C++ type
    degree: dict[str, int]


def both(low: float, high: float) -> dict[str, tuple[float, float]]:
    return {"float": (low, high), "double": (low, high)}


POLYNOMIALS = (
    Polynomial(
        "exp_polynomial",
        "(exp(r) - 1 - r) / r² for |r| <= ln(2)/2",
        lambda r: (mp.expm1(r) - r) / r**2,
        lambda r: r**2 / abs(mp.expm1(r)),
        both(-HALF_LN2, HALF_LN2),
        {"float": 4, "double": 9},
    ),
    Polynomial(
        "log_polynomial",
        "(log((1 + s) / (1 - s)) / s - 2) / z with z = s², for |s| <= (√2 - 1) / (√2 + 1)",
        lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z,
        lambda z: z / 2,
        both(TINY, LOG_Z),
        {"float": 2, "double": 6},
    ),
    Polynomial(
        "erf_polynomial",
        f"erf(x) / x - 1 with z = x², for |x| <= {ERF_SPLIT}",
        lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
        lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
        both(TINY, ERF_SPLIT**2),
        {"float": 5, "double": 10},
    ),
    Polynomial(
        "erfc_exponent_polynomial",
        f"-log(erfc(t + {ERF_SPLIT})) for t >= 0, up to where erf rounds to 1",
        lambda t: -mp.log(mp.erfc(t + ERF_SPLIT)),
        lambda t: mp.erfc(t + ERF_SPLIT) / mp.erf(t + ERF_SPLIT),
        {"float": (0.0, 4.0 - ERF_SPLIT), "double": (0.0, 6.0 - ERF_SPLIT)},
        {"float": 6, "double": 17},
    ),
    Polynomial(
        "sin_polynomial",
        "(sin(r) / r - 1) / z with z = r², for |r| <= π/2",
        lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
        lambda z: z * mp.sqrt(z) / mp.sin(mp.sqrt(z)),
        both(TINY, SIN_R**2),
        {"float": 3, "double": 7},
    ),
)


def remez(terms: list[list[Any]], target: list[Any], weight: list[Any]) -> list[Any]:
    """The coefficients of `terms` (grid points × terms) that minimise max |weight · (target - sum)|."""
    points, count = len(target), len(terms[0])
    # the extrema of the Chebyshev polynomial are the classic first guess (the grid is spaced likewise)
    extrema = [round((points - 1) * (i + 0.5) / (count + 1)) for i in range(count + 1)]
    for _ in range(15):  # five are enough as a rule; on a grid it may end in alternating between two
        system = mp.matrix(count + 1, count + 1)
        right = mp.matrix(count + 1, 1)
        for row, point in enumerate(extrema):
            for column in range(count):
                system[row, column] = weight[point] * terms[point][column]
            system[row, count] = (-1) ** row
            right[row] = weight[point] * target[point]
        solution = mp.lu_solve(system, right)
        coefficients, level = list(solution[:count]), abs(solution[count])
        error = [weight[p] * (target[p] - mp.fdot(terms[p], coefficients)) for p in range(points)]
        found = alternating_extrema(error, count + 1)
        if max(map(abs, error)) <= level * mp.mpf("1.001") or len(found) < count + 1:
            break
        extrema = found
    return coefficients


def alternating_extrema(error: list[Any], wanted: int) -> list[int]:
    """The largest error between any two sign changes; the smallest are dropped, in pairs inside, until few enough."""
    found: list[int] = []
    for point, value in enumerate(error):
        if found and (value > 0) == (error[found[-1]] > 0):
            if abs(value) > abs(error[found[-1]]):
                found[-1] = point
        elif value != 0:
            found.append(point)
    while len(found) > wanted:
        if len(found) == wanted + 1:
            found.pop(0 if abs(error[found[0]]) < abs(error[found[-1]]) else -1)
        else:
            pair = min(range(len(found) - 1), key=lambda i: max(abs(error[found[i]]), abs(error[found[i + 1]])))
            del found[pair : pair + 2]
    return found


def fit(polynomial: Polynomial, scalar: str) -> tuple[list[Any], float]:
    """Coefficients, lowest first, exactly representable in `scalar`, and log2 of the relative error they leave."""
    low, high = polynomial.interval[scalar]
    degree = polynomial.degree[scalar]
    last = 60 * (degree + 2) + 1  # odd, so that no grid point is zero
    grid = [low + (high - low) * (1 - mp.cos(mp.pi * i / last)) / 2 for i in range(last + 1)]
    weight = [polynomial.weight(x) for x in grid]
    target = [polynomial.target(x) for x in grid]
    terms = [[x**power for power in range(degree + 1)] for x in grid]
    rounded = [SCALARS[scalar](float(c)) for c in remez(terms, target, weight)]
    error = max(
        abs(w * (t - mp.fdot(term, map(float, rounded)))) for w, t, term in zip(weight, target, terms, strict=True)
    )
    return rounded, float(mp.log(error, 2))


def header() -> str:
    lines = [
        "// Minimax polynomials of mathematics.h, coefficients from the constant upwards.",
        "// Written by scripts/fit_polynomials.py: change them there. The errors are relative to the function that",
        "// a polynomial serves, before the roundings of its evaluation.",
        "#pragma once",
        '#include "dialect.h"',
        "",
        f"#define ERF_SPLIT ((real_t){ERF_SPLIT})",
    ]
    for scalar in SCALARS:
        lines += ["", "#if REAL_IS_DOUBLE" if scalar == "double" else "#if !REAL_IS_DOUBLE"]
        suffix = "f" if scalar == "float" else ""
        for polynomial in POLYNOMIALS:
            coefficients, error = fit(polynomial, scalar)
            literals = [f"{value!s}{suffix}" for value in coefficients]
            lines += ["", f"// {polynomial.meaning}: relative error 2^{error:.1f}"]
            lines += [f"FN lane_t {polynomial.name}(lane_t x) {{", "  return polynomial(x,"]
            for first in range(0, len(literals), 4):
                end = ");" if first + 4 >= len(literals) else ","
                lines.append("    " + ", ".join(literals[first : first + 4]) + end)
            lines.append("}")
        lines += ["", "#endif"]
    return "\n".join(lines) + "\n"


def main(check: Annotated[bool, typer.Option(help="Compare with the file instead of writing it.")] = False) -> None:
    mp.mp.dps = 60
    text = header()
    if not check:
        HEADER.write_text(text)
        print(f"wrote {HEADER}")
    elif HEADER.read_text() != text:
        sys.exit(f"{HEADER} is not what this script writes: run it without --check")


if __name__ == "__main__":
    typer.run(main)
