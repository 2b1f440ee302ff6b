"""The promises of training: a network is alone, the same bits twice, early stopping, divergence, Ctrl-C, transfers."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest
from conftest import assert_same_networks

from gpubp.backends import Backend, NumpyBackend
from gpubp.engines.array.update import Learner
from gpubp.errors import DataError, SettingsError
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.options import defaults
from gpubp.operations.schedules import SCHEDULES
from gpubp.training.history import EpochReport, History
from gpubp.training.loop import train

RANDOM = np.random.default_rng(0)
N, I, O = 60, 4, 3  # noqa: E741
X = RANDOM.normal(size=(N, I))
CLASSES = (X @ RANDOM.normal(size=(I, O))).argmax(axis=1)
T = np.eye(O)[CLASSES]
SHAPE = Architecture(I, (6, 5), O, ("tanh", "relu"), "softmax")
P = 7
RATES = np.geomspace(1e-3, 3e-2, P)
ROWS = [np.random.default_rng(p).permutation(N)[: 30 + 3 * (p % 4)] for p in range(P)]
HELD = [np.setdiff1d(np.arange(N), rows)[: 10 + p % 3] for p, rows in enumerate(ROWS)]
WEIGHTS = RANDOM.uniform(0.2, 3.0, size=(P, N))


def population(backend: Backend, seeds: Any, dtype: str = "float32") -> Population:
    return Population.initialize(SHAPE, seeds, backend, dtype=dtype)


def assert_same(together: tuple[Population, History], alone: list[tuple[Population, History]]) -> None:
    population, history = together
    backend = population.backend
    for p, (single, its_history) in enumerate(alone):
        assert_same_networks(backend, backend.to_host(population.params)[p], backend.to_host(single.params)[0])
        epochs = len(its_history.training_loss)
        assert_same_networks(backend, history.training_loss[:epochs, p], its_history.training_loss[:, 0])
        assert history.epochs[p] == its_history.epochs[0]
        assert history.best_epoch[p] == its_history.best_epoch[0]
        if its_history.validation_loss is not None and history.validation_loss is not None:
            assert_same_networks(backend, history.validation_loss[:epochs, p], its_history.validation_loss[:, 0])


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": False, "optimizer": "sgd", "batch_size": 1, "epochs": 3},
        {"shuffle": False, "optimizer": "adam", "batch_size": 8},
        {"shuffle": True, "optimizer": "nesterov", "batch_size": 7, "l2": 0.1, "clip_norm": 0.5},
        {"shuffle": True, "optimizer": "adamw", "batch_size": None, "label_smoothing": 0.1},
        {"shuffle": True, "optimizer": "rmsprop", "batch_size": 16, "schedule": "one_cycle"},
        {"shuffle": False, "optimizer": "momentum", "batch_size": 5, "schedule": "inverse_scaling"},
    ],
    ids=lambda options: f"{options['optimizer']}-{options['batch_size']}",
)
@pytest.mark.parametrize("extras", ["plain", "weights", "early stopping"])
def test_seven_networks_are_seven_trainings(backend: Backend, options: dict[str, Any], extras: str) -> None:
    """Different seeds, rates, row sets (of different lengths): the same bits as each alone."""
    seeds = network_seeds(1, P)
    settings: dict[str, Any] = {"epochs": 5} | options
    weights = WEIGHTS if extras == "weights" else None
    held = None
    if extras == "early stopping":
        settings |= {"early_stopping": EarlyStopping(patience=1, tolerance=0.02), "epochs": 12}
        held = HELD
    together = population(backend, seeds)
    history = train(
        together, X, T, Settings(learning_rate=RATES, **settings), rows=ROWS, validation_rows=held,
        row_weights=weights, engine="array",
    )  # fmt: skip
    alone = []
    for p in range(P):
        single = population(backend, [seeds[p]])
        its_history = train(
            single,
            X,
            T,
            Settings(learning_rate=RATES[p], **settings),
            rows=[ROWS[p]],
            validation_rows=None if held is None else [held[p]],
            row_weights=None if weights is None else weights[p],
            engine="array",
        )
        alone.append((single, its_history))
    assert_same((together, history), alone)
    if extras == "early stopping":
        assert len(set(history.epochs.tolist())) > 1  # they stopped at different times, and still


def test_rows_in_chunks_are_the_same_rows(numpy_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(shuffle: bool) -> np.ndarray:
        one = population(numpy_backend, [1, 2, 3])
        train(one, X, T, Settings(batch_size=7, epochs=3, shuffle=shuffle), rows=ROWS[:3])
        return one.params

    whole = [run(True), run(False)]
    monkeypatch.setattr("gpubp.engines.array.batches.CHUNK_BYTES", 2000)
    for expected, shuffle in zip(whole, (True, False), strict=True):
        np.testing.assert_array_equal(run(shuffle), expected)


def test_validation_in_groups_is_the_same_validation(numpy_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> History:
        return train(population(numpy_backend, [1, 2, 3]), X, T, Settings(epochs=3), validation_rows=HELD[:3])

    expected = run()
    monkeypatch.setattr("gpubp.engines.array.validation.PIECE_BYTES", 1)
    found = run()
    np.testing.assert_array_equal(found.validation_loss, expected.validation_loss)
    np.testing.assert_array_equal(found.validation_score, expected.validation_score)


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_same_bits_twice_and_on_each_backend(backend: Backend, shuffle: bool) -> None:
    def run(on: Backend) -> np.ndarray:
        one = population(on, network_seeds(4, 3), "float64")
        train(one, X, T, Settings(epochs=4, batch_size=9, shuffle=shuffle))
        return on.to_host(one.params)

    first = run(backend)
    np.testing.assert_array_equal(first, run(backend))
    np.testing.assert_allclose(first, run(NumpyBackend()), rtol=1e-10, atol=1e-12)


def test_a_nan_stays_in_its_network(backend: Backend) -> None:
    def run(poisoned: bool) -> tuple[np.ndarray, History]:
        several = population(backend, [1, 2, 3])
        if poisoned:
            several.params[1, 0] = float("nan")
        history = train(several, X, T, Settings(epochs=3, l2=0.1, clip_norm=1.0), validation_rows=np.arange(10))
        return backend.to_host(several.params), history

    clean, _ = run(False)
    found, history = run(True)
    np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])
    assert np.isnan(found[1]).any()
    assert history.diverged.tolist() == [False, True, False]
    assert history.diverged_epoch.tolist() == [-1, 0, -1]


def test_divergence_is_marked_with_its_epoch(backend: Backend) -> None:
    both = Population.initialize(Architecture(I, 8, 1), [1, 1], backend)
    y = X[:, :1] * 3.0
    settings = Settings(loss="squared_error", optimizer="sgd", learning_rate=[1e-3, 30.0], epochs=20)
    history = train(both, X, y, settings)
    assert history.diverged.tolist() == [False, True]
    epoch = history.diverged_epoch[1]
    assert np.isfinite(history.training_loss[:epoch, 1]).all()
    assert not np.isfinite(history.training_loss[epoch, 1])


def test_divergence_in_the_very_last_update_is_seen(numpy_backend: Backend) -> None:
    """The loss is taken before the update, so only the parameters can tell."""
    one = Population.initialize(Architecture(I, (), 1), 1, numpy_backend)
    settings = Settings(loss="squared_error", optimizer="sgd", learning_rate=1e38, epochs=1, batch_size=None)
    history = train(one, X * 1e3, X[:, :1] * 1e3, settings)
    assert np.isfinite(history.training_loss).all()
    assert history.diverged_epoch.tolist() == [0]


def test_early_stopping_restores_the_best_weights(backend: Backend) -> None:
    """Noise labels: validation gets worse soon; the weights of the best epoch are what a shorter training gives."""
    noise = np.eye(O)[np.random.default_rng(5).integers(0, O, N)]
    held = np.arange(20)
    rows = np.arange(20, N)
    settings = {"learning_rate": 0.02, "batch_size": 8}
    stopped = population(backend, [1, 2])
    rule = EarlyStopping(patience=4, tolerance=0.0)
    settings_of_all = Settings(epochs=60, early_stopping=rule, **settings)
    history = train(stopped, X, noise, settings_of_all, rows=rows, validation_rows=held, engine="array")
    for p in range(2):
        best = int(history.best_epoch[p])
        assert history.epochs[p] == best + rule.patience + 2  # patience renewed by the best, spent after it
        assert history.validation_loss[best, p] == np.nanmin(history.validation_loss[:, p])
        shorter = population(backend, [1 + p])
        train(shorter, X, noise, Settings(epochs=best + 1, **settings), rows=rows, engine="array")
        assert_same_networks(backend, backend.to_host(stopped.params)[p], backend.to_host(shorter.params)[0])
    assert np.isnan(history.training_loss[history.epochs.min() :, history.epochs.argmin()]).all()


@pytest.mark.parametrize("monitor", ["validation_score", "training_loss"])
def test_other_monitors(numpy_backend: Backend, monitor: str) -> None:
    one = population(numpy_backend, [1])
    rule = EarlyStopping(patience=2, tolerance=0.5, monitor=monitor)
    history = train(one, X, T, Settings(epochs=50, early_stopping=rule), validation_rows=np.arange(15))
    assert history.epochs[0] < 50
    values = history.validation_score if monitor == "validation_score" else -history.training_loss
    assert history.best_epoch[0] == int(np.argmax(values[:, 0]))


def test_without_restoring_the_last_weights_stay(numpy_backend: Backend) -> None:
    rule = EarlyStopping(patience=1, tolerance=10.0, restore_best=False)
    one, other = population(numpy_backend, [1]), population(numpy_backend, [1])
    history = train(one, X, T, Settings(epochs=50, early_stopping=rule), validation_rows=np.arange(15))
    train(other, X, T, Settings(epochs=int(history.epochs[0])))
    np.testing.assert_array_equal(one.params, other.params)


def test_validation_scores_are_what_predictions_give(backend: Backend) -> None:
    held = np.arange(25)
    one = population(backend, [1, 2], "float64")
    history = train(one, X, T, Settings(epochs=2), rows=np.arange(25, N), validation_rows=held)
    outputs = backend.to_host(one.predict(X[held]))
    for p in range(2):
        assert history.validation_score[-1, p] == (outputs[p].argmax(1) == CLASSES[held]).mean()
        log_loss = -np.log(outputs[p][np.arange(25), CLASSES[held]]).mean()
        assert history.validation_loss[-1, p] == pytest.approx(log_loss, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_score_is_r2(backend: Backend, weighted: bool) -> None:
    from sklearn.metrics import r2_score

    y = np.column_stack([X[:, 0] * 5 + 1000.0, X[:, 1] ** 2, np.full(N, 3.0)])
    w = WEIGHTS[0] if weighted else None
    one = Population.initialize(Architecture(I, 4, 3), [1, 2], backend, dtype="float64")
    history = train(
        one, X, y, Settings(loss="squared_error", epochs=2), validation_rows=[np.arange(30), np.arange(5, 30)],
        row_weights=w,
    )  # fmt: skip
    for p, rows in enumerate((np.arange(30), np.arange(5, 30))):
        outputs = backend.to_host(one.predict(X))[p]
        expected = r2_score(y[rows], outputs[rows], sample_weight=None if w is None else w[rows])
        assert history.validation_score[-1, p] == pytest.approx(expected, rel=1e-9)


def test_multilabel_score_counts_rows_with_every_label_right(backend: Backend) -> None:
    labels = (X[:, :2] > 0).astype(float)
    one = Population.initialize(Architecture(I, 4, 2, "tanh", "logistic"), 1, backend, dtype="float64")
    history = train(one, X, labels, Settings(loss="binary_cross_entropy", epochs=3), validation_rows=np.arange(N))
    outputs = backend.to_host(one.predict(X))[0]
    assert history.validation_score[-1, 0] == pytest.approx(((outputs > 0.5) == (labels > 0.5)).all(axis=1).mean())


def test_label_smoothing_is_for_training_only(numpy_backend: Backend) -> None:
    smoothed, plain = population(numpy_backend, 1), population(numpy_backend, 1)
    one = train(smoothed, X, T, Settings(epochs=1, label_smoothing=0.2, batch_size=None), validation_rows=np.arange(N))
    two = train(plain, X, T, Settings(epochs=1, batch_size=None), validation_rows=np.arange(N))
    assert one.training_loss[0, 0] != two.training_loss[0, 0]
    outputs = smoothed.predict(X)[0]
    expected = -np.log(outputs[np.arange(N), CLASSES]).mean()
    assert one.validation_loss[0, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("amounts", [[0.1, 0.2], np.zeros(2), np.full((3, 1), 0.1)])
def test_label_smoothing_is_one_number_or_one_for_each(numpy_backend: Backend, amounts: Any) -> None:
    with pytest.raises(
        SettingsError, match=r"label smoothing: \d values for 3 networks: give one number, or one for each"
    ):
        train(population(numpy_backend, [3, 4, 5]), X, T, Settings(label_smoothing=amounts))


@pytest.mark.parametrize("shuffle", [False, True])
def test_schedules_on_every_backend(backend: Backend, numpy_backend: Backend, shuffle: bool) -> None:
    """With rows that all networks share, and with slices of networks whose rows are of different lengths."""

    def run(by: Backend) -> tuple[np.ndarray, np.ndarray]:
        networks = population(by, [3, 4, 5], "float64")
        settings = Settings(
            optimizer="adamw", l2=0.1, dropout=0.3, label_smoothing=[0.0, 0.1, 0.3], batch_size=16, epochs=3,
            schedule="coslog4", dropout_schedule="flat_cos", decay_schedule="cosine", smoothing_schedule="one_cycle",
            shuffle=shuffle,
        )  # fmt: skip
        rows = [np.arange(40), np.arange(50), np.arange(45)] if shuffle else None
        history = train(networks, X, T, settings, rows=rows, engine="array")
        return by.to_host(networks.params), history.training_loss

    for found, expected in zip(run(backend), run(numpy_backend), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_training_loss_is_the_mean_over_the_epoch(numpy_backend: Backend) -> None:
    """With a rate that changes nothing, the epoch's loss is the loss of the weights, L2 term and weights included."""
    one = population(numpy_backend, 1, "float64")
    W2 = sum(float((one.weights(i) ** 2).sum()) for i in range(3))
    outputs = one.predict(X)[0]
    losses = -np.log(outputs[np.arange(N), CLASSES])
    quiet = {"optimizer": "sgd", "learning_rate": 1e-300, "epochs": 1, "batch_size": 16, "l2": 0.3}
    history = train(one, X, T, Settings(**quiet))
    assert history.training_loss[0, 0] == pytest.approx(losses.mean() + 4 * 0.5 * 0.3 * W2 / N, rel=1e-12)
    w = WEIGHTS[0]
    weighted = train(one, X, T, Settings(**quiet | {"l2": 0.0}), row_weights=w)
    assert weighted.training_loss[0, 0] == pytest.approx((w * losses).sum() / w.sum(), rel=1e-12)


