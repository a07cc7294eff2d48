"""Online matrix factorisation: implicit feedback, one interaction at a time.

Enters: interactions in the order of a partition, each with its sampled negatives.
Leaves: Factors of visitors and items, to be kept as rows.

The learning is river's FunkMF, stochastic gradient descent on the squared error of
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
from river import optim, reco

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
        self._model = reco.FunkMF(
            n_factors=config.factors,
            l2=config.regularization,
            clip_gradient=config.max_gradient,
        )
        self._model.u_optimizer = optim.SGD(config.visitor_learning_rate)
        self._model.i_optimizer = optim.SGD(config.item_learning_rate)
        self._n = 0
        self._mean = 0.0

    def visitor(self, visitor_id: str) -> Factors:
        """Factors of a visitor never seen before: uniform, from a hash of the id and the seed."""
        return Factors(self._initial("visitor", visitor_id, self._config.visitor_scale).tobytes())

    def item(self, item_id: str) -> Factors:
        """Factors of an item; of one never seen, uniform from a hash of the id and the seed."""
        # river's predict_one and rank insert a row for every unseen id; .get does not.
        vector = self._model.i_latents.get(item_id)
        if vector is None:
            vector = self._initial("item", item_id, self._config.item_scale)
        return Factors(vector.tobytes())

    def set_item(self, item_id: str, factors: Factors) -> None:
        """Put an item's factors in place. Raises StateError if they have another length."""
        self._model.i_latents[item_id] = self._vector(f"item {item_id}", factors)

    def drop_item(self, item_id: str) -> None:
        """Forget an item. Unknown ids are ignored."""
        self._model.i_latents.pop(item_id, None)

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
        model, items = self._model, self._model.i_latents
        before: dict[str, _Vector | None] = {}
        for name in {item_id, *negatives}:
            vector = items.get(name)
            before[name] = None if vector is None else vector.copy()
            if vector is None:
                items[name] = self._initial("item", name, self._config.item_scale)
        if factors.vector:
            visitor = self._vector(f"visitor {visitor_id}", factors)
        else:
            visitor = self._initial("visitor", visitor_id, self._config.visitor_scale)
        # In river's table only for as long as river learns: visitors are kept in rows.
        model.u_latents[visitor_id] = visitor
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self._config.passes):
                model.learn_one(visitor_id, item_id, target)
                for name in negatives:
                    model.learn_one(visitor_id, name, 0.0)
            visitor = model.u_latents.pop(visitor_id)
            finite = _finite(visitor) and all(_finite(items[name]) for name in before)
        if not finite:
            self._undo(before)
            raise RecordError(
                "model_failed",
                f"online_mf: learning {item_id} with target {target} leaves the finite numbers; "
                "lower online_mf.item_learning_rate or online_mf.max_gradient",
            )
        self._count(target)
        for _ in negatives:
            self._count(0.0)
        return Factors(visitor.tobytes())

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

    def _vector(self, owner: str, factors: Factors) -> _Vector:
        if len(factors.vector) != self._size_bytes:
            raise StateError(
                f"{owner}: a stored vector has {len(factors.vector) // 8} factors, but online_mf.factors is "
                f"{self._config.factors}; set it back or rebuild the state"
            )
        # A copy, as river learns in place and bytes are read-only.
        return np.frombuffer(factors.vector, dtype="<f8").astype(np.float64)

    def _undo(self, before: dict[str, _Vector | None]) -> None:
        for name, vector in before.items():
            if vector is None:
                self.drop_item(name)
            else:
                self._model.i_latents[name] = vector

    def _count(self, target: float) -> None:
        self._n += 1
        self._mean += (target - self._mean) / self._n


def _finite(vector: _Vector) -> bool:
    # A sum is finite only if every term is, and costs half of numpy's isfinite().all().
    return math.isfinite(vector.sum())
