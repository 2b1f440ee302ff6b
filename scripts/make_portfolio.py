"""How gpubp/tabular/portfolio.json was made: many configurations on many tables, and the few that answer best together.

    python scripts/make_portfolio.py train TABLES RESULTS --trials 96 --splits 2      # hours: TABLES/tables.json
    python scripts/make_portfolio.py choose RESULTS --most 24                         # prints, and writes the portfolio

`train` draws configurations at random from `gpubp.tabular.space`, the same for all tables of a task. On each split of a
table (80 to 20) every configuration has a network for each of five folds of the training rows, as `train_tabular` has
them; what they predict for rows that they had not seen, and for the test rows, goes to RESULTS, with the processor's
time. `choose` is greedy: of all configurations, the one whose addition makes the ensembles best, again and again. An
ensemble is chosen by the rows that its networks had not seen, as in use, and counts by the logarithm of its log-loss,
or of its RMSE, on the test rows, plus what its training costs. The mean over tables decides, so no table by its name.
For the preset fast it is the best few of those that take no longer than --seconds.

How good a portfolio is on a table that had no say in it is estimated by leaving tables out, one at a time: --leave-out.

TABLES/tables.json lists the tables: [{"name": "glass", "task": "classification", "categorical": []}, ...], for
TABLES/glass.csv with a column `target`; categorical names columns of numbers that are codes of categories.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gpubp.backends import get_backend
from gpubp.fitting.fold_data import receive
from gpubp.fitting.table_data import TableData
from gpubp.networks.population import Population
from gpubp.search.run.bag import Bag
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.folds import splits_of
from gpubp.search.run.scoring import Metric, decoded
from gpubp.tables import Table, read_table
from gpubp.tabular.portfolio import fitted_to
from gpubp.tabular.space import space_of

app = typer.Typer(add_completion=False, no_args_is_help=True)

FOLDS, PARTS, PICKS = 5, 5, 25
WORST = 5.0  # of a team that is none
CANDIDATES = 36  # for the preset fast
ALONE = 0.15  # what a configuration of average time has to be better by, to be one of them
PORTFOLIO = Path(__file__).parents[1] / "gpubp" / "tabular" / "portfolio.json"


@dataclass(frozen=True, eq=False)
class Run:
    """One split of a table. outputs (M, N, C or 1): of M configurations for N training rows, each by networks that had
    not seen it; tests (M, R, C or 1) for the test rows, their folds' mean; cpu (M,) seconds. truth (N,), test_truth
    (R,): classes by number, or values.
    """

    table: str
    task: str
    outputs: np.ndarray
    tests: np.ndarray
    cpu: np.ndarray
    truth: np.ndarray
    test_truth: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Run:
        with np.load(path, allow_pickle=False) as file:
            return cls(str(file["table"]), str(file["task"]), *(file[name] for name in STORED))

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = {name: getattr(self, name) for name in STORED}
        with open(path, "wb") as file:
            np.savez(file, table=self.table, task=self.task, **arrays)

    @cached_property
    def seen_by(self) -> np.ndarray:
        """(M, N): what a configuration is chosen by: the probability of the true class, or the error."""
        if self.task == "classification":
            return self.outputs[:, np.arange(len(self.truth)), self.truth].astype(np.float64)
        return self.outputs[:, :, 0].astype(np.float64) - self.truth

    def losses(self, found: np.ndarray) -> np.ndarray:
        """(...,) the loss of what `seen_by` gives (..., N)."""
        if self.task == "classification":
            return -np.log(np.maximum(found, 1e-12)).mean(axis=-1)
        return (found**2).mean(axis=-1)

    def team(self, chosen: Sequence[int]) -> list[int]:
        """The configurations that are best together, each as often as it was picked; the best number of picks."""
        known = [place for place in chosen if np.isfinite(self.seen_by[place]).all()]
        if not known:
            return []
        mine = self.seen_by[known]
        total, picked, losses = np.zeros(mine.shape[1]), [], []
        for size in range(1, PICKS + 1):
            found = self.losses((total + mine) / size)
            best = int(found.argmin())
            picked.append(known[best])
            losses.append(float(found[best]))
            total += mine[best]
        return picked[: int(np.argmin(losses)) + 1]

    def loss(self, chosen: Sequence[int]) -> float:
        """The logarithm of the ensemble's log-loss, before any temperature, or RMSE, on the test rows."""
        team = self.team(chosen)
        if not team:
            return WORST
        together = self.tests[team].mean(axis=0).astype(np.float64)
        if self.task == "classification":
            of_truth = together[np.arange(len(self.test_truth)), self.test_truth]
            return float(np.log(-np.log(np.maximum(of_truth, 1e-7)).mean()))
        return float(0.5 * np.log(((together[:, 0] - self.test_truth) ** 2).mean()))