def test_integer_weights_are_repeated_rows(numpy_backend: Backend) -> None:
    w = np.random.default_rng(3).integers(0, 4, N)
    settings = Settings(optimizer="sgd", learning_rate=0.1, epochs=3, batch_size=None, shuffle=False)
    weighted, repeated = population(numpy_backend, 1, "float64"), population(numpy_backend, 1, "float64")
    train(weighted, X, T, settings, row_weights=w)
    train(repeated, X, T, settings, rows=np.repeat(np.arange(N), w))
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-9, atol=1e-12)


def test_a_batch_without_weight_changes_nothing(numpy_backend: Backend) -> None:
    w = np.ones(N)
    w[:10] = 0.0
    settings = Settings(optimizer="sgd", epochs=1, batch_size=10, shuffle=False)
    weighted, without = population(numpy_backend, 1, "float64"), population(numpy_backend, 1, "float64")
    train(weighted, X, T, settings, row_weights=w)
    train(without, X, T, settings, rows=np.arange(10, N))
    np.testing.assert_array_equal(weighted.params, without.params)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_reach_the_updates(numpy_backend: Backend, name: str) -> None:
    """One weight, constant gradient 1: plain SGD moves by exactly the sum of the rates."""
    epochs, steps = 4, 3
    one = Population.from_host(Architecture(1, (), 1), np.array([[0.0, 0.0]]), np.zeros(1), numpy_backend)
    settings = Settings(
        loss="squared_error", optimizer="sgd", learning_rate=1e-9, schedule=name, epochs=epochs, batch_size=1,
        shuffle=False, early_stopping=EarlyStopping(epochs, monitor="training_loss") if name == "adaptive" else None,
    )  # fmt: skip
    train(one, np.zeros((steps, 1)), -np.ones((steps, 1)), settings)
    moments = np.array([epoch + step / steps for epoch in range(epochs) for step in range(steps)])[:, None]
    schedule = SCHEDULES[name]
    factors = schedule.factor(np, moments, np.array([float(steps)]), epochs, defaults(schedule.options))
    assert one.biases(0)[0, 0] == pytest.approx(-1e-9 * factors.sum(), rel=1e-6)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_learns(numpy_backend: Backend, name: str) -> None:
    one = population(numpy_backend, [1, 2])
    rate = {"adam": 0.01, "adamw": 0.01, "rmsprop": 0.01}.get(name, 0.1)
    history = train(one, X, T, Settings(optimizer=name, learning_rate=rate, epochs=40, batch_size=10))
    assert (history.training_loss[-1] < 0.25 * history.training_loss[0]).all()


