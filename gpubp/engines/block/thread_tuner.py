"""Whether a team of threads trains a network, or one thread: by what came faster."""

from __future__ import annotations

import math

CROWDED = 0.9  # of a processor: with less for one of its members, a team waits
RARELY = 50  # the slower way is tried again after so many times the seconds that it takes
TRIAL = 0.01  # seconds that a trial is to take at the least, if that is more than an epoch


class ThreadTuner:
    """A team is faster where it has processors to itself. Where other programs have some of them, or two of them are
    one core's, its members wait for each other, and can together take many times as long as one thread. So there is no
    team where there is no room for one, and it begins with one epoch; one thread is tried as well, at once if a member
    lacked a processor; then the faster way is taken.
    """

    def __init__(self) -> None:
        self._epoch: dict[bool, float] = {}  # seconds of one, by a team and alone, as far as measured
        self._since = 0.0  # seconds since the slower way was tried
        self._crowded = False

    def next(self, n_epochs: int, room: bool = True) -> tuple[bool, int]:
        """Whether a team is to go on, and for how many of n_epochs. room: others want fewer processors than it has."""
        if not room:
            return False, n_epochs
        if True not in self._epoch:
            return True, 1
        alone = self._epoch.get(False, 0.0)
        by_team = not alone or self._epoch[True] <= alone
        slower = self._epoch.get(not by_team, self._epoch[True])
        due = self._since >= RARELY * max(slower, TRIAL) or (self._crowded and not alone)
        return (not by_team, min(n_epochs, max(1, int(TRIAL / slower)))) if due else (by_team, n_epochs)

    def took(self, by_team: bool, n_epochs: int, seconds: float, share: float) -> None:
        """share: the least share of a processor that one of the threads had."""
        known, other = self._epoch.get(by_team, math.inf), self._epoch.get(not by_team, math.inf)
        was_trial = known > other or known == math.inf
        self._since = 0.0 if was_trial else self._since + seconds
        self._epoch[by_team] = max(seconds / n_epochs, 1e-9)
        if by_team:
            self._crowded = share < CROWDED
