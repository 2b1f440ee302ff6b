"""A search space: what is varied, between which values, under which conditions; grids and random draws of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.fitting.recipe import Recipe
from gpubp.networks.population import check_seed
from gpubp.operations.philox import philox, seed_words
from gpubp.search.space.parameters import applies, as_value, check_name, choices_of, has_option, owners
from gpubp.search.space.ranges import Choices, Range, entry

DRAWS = 0x53575045  # a Philox stream of the sweep's own, far from those of `Stream`
MOST_LISTED = 20_000  # configurations of a finite space that are listed, to be drawn without repetition
ATTEMPTS = 50  # at a draw that no trial before had


class When:
    """Entries that a configuration has only where it has these values: `When({"optimizer": "momentum"}, {"momentum":
    Range(0.5, 0.99)})`. A list of values means any of them.
    """

    def __init__(self, condition: Mapping[str, Any], entries: Mapping[str, Any]) -> None:
        if not isinstance(condition, Mapping) or not isinstance(entries, Mapping) or not condition or not entries:
            raise SettingsError("When takes two dicts: the values that are asked for, and the entries that they bring.")
        for name in condition:
            check_name(name)
        self.condition = {
            name: tuple(as_value(name, each) for each in choices_of(wanted)) for name, wanted in condition.items()
        }
        self.entries = _entries(entries)

    def __repr__(self) -> str:
        return f"When({self.condition!r}, {self.entries!r})"

    def holds(self, chosen: Mapping[str, Any]) -> bool:
        return all(name in chosen and chosen[name] in wanted for name, wanted in self.condition.items())


class Space:
    """Parameters by name (those of `Recipe`, and the options of optimizers and schedules): a fixed value, a list (or
    array) of choices, or a `Range`. Tuples are values: `"hidden": [(8,), (32, 32)]` are two choices.

    An option that the drawn optimizer or schedule does not have (momentum for adam) is left out of a configuration;
    any other condition is a `When`, which may build on those before it.

    Raises SettingsError for unknown names, values that cannot be, and conditions that cannot come true.
    """

    def __init__(self, entries: Mapping[str, Any], *conditions: When) -> None:
        if not isinstance(entries, Mapping):
            raise SettingsError(f"A search space is a dict of parameters, and this is {entries!r:.60}.")
        self.entries = _entries(entries)
        self.conditions = conditions
        for each in conditions:
            if not isinstance(each, When):
                raise SettingsError(f"Conditions of a search space are When(…, …), and this is {each!r:.60}.")
        self._check_options()
        self._check_conditions()

    @classmethod
    def of(cls, given: Space | Mapping[str, Any]) -> Space:
        return given if isinstance(given, Space) else cls(given)

    @property
    def names(self) -> tuple[str, ...]:
        """Every parameter that a configuration may have, in the order of the space."""
        return tuple(dict.fromkeys((*self.entries, *(name for when in self.conditions for name in when.entries))))

    def configure(self, choose: Callable[[str, Range | Choices], Any]) -> dict[str, Any]:
        """One configuration, each value being what `choose(name, entry)` says."""
        return next(_configurations(self, lambda name, given: [choose(name, given)]))

    def size(self) -> int | None:
        """How many configurations there are; None where a range of real numbers, or their sheer number, forbids it."""
        listed = list(islice(self._listed(), MOST_LISTED + 1)) if self._finite() else None
        return None if listed is None or len(listed) > MOST_LISTED else len(listed)

    def grid(self, points: int = 5) -> list[dict[str, Any]]:
        """Every combination, of a range `points` numbers from low to high (on a logarithmic scale where it says so)."""
        if isinstance(points, bool) or not isinstance(points, Integral) or points < 1:
            raise SettingsError(f"A grid of {points!r} points for each range: give a whole number, at least 1.")
        return list(_configurations(self, lambda name, given: given.points(int(points))))

    def sample(self, n_trials: int, seed: int = 0) -> list[dict[str, Any]]:
        """Random configurations: trial i is the same whatever `n_trials`, and no two are alike while others are left.

        A space with fewer configurations than `n_trials` gives each of them once. What is drawn for one parameter does
        not depend on which others the space has.
        """
        if isinstance(n_trials, bool) or not isinstance(n_trials, (int, np.integer)) or n_trials < 1:
            raise SettingsError(f"{n_trials!r} trials: give a whole number, at least 1.")
        check_seed(seed)
        if self.size() is not None:
            listed = list(self._listed())
            places = _shares(seed, np.arange(len(listed)), 0, "")
            return [listed[i] for i in np.argsort(places, kind="stable")[:n_trials]]
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        first = {name: _shares(seed, np.arange(n_trials), 0, name) for name in self.names}
        for trial in range(int(n_trials)):
            for attempt in range(ATTEMPTS):
                drawn = self._draw(seed, trial, attempt, first)
                if repr(drawn) not in seen:
                    break
            seen.add(repr(drawn))
            found.append(drawn)
        return found

    def _draw(self, seed: int, trial: int, attempt: int, first: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """first: of the first attempt, the shares of all trials by the parameter's name."""

        def share(name: str) -> float:
            return float(_shares(seed, np.array([trial]), attempt, name)[0] if attempt else first[name][trial])

        return self.configure(lambda name, given: given.at(share(name)))

    def _finite(self) -> bool:
        groups = (self.entries, *(when.entries for when in self.conditions))
        return all(
            isinstance(given, Choices) or given.low == given.high or (given.integer and given.high - given.low < 1000)
            for entries in groups
            for given in entries.values()
        )

    def _listed(self) -> Iterator[dict[str, Any]]:
        return _configurations(
            self,
            lambda name, given: (
                given.values if isinstance(given, Choices) else given.points(int(given.high - given.low) + 1)
            ),
        )

    def _check_options(self) -> None:
        """An option has to belong to one of the optimizers (schedules) that the space can draw."""
        for name in self.names:
            owned = owners(name)
            if owned is not None:
                drawn = self._possible(owned[0])
                if not any(has_option(value, owned[1]) for value in drawn):
                    wanted, found = (" or ".join(map(_shown, values)) for values in (owned[1], drawn))
                    raise SettingsError(
                        f"The search space has {name}, which belongs to the {owned[0]} {wanted}, and draws the "
                        f"{owned[0]} {found} alone. Add one to `{owned[0]}`."
                    )

    def _check_conditions(self) -> None:
        for place, when in enumerate(self.conditions):
            for name, wanted in when.condition.items():
                before = Space.__new__(Space)
                before.entries, before.conditions = self.entries, self.conditions[:place]
                if name not in before.names:
                    raise SettingsError(f"A When asks for {name}, which the space before it does not name.")
                possible = before._possible(name)
                if possible and not any(value in wanted for value in possible):
                    raise SettingsError(
                        f"A When asks for {name} {' or '.join(map(str, wanted))}, and the space draws "
                        f"{', '.join(map(str, possible))} alone: it can never come true."
                    )
            for name in when.entries:
                if name in self.entries:
                    raise SettingsError(f"A When brings {name}, which the space already has: keep one of them.")

    def _possible(self, name: str) -> tuple[Any, ...]:
        """The values that can be drawn; () where there are too many to list."""
        groups = [group[name] for group in (self.entries, *(w.entries for w in self.conditions)) if name in group]
        if any(isinstance(given, Range) for given in groups):
            return ()
        drawn = tuple(value for given in groups if isinstance(given, Choices) for value in given.values)
        return drawn if name in self.entries else (*drawn, as_value(name, getattr(Recipe, name, None)))


