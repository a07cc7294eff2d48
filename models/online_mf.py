"""Online matrix factorisation: implicit feedback, one interaction at a time.

Enters: interactions in the order of a partition, each with its sampled negatives.
Leaves: Factors of visitors and items, to be kept as rows.

The learning is that of river's FunkMF, bit for bit, stochastic gradient descent on the squared error of
⟨visitor, item⟩: Simon Funk, "Netflix Update: Try This at Home", 2006. The target is 1
for what a visitor chose, 0 for what was drawn as a negative or disliked. Items start at
vectors drawn at random, so nearly orthogonal, and items of the same visitors are
pulled together from there: on its first days, with few interactions for each item, the model works
like random indexing (Kanerva et al., "Random Indexing of Text Samples", 2000).
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from streamrec.errors import RecordError, StateError
from streamrec.state.rows import Factors

__all__ = ["OnlineMF", "OnlineMFConfig"]

_Vector = NDArray[np.float64]


class OnlineMFConfig(BaseModel, frozen=True, extra="forbid"):
    """Hyperparameters; the defaults were chosen on clicks that came one day after another."""

    factors: PositiveInt = Field(default=32, le=256)
    """Length of a vector. Rows carry 8 bytes for each; it cannot change while rows exist."""
    visitor_learning_rate: PositiveFloat = Field(default=0.3, le=1)
    """Step of the visitor's vector. High, as a session is over after a few clicks."""
    item_learning_rate: PositiveFloat = Field(default=0.3, le=1)
    """Step of the item's vector."""
    regularization: NonNegativeFloat = Field(default=0.01, le=1)
    """L2 penalty on both vectors at every step."""
    negatives: NonNegativeInt = Field(default=1, le=20)
    """Items drawn at random with every interaction and learned as not wanted."""
    passes: PositiveInt = Field(default=2, le=10)
    """How often an interaction and its negatives are gone through."""
    visitor_scale: NonNegativeFloat = Field(default=0.1, le=10)
    """Expected length of a new visitor's vector; small, so that clicks decide at once."""
    item_scale: PositiveFloat = Field(default=0.6, le=10)
    """Expected length of a new item's vector."""
    max_gradient: PositiveFloat = Field(default=2.0, le=100)
    """Bound on the gradient of the loss, against oscillation at high learning rates."""


