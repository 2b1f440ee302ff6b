"""The dense layer: Y = X W + b, for every network of a population at once."""

from __future__ import annotations

from gpubp.backends import Array, Backend


def dense_forward(backend: Backend, X: Array, W: Array, b: Array, out: Array) -> None:
    """out (P, B, O) = X W + b, with X (B, I) shared by all networks or (P, B, I), W (P, I, O), b (P, O)."""
    backend.xp.matmul(X, W, out=out)
    out += b[:, None, :]


def dense_backward(backend: Backend, dY: Array, X: Array, W: Array, dX: Array | None, dW: Array, db: Array) -> None:
    """Gradients of a loss through `dense_forward`, from dY (P, B, O).

    dX (P, B, I) = dY Wᵀ (left out where it is None: nothing lies before the first layer),
    dW (P, I, O) = Xᵀ dY and db (P, O) = the sum of dY over the batch: sums, for the mean is in dY already.
    """
    xp = backend.xp
    xp.matmul(X.swapaxes(-1, -2), dY, out=dW)
    if dY.shape[1] == 1:  # one row is its own sum, and a copy takes half the time: online training is many small calls
        xp.copyto(db, dY[:, 0])
    else:
        dY.sum(axis=1, out=db)
    if dX is not None:
        xp.matmul(dY, W.swapaxes(-1, -2), out=dX)
