"""What trains a pool's networks asks whoever it trains them for."""

from __future__ import annotations

from collections.abc import Sequence

from gpubp.fitting.job import Job


class Guide:
    """This one lets everything go on to its end, unless nobody waits for that any more."""

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
        """Until nothing new is to be begun; None where there is no such time."""
        return None

    def out_of_time(self) -> None:
        """What has not been begun does not fit the time left."""

    def trained(self, jobs: Sequence[Job]) -> None:
        """These have had all their epochs, or those of a rung. From any thread."""

    def worked(self, network_epochs: float) -> None:
        """So much was done: epochs, times the networks that had them. From any thread."""

    def tick(self) -> None:
        """Now and then, in the thread that waits for the training."""
