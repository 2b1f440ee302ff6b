"""What trains a pool's networks asks whoever it trains them for."""

from __future__ import annotations


class Guide:
    """This one lets everything go on to its end."""

    def must_end(self) -> bool:
        """Whether nothing new is to be begun."""
        return False

    def must_cut(self) -> bool:
        """Whether what is in training is to be left where it is."""
        return False

    def worked(self, network_epochs: float) -> None:
        """So much was done: epochs, times the networks that had them. From any thread."""

    def tick(self) -> None:
        """Now and then, in the thread that waits for the training."""
