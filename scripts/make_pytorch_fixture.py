"""Train small networks in PyTorch, in float64, and write what happened as the fixture of test_against_pytorch.py.

PyTorch is not a dependency of gpubp; this script needs it, and nothing of gpubp:

    python -m venv /tmp/pytorch
    /tmp/pytorch/bin/pip install typer torch --extra-index-url https://download.pytorch.org/whl/cpu
    /tmp/pytorch/bin/python scripts/make_pytorch_fixture.py

For each case: the named parameters before training, the named gradients of the first batch (L2 term included, before
clipping), the loss of each of 10 updates (L2 term included, each before its update), and the parameters after them.
gpubp's conventions are spelled out here in PyTorch's terms: see `objective`, `clip` and `optimizer_of`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

try:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
except ImportError:
    sys.exit("This script needs PyTorch, which gpubp itself does not: its first lines say how to install it.")

FIXTURE = Path(__file__).parents[1] / "tests" / "fixtures" / "pytorch_training.json"
N_ROWS, N_INPUTS, N_OUTPUTS, N_STEPS = 18, 4, 3, 10

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "silu": F.silu,
    "gelu": lambda z: F.gelu(z, approximate="none"),
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "mish": F.mish,
    "softplus": F.softplus,
}
HYPERPARAMETERS: dict[str, dict[str, float]] = {
    "sgd": {},
    "momentum": {"momentum": 0.85},
    "nesterov": {"momentum": 0.85},
    "adam": {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-7},
    "adamw": {"beta1": 0.85, "beta2": 0.98, "epsilon": 1e-8, "weight_decay": 0.2},
    "rmsprop": {"decay": 0.9, "epsilon": 1e-6},
}
RATES = {"sgd": 0.3, "momentum": 0.1, "nesterov": 0.1, "adam": 0.02, "adamw": 0.02, "rmsprop": 0.01}
LINKS = {"cross_entropy": "softmax", "binary_cross_entropy": "logistic", "poisson": "exponential"}

Case = dict[str, Any]


def case(
    name: str,
    hidden: tuple[int, ...] = (5,),
    activation: str = "tanh",
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    output: str = "identity",
    targets: str = "",
    batch_size: int = N_ROWS,
    **more: Any,
) -> Case:
    """`output`: the activation before a squared error; the other losses have their own. more: see `Settings`."""
    return {
        "name": name,
        "hidden": list(hidden),
        "activations": [*[activation] * len(hidden), LINKS.get(loss, output)],
        "loss": loss,
        "optimizer": optimizer,
        "optimizer_options": HYPERPARAMETERS[optimizer],
        "learning_rate": RATES[optimizer],
        "targets": targets or loss,
        "batch_size": batch_size,
        "l2": 0.0,
        "clip_norm": None,
        "label_smoothing": 0.0,
        "schedule": "constant",
        "schedule_options": {},
        "row_weights": False,
        **more,
    }


def cases() -> Iterator[Case]:
    for name in ACTIVATIONS:
        yield case(f"activation {name}", (5, 4), name, optimizer="adam")
    for name in ("logistic", "tanh", "softplus", "gelu"):
        yield case(f"output {name}", loss="squared_error", output=name)
    for name in HYPERPARAMETERS:  # 4 batches of 4 rows and one of 2, twice
        yield case(f"optimizer {name}", optimizer=name, batch_size=4)
    for depth, hidden in enumerate([(), (5,), (5, 4), (3, 5, 4)]):
        for loss in ("squared_error", "cross_entropy", "binary_cross_entropy", "poisson"):
            yield case(f"depth {depth} {loss}", hidden, "silu", loss, "momentum", learning_rate=0.03)
    yield case("soft targets", targets="soft")
    yield case("label smoothing", label_smoothing=0.15)
    yield case("label smoothing of soft targets in batches", targets="soft", label_smoothing=0.3, batch_size=4)
    for name in ("sgd", "nesterov", "adam", "adamw"):
        yield case(f"l2 {name}", (5, 4), optimizer=name, l2=0.7, batch_size=4)
    for limit in (0.05, 0.4, 100.0):
        yield case(f"clip at {limit:g}", optimizer="momentum", clip_norm=limit, l2=0.3, batch_size=4)
    for loss in ("squared_error", "cross_entropy", "binary_cross_entropy", "poisson"):
        yield case(f"row weights {loss}", (4,), "relu", loss, row_weights=True, batch_size=4, learning_rate=0.05)
    yield case("step schedule", schedule="step", schedule_options={"every": 3.0, "factor": 0.4}, optimizer="adam")
    yield case("cosine schedule", schedule="cosine", schedule_options={"floor": 0.1}, optimizer="rmsprop")
    yield case(
        "all at once", (5, 4), "mish", optimizer="adamw", l2=0.5, clip_norm=0.3, label_smoothing=0.1, row_weights=True,
        batch_size=4, targets="soft",
    )  # fmt: skip


def data() -> dict[str, Tensor]:
    """Inputs, row weights (one of them 0), and targets of each kind."""
    X = torch.randn(N_ROWS, N_INPUTS)
    classes = torch.randint(N_OUTPUTS, (N_ROWS,))
    weights = torch.rand(N_ROWS) * 2 + 0.1
    weights[5] = 0.0
    return {
        "X": X,
        "row_weights": weights,
        "cross_entropy": F.one_hot(classes, N_OUTPUTS).to(X.dtype),
        "soft": torch.softmax(torch.randn(N_ROWS, N_OUTPUTS), dim=1),
        "binary_cross_entropy": torch.randint(2, (N_ROWS, N_OUTPUTS)).to(X.dtype),
        "squared_error": torch.randn(N_ROWS, N_OUTPUTS),
        "poisson": torch.poisson(torch.full((N_ROWS, N_OUTPUTS), 1.5)),
    }


class Mlp(torch.nn.Module):
    def __init__(self, case: Case) -> None:
        super().__init__()
        sizes = [N_INPUTS, *case["hidden"], N_OUTPUTS]
        self.layers = torch.nn.ModuleList([torch.nn.Linear(*pair) for pair in pairwise(sizes)])
        names = case["activations"]
        # The last layer's link belongs to the loss, which takes the values before it.
        self.activations = [ACTIVATIONS[name] for name in names[:-1]]
        self.activations.append(ACTIVATIONS["identity" if case["loss"] in LINKS else names[-1]])

    def forward(self, x: Tensor) -> Tensor:
        for layer, activation in zip(self.layers, self.activations, strict=True):
            x = activation(layer(x))
        return x

    def weights(self) -> list[Tensor]:
        return [layer.weight for layer in self.layers]

    def biases(self) -> list[Tensor]:
        return [layer.bias for layer in self.layers]

    def named(self, value: Callable[[Tensor], Any]) -> dict[str, Any]:
        """{"W0": (fan-in, fan-out), "b0": …}; PyTorch's own matrices are (fan-out, fan-in)."""
        named = {}
        for i, layer in enumerate(self.layers):
            named[f"W{i}"] = value(layer.weight).T.tolist()
            named[f"b{i}"] = value(layer.bias).tolist()
        return named