STORED = ("outputs", "tests", "cpu", "truth", "test_truth")


@app.command()
def train(
    tables: Annotated[Path, typer.Argument(help="A folder with tables.json and the CSV files that it lists.")],
    results: Annotated[Path, typer.Argument(help="Where the predictions go, a file for each table and split.")],
    trials: Annotated[int, typer.Option(help="Configurations for each task.")] = 96,
    splits: Annotated[int, typer.Option(help="Of five: how often a fifth of the rows is left out for testing.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the draws, the splits and the networks.")] = 17,
    only: Annotated[list[str] | None, typer.Option(help="These tables alone.")] = None,
    engine: Annotated[str, typer.Option(help="As of gpubp train.")] = "block",
) -> None:
    """Train every configuration on every split of every table. What is there already is not trained again."""
    results.mkdir(parents=True, exist_ok=True)
    for entry in json.loads((tables / "tables.json").read_text()):
        drawn = space_of(entry["task"]).sample(trials, seed)
        (results / f"drawn-{entry['task']}.json").write_text(json.dumps(drawn, indent=1))
        if only and entry["name"] not in only:
            continue
        table = read_table(tables / f"{entry['name']}.csv")
        whole = receive(table, "target", entry["task"], entry.get("categorical", ()))
        for number, (rows, test) in enumerate(splits_of(whole, PARTS, 1, seed)[:splits]):
            path = results / f"{entry['name']}-{number}.npz"
            if not path.exists():
                started = time.perf_counter()
                one_split(entry, whole, rows, test, drawn, seed, engine).write(path)
                typer.echo(f"{path.name}: {time.perf_counter() - started:.0f} s")


def one_split(
    entry: Any, whole: Any, rows: np.ndarray, test: np.ndarray, drawn: Sequence[Any], seed: int, engine: str
) -> Run:
    table: Table = whole.table
    data = receive(table.take(rows), "target", entry["task"], entry.get("categorical", ()))
    assert isinstance(data, TableData)
    folds = splits_of(data, FOLDS, 1, seed)
    bag = Bag(np.arange(data.n_rows))
    experiment = Experiment(
        data, folds, Metric("loss", data), backend=get_backend("numpy"), engine=engine, seed=seed,
        n_trials=len(drawn), bag=bag,
    )  # fmt: skip
    experiment.keeps_predictions = True
    n_training = max(len(training) for training, _ in folds)
    outputs, tests, cpu = [], [], []
    for number, each in enumerate(drawn):
        began = time.process_time()
        configuration = experiment.configure(number, fitted_to(each, data, n_training))
        (record,) = experiment.run([configuration])
        own = experiment.out_of_fold(number)
        sheet = experiment.sheet(configuration, bag.scaled_by, fold=-1)
        if len(record.networks) == len(folds):
            params = np.stack([record.networks[fold] for fold in range(len(folds))])
            seeds = np.zeros(len(folds), dtype=np.uint64)
            networks = Population.from_host(configuration.architecture, params, seeds, experiment.backend)
            X = data.encoded(table.take(test), configuration.recipe.inputs, bag.scaled_by).astype(params.dtype)
            predicted = decoded(data, experiment.backend.to_host(networks.predict(X)), [sheet] * len(folds)).mean(
                axis=0
            )
        else:
            predicted = np.full((len(test), own.shape[1]), np.nan)
        record.networks.clear()
        outputs.append(own.astype(np.float32))
        tests.append(predicted.astype(np.float32))
        cpu.append(time.process_time() - began)
    truth, test_truth = whole.truth[rows], whole.truth[test]
    if data.index is not None:
        place = {label: i for i, label in enumerate(data.classes.tolist())}  # type: ignore[union-attr]
        truth, test_truth = (np.array([place.get(label, 0) for label in part.tolist()]) for part in (truth, test_truth))
    return Run(entry["name"], entry["task"], np.stack(outputs), np.stack(tests), np.array(cpu), truth, test_truth)


