"""Whether a team of threads trains a network, or one thread: by what came faster."""

from gpubp.training.pace import FIRST_TRIAL, TRY_AGAIN, Pace


def calls(pace: Pace, count: int, seconds: dict[bool, float], share: float = 1.0) -> list[bool]:
    ways = []
    for _ in range(count):
        by_team = pace.by_team()
        pace.took(by_team, seconds[by_team], share)
        ways.append(by_team)
    return ways


def test_a_team_that_is_faster_goes_on_but_for_a_trial_now_and_then() -> None:
    ways = calls(Pace(), 10 * TRY_AGAIN, {True: 1.0, False: 1.6})
    alone = [number for number, by_team in enumerate(ways, 1) if not by_team]
    assert alone == [FIRST_TRIAL, *range(TRY_AGAIN, 10 * TRY_AGAIN + 1, TRY_AGAIN)]


def test_a_team_without_processors_of_its_own_gives_way_at_once() -> None:
    pace = Pace()
    assert calls(pace, 20, {True: 3.0, False: 1.6}, share=0.5) == [True] + 19 * [False]


def test_it_does_so_only_if_one_thread_is_faster() -> None:
    assert calls(Pace(), 5, {True: 1.0, False: 1.6}, share=0.8) == [True, False, True, True, True]


def test_a_team_that_becomes_slow_gives_way_and_comes_back() -> None:
    pace = Pace()
    calls(pace, FIRST_TRIAL, {True: 1.0, False: 1.6})
    assert calls(pace, 3, {True: 4.0, False: 1.6}) == [True, False, False]
    ways = calls(pace, TRY_AGAIN, {True: 1.0, False: 1.6})
    first = ways.index(True)
    assert first > 0
    assert all(ways[first:])