def row_losses(case: Case, outputs: Tensor, T: Tensor) -> Tensor:
    """(B,): each row's loss, summed over the outputs."""
    if case["loss"] == "squared_error":
        return 0.5 * F.mse_loss(outputs, T, reduction="none").sum(1)
    if case["loss"] == "cross_entropy":
        return F.cross_entropy(outputs, T, label_smoothing=case["label_smoothing"], reduction="none")
    if case["loss"] == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(outputs, T, reduction="none").sum(1)
    constant = torch.xlogy(T, T) - T  # makes it half the deviance: 0 for a perfect prediction
    return (F.poisson_nll_loss(outputs, T, log_input=True, full=False, reduction="none") + constant).sum(1)


def objective(case: Case, model: Mlp, X: Tensor, T: Tensor, row_weights: Tensor) -> Tensor:
    """The mean over the rows' weights, and scikit-learn's L2: ½ · alpha · Σ W² / total weight, biases free."""
    total = row_weights.sum()
    mean = (row_losses(case, model(X), T) * row_weights).sum() / total
    return mean + 0.5 * case["l2"] * sum(W.square().sum() for W in model.weights()) / total


def clip(model: Mlp, limit: float | None) -> None:
    """By the global norm. `torch.nn.utils.clip_grad_norm_` adds 1e-6 to the norm, which is not in the paper."""
    if limit is None:
        return
    gradients = [parameter.grad for parameter in model.parameters()]
    norm = torch.nn.utils.get_total_norm(gradients)
    if norm > limit:
        for gradient in gradients:
            gradient *= limit / norm


