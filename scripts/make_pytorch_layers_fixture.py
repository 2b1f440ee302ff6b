"""Train networks with layers in front in PyTorch, and write the fixture of test_layers_against_pytorch.py.

As make_pytorch_fixture.py, which says how PyTorch is installed:

    /tmp/pytorch/bin/python scripts/make_pytorch_layers_fixture.py

For each case, in float64: the named parameters before training, the named gradients of the first update (L2 included),
the loss of each of 10 updates on all rows (L2 included, each before its update), and the parameters after them. Groups
of parameters are PyTorch's parameter groups, with rates and decays of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from make_pytorch_fixture import ACTIVATIONS, N_INPUTS, N_OUTPUTS, N_ROWS, Case, data, row_losses
from torch import Tensor

FIXTURE = Path(__file__).parents[1] / "tests" / "fixtures" / "pytorch_layers.json"
N_STEPS = 10
INDICATOR = 1  # the place of the one input that is no number


def case(name: str, front: list[str], loss: str = "cross_entropy", activation: str = "selu", **options: Any) -> Case:
    """options: as in `Settings`, and layer_options."""
    usual: Case = {
        "optimizer_options": {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.1},
        "learning_rate": 0.02,
        "l2": 0.0,
        "label_smoothing": 0.0,
        "schedule": "constant",
        "layer_options": {},
    }
    return {"name": name, "front": front, "hidden": [6, 5], "activation": activation, "loss": loss} | usual | options


def cases() -> Iterator[Case]:
    rates = {"bias_rate": 0.1, "first_rate": 1.5, "fan_in_power": 0.5}
    scale = {"scale_rate": 6.0, "scale_decay": 6.0}
    waves = {"periodic_rate": 0.3, "periodic_decay": 0.5}
    yield case("scale", ["scale"], layer_options=scale, l2=0.3)
    yield case("pbld", ["pbld:3x4"], layer_options=waves)
    yield case("pl", ["pl:3x2"], "squared_error", "tanh", layer_options=waves, l2=0.3)
    yield case("plr", ["plr:3x4"], layer_options=waves)
    yield case("rates of dense layers", [], "squared_error", "mish", layer_options=rates)
    yield case(
        "a network for tables", ["pbld:4x4", "scale"], layer_options=rates | scale | waves, label_smoothing=0.1,
        schedule="coslog4",
    )  # fmt: skip


def coslog(t: float) -> float:
    return 0.5 * (1.0 - math.cos(2.0 * math.pi * math.log2(1.0 + 15.0 * t)))


class Waves(torch.nn.Module):
    """gpubp's pbld, pl and plr; numbers: the places of the inputs that are embedded."""

    def __init__(self, kind: str, frequencies: int, outputs: int, numbers: list[int], n_inputs: int) -> None:
        super().__init__()
        self.kind, self.numbers = kind, numbers
        self.passing = list(range(n_inputs)) if kind == "pbld" else [i for i in range(n_inputs) if i not in numbers]
        sums, M = outputs - (kind == "pbld"), len(numbers)
        waves = frequencies if kind == "pbld" else 2 * frequencies
        self.frequencies = torch.nn.Parameter(0.3 * torch.randn(frequencies, M))
        self.weights = torch.nn.Parameter((2 * torch.rand(waves, sums, M) - 1) / math.sqrt(waves))
        if kind == "pbld":
            self.phases = torch.nn.Parameter((2 * torch.rand(frequencies, M) - 1) * math.pi)
        self.biases = torch.nn.Parameter((2 * torch.rand(sums, M) - 1) / math.sqrt(waves))
        self.n_outputs = sums * M + len(self.passing)

    def forward(self, x: Tensor) -> Tensor:
        u = 2 * math.pi * x[:, None, self.numbers] * self.frequencies
        waves = torch.cos(u + self.phases) if self.kind == "pbld" else torch.cat([torch.cos(u), torch.sin(u)], dim=1)
        z = torch.einsum("bcm,cdm->bdm", waves, self.weights) + self.biases
        z = torch.relu(z) if self.kind == "plr" else z
        return torch.cat([z.flatten(1), x[:, self.passing]], dim=1)


class Scale(torch.nn.Module):
    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.factors = torch.nn.Parameter(1 + 0.2 * torch.randn(n_inputs))
        self.n_outputs = n_inputs

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factors


