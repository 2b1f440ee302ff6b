"""What trains a pool's networks asks whoever it trains them for."""

from __future__ import annotations


class Guide:
    """This one lets everything go on to its end, unless nobody waits for that any more."""

    left = False

    def leave(self) -> None:
        """Nobody waits for the training any more, because of an error or Ctrl-C."""
        self.left = True

    def must_end(self) -> bool:
        """Whether nothing new is to be begun."""
        return self.left

    def must_cut(self) -> bool:
        """Whether what is in training is to be left where it is."""
        return self.left

    def worked(self, network_epochs: float) -> None:
        """So much was done: epochs, times the networks that had them. From any thread."""

    def tick(self) -> None:
        """Now and then, in the thread that waits for the training."""
