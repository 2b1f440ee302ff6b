"""What `gpubp sweep` has to say at its end: JSON values, a leaderboard, the command that trains the best."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpubp.cli import shapes
from gpubp.cli.recipe_options import OWN_OPTIONS
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.operations.registry import kind_of_option

if TYPE_CHECKING:
    from gpubp.search.results.result import SweepResult
    from gpubp.search.results.selection import Selection
    from gpubp.search.run.trial import Trial

SHOWN = 10


def result(found: SweepResult, source: TableOptions, target: TargetOptions) -> dict[str, Any]:
    """All but the ensemble, which is None."""
    from gpubp.search.results.baseline import baseline_scores

    best, (networks, of_networks, trials_done, of_trials) = found.best, found.progress
    return {
        "task": found.task,
        "metric": found.metric,
        "strategy": found.strategy,
        "trials": len(found.trials),
        "networks": networks,
        "trials_done": trials_done,
        "of_trials": of_trials,
        "of_networks": of_networks,
        "diverged": sum(trial.status == "diverged" for trial in found.trials),
        "best": _described(best),
        "leaderboard": [_described(trial) for trial in found.ranked[:SHOWN]],
        "baseline": statistics.fmean(baseline_scores(found.experiment).tolist()),
        "ensemble": None,
        "command": command(found, best, source, target),
        "seconds": found.seconds,
        "backend": found.backend,
        "ended_early": found.ended_early,
        "notes": list(found.notes),
        "target_scale_offer": found.offer,
    }


def ensemble(team: Selection) -> dict[str, Any]:
    return {"score": team.scores[-1], "best_alone": team.scores[0], "networks": len(team.trials)}


def _described(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "parameters": dict(trial.parameters),
        "score": trial.score,
        "standard_deviation": trial.std,
        "fold_scores": trial.scores,
        "epochs": float(trial.epochs.mean()),
        "status": trial.status,
        "engine": trial.engine,
    }


def command(found: SweepResult, trial: Trial, source: TableOptions, target: TargetOptions) -> str:
    """The `gpubp train` that trains the trial's network on all rows."""
    from gpubp.search.space.parameters import recipe_of

    words = ["gpubp", "train", source.table, "--target", str(found.experiment.data.name)]  # type: ignore[union-attr]
    words += ["--task", found.task]
    words += [f"--categorical={column}" for column in target.categorical or ()]  # "=": positions may begin with "-"
    words += [f"--ignore={column}" for column in target.ignore or ()]
    words += source.words()
    idle = recipe_of(trial.parameters).idle_schedules
    for name, value in trial.parameters.items():
        words += [] if name in idle else _option(name, value)
    return shlex.join([*words, "--seed", str(trial.seed), "--engine", trial.engine])


def _option(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    kind = kind_of_option(name)
    if kind is not None and name not in OWN_OPTIONS:
        return [f"--{kind}-option", f"{name}={value}"]
    if name == "shuffle":
        return ["--shuffle" if value else "--no-shuffle"]
    if name == "clip_predictions":
        return [] if value else ["--no-clip"]
    if name in ("early_stopping", "zero_last_layer", "even_batches"):
        return [option] if value else []
    if isinstance(value, tuple):
        return [option, ",".join(map(str, value)) or "none"]
    if value is None:
        endless = {"batch_size": "all", "patience": "inf"}
        return [option, endless[name]] if name in endless else []
    return [option, str(value)]


def parts(outcome: dict[str, Any]) -> Iterable[Any]:
    varied = [name for name in outcome["best"]["parameters"] if _varies(name, outcome["leaderboard"])]
    rows = [
        (
            place + 1,
            _score(trial["score"]),
            _score(trial["standard_deviation"]),
            f"{trial['epochs']:.0f}",
            *(_shown(trial["parameters"].get(name)) for name in varied),
        )
        for place, trial in enumerate(outcome["leaderboard"])
    ]
    columns = ["place>", f"{outcome['metric']}>", "±>", "epochs>", *(name.replace("_", "-") for name in varied)]
    yield shapes.table(columns, rows)
    if outcome["trials_done"] > 1:
        yield shapes.line(
            f"The best of {outcome['trials_done']:,} trials is partly the luckiest of them: expect somewhat less on "
            "new rows."
        )
    team = outcome["ensemble"]
    networks = shapes.counted(outcome["networks"], "network")
    yield shapes.facts(
        [
            ("best", f"{_score(outcome['best']['score'])}, trial {outcome['best']['trial']} of {outcome['trials']}"),
            ("baseline", f"{_score(outcome['baseline'])}, without looking at the inputs"),
            (
                "target scale",
                "log may do better: --set target-scale=log" if outcome.get("target_scale_offer") else None,
            ),
            ("ensemble", None if team is None else _together(team)),
            ("diverged", shapes.counted(outcome["diverged"], "trial") if outcome["diverged"] else None),
            ("time", f"{shapes.seconds(outcome['seconds'])} for {networks}, backend {outcome['backend']}"),
            ("written", ", ".join(outcome["written"]) if "written" in outcome else None),
        ]
    )
    yield shapes.line(f"Train the best on all rows: {outcome['command']}")


def _together(team: dict[str, Any]) -> str:
    if team["networks"] == 1:
        return (
            f"{_score(team['score'])}, one network alone: no second one made it better on rows that they had not seen"
        )
    all_of_them, best = (_score(team[name]) for name in ("score", "best_alone"))
    counted = f"{all_of_them} by {team['networks']} networks together, {best} by the best of them alone"
    return f"{counted}, all on rows that they had not seen"


def _varies(name: str, trials: list[dict[str, Any]]) -> bool:
    return len({repr(trial["parameters"].get(name)) for trial in trials}) > 1 or len(trials) == 1


def _score(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "none"
    return shapes.number(value) if isinstance(value, float) else "–" if value is None else str(value)