def optimizer_of(case: Case, model: Mlp) -> torch.optim.Optimizer:
    """At a constant rate, PyTorch's momentum (v = mu v + g; w −= rate v) takes the same steps as gpubp's, which has
    the rate inside v. AdamW's decay is on the weights alone, as all of gpubp's penalties.
    """
    parameters, rate, options = model.parameters(), case["learning_rate"], case["optimizer_options"]
    if case["optimizer"] in ("sgd", "momentum", "nesterov"):
        return torch.optim.SGD(
            parameters, lr=rate, momentum=options.get("momentum", 0.0), nesterov=case["optimizer"] == "nesterov"
        )
    if case["optimizer"] == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, alpha=options["decay"], eps=options["epsilon"])
    adam = {"lr": rate, "betas": (options["beta1"], options["beta2"]), "eps": options["epsilon"]}
    if case["optimizer"] == "adam":
        return torch.optim.Adam(parameters, **adam)
    groups = [
        {"params": model.weights(), "weight_decay": options["weight_decay"]},
        {"params": model.biases(), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, **adam)


def schedule_of(case: Case, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """One step of it for each update; the cases with a schedule have one update in an epoch."""
    options = case["schedule_options"]
    if case["schedule"] == "step":
        return torch.optim.lr_scheduler.StepLR(optimizer, int(options["every"]), options["factor"])
    if case["schedule"] == "cosine":
        floor = options["floor"] * case["learning_rate"]
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, N_STEPS, eta_min=floor)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def train(case: Case, table: dict[str, Tensor]) -> Case:
    model = Mlp(case)
    result: Case = {"parameters": model.named(torch.detach), "losses": []}
    optimizer = optimizer_of(case, model)
    schedule = schedule_of(case, optimizer)
    X, T = table["X"], table[case["targets"]]
    row_weights = table["row_weights"] if case["row_weights"] else torch.ones(N_ROWS)
    starts = list(range(0, N_ROWS, case["batch_size"]))
    while len(result["losses"]) < N_STEPS:
        start = starts[len(result["losses"]) % len(starts)]
        rows = slice(start, start + case["batch_size"])
        optimizer.zero_grad()
        loss = objective(case, model, X[rows], T[rows], row_weights[rows])
        loss.backward()
        if not result["losses"]:
            result["gradients"] = model.named(lambda parameter: parameter.grad)
        clip(model, case["clip_norm"])
        optimizer.step()
        schedule.step()
        result["losses"].append(loss.item())
    result["trained_parameters"] = model.named(torch.detach)
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
    fixture = {
        "written_by": f"scripts/make_pytorch_fixture.py, PyTorch {torch.__version__}, seed {seed}",
        "data": {name: values.tolist() for name, values in table.items()},
        "cases": [train(each, table) for each in cases()],
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = json.dumps(fixture, separators=(",", ":")).replace('{"name"', '\n{"name"')  # one line for each case
    output.write_text(lines + "\n", encoding="utf-8")
    typer.echo(f"wrote {len(fixture['cases'])} cases, {output.stat().st_size / 1000:.0f} kB: {output}")


if __name__ == "__main__":
    typer.run(main)