class OnlineMF:
    """Items' factors and how they learn; a `contracts.OnlineModel` for one partition."""

    def __init__(self, config: OnlineMFConfig, seed: int = 0) -> None:
        self._config = config
        self._seed = seed
        self._size_bytes = 8 * config.factors
        self._items: dict[str, _Vector] = {}
        self._pairs = _Pairs(config)
        self._n = 0
        self._mean = 0.0

    def visitor(self, visitor_id: str) -> Factors:
        """Factors of a visitor never seen before: uniform, from a hash of the id and the seed."""
        return Factors(self._initial("visitor", visitor_id, self._config.visitor_scale).tobytes())

    def item(self, item_id: str) -> Factors:
        """Factors of an item; of one never seen, uniform from a hash of the id and the seed."""
        return Factors(self._known(item_id).tobytes())

    def set_item(self, item_id: str, factors: Factors) -> None:
        """Put an item's factors in place. Raises StateError if they have another length."""
        self._items[item_id] = self._vector(f"item {item_id}", factors)

    def drop_item(self, item_id: str) -> None:
        """Forget an item. Unknown ids are ignored."""
        self._items.pop(item_id, None)

    def numbers(self) -> tuple[int, float]:
        """Number and mean of the targets learned from, those of negatives included."""
        return self._n, self._mean

    def set_numbers(self, n: int, mean: float) -> None:
        """Put those numbers in place, as after a restart."""
        self._n, self._mean = n, mean

    def learn_one(
        self, visitor_id: str, factors: Factors, item_id: str, target: float, negatives: Sequence[str]
    ) -> Factors:
        """Learn one interaction and its sampled negatives; returns the visitor's new factors.

        `factors` without a vector are those of a visitor never seen. Raises RecordError
        (`model_failed`) if a number stops being finite, with every item as it was.
        Raises StateError if `factors` have another length.
        """
        if factors.vector:
            visitor = self._vector(f"visitor {visitor_id}", factors)
        else:
            visitor = self._initial("visitor", visitor_id, self._config.visitor_scale)
        rows = {name: row for row, name in enumerate(dict.fromkeys([item_id, *negatives]), 1)}
        vectors = [self._known(name) for name in rows]
        pairs = [(rows[item_id], target), *((rows[name], 0.0) for name in negatives)]
        learned = self._pairs.learn([visitor, *vectors], self._config.passes * pairs)
        if learned is None:
            raise RecordError(
                "model_failed",
                f"online_mf: learning {item_id} with target {target} leaves the finite numbers; "
                "lower online_mf.item_learning_rate or online_mf.max_gradient",
            )
        for name, row in rows.items():
            self._items[name] = learned[row].copy()  # a view would keep the others alive
        self._count(target)
        for _ in negatives:
            self._count(0.0)
        return Factors(learned[0].tobytes())

    def _initial(self, kind: str, name: str, scale: float) -> _Vector:
        """Uniform numbers of expected squared length scale², the same on every machine.

        Uniform rather than normal: no logarithm or cosine, whose last bit differs between
        mathematical libraries.
        """
        n = self._config.factors
        stream = hashlib.shake_128(f"{self._seed}/{kind}/{name}".encode()).digest(4 * n)
        numbers = np.frombuffer(stream, dtype="<u4").astype(np.float64)
        # (numbers + ½) / 2³¹ - 1 lies strictly between -1 and 1 and has a variance of ⅓.
        vector: _Vector = (numbers + 0.5) * 2.0**-31 - 1.0
        return vector * (scale * math.sqrt(3.0 / n))

    def _known(self, item_id: str) -> _Vector:
        vector = self._items.get(item_id)
        return self._initial("item", item_id, self._config.item_scale) if vector is None else vector

    def _vector(self, owner: str, factors: Factors) -> _Vector:
        if len(factors.vector) != self._size_bytes:
            raise StateError(
                f"{owner}: a stored vector has {len(factors.vector) // 8} factors, but online_mf.factors is "
                f"{self._config.factors}; set it back or rebuild the state"
            )
        return np.frombuffer(factors.vector, dtype="<f8")

    def _count(self, target: float) -> None:
        self._n += 1
        self._mean += (target - self._mean) / self._n


class _Pairs:
    """Steps of learning on a visitor and a few items, in room that is made once.

    Each step is on two rows at once, the visitor's and the item's, and on whole contiguous arrays only: for
    vectors of this length numpy takes a quarter of a microsecond so, and four times that with a plain number
    or a stride.
    """

    def __init__(self, config: OnlineMFConfig) -> None:
        shape = 2, config.factors
        self._most = config.max_gradient
        self._penalty = np.full(shape, config.regularization)
        self._rates = np.empty(shape)
        self._rates[0], self._rates[1] = config.visitor_learning_rate, config.item_learning_rate
        self._pair, self._turned, self._slopes = np.empty(shape), np.empty(shape), np.empty(shape)
        self._gradients, self._penalties = np.empty(shape), np.empty(shape)

    def learn(self, vectors: Sequence[_Vector], pairs: Sequence[tuple[int, float]]) -> _Vector | None:
        """The vectors, a row each, after learning; None if a number stops being finite.

        vectors: the first one is the visitor's. pairs: row of an item, and its target, in the order in which
        they are learned.
        """
        rows = np.array(vectors)
        pair, turned, slopes, most = self._pair, self._turned, self._slopes, self._most
        gradients, penalties = self._gradients, self._penalties
        visitor, item = pair
        visitor[:] = rows[0]
        with np.errstate(over="ignore", invalid="ignore"):
            for row, target in pairs:
                pair[1] = turned[0] = rows[row]
                turned[1] = visitor
                slope = 2 * (float(visitor.dot(item)) - target)
                # In this order, what is no number stays none.
                slopes.fill(max(min(slope, most), -most))
                np.multiply(turned, slopes, gradients)
                np.multiply(pair, self._penalty, penalties)
                gradients += penalties
                gradients *= self._rates
                pair -= gradients
                rows[row] = item
            rows[0] = visitor
            # A sum is finite only if every term is, and costs half of numpy's isfinite().all().
            return rows if math.isfinite(rows.sum()) else None
