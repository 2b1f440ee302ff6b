"""What `gpubp sweep` does once the networks are scored: choose an ensemble, train the best on all rows, write files.

Ctrl-C in the middle of it takes nothing away from what is known by then.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubp.cli import shapes
from gpubp.cli.options import ReportOptions
from gpubp.cli.output import Interrupted
from gpubp.cli.sweep_outcome import ensemble as ensemble_outcome
from gpubp.cli.sweep_outcome import result
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.errors import SettingsError
from gpubp.storage.files import make_folder, remove_planted, write_whole

if TYPE_CHECKING:
    from gpubp.models.ensemble import Ensemble
    from gpubp.search.results.result import SweepResult
    from gpubp.search.results.selection import Selection

FILES = ("trials.csv", "best.safetensors", "ensemble.safetensors")
LONG = 0.25  # of the budget: what comes after it and takes longer is told of


class Ending:
    """Of one sweep. budget: in seconds; a sweep that has one does no more after it than takes as long again, but for
    the best network's training on all rows. page: whether a report is wanted. resumed: whether it went on with what
    the folder had.
    """

    def __init__(
        self,
        found: SweepResult,
        budget: float | None,
        report: ReportOptions,
        output: Path | None,
        page: bool,
        resumed: bool,
    ) -> None:
        self.found, self.budget, self.report, self.output = found, budget, report, output
        self.page, self.resumed = page, resumed
        self.interrupted = ""  # what Ctrl-C has left out, in words

    def outcome(self, members: int, source: TableOptions, target: TargetOptions) -> dict[str, Any]:
        """What was found, its files being in the folder. The checkpoints of a sweep that has come to its end go then.

        members: of the ensemble. Interrupted or SettingsError where there are no results.
        """
        found, report = self.found, self.report
        self._check_that_something_is_done()
        if found.ended_early:
            report.note(f"The sweep ended early: {self.done}, and what follows is of these trials.{self.goes_on}")
        outcome = result(found, source, target)
        started = time.perf_counter()
        try:
            team = self._selection(members)
            outcome["ensemble"] = None if team is None else ensemble_outcome(team)
            if self.output is not None:
                self._write(team, outcome, self.output)
        except KeyboardInterrupt:
            where = "" if self.output is None else f", and {self.output} does not have all files"
            self.interrupted = f"while the best networks were trained on all rows{where}"
        taken = time.perf_counter() - started
        if self.budget is not None and taken > max(1.0, LONG * self.budget):
            self._note(outcome, f"After the budget, training on all rows took {shapes.seconds(taken)}.")
        return outcome

    @property
    def done(self) -> str:
        networks, of_networks, trials, of_trials = self.found.progress
        return f"{networks:,} of {of_networks:,} networks are done ({trials:,} of {of_trials:,} trials)"

    @property
    def goes_on(self) -> str:
        cut = self.found.ended_early or self.interrupted
        return " --resume goes on with it." if self.found.folder is not None and cut else ""

    def raise_if_interrupted(self) -> None:
        """Interrupted, once the results are given."""
        if self.interrupted:
            raise Interrupted(f"Interrupted {self.interrupted}: {self.done}.{self.goes_on}")
        if self.found.interrupted:
            raise Interrupted(f"Interrupted: {self.done}, and these are their results.{self.goes_on}")

    def _check_that_something_is_done(self) -> None:
        found = self.found
        if not found.ended_early or any(trial.status in ("complete", "stopped") for trial in found.trials):
            return
        if found.interrupted:
            raise Interrupted(
                f"Interrupted before the first trial was done: {self.done}, so there are no results.{self.goes_on}"
            )
        needed = found.experiment.needed
        folds = shapes.counted(len(found.experiment.splits), "network")
        expected = f" It takes about {shapes.seconds(needed)} for its {folds}." if needed < float("inf") else ""
        remedy = self.goes_on or " Give it more time (--budget), fewer epochs or smaller networks."
        raise SettingsError(
            f"The time was over before the first trial was done: there are no results.{expected}{remedy}"
        )

    def _selection(self, members: int) -> Selection | None:
        found = self.found
        if members and not found.keeps_predictions:
            self.report.note("No ensemble: the predictions that it is chosen by would take more than 1 GiB.")
        alike = sum(trial.status == found.best.status for trial in found.trials)
        return found.select(members) if members and alike > 1 and found.keeps_predictions else None

    def _write(self, team: Selection | None, outcome: dict[str, Any], folder: Path) -> None:
        """The files, each whole or not at all; none of them where the best cannot be trained on all rows."""
        found, held = self.found, (folder / FILES[0]).exists()
        model = found.refit()
        together = None if team is None else self._ensemble(team, outcome)
        make_folder(folder)
        trials, best, ensemble = (folder / name for name in FILES)
        for path in (trials, best, ensemble):
            remove_planted(path)
        write_whole(trials, found.table.write_csv().encode())
        model.save(best)
        outcome["written"] = [str(trials), str(best)]
        if together is None:
            ensemble.unlink(missing_ok=True)  # of an earlier sweep: it would be taken for this one's
        else:
            together.save(ensemble)
            outcome["written"].append(str(ensemble))
        self._write_results(outcome, folder)
        if held and not self.resumed:
            self.report.note(f"The sweep that {folder} held before was replaced.")
        if not found.ended_early and not self.interrupted:
            found.discard_checkpoints()

    def _ensemble(self, team: Selection, outcome: dict[str, Any]) -> Ensemble | None:
        """Trained on all rows, as far as the budget allows."""
        from gpubp.search.results.selection import ensemble

        experiment = self.found.experiment
        fitting = team if self.budget is None else team.within(self.budget, experiment)
        if fitting is None or len(fitting.trials) < min(2, len(team.trials)):
            self._note(outcome, "The ensemble was not trained on all rows: that would take longer than the budget.")
            return None
        if len(fitting.trials) < len(team.trials):
            self._note(
                outcome,
                f"Of the ensemble's {len(team.trials)} networks, {FILES[2]} has the first {len(fitting.trials)}: to "
                "train all of them on all rows would take longer than the budget.",
            )
        return ensemble(experiment, fitting)

    def _write_results(self, outcome: dict[str, Any], folder: Path) -> None:
        """results.json, and the report made of it. A report of an earlier sweep would be taken for this one's."""
        from gpubp.reporting import REPORT, RESULTS, load, write_page
        from gpubp.search.results.summary import seconds_again, summary
        from gpubp.storage.json_values import sealed

        found, budget = self.found, self.budget
        again = budget is None or seconds_again(found.experiment, found.best) <= budget
        if not again:
            self._note(
                outcome,
                f"{RESULTS} has no learning curves and predictions of the best trial, whose networks are trained once "
                "more for them: that would take longer than the budget.",
            )
        outcome["written"] += [str(folder / name) for name in ((RESULTS, REPORT) if self.page else (RESULTS,))]
        described = summary(found, outcome, again)
        remove_planted(folder / RESULTS)
        (folder / REPORT).unlink(missing_ok=True)
        write_whole(folder / RESULTS, json.dumps(sealed(described), allow_nan=False).encode())
        if self.page:
            write_page(load(folder), folder / REPORT)
        if again and described["best"]["curves"] is None:
            self.interrupted = f"while the best networks were trained again: {RESULTS} has no learning curves"

    def _note(self, outcome: dict[str, Any], message: str) -> None:
        self.report.note(message)
        outcome["notes"].append(message)