def test_callbacks_hear_of_every_epoch_and_may_end_it(backend: Backend) -> None:
    heard: list[int] = []

    def listen(report: EpochReport) -> bool:
        heard.append(report.epoch)
        assert report.n_epochs == 50
        assert report.networks.tolist() == [0, 1]
        metrics = report.metrics()
        assert np.isfinite(metrics["training_loss"]).all()
        assert np.isnan(metrics["validation_loss"]).all()
        return report.epoch == 3

    history = train(population(backend, [1, 2]), X, T, Settings(epochs=50), callbacks=[listen])
    assert heard == [0, 1, 2, 3]
    assert history.epochs.tolist() == [4, 4]
    assert history.training_loss.shape == (4, 2)
    assert not history.interrupted


def test_ctrl_c_ends_between_two_updates(numpy_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the ninth update: six make an epoch, so one epoch is complete, and the ninth update is finished, and kept."""
    updates = Learner.update

    def interrupt(self: Learner, batch: Any, *numbers: Any) -> None:
        taken.append(batch)
        if len(taken) == 9:
            signal.raise_signal(signal.SIGINT)
        updates(self, batch, *numbers)

    taken: list[Any] = []
    monkeypatch.setattr(Learner, "update", interrupt)
    settings = Settings(epochs=1000, batch_size=10, optimizer="sgd", shuffle=False)
    one, shorter = population(numpy_backend, [1]), population(numpy_backend, [1])
    history = train(one, X, T, settings, engine="array")
    assert (history.interrupted, history.epochs[0], len(taken)) == (True, 1, 9)
    rows = np.concatenate([np.arange(N), np.arange(30)])
    train(shorter, X, T, Settings(epochs=1, batch_size=10, optimizer="sgd", shuffle=False), rows=rows, engine="array")
    np.testing.assert_array_equal(one.params, shorter.params)


def test_ctrl_c_between_two_epochs(numpy_backend: Backend) -> None:
    one, shorter = population(numpy_backend, [1]), population(numpy_backend, [1])

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 4:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    history = train(one, X, T, Settings(epochs=1000, batch_size=None), callbacks=[interrupt], engine="array")
    assert history.interrupted
    assert history.epochs[0] == 5
    assert signal.getsignal(signal.SIGINT) is handler
    train(shorter, X, T, Settings(epochs=5, batch_size=None), engine="array")
    np.testing.assert_array_equal(one.params, shorter.params)


def test_ctrl_c_keeps_the_best_so_far(numpy_backend: Backend) -> None:
    noise = np.eye(O)[np.random.default_rng(5).integers(0, O, N)]

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 30:
            signal.raise_signal(signal.SIGINT)

    settings = Settings(epochs=1000, learning_rate=0.05, early_stopping=EarlyStopping(patience=500))
    one, shorter = population(numpy_backend, [1]), population(numpy_backend, [1])
    history = train(one, X, noise, settings, validation_rows=np.arange(20), callbacks=[interrupt], engine="array")
    assert history.best_epoch[0] < 30
    train(shorter, X, noise, Settings(epochs=int(history.best_epoch[0]) + 1, learning_rate=0.05), engine="array")
    np.testing.assert_array_equal(one.params, shorter.params)


def test_a_second_ctrl_c_is_an_interruption(numpy_backend: Backend) -> None:
    def interrupt(report: EpochReport) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(population(numpy_backend, 1), X, T, Settings(epochs=10), callbacks=[interrupt])


def test_training_in_another_thread(numpy_backend: Backend) -> None:
    """Signals belong to the main thread; training elsewhere works all the same."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        history = pool.submit(train, population(numpy_backend, 1), X, T, Settings(epochs=2)).result()
    assert history.epochs[0] == 2


def test_transfers_do_not_grow_with_the_epochs(standin: Any) -> None:
    """Host → device once before the training, device → host once after: the history and a check for NaN."""

    def count(epochs: int, **options: Any) -> tuple[int, int]:
        several = population(standin, [1, 2, 3])
        standin.xp.counters.reset()
        train(several, X, T, Settings(epochs=epochs, **options), rows=ROWS[:3])
        return standin.xp.counters.to_device, standin.xp.counters.to_host

    for options in ({"shuffle": False}, {"shuffle": True}, {"schedule": "cosine", "l2": 0.1, "clip_norm": 1.0}):
        up, down = count(2, **options)
        assert (up, down) == count(9, **options)
        assert up <= 12
        assert down == 2


def test_early_stopping_costs_one_number_a_network_and_epoch(standin: Any) -> None:
    """Per epoch one transfer down (the metrics) and at most one up (who improved)."""

    def count(epochs: int) -> tuple[int, int]:
        several = population(standin, [1, 2, 3])
        standin.xp.counters.reset()
        rule = EarlyStopping(patience=1000)
        train(several, X, T, Settings(epochs=epochs, early_stopping=rule), validation_rows=np.arange(20))
        return standin.xp.counters.to_device, standin.xp.counters.to_host

    (up, down), (up_longer, down_longer) = count(5), count(15)
    assert down_longer - down == 10
    assert up_longer - up <= 10


def test_a_progress_bar_is_drawn_on_a_terminals_standard_error(
    numpy_backend: Backend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> Any:
        train(population(numpy_backend, [1, 2]), X, T, Settings(epochs=5), validation_rows=np.arange(9), progress=True)
        return capsys.readouterr()

    assert run() == ("", "")  # a pipe gets none
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    captured = run()
    assert captured.out == ""
    assert "5/5" in captured.err
    assert "median of 2 networks" in captured.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "hinge"}, "Unknown loss 'hinge'"),
        ({"optimizer": "adan"}, "Unknown optimizer 'adan'. Did you mean 'adam'[?] Choose one of sgd"),
        ({"schedule": "linear"}, "Unknown schedule"),
        ({"learning_rate": -0.1}, "learning rate -0.1: expected a finite number above 0"),
        ({"learning_rate": float("nan")}, "learning rate nan"),
        ({"learning_rate": "fast"}, "expected a number"),
        ({"l2": -1.0}, "l2 -1"),
        ({"optimizer_options": {"momentum": 0.5}}, "optimizer adam has no option 'momentum': it has beta1"),
        ({"optimizer": "sgd", "optimizer_options": {"x": 1}}, "it has no options"),
        ({"optimizer_options": {"beta1": 1.0}}, "beta1 1: expected a finite number at least 0 and below 1"),
        ({"schedule": "step", "schedule_options": {"every": 0}}, "schedule option every 0"),
        ({"clip_norm": 0.0}, "clip norm 0"),
        ({"batch_size": 0}, "batch size 0"),
        ({"batch_size": 1.5}, "batch size 1.5"),
        ({"epochs": 0}, "epochs 0"),
        ({"epochs": True}, "epochs True"),
        ({"label_smoothing": 1.0}, "label smoothing 1"),
        ({"loss": "squared_error", "label_smoothing": 0.1}, "needs the loss cross_entropy"),
        ({"label_smoothing": [0.1, 1.0]}, "label smoothing 1"),
        ({"label_smoothing": [0.1, -0.1]}, "label smoothing -0.1"),
        ({"label_smoothing": "much"}, "label smoothing 'much': expected a number"),
        ({"loss": "poisson", "label_smoothing": [0.0, 0.1]}, "needs the loss cross_entropy"),
        ({"loss": "poisson", "smoothing_schedule": "cosine"}, "needs the loss cross_entropy"),
        ({"dropout_schedule": "flat"}, "Unknown schedule 'flat' of dropout.*Choose one of constant, inverse_scaling"),
        ({"decay_schedule": None}, "Unknown schedule None of decay"),
        ({"smoothing_schedule": "adaptive"}, "adaptive lowers the learning rate .* and cannot be of smoothing"),
        ({"schedule": "coslog4", "schedule_options": {"cycles": 0}}, "schedule option cycles 0"),
        ({"schedule": "flat_cos", "schedule_options": {"flat": 1.0}}, "schedule option flat 1"),
    ],
)
def test_impossible_settings(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"monitor": "luck"}, "Unknown monitor"), ({"patience": 0}, "Patience 0"), ({"tolerance": -1}, "Tolerance -1")],
)
def test_impossible_early_stopping(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        EarlyStopping(**options)


def spoiled(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    copy = array.copy()
    copy[place] = value
    return copy


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"X": X[:, :2]}, DataError, r"X has shape \(60, 2\): this network needs \(rows, 4\)"),
        ({"T": T[:5]}, DataError, r"T has shape \(5, 3\): expected \(60, 3\)"),
        ({"X": spoiled(X, (7, 2), np.inf)}, DataError, r"X\[7, 2\] is inf"),
        ({"X": spoiled(X, (7, 2), 1e39)}, DataError, r"X\[7, 2\] is 1e\+39.*float32"),
        ({"T": spoiled(T, (3, 1), np.nan)}, DataError, r"T\[3, 1\] is nan"),
        ({"T": spoiled(T, (3, 1), 0.5)}, DataError, r"T\[3\].*rows that sum to 1"),
        ({"row_weights": np.ones(3)}, DataError, r"Row weights of shape \(3,\)"),
        ({"row_weights": -np.ones(N)}, DataError, "not negative"),
        ({"row_weights": np.zeros(N)}, DataError, "weight 0 only"),
        ({"settings": Settings(learning_rate=[1.0, 2.0])}, SettingsError, "2 values for 1 networks"),
        ({"settings": Settings(loss="poisson")}, SettingsError, "belongs to the output activation exponential"),
        ({"settings": Settings(early_stopping=EarlyStopping())}, SettingsError, "needs validation rows"),
    ],
)
def test_bad_input_changes_nothing(numpy_backend: Backend, changes: dict[str, Any], error: type, words: str) -> None:
    one = population(numpy_backend, 1)
    before = one.params.copy()
    arguments: dict[str, Any] = {"X": X, "T": T, "settings": Settings()} | changes
    with pytest.raises(error, match=words):
        train(one, arguments.pop("X"), arguments.pop("T"), arguments.pop("settings"), **arguments)
    np.testing.assert_array_equal(one.params, before)


