"""A training small enough for a memory checker: shuffled, dropped out, validated, with a remainder in every batch.

    python -m gpu.small_training ENGINE

CuPy's memory pool is off, so that each array ends where its allocation ends.
"""

from __future__ import annotations

import sys

import numpy as np

from gpubp import Architecture, Population, Settings, get_backend, network_seeds, train


def main(engine: str) -> None:
    backend = get_backend("cupy")
    backend.xp.cuda.set_allocator(None)
    random = np.random.default_rng(0)
    X = random.normal(size=(45, 7)).astype(np.float32)
    T = np.eye(3, dtype=np.float32)[random.integers(0, 3, 45)]
    hidden = (5,) if engine == "lane" else (33, 17)
    shape = Architecture(7, hidden, 3, activation="relu", output_activation="softmax")
    networks = Population.initialize(shape, network_seeds(0, 3), backend)
    settings = Settings(epochs=2, batch_size=16, dropout=0.2, optimizer="sgd" if engine == "lane" else "adam")
    history = train(networks, X, T, settings, rows=np.arange(35), validation_rows=np.arange(35, 45), engine=engine)
    backend.synchronize()
    print(f"trained by {history.engine}: {history.training_loss[-1]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
