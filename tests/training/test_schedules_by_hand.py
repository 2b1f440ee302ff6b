"""A training with schedules of everything, written out in plain NumPy, number by number."""

from __future__ import annotations

import numpy as np
import pytest

from gpubp.backends import NumpyBackend
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.philox import philox
from gpubp.training.loop import train

RANDOM = np.random.default_rng(2)
N, EPOCHS, BATCH, SEED = 6, 5, 3, 9
X = RANDOM.normal(size=(N, 2))
T = np.eye(3)[[0, 1, 2, 1, 0, 2]]
RATE, DECAY, L2, SHARE, SMOOTHING = 0.05, 0.4, 0.3, 0.4, 0.3


def flat_cos(t: float) -> float:
    """1 for half of the time, then down to 0."""
    return 1.0 if t < 0.5 else 0.5 * (1.0 + np.cos(np.pi * (2.0 * t - 1.0)))


def coslog4(t: float) -> float:
    return 0.5 * (1.0 - np.cos(2.0 * np.pi * np.log2(1.0 + 15.0 * t)))


def cosine(t: float) -> float:
    return 0.5 * (1.0 + np.cos(np.pi * t))


def dropped(epoch: int, start: int, share: float) -> np.ndarray:
    """(3 rows, 4 neurons): who is dropped, by the random words of (seed, epoch, place, neuron)."""
    mask = np.empty((BATCH, 4), dtype=bool)
    for row in range(BATCH):
        quad, place = divmod(start + row, 4)
        for neuron in range(4):
            words = philox((np.uint64(SEED), np.uint64(0)), (quad, epoch, 4, neuron))
            mask[row, neuron] = int(words[place]) < int(share * 2**32)
    return mask


def by_hand(W: np.ndarray, b: np.ndarray, V: np.ndarray, c: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """AdamW with L2 on tanh(x W + b) V + c: the parameters, and each epoch's loss."""
    parts = [W.copy(), b.copy(), V.copy(), c.copy()]
    means, squares = ([np.zeros_like(part) for part in parts] for _ in range(2))
    updates, losses = 0, []
    for epoch in range(EPOCHS):
        share = SHARE * flat_cos((epoch + 0.5) / EPOCHS)  # of the epoch's middle
        total = 0.0
        for step in range(N // BATCH):
            t = (epoch + step * BATCH / N) / EPOCHS  # of the update's begin
            rate, times, amount = RATE * cosine(t), flat_cos(t), SMOOTHING * coslog4(t)
            rows = slice(step * BATCH, (step + 1) * BATCH)
            W, b, V, c = parts
            targets = (1.0 - amount) * T[rows] + amount / 3
            keep = np.where(dropped(epoch, rows.start, share), 0.0, 1.0 / (1.0 - share))
            h = np.tanh(X[rows] @ W + b)
            z = (h * keep) @ V + c
            y = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            total -= (targets * np.log(y)).sum()
            total += 0.5 * L2 * times * ((W**2).sum() + (V**2).sum())
            dz = (y - targets) / BATCH
            da = (dz @ V.T) * keep * (1.0 - h**2)
            gradients = [
                X[rows].T @ da + L2 * times * W / BATCH, da.sum(axis=0),
                (h * keep).T @ dz + L2 * times * V / BATCH, dz.sum(axis=0),
            ]  # fmt: skip
            updates += 1
            for i, gradient in enumerate(gradients):
                if i % 2 == 0:  # no biases
                    parts[i] = parts[i] * (1.0 - rate * DECAY * times)
                means[i] = 0.9 * means[i] + 0.1 * gradient
                squares[i] = 0.999 * squares[i] + 0.001 * gradient**2
                mean, square = means[i] / (1.0 - 0.9**updates), squares[i] / (1.0 - 0.999**updates)
                parts[i] = parts[i] - rate * mean / (np.sqrt(square) + 1e-8)
        losses.append(total / N)
    return parts, losses


def test_every_engine_trains_so(engine: str) -> None:
    one = Population.initialize(Architecture(2, (4,), 3, "tanh", "softmax"), SEED, NumpyBackend(), dtype="float64")
    first = [one.weights(0)[0], one.biases(0)[0], one.weights(1)[0], one.biases(1)[0]]
    expected, losses = by_hand(*(np.array(part) for part in first))
    settings = Settings(
        optimizer="adamw",
        optimizer_options={"weight_decay": DECAY},
        learning_rate=RATE,
        l2=L2,
        dropout=SHARE,
        label_smoothing=SMOOTHING,
        schedule="cosine",
        decay_schedule="flat_cos",
        dropout_schedule="flat_cos",
        smoothing_schedule="coslog4",
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
    )
    history = train(one, X, T, settings, engine=engine)
    found = [one.weights(0)[0], one.biases(0)[0], one.weights(1)[0], one.biases(1)[0]]
    for part, its in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, its, rtol=1e-9, atol=1e-11)
    assert history.training_loss[:, 0].tolist() == pytest.approx(losses, rel=1e-10)
