from __future__ import annotations

import numpy as np
import pytest

from gpubp.backends import Backend
from gpubp.operations.options import defaults
from gpubp.operations.schedules import SCHEDULES


def factors(backend: Backend, name: str, epochs: list[float], n_rows: float = 10, n_epochs: int = 8) -> np.ndarray:
    schedule = SCHEDULES[name]
    moment = backend.to_device(np.array(epochs)[:, None])
    count = backend.to_device(np.array([n_rows]))
    return backend.to_host(schedule.factor(backend.xp, moment, count, n_epochs, defaults(schedule.options)))[:, 0]


def test_constant(backend: Backend) -> None:
    np.testing.assert_array_equal(factors(backend, "constant", [0, 3.5]), [1, 1])


def test_inverse_scaling_is_scikit_learns(backend: Backend) -> None:
    """The initial rate in the first epoch, then rate / (rows seen + 1)^power, constant within an epoch."""
    found = factors(backend, "inverse_scaling", [0, 0.9, 1.0, 2.5])
    np.testing.assert_allclose(found, [1, 1, 11**-0.5, 21**-0.5], rtol=1e-15)


def test_step(backend: Backend) -> None:
    np.testing.assert_allclose(factors(backend, "step", [0, 9.99, 10, 25]), [1, 1, 0.5, 0.25])


def test_cosine(backend: Backend) -> None:
    np.testing.assert_allclose(factors(backend, "cosine", [0, 2, 4, 8, 9]), [1, 0.853553390593, 0.5, 0, 0], atol=1e-12)


def test_one_cycle(backend: Backend) -> None:
    options = defaults(SCHEDULES["one_cycle"].options)
    found = factors(backend, "one_cycle", [0, 1.2, 2.4, 8.0])
    middle = options["start"] + (1 - options["start"]) / 2
    np.testing.assert_allclose(found, [options["start"], middle, 1, options["floor"]], rtol=1e-12)


def test_flat_cos_is_the_papers(backend: Backend) -> None:
    """1 until half of the training, then ½ (1 + cos(π (2t − 1))): arXiv 2407.04491."""
    found = factors(backend, "flat_cos", [0, 3.9, 4, 5, 6, 7, 8, 9])
    expected = [1, 1, 1, 0.5 + 0.5 * np.sqrt(0.5), 0.5, 0.5 - 0.5 * np.sqrt(0.5), 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_coslog4_is_the_papers(backend: Backend) -> None:
    """Four cycles of ½ (1 − cos(2π log2(1 + 15 t))): arXiv 2407.04491. They end at 1/15, 3/15, 7/15 and 1."""
    ends = [0, 1, 3, 7, 15, 20]
    np.testing.assert_allclose(factors(backend, "coslog4", ends, n_epochs=15), np.zeros(6), atol=1e-12)
    peaks = [2**0.5 - 1, 2**1.5 - 1, 2**2.5 - 1, 2**3.5 - 1]
    np.testing.assert_allclose(factors(backend, "coslog4", peaks, n_epochs=15), np.ones(4), rtol=1e-12)
    quarters = [2**0.25 - 1, 2**3.75 - 1]
    np.testing.assert_allclose(factors(backend, "coslog4", quarters, n_epochs=15), [0.5, 0.5], rtol=1e-12)


def test_coslog_of_other_cycles(backend: Backend) -> None:
    """Two: they end after a third and at the end."""
    moment, rows = backend.to_device(np.array([[1.0], [3.0], [2**0.5 - 1]])), backend.to_device(np.array([5.0]))
    found = SCHEDULES["coslog4"].factor(backend.xp, moment, rows, 3, {"cycles": 2.0})
    np.testing.assert_allclose(backend.to_host(found)[:, 0], [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_never_negative_and_never_above_one(backend: Backend, name: str) -> None:
    found = factors(backend, name, np.linspace(0, 8, 81).tolist())
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
