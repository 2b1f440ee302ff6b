"""The questions that a pool asks while it trains: its caller answers them through a `Guide`."""

from __future__ import annotations

from collections.abc import Sequence

from gpubp.fitting.job import Job


class Guide:
    """This one lets every training go on to its end, unless nobody waits for the results any more (`leave`)."""

    left = False

    def leave(self) -> None:
        """Nobody waits for the training any more, because of an error or Ctrl-C."""
        self.left = True

    def must_end(self) -> bool:
        """Whether nothing new is to be begun."""
        return self.left

    def must_cut(self, needed: float) -> bool:
        """Whether what is in training is to be left where it is. needed: seconds that it is expected to take still."""
        return self.left

    def seconds_left(self) -> float | None:
        """How long trainings may still be begun; None for as long as it takes."""
        return None

    def out_of_time(self) -> None:
        """Called when the networks that were not begun do not fit the time left."""

    def trained(self, jobs: Sequence[Job]) -> None:
        """Called when these jobs have had all their epochs, or those of a rung. From any thread."""

    def worked(self, network_epochs: float) -> None:
        """Called when so much was done: epochs, times the networks that had them. From any thread."""

    def tick(self) -> None:
        """Called now and then, in the thread that waits for the training."""
