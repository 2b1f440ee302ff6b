"""Learned vectors of categories: the inputs of one column become the sum of a vector each, Y = Σ_i x_i E_i.

Where a column is ones and zeros, one input for each category, that is the category's own vector (Guo and Berkhahn 2016,
"Entity embeddings of categorical variables"); a missing or unknown category, all zeros, has the vector zero. So a
network of many categories has few weights for each of them before its first dense layer. Columns of few inputs, and
numbers, pass as they are (Holzmüller, Grinsztajn and Steinwart 2024, "Better by default": RealMLP, whose vectors have
8 numbers, for columns of more than 9 categories).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from gpubp.errors import SettingsError
from gpubp.operations.layers import Group, Inputs, Layer, Parameter, TakenOver, Values
from gpubp.operations.options import Option

if TYPE_CHECKING:
    import numpy as np

    from gpubp.backends import Array, Backend
    from gpubp.operations.activations import Nodes
    from gpubp.operations.initializers import Draw

MOST_SIZE, MOST_PASSING = 1024, 10**6

EMBEDDING_RATE = Option(
    "embedding_rate", 1.0, "what the learning rate is multiplied by", above=0.0, searched=(0.1, 10.0), log=True
)
EMBEDDING_DECAY = Option("embedding_decay", 1.0, "what L2 and weight decay are multiplied by", least=0.0)
EMBEDDING_SIGMA = Option(
    "embedding_sigma", 1.0, "the standard deviation of the first vectors' numbers", above=0.0, searched=(0.05, 2.0),
    log=True, of_first_values=True,
)  # fmt: skip
VECTORS = Group("embeddings", rate=EMBEDDING_RATE, decay=EMBEDDING_DECAY)


class EmbeddingValues(Values):
    """passing, groups: places of inputs, on the device; slices where they are neighbours."""

    def __init__(self, layer: Embedding, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool):
        self.passing = _indices(backend, layer.passing)
        self.groups = [_indices(backend, group) for group in layer.groups]
        self.Y = backend.xp.empty((n_networks, n_rows, layer.n_outputs), dtype=dtype)
        if gradients:
            self.dY = backend.xp.empty_like(self.Y)


@dataclass(frozen=True)
class Embedding(Layer):
    """Outputs: the inputs that pass; then column by column the sums, `size` numbers of each.

    groups: of each column that is embedded the places of its inputs. size: of a vector.
    """

    name = "embed"
    help = "a learned vector for each category of a column that has many"
    options = (EMBEDDING_RATE, EMBEDDING_DECAY, EMBEDDING_SIGMA)
    in_front = True
    takes_categories = True
    takes_sizes = "numbers of a vector, and inputs of a column up to which it passes"
    n_inputs: int
    groups: tuple[tuple[int, ...], ...] = ()
    size: int = 8

    @classmethod
    def of(cls, inputs: Inputs, sizes: Sequence[int] = ()) -> Embedding:
        size, most = (*sizes, *(8, 9)[len(sizes) :])
        return cls(inputs.n, tuple(group for group in inputs.categories if len(group) > most), size)

    @classmethod
    def check_sizes(cls, sizes: Sequence[int]) -> None:
        right = len(sizes) in (1, 2) and 1 <= sizes[0] <= MOST_SIZE and sizes[-1] <= MOST_PASSING
        if not right:
            raise SettingsError(
                f"Layer in front {cls.name}: its sizes are {cls.takes_sizes}, such as embed:8 or embed:8x9, the first "
                f"from 1 to {MOST_SIZE:,}; found {'x'.join(map(str, sizes))}."
            )

    def passed(self, inputs: Inputs) -> Inputs:
        """A vector is neither a number nor categories: what follows leaves it alone."""
        found = inputs.among(self.passing, 0, self.n_outputs)
        vectors = range(len(self.passing), self.n_outputs)
        return Inputs(found.n, (*found.indicators, *vectors), found.categories)

    @cached_property
    def embedded(self) -> tuple[int, ...]:
        """The places of the M inputs that have a vector each, group by group."""
        return tuple(place for group in self.groups for place in group)

    @cached_property
    def passing(self) -> tuple[int, ...]:
        """The places of the inputs that are outputs, too."""
        return tuple(sorted({*range(self.n_inputs)} - {*self.embedded}))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Which of the vectors each group's first is; and how many there are."""
        return (0, *accumulate(map(len, self.groups)))

    @cached_property
    def n_outputs(self) -> int:  # type: ignore[override]
        return len(self.passing) + self.size * len(self.groups)

    @property
    def columns(self) -> int:
        return self.size

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """vectors E (M, size)."""
        return (Parameter("vectors", (len(self.embedded), self.size), VECTORS),)

    def initial(self, seeds: np.ndarray, place: int, draw: str | Draw) -> np.ndarray:
        """N(0, 1) whatever the initializer, which `start` multiplies by embedding_sigma."""
        import numpy as np
        from scipy.special import ndtri

        from gpubp.operations.philox import Stream, uniform

        drawn: np.ndarray = ndtri(uniform(np, seeds, self.n_parameters, Stream.EMBEDDINGS, extra=place))
        return drawn

    def start(self, its: Mapping[str, np.ndarray], options: Mapping[str, np.ndarray]) -> None:
        its["vectors"][...] *= options["embedding_sigma"][:, None, None]

    def values(self, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool) -> EmbeddingValues:
        return EmbeddingValues(self, backend, n_networks, n_rows, dtype, gradients)

    def forward(self, backend: Backend, X: Array, its: Mapping[str, Array], values: EmbeddingValues) -> Array:
        E, n = its["vectors"], len(self.passing)
        values.Y[..., :n] = X[..., values.passing]
        for k, places in enumerate(values.groups):
            values.Y[..., self._outputs(k)] = backend.xp.matmul(X[..., places], E[:, self._vectors(k)])
        return values.Y

    def backward(
        self,
        backend: Backend,
        dY: Array,
        X: Array,
        its: Mapping[str, Array],
        values: EmbeddingValues,
        dX: Array | None,
        d_its: Mapping[str, Array],
    ) -> None:
        """dE_i = Σ over the rows of x_i dy: of ones and zeros, dy is added to the vectors of the rows' categories."""
        xp, E, dE = backend.xp, its["vectors"], d_its["vectors"]
        if dX is not None:
            dX[..., values.passing] = dY[..., : len(self.passing)]
        for k, places in enumerate(values.groups):
            dV = dY[..., self._outputs(k)]
            dE[:, self._vectors(k)] = xp.matmul(X[..., places].swapaxes(-1, -2), dV)
            if dX is not None:
                dX[..., places] = xp.matmul(dV, E[:, self._vectors(k)].swapaxes(-1, -2))

    def _outputs(self, k: int) -> slice:
        """Where the sum of group k is."""
        start = len(self.passing) + k * self.size
        return slice(start, start + self.size)

    def _vectors(self, k: int) -> slice:
        """Which of the vectors are those of group k."""
        return slice(self.starts[k], self.starts[k + 1])

    def nodes(self, op: Nodes, X: str, its: Mapping[str, np.ndarray]) -> str:
        import numpy as np

        E, parts = its["vectors"], []
        if not self.groups:
            return X
        if self.passing:
            passing = op("Gather", X, op.whole(self.passing), axis=-1)
            parts.append(op("Add", passing, np.zeros((len(E), 1, 1))) if E.ndim == 3 else passing)  # for each network
        for k, group in enumerate(self.groups):
            parts.append(op("MatMul", op("Gather", X, op.whole(group), axis=-1), E[..., self._vectors(k), :]))
        return op("Concat", *parts, axis=-1) if len(parts) > 1 else parts[0]

    def take_over(self, its: Mapping[str, np.ndarray], offset: np.ndarray, scale: np.ndarray) -> TakenOver:
        """E becomes E / scale, and then every sum is too large by Σ_i offset_i E_i."""
        import numpy as np

        E, passing = its["vectors"], list(self.passing)
        E /= scale[list(self.embedded), None]
        left = np.zeros((len(E), self.n_outputs)), np.ones(self.n_outputs)
        for found, given in zip(left, (offset, scale), strict=True):
            found[..., : len(passing)] = given[..., passing]
        for k, group in enumerate(self.groups):
            left[0][:, self._outputs(k)] = (offset[..., list(group), None] * E[:, self._vectors(k)]).sum(axis=-2)
        return left

    def reorder(self, its: Mapping[str, np.ndarray], order: np.ndarray) -> np.ndarray:
        import numpy as np

        groups, vectors, passing = regrouped(self.groups, order), [], {old: i for i, old in enumerate(self.passing)}
        old_vector = {old: i for i, old in enumerate(self.embedded)}
        of_group = {old: k for k, group in enumerate(self.groups) for old in group}
        outputs = [passing[old] for old in order.tolist() if old in passing]
        for group in groups:
            old = [int(order[place]) for place in group]
            vectors += [old_vector[each] for each in old]
            outputs += range(self._outputs(of_group[old[0]]).start, self._outputs(of_group[old[0]]).stop)
        its["vectors"][...] = its["vectors"][:, np.array(vectors, dtype=np.int64)]
        return np.array(outputs, dtype=np.int64)


def regrouped(groups: Sequence[Sequence[int]], order: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Groups of inputs where input i is what input order[i] was; ascending, as those of an architecture are."""
    now = {old: place for place, old in enumerate(order.tolist())}
    return tuple(sorted(tuple(sorted(now[old] for old in group)) for group in groups))


def _indices(backend: Backend, places: Sequence[int]) -> slice | Array:
    """For indexing the last axis: neighbours as a slice, which copies nothing."""
    import numpy as np

    first = places[0] if places else 0
    if list(places) == list(range(first, first + len(places))):
        return slice(first, first + len(places))
    return backend.to_device(np.array(places, dtype=np.int64))