@app.command()
def choose(
    results: Annotated[Path, typer.Argument(help="What `train` wrote.")],
    most: Annotated[int, typer.Option(help="Configurations of the portfolio, at most.")] = 24,
    cost: Annotated[float, typer.Option(help="Of a configuration of average time, in logarithms of the loss.")] = 0.01,
    fast: Annotated[int, typer.Option(help="Configurations of the preset fast.")] = 3,
    seconds: Annotated[float, typer.Option(help="That these may take together, the median over tables.")] = 1.3,
    leave_out: Annotated[bool, typer.Option(help="Estimate how good it is on other tables.")] = False,
    output: Annotated[Path, typer.Option(help="The portfolio.")] = PORTFOLIO,
) -> None:
    """Choose the portfolio, and write it."""
    written: dict[str, Any] = {}
    for task in ("classification", "regression"):
        runs = [run for path in sorted(results.glob("*.npz")) if (run := Run.read(path)).task == task]
        if not runs:
            continue
        drawn = json.loads((results / f"drawn-{task}.json").read_text())
        if leave_out:
            tell_of_other_tables(task, runs, most, cost)
        written[task] = {}
        for name, chosen in (("fast", best_within(runs, fast, seconds)), ("good", portfolio_of(runs, most, cost))):
            typer.echo(f"{task}, {name}: {chosen}, the mean log of the loss over tables {value_of(runs, chosen):.4f}")
            written[task][name] = [{key: _short(value) for key, value in drawn[place].items()} for place in chosen]
    text = json.dumps(written, indent=1) + "\n"
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(output)


def portfolio_of(runs: Sequence[Run], most: int, cost: float) -> list[int]:
    """The configurations by number, in the order of their choice."""
    costs = costs_of(runs)
    chosen: list[int] = []
    while len(chosen) < most:
        values = {
            place: value_of(runs, [*chosen, place]) + cost * costs[place]
            for place in range(len(costs))
            if place not in chosen
        }
        chosen.append(min(values, key=values.__getitem__))
    return chosen


def best_within(runs: Sequence[Run], size: int, seconds: float) -> list[int]:
    """So many configurations that are best together of all that take no longer, among the CANDIDATES that are best
    alone for their time; the quickest where none does.
    """
    costs = costs_of(runs)
    alone = sorted(range(len(costs)), key=lambda place: value_of(runs, [place]) + ALONE * costs[place])
    every = [list(each) for each in combinations(alone[:CANDIDATES], size)]
    quick = [each for each in every if median_seconds(runs, each) <= seconds]
    if not quick:
        return min(every, key=lambda each: median_seconds(runs, each))
    return min(quick, key=lambda each: value_of(runs, each))


def median_seconds(runs: Sequence[Run], chosen: Sequence[int]) -> float:
    """The processor's time that these configurations take, the median over tables."""
    by_table: dict[str, list[float]] = {}
    for run in runs:
        by_table.setdefault(run.table, []).append(float(run.cpu[[*chosen]].sum()))
    return float(np.median([np.mean(values) for values in by_table.values()]))


def value_of(runs: Sequence[Run], chosen: Sequence[int]) -> float:
    """The mean over tables of the logarithm of the ensemble's loss on the test rows."""
    by_table: dict[str, list[float]] = {}
    for run in runs:
        by_table.setdefault(run.table, []).append(run.loss(chosen))
    return float(np.mean([np.mean(values) for values in by_table.values()]))


def costs_of(runs: Sequence[Run]) -> np.ndarray:
    """(M,) of each configuration, 1 being the average."""
    return np.mean([run.cpu / run.cpu.mean() for run in runs], axis=0)


def tell_of_other_tables(task: str, runs: Sequence[Run], most: int, cost: float) -> None:
    """Each table's ensembles by portfolios that the other tables have chosen."""
    found: dict[int, list[tuple[float, float]]] = {}
    tables = sorted({run.table for run in runs})
    if len(tables) == 1:
        typer.echo(f"{task}: --leave-out needs a second table.")
        return
    for table in tables:
        chosen = portfolio_of([run for run in runs if run.table != table], most, cost)
        own = [run for run in runs if run.table == table]
        for size in sorted({1, 2, 4, 8, 12, 16, 20, most}):
            if size <= most:
                loss = value_of(own, chosen[:size])
                seconds = float(np.mean([run.cpu[chosen[:size]].sum() for run in own]))
                found.setdefault(size, []).append((loss, seconds))
    for size, values in found.items():
        losses, seconds = zip(*values, strict=True)
        typer.echo(
            f"{task}, {size} configurations, tables left out: {np.mean(losses):.4f}, {np.median(seconds):.1f} CPU s"
        )


def _short(value: Any) -> Any:
    """A number that was drawn, to three digits."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    app()
