"""Backpropagation in six steps, on data small enough to follow: a walk through the tutorial that gpubp grew from.

python scripts/case_study.py
python scripts/case_study.py --backend cupy --epochs 100
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from gpubp.backends import Backend, get_backend
from gpubp.errors import GpubpError
from gpubp.storage.datasets import wheat_seeds
from gpubp.tables import read_table
from gpubp.tutorial import (
    Network,
    backward_propagate_error,
    case_study,
    forward_propagate,
    initialize_network,
    load_seeds,
    predict,
    split_folds,
    train_network,
    zero_rule,
)

MEASUREMENTS = ("area", "perimeter", "compactness", "length", "width", "asymmetry", "groove")
TOY_ROWS = [
    (2.7810836, 2.550537003, 0),
    (1.465489372, 2.362125076, 0),
    (3.396561688, 4.400293529, 0),
    (1.38807019, 1.850220317, 0),
    (3.06407232, 3.005305973, 0),
    (7.627531214, 2.759262235, 1),
    (5.332441248, 2.088626775, 1),
    (6.922596716, 1.77106367, 1),
    (8.675418651, -0.242068655, 1),
    (7.673756466, 3.508563011, 1),
]
N_FOLDS, SEED = 5, 1
N_TRAINING_ROWS = 168  # of each fold's network
TO_ERROR = 2 * N_TRAINING_ROWS  # gpubp's loss is the mean over the rows of ½ · Σ (expected − output)²

console = Console(highlight=False)


def main(
    backend: Annotated[str | None, typer.Option(help="auto, numpy or cupy; else GPUBP_BACKEND decides.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the wheat seeds training.")] = 500,
) -> None:
    """Walk through the tutorial, printing what every step produces."""
    if console.width > 100:
        console.width = 100  # prose is hard to read in wider lines
    try:
        chosen = get_backend(backend)
        the_data()
        the_baseline()
        network = step_1_initialize(chosen)
        step_2_forward(network)
        step_3_backward(network)
        trained = step_4_train(chosen)
        step_5_predict(trained)
        step_6_wheat_seeds(chosen, epochs)
    except GpubpError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None


def the_data() -> None:
    heading("The data")
    rows = read_table(wheat_seeds()).frame.rows()
    say(
        f"{len(rows)} kernels of wheat, of three varieties, each with {len(rows[0]) - 1} measurements. The task: tell "
        "the variety from the measurements. The first five rows:"
    )
    show_table([*MEASUREMENTS, "class"], [[*map(str, row[:-1]), str(row[-1])] for row in rows[:5]])
    names, counts = np.unique([row[-1] for row in rows], return_counts=True)
    say("Rows of each class: " + ", ".join(f"{n} of {name}" for name, n in zip(names, counts, strict=True)) + ".")
    say(
        "For the network, every column is scaled to the range 0 to 1. Left as they are, the large ones would drown the "
        "small ones."
    )


def the_baseline() -> None:
    heading("The bar to clear: the Zero Rule")
    say(
        f"The rows are dealt out into {N_FOLDS} folds. Each fold in turn is the test, and the others are there to "
        "learn from. The Zero Rule learns nothing but their most common class, and always answers that:"
    )
    X, classes, _ = load_seeds()
    rows = [[*x, label] for x, label in zip(X.tolist(), classes.tolist(), strict=True)]
    folds = split_folds(len(rows), N_FOLDS, random.Random(SEED))
    accuracies = []
    for fold in folds:
        training = [rows[i] for other in folds if other is not fold for i in other]
        test = [rows[i] for i in fold]
        answers = zero_rule(training, test)
        accuracies.append(np.mean([answer == row[-1] for answer, row in zip(answers, test, strict=True)]))
    show_folds({"Zero Rule": accuracies})


def step_1_initialize(backend: Backend) -> Network:
    heading("1. Initialise")
    say(
        "A neuron has one weight for each of its inputs, and a bias. They start as random numbers between 0 and 1: "
        "were they all alike, all neurons would learn the same. Here are two inputs, one hidden neuron, two outputs:"
    )
    network = initialize_network(2, 1, 2, seed=SEED, backend=backend)
    show_network(network)
    return network


def step_2_forward(network: Network) -> None:
    heading("2. Propagate forward")
    say(
        "A neuron adds up its inputs, each times its weight, and the bias; the logistic function 1 / (1 + exp(−sum)) "
        "squeezes the result into 0 to 1. One layer's outputs are the next one's inputs. The row \\[1, 0] gives:"
    )
    forward_propagate(network, [1, 0])
    show_network(network)
    hidden = network.neurons()[0][0]
    (w1, w2), bias, output = hidden["weights"], hidden["bias"], hidden["output"]
    say(f"The hidden neuron: 1 · {w1:.4f} + 0 · {w2:.4f} + {bias:.4f} = {w1 + bias:.4f}, squeezed to {output:.4f}.")


def step_3_backward(network: Network) -> None:
    heading("3. Propagate the error back")
    say(
        "The row is of the second class, so the outputs should have been \\[0, 1]. A neuron's delta says how the error "
        "grows with that neuron's sum. At the output it is (output − expected) · output · (1 − output), the last two "
        "being the slope of the logistic function. A hidden neuron is to blame for what the neurons after it got "
        "from it: it collects their deltas, each times the weight between them, times its own slope."
    )
    backward_propagate_error(network, [0, 1])
    show_network(network)
    (hidden,), (first, second) = network.neurons()
    o, h = first["output"], hidden["output"]
    say(f"The first output: ({o:.4f} − 0) · {o:.4f} · {1 - o:.4f} = {first['delta']:.4f}.")
    blame = " + ".join(f"{n['weights'][0]:.4f} · {n['delta']:.4f}" for n in (first, second)).replace("· -", "· −")
    say(f"The hidden neuron: ({blame}) · {h:.4f} · {1 - h:.4f} = {hidden['delta']:.4f}.")


def step_4_train(backend: Backend) -> Network:
    heading("4. Train")
    say(
        "Row after row: forward, back, and then every weight takes a small step downhill, weight −= rate · delta · "
        "input. The biases do so too, as if their input were 1. On ten toy rows of two classes, with two hidden "
        "neurons and rate 0.5, the sum of squared errors falls from epoch to epoch:"
    )
    network = initialize_network(2, 2, 2, seed=SEED, backend=backend)
    errors = train_network(network, TOY_ROWS, learning_rate=0.5, n_epochs=20, n_outputs=2)
    longest = max(errors)
    for epoch, error in enumerate(errors, start=1):
        console.print(f"  epoch {epoch:2}  error {error:.3f}  [cyan]{'━' * round(40 * error / longest)}[/]")
    console.print()
    say("What it has learned:")
    show_network(network)
    return network


def step_5_predict(network: Network) -> None:
    heading("5. Predict")
    say("The class is the output neuron with the largest value:")
    lines, right = [], 0
    for x1, x2, expected in TOY_ROWS:
        answer = predict(network, (x1, x2))
        outputs = forward_propagate(network, (x1, x2))
        right += answer == expected
        lines.append([f"{x1:.3f}", f"{x2:.3f}", *[f"{output:.3f}" for output in outputs], str(answer), str(expected)])
    show_table(["input 1", "input 2", "output 0", "output 1", "predicted", "expected"], lines)
    say(f"{right} of {len(TOY_ROWS)} are right.")


def step_6_wheat_seeds(backend: Backend, epochs: int) -> None:
    heading("6. The wheat seeds")
    say(
        f"Now the real data: 7 inputs, 5 hidden neurons, 3 outputs, rate 0.3, {epochs} epochs. Each of the {N_FOLDS} "
        "folds needs a network of its own, which never sees it in training. gpubp trains all five at once, as one "
        "population: every array has one more axis, and every step above is done for all of them in one go."
    )
    errors: list[np.ndarray] = []
    result = case_study(
        backend=backend,
        n_epochs=epochs,
        seed=SEED,
        callbacks=[lambda report: errors.append(report.metrics()["training_loss"] * TO_ERROR)],
        progress=sys.stderr.isatty(),
    )
    marks = sorted({1, *[round(epochs * share) for share in (0.02, 0.1, 0.5)], epochs} - {0})
    say(f"The sum of squared errors over each network's {N_TRAINING_ROWS} training rows falls:")
    show_table(
        ["epoch", *[f"fold {f}" for f in range(1, N_FOLDS + 1)]],
        [[str(mark), *[f"{error:.3f}" for error in errors[mark - 1]]] for mark in marks],
    )
    say("Of its test fold, which it has never seen, each network gets right:")
    show_folds({"network": result.fold_accuracies, "Zero Rule": result.zero_rule_accuracies})
    say(
        f"Mean accuracy [bold]{100 * result.mean_accuracy:.3f} %[/], where the Zero Rule has "
        f"{100 * result.zero_rule_accuracy:.3f} %. Trained in {result.train_seconds:.2f} s on {backend.name} "
        f"({backend.device()}) by the {result.engine} engine."
    )


def heading(title: str) -> None:
    console.print()
    console.rule(f"[bold]{title}", align="left", style="dim")


def say(text: str) -> None:
    console.print(text)
    console.print()


def show_network(network: Network) -> None:
    """Neuron by neuron; outputs and deltas where there are some."""
    layers = network.neurons()
    named: list[tuple[str, dict[str, Any]]] = []
    for i, layer in enumerate(layers):
        kind = "output" if i == len(layers) - 1 else "hidden"
        named += [(f"{kind} {j}", neuron) for j, neuron in enumerate(layer)]
    extras = [key for key in ("output", "delta") if key in named[0][1]]
    show_table(
        ["neuron", "weights", "bias", *extras],
        [
            [
                name,
                "  ".join(f"{w:.4f}" for w in n["weights"]),
                f"{n['bias']:.4f}",
                *[f"{n[key]:.4f}" for key in extras],
            ]
            for name, n in named
        ],
    )


def show_folds(scores: dict[str, Sequence[Any]]) -> None:
    show_table(
        ["% right", *[f"fold {f}" for f in range(1, N_FOLDS + 1)], "mean"],
        [[name, *[f"{100 * share:.3f}" for share in [*shares, np.mean(shares)]]] for name, shares in scores.items()],
    )


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("neuron", "% right") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*[cell.replace("-", "−") for cell in row])
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print()


if __name__ == "__main__":
    typer.run(main)
