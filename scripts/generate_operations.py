"""Write gpubp/engines/dialect/operations.h: what the kernels need to know of the entries in gpubp/operations.

    python scripts/generate_operations.py

Codes, which options and state arrays an operation has, what calls what: all of it follows from the entries. Formulas
are written by hand, in activations.h, losses.h and optimizers.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import gpubp.engines.dialect
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.layer_kinds import LAYERS
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.options import Option
from gpubp.operations.registry import HYPERPARAMETERS, OPTIONS, owners

HEADER = Path(gpubp.engines.dialect.__file__).with_name("operations.h")

TEXT = """\
// Written by scripts/generate_operations.py from the entries in gpubp/operations: change those, and run it again.
//
// Definitions: LOSS, OPTIMIZER = one of the codes, where a kernel has them.
#pragma once
#include "dialect.h"

{activation}
{loss}
{optimizer}
{layer_kind}
{hyperparameter}

// Whether an activation's backward pass reads the pre-activation.
CONSTANT_FN bool needs_input(int activation) {{
  return {needs_input};
}}

// Calls f with the activation's code as a compile-time constant: f.template run<A>().
template <class F> FN void with_activation(int code, const F& f) {{
  switch (code) {{
{cases}
    default: f.template run<IDENTITY>();
  }}
}}

// Row `row` of the table of hyperparameters (HYPERPARAMETERS, P), of each lane's network.
FN lane_t load_hyperparameter(const real_t* table, int row, int n_networks, int first, int count) {{
  return lane_load_networks(table + row * (long long)n_networks + first, 1, count);
}}

#ifdef LOSS
static_assert(LOSS >= {first_loss} && LOSS <= {last_loss}, "a loss that there is not");
constexpr bool classifies = {classifies};
constexpr bool takes_smooth_labels = {smooth};
#define NO_LINK -1
// The output activation that belongs to the loss; NO_LINK: it takes the outputs as they are.
constexpr int loss_link =
    {links}
    : NO_LINK;

struct LossOptions {{  // of each lane's network
{loss_options}
}};
#endif

#ifdef OPTIMIZER
static_assert(OPTIMIZER >= {first_optimizer} && OPTIMIZER <= {last_optimizer}, "an optimizer that there is not");
// Whether the parameters are a running average of the weights that are trained.
#ifndef AVERAGES
#define AVERAGES 0
#endif
constexpr int optimizer_slots =
    {slots}
    : 0;
// State arrays (P, K): the optimizer's, and as the last one the average (outside of kernels: the weights themselves).
constexpr int slots = optimizer_slots + AVERAGES;
constexpr int slot_arrays = slots > 0 ? slots : 1;  // C++ knows no arrays of none
constexpr bool decouples_decay = {decouples};

struct OptimizerOptions {{  // of each lane's network
{optimizer_options}
}};

struct UpdateNumbers {{  // which an update of each lane's network needs besides its options
  lane_t {update_numbers};

  // each(i, number) for those that the optimizer computes, the rate first.
  template <class Each> METHOD void for_numbers(const Each& each) {{
    each(0, rate);
{each_number}
  }}
}};
#endif
"""


def header() -> str:
    """The whole text."""
    uses = {name: entry.update_numbers for name, entry in OPTIMIZERS.items() if entry.update_numbers}
    return TEXT.format(
        activation=_enum("Activation", map(str.upper, ACTIVATIONS)),
        loss=_enum("Loss", map(str.upper, LOSSES)),
        optimizer=_enum("Optimizer", map(str.upper, OPTIMIZERS)),
        layer_kind=_enum("LayerKind", map(str.upper, LAYERS)),
        hyperparameter=_enum("Hyperparameter", [*(_row(name) for name in HYPERPARAMETERS), "HYPERPARAMETERS"]),
        needs_input=_any("activation", (name for name, entry in ACTIVATIONS.items() if entry.needs_input)),
        cases="\n".join(
            f"    case {name.upper()}: f.template run<{name.upper()}>(); break;"
            for name, entry in ACTIVATIONS.items()
            if entry.elementwise and name != "identity"
        ),
        first_loss=next(iter(LOSSES)).upper(),
        last_loss=[*LOSSES][-1].upper(),
        classifies=_any("LOSS", (name for name, entry in LOSSES.items() if entry.is_classification)),
        smooth=_any("LOSS", (name for name, entry in LOSSES.items() if entry.takes_smooth_labels)),
        links=_choice("LOSS", {name: entry.link.upper() for name, entry in LOSSES.items() if entry.link is not None}),
        loss_options=_options("loss", "LOSS"),
        first_optimizer=next(iter(OPTIMIZERS)).upper(),
        last_optimizer=[*OPTIMIZERS][-1].upper(),
        slots=_choice("OPTIMIZER", {name: len(entry.arrays) for name, entry in OPTIMIZERS.items() if entry.arrays}),
        decouples=_any("OPTIMIZER", (name for name, entry in OPTIMIZERS.items() if entry.decoupled_decay)),
        optimizer_options=_options("optimizer", "OPTIMIZER"),
        update_numbers=", ".join(dict.fromkeys(["rate", *(number for given in uses.values() for number in given)])),
        each_number="\n".join(
            f"    if constexpr (OPTIMIZER == {name.upper()}) "
            f"{', '.join(f'each({i}, {number})' for i, number in enumerate(numbers, start=1))};"
            for name, numbers in uses.items()
        ),
    )


def _row(name: str) -> str:
    return f"H_{name.upper()}"


def _enum(name: str, codes: Iterable[str]) -> str:
    return f"enum {name} {{\n{_wrapped(codes)}\n}};"


def _wrapped(words: Iterable[str]) -> str:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 3 <= 120:
            lines[-1] += f" {word},"
        else:
            lines.append(f"  {word},")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join(lines)


def _any(what: str, names: Iterable[str]) -> str:
    return " || ".join(f"{what} == {name.upper()}" for name in names) or "false"


def _choice(what: str, values: Mapping[str, object]) -> str:
    return "\n    : ".join(f"{what} == {name.upper()} ? {value}" for name, value in values.items())


def _options(kind: str, what: str) -> str:
    """The members of a struct, and how they are loaded."""
    options: Mapping[str, Option] = OPTIONS[kind]
    if not options:
        return "  METHOD void load(const real_t*, int, int, int) {}"
    loads: list[str] = []
    for name, option in options.items():
        loads.append(f"    if constexpr ({_any(what, owners(kind, name))}) {{")
        loads += [
            f"      {row} = load_hyperparameter(table, {_row(row)}, n_networks, first, count);" for row in option.rows
        ]
        loads.append("    }")
    rows = ", ".join(row for each in options.values() for row in each.rows)
    signature = "  METHOD void load(const real_t* table, int n_networks, int first, int count) {"
    return "\n".join([f"  lane_t {rows};", "", signature, *loads, "  }"])


def main() -> None:
    HEADER.write_text(header(), encoding="utf-8")
    print(f"Written: {HEADER}")


if __name__ == "__main__":
    main()
