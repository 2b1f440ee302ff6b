"""Whether a team of threads trains a network, or one thread: by what came faster."""

from __future__ import annotations

CROWDED = 0.9  # of a processor: with less for one of its members, a team waits
FIRST_TRIAL, TRY_AGAIN = 8, 32  # calls


class Pace:
    """A team is faster where it has processors to itself. Where other programs have some of them, or two of them are
    one core's, its members wait for each other, and can together take several times as long as one thread. So that is
    tried as well, at once if a member lacked a processor; then the faster way is taken, and now and then the other.
    """

    def __init__(self) -> None:
        self._by_team, self._alone = 0.0, 0.0  # seconds of an epoch; 0: not measured
        self._crowded, self._calls = False, 0

    def by_team(self) -> bool:
        """How the next call is to be made."""
        self._calls += 1
        if not self._alone:
            return not self._crowded and self._calls < FIRST_TRIAL
        faster = self._by_team <= self._alone
        return faster if self._calls % TRY_AGAIN else not faster

    def took(self, by_team: bool, seconds: float, share: float) -> None:
        """seconds: of an epoch. share: the least share of a processor that one of the threads had."""
        if by_team:
            self._by_team, self._crowded = seconds, share < CROWDED
        else:
            self._alone = seconds