def _shown(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _entries(given: Mapping[str, Any]) -> dict[str, Range | Choices]:
    for name in given:
        check_name(name)
    return {name: entry(name, value) for name, value in given.items()}


def _configurations(space: Space, values: Callable[[str, Range | Choices], Any]) -> Iterator[dict[str, Any]]:
    """All combinations of `values(name, entry)`, conditions being looked at in their order.

    Options wait until the optimizer and the schedule are known.
    """
    plain = [(name, given) for name, given in space.entries.items() if owners(name) is None]
    options = [(name, given) for name, given in space.entries.items() if owners(name) is not None]

    def over(entries: list[tuple[str, Range | Choices]], chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not entries:
            yield chosen
            return
        (name, given), *rest = entries
        if not applies(name, chosen):
            yield from over(rest, chosen)
            return
        if name in chosen:
            raise SettingsError(f"Two When bring {name} for the same configuration {chosen!r:.200}: keep one of them.")
        for value in values(name, given):
            yield from over(rest, chosen | {name: as_value(name, value)})

    def under(place: int, chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if place == len(space.conditions):
            yield from over(options, chosen)
            return
        when = space.conditions[place]
        if not when.holds(chosen):
            yield from under(place + 1, chosen)
            return
        for further in over(list(when.entries.items()), chosen):
            yield from under(place + 1, further)

    for chosen in over(plain, {}):
        yield from under(0, chosen)


def _shares(seed: int, trials: np.ndarray, attempt: int, name: str) -> np.ndarray:
    """(trials,) float64, uniform in [0, 1): each a pure function of all four."""
    key = seed_words(np.array([check_seed(seed)], dtype=np.uint64))
    low, high, _, _ = philox(key, (trials.astype(np.uint64), zlib.crc32(name.encode()), DRAWS, attempt))
    bits: np.ndarray = ((low << np.uint64(32)) | high) >> np.uint64(11)
    return bits * 2.0**-53