@pytest.mark.parametrize(
    ("loss", "output", "words"),
    [("poisson", "exponential", "0 or more"), ("binary_cross_entropy", "logistic", "from 0 to 1")],
)
def test_targets_outside_the_losss_range(numpy_backend: Backend, loss: str, output: str, words: str) -> None:
    one = Population.initialize(Architecture(I, 3, 1, "tanh", output), 1, numpy_backend)
    with pytest.raises(DataError, match=words):
        train(one, X, np.full((N, 1), -1.0), Settings(loss=loss))


def test_settings_as_plain_values() -> None:
    import json

    settings = Settings(learning_rate=np.array([0.1, 0.2]), early_stopping=EarlyStopping(), clip_norm=np.float64(2))
    assert json.loads(json.dumps(settings.to_dict()))["learning_rate"] == [0.1, 0.2]


@pytest.mark.parametrize("engine", ["array", "block", "lane"])
@pytest.mark.parametrize(
    ("part", "weight", "message"),
    [
        ("held", 0.0, r"Network 2 has validation rows of weight 0 only: give"),
        ("rows", 0.0, r"Network 2 has training rows of weight 0 only: give"),
        ("held", 1e-50, r"Network 2 has validation rows of weight 0 only, once rounded to float32"),
        ("rows", 1e39, r"weights of network 2's training rows add up to more than float32 holds"),
    ],
)
def test_weights_that_leave_no_mean_are_refused(engine: str, part: str, weight: float, message: str) -> None:
    weights = WEIGHTS.copy()
    weights[2, HELD[2] if part == "held" else ROWS[2]] = weight
    trained = population(NumpyBackend(), network_seeds(0, P))
    before = trained.params.copy()
    settings = Settings(epochs=2, early_stopping=EarlyStopping(1, monitor="validation_loss"))
    with pytest.raises(DataError, match=message):
        train(trained, X, T, settings, rows=ROWS, validation_rows=HELD, row_weights=weights, engine=engine)
    np.testing.assert_array_equal(trained.params, before)
