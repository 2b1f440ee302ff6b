"""Whether a team of threads trains a network, or one thread: by what came faster."""

import pytest

from gpubp.engines.block.thread_tuner import RARELY, ThreadTuner


def train(
    tuner: ThreadTuner, n_epochs: int, epoch: dict[bool, float], share: float = 1.0, at_once: int = 10
) -> list[bool]:
    """By whom each epoch was trained; epoch: the seconds of one."""
    ways: list[bool] = []
    while len(ways) < n_epochs:
        by_team, count = tuner.next(min(at_once, n_epochs - len(ways)))
        tuner.took(by_team, count, count * epoch[by_team], share)
        ways += count * [by_team]
    return ways


def test_a_team_that_is_faster_goes_on_but_for_a_trial_now_and_then() -> None:
    ways = train(ThreadTuner(), 10_000, {True: 1.0, False: 1.6})
    assert all(ways[:RARELY])
    assert 0.005 < ways.count(False) / len(ways) < 1 / RARELY


@pytest.mark.parametrize("slowness", [1.2, 30.0])
def test_a_team_without_processors_of_its_own_gives_way_after_an_epoch(slowness: float) -> None:
    ways = train(ThreadTuner(), 10_000, {True: slowness, False: 1.0}, share=0.5)
    assert ways[: int(RARELY * slowness)] == [True] + (int(RARELY * slowness) - 1) * [False]
    assert slowness * ways.count(True) < 1.1 * len(ways) / RARELY + 2 * slowness  # what its trials take


def test_there_is_no_team_without_room_for_one() -> None:
    tuner = ThreadTuner()
    assert tuner.next(7, room=False) == (False, 7)
    tuner.took(False, 7, 7.0, 1.0)
    assert tuner.next(7) == (True, 1)


def test_it_does_so_only_if_one_thread_is_faster() -> None:
    assert train(ThreadTuner(), 5, {True: 1.0, False: 1.6}, share=0.8) == [True, False, True, True, True]


def test_a_team_that_becomes_slow_gives_way_and_comes_back() -> None:
    tuner = ThreadTuner()
    train(tuner, 2 * RARELY, {True: 1.0, False: 1.6})
    assert not any(train(tuner, 40, {True: 4.0, False: 1.6})[10:])
    ways = train(tuner, 1000, {True: 1.0, False: 1.6})
    first = ways.index(True)
    assert 0 < first < 4 * RARELY
    assert all(ways[first : first + RARELY // 2])


def test_trials_of_short_epochs_are_some_of_them() -> None:
    """A launch of threads takes longer than such an epoch."""
    tuner = ThreadTuner()
    trials = train_counts(tuner, {True: 1e-4, False: 2e-4})
    assert trials
    assert min(trials) >= 50


def train_counts(tuner: ThreadTuner, epoch: dict[bool, float]) -> list[int]:
    """Of how many epochs the trials of one thread were."""
    counts = []
    for _ in range(1000):
        by_team, count = tuner.next(1000)
        tuner.took(by_team, count, count * epoch[by_team], 1.0)
        if not by_team:
            counts.append(count)
    return counts
