"""What is added to, or taken from, a gradient before the optimizer sees it."""

from __future__ import annotations

from gpubp.backends import Array, Backend


def l2_penalty(weights: list[Array], d_weights: list[Array], alpha: Array, rows: Array | float, penalty: Array) -> None:
    """The L2 term as scikit-learn defines it, ½ · alpha · Σ W² / rows; biases are free.

    weights, d_weights: arrays of parameters W and their gradients dW (P, …); alpha (P, 1, …); rows: the batch's size,
    or the sum of its row weights, as a number or (P, 1, …). dW += alpha · W / rows, penalty (P,) += ½ · alpha · Σ W².
    """
    for W, dW in zip(weights, d_weights, strict=True):
        decay = W * alpha
        penalty += 0.5 * (decay * W).sum(axis=tuple(range(1, W.ndim)))
        decay /= rows
        dW += decay


def clip_by_global_norm(backend: Backend, grads: Array, limit: Array) -> None:
    """Scale each network's gradient (P, K) down to the Euclidean norm `limit` (P, 1) where it is longer.

    (Pascanu, Mikolov and Bengio 2013, algorithm 1.) A limit of inf leaves the gradient untouched.
    """
    xp = backend.xp
    norm = xp.sqrt(xp.square(grads).sum(axis=1, keepdims=True))
    too_long = norm > limit
    grads *= xp.where(too_long, limit / xp.where(too_long, norm, 1.0), 1.0).astype(grads.dtype)
