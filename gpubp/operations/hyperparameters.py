"""The numbers that networks of one population may differ in, side by side: learning rates, the optimizer's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend


def cast(value: Any, dtype: np.dtype[Any]) -> Any:
    """An array in this dtype; a number as it is."""
    return value.astype(dtype) if hasattr(value, "astype") else value


class Hyperparameters:
    """Per-network hyperparameters, (P, 1), in float64 and in the parameters' dtype.

    `hyper.beta1` has the parameters' dtype. Differences such as 1 − beta lose digits in float32, so they are taken
    in float64 first: `hyper.complement("beta1")`. Bias corrections use `hyper.exact["beta1"]`.
    """

    def __init__(self, backend: Backend, values: Mapping[str, np.ndarray], dtype: np.dtype[Any]) -> None:
        """values: one (P,) float64 host array for each name."""
        packed = backend.to_device(np.array([*values.values()], dtype=np.float64)[:, :, None])  # one transfer
        self.dtype = dtype
        self.exact: dict[str, Array] = {name: packed[i] for i, name in enumerate(values)}
        rounded, complements = packed.astype(dtype), (1.0 - packed).astype(dtype)
        self._cast = {name: rounded[i] for i, name in enumerate(values)}
        self._complements = {name: complements[i] for i, name in enumerate(values)}

    @property
    def named(self) -> Mapping[str, Array]:
        """All of them by name, in the parameters' dtype."""
        return self._cast

    def __getattr__(self, name: str) -> Array:
        try:
            return self.__dict__["_cast"][name]
        except KeyError:
            raise AttributeError(name) from None

    def complement(self, name: str) -> Array:
        """1 − value."""
        return self._complements[name]

    def of_each_output(self, names: Iterable[str]) -> dict[str, Array]:
        """(P, 1, 1) in the parameters' dtype, which goes with outputs (P, B, O)."""
        return {name: self._cast[name][:, :, None] for name in names}

    def networks(self, selection: slice | Array) -> Hyperparameters:
        """The hyperparameters of some of the networks."""
        chosen = object.__new__(Hyperparameters)
        chosen.dtype = self.dtype
        for table in ("exact", "_cast", "_complements"):
            setattr(chosen, table, {name: value[selection] for name, value in getattr(self, table).items()})
        return chosen