class Dense(torch.nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int, activation: str) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(n_inputs, n_outputs) / math.sqrt(n_inputs))
        self.biases = torch.nn.Parameter(0.1 * torch.randn(n_outputs))
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x @ self.weights + self.biases)


def network(case: Case) -> torch.nn.Sequential:
    layers: list[Any] = []
    width = N_INPUTS
    for spec in case["front"]:
        kind, _, sizes = spec.partition(":")
        numbers = [i for i in range(N_INPUTS) if i != INDICATOR]
        made = Scale(width) if kind == "scale" else Waves(kind, *map(int, sizes.split("x")), numbers, width)
        layers.append(made)
        width = made.n_outputs
    for size in case["hidden"]:
        layers.append(Dense(width, size, case["activation"]))
        width = size
    layers.append(Dense(width, N_OUTPUTS, "identity"))
    return torch.nn.Sequential(*layers)


def factors(case: Case, model: torch.nn.Sequential) -> Iterator[tuple[Tensor, float, float, float]]:
    """Each parameter with what its rate, its L2 and its weight decay are multiplied by."""
    options = case["layer_options"]
    first = True
    for layer in model:
        for name, parameter in layer.named_parameters():
            if isinstance(layer, Scale):
                yield parameter, options["scale_rate"], options["scale_decay"], options["scale_decay"]
            elif isinstance(layer, Waves):
                decay = options["periodic_decay"] if name in ("frequencies", "weights") else 0.0
                yield parameter, options["periodic_rate"], decay, decay
            else:
                rate = options.get("first_rate", 1.0) if first else 1.0
                if name == "biases":
                    yield parameter, rate * options.get("bias_rate", 1.0), 0.0, 0.0
                else:
                    shrunk = len(parameter) ** -options.get("fan_in_power", 0.0)
                    yield parameter, rate * shrunk, 1.0, 1.0 / shrunk
        first = first and not isinstance(layer, Dense)


def named(model: torch.nn.Sequential, value: Callable[[Tensor], Tensor]) -> list[dict[str, Any]]:
    return [{name: value(each).tolist() for name, each in layer.named_parameters()} for layer in model]


def train(case: Case, table: dict[str, Tensor]) -> Case:
    model = network(case)
    result: Case = {"parameters": named(model, torch.detach), "losses": []}
    X, T = table["X"], table[case["loss"]]
    options, rate = case["optimizer_options"], case["learning_rate"]
    groups = [
        {"params": [parameter], "lr": rate * own, "weight_decay": options["weight_decay"] * decay}
        for parameter, own, _, decay in factors(case, model)
    ]
    optimizer = torch.optim.AdamW(groups, betas=(options["beta1"], options["beta2"]), eps=options["epsilon"])
    factor = (lambda step: coslog(step / N_STEPS)) if case["schedule"] == "coslog4" else (lambda step: 1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for step in range(N_STEPS):
        optimizer.zero_grad()
        penalty = sum(l2 * parameter.square().sum() for parameter, _, l2, _ in factors(case, model))
        loss = row_losses(case, model(X), T).mean() + 0.5 * case["l2"] * penalty / N_ROWS
        loss.backward()
        if step == 0:
            result["gradients"] = named(model, lambda parameter: parameter.grad)
        optimizer.step()
        schedule.step()
        result["losses"].append(loss.item())
    result["trained_parameters"] = named(model, torch.detach)
    return case | result


def main(
    output: Annotated[Path, typer.Option(help="Where to write the fixture.")] = FIXTURE,
    seed: Annotated[int, typer.Option(help="Of the data and the initial weights.")] = 0,
) -> None:
    """Write the fixture: data, cases, and what PyTorch made of them."""
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    table = data()
    table["X"][:, INDICATOR] = (table["X"][:, INDICATOR] > 0).to(table["X"].dtype)
    fixture = {
        "written_by": f"scripts/make_pytorch_layers_fixture.py, PyTorch {torch.__version__}, seed {seed}",
        "indicators": [INDICATOR],
        "data": {name: table[name].tolist() for name in ("X", "cross_entropy", "squared_error")},
        "cases": [train(each, table) for each in cases()],
    }
    lines = json.dumps(fixture, separators=(",", ":")).replace('{"name"', '\n{"name"')  # one line for each case
    output.write_text(lines + "\n", encoding="utf-8")
    typer.echo(f"wrote {len(fixture['cases'])} cases, {output.stat().st_size / 1000:.0f} kB: {output}")


if __name__ == "__main__":
    typer.run(main)
