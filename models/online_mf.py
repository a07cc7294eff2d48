"""Online matrix factorisation: implicit feedback, one interaction after the other.

Enters: interactions in the order of a partition, each with its sampled negatives.
Leaves: Factors of visitors and items, to be kept as rows.

The learning is that of river's FunkMF, stochastic gradient descent on the squared error of
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
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from streamrec.errors import RecordError, StateError
from streamrec.models._waves import Descent, Vectors, Waves
from streamrec.state.rows import Factors

__all__ = ["OnlineMF", "OnlineMFConfig"]


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
        self._items: dict[str, bytes] = {}
        self._waiting = _Waiting()
        self._descent = Descent(
            passes=config.passes,
            visitor_rate=config.visitor_learning_rate,
            item_rate=config.item_learning_rate,
            regularization=config.regularization,
            max_gradient=config.max_gradient,
        )
        self._n = 0
        self._mean = 0.0

    def visitor(self, visitor_id: str) -> Factors:
        """Factors of a visitor never seen before: uniform, from a hash of the id and the seed."""
        return Factors(self._initial([self._of_visitor(visitor_id)])[0])

    def item(self, item_id: str) -> Factors:
        """Factors of an item; of one never seen, uniform from a hash of the id and the seed."""
        vector = self._items.get(item_id)
        return Factors(self._initial([self._of_item(item_id)])[0] if vector is None else vector)

    def set_item(self, item_id: str, factors: Factors) -> None:
        """Put an item's factors in place. Raises StateError if they have another length."""
        self._items[item_id] = self._vector(f"item {item_id}", factors)

    def drop_item(self, item_id: str) -> None:
        """Forget an item, with what waits to be learned of it. Unknown ids are ignored."""
        self._items.pop(item_id, None)
        self._waiting.items.pop(item_id, None)

    def numbers(self) -> tuple[int, float]:
        """Number and mean of the targets learned from, those of negatives included."""
        return self._n, self._mean

    def set_numbers(self, n: int, mean: float) -> None:
        """Put those numbers in place, as after a restart."""
        self._n, self._mean = n, mean

    def learn(
        self, visitor_id: str, before: Factors | int, item_id: str, target: float, negatives: Sequence[str]
    ) -> int:
        """Take in an interaction and its sampled negatives; returns its number since the last run.

        before: the visitor's factors, without a vector if it was never seen; or the number of the interaction
        that it goes on from. Raises StateError if factors have another length.
        """
        waiting = self._waiting
        if isinstance(before, int):
            visitor = before
        elif before.vector:
            visitor = waiting.start(self._vector(f"visitor {visitor_id}", before))
        else:
            visitor = waiting.draw(self._of_visitor(visitor_id))
        rows = [visitor]
        for name in (item_id, *negatives):
            row = waiting.items.get(name)
            if row is None:
                vector = self._items.get(name)
                row = waiting.draw(self._of_item(name)) if vector is None else waiting.start(vector)
                waiting.items[name] = row
            rows.append(row)
        waiting.targets += [target, *[0.0] * len(negatives)]
        return waiting.waves.add(rows, target)

    def run(self) -> list[Factors]:
        """Learn what was taken in since the last run; returns the visitors' factors after each interaction.

        Raises RecordError (`model_failed`) if a number stops being finite; then nothing of it is learned.
        """
        waiting, self._waiting = self._waiting, _Waiting()
        n = len(waiting.waves)
        if n == 0:
            return []
        vectors = np.empty((n + len(waiting.starts), self._config.factors), "<f8")
        vectors[: n - 1 : -1] = self._starts(waiting)
        with np.errstate(over="ignore", invalid="ignore"):
            self._descent.learn(vectors, waiting.waves)
            # A finite sum says that every number is, at half the cost; but it may overflow by itself.
            finite = math.isfinite(vectors.sum()) or bool(np.isfinite(vectors).all())
        if not finite:
            raise RecordError(
                "model_failed",
                "online_mf: learning leaves the finite numbers; "
                "lower online_mf.item_learning_rate or online_mf.max_gradient",
            )
        learned = _as_bytes(vectors)
        for item_id, row in waiting.items.items():
            self._items[item_id] = learned[row]
        for target in waiting.targets:
            self._n += 1
            self._mean += (target - self._mean) / self._n
        return list(map(Factors, learned[:n]))

    def learn_one(
        self, visitor_id: str, factors: Factors, item_id: str, target: float, negatives: Sequence[str]
    ) -> Factors:
        """Learn one interaction at once; returns the visitor's new factors. Errors as of both."""
        self.learn(visitor_id, factors, item_id, target, negatives)
        return self.run()[-1]

    def _starts(self, waiting: "_Waiting") -> Vectors:
        """The vectors that those who wait begin with, (starts, factors)."""
        if waiting.draws:
            drawn = self._initial(list(waiting.draws.values()))
            for place, vector in zip(waiting.draws, drawn, strict=True):
                waiting.starts[place] = vector
        return np.frombuffer(b"".join(waiting.starts), "<f8").reshape(-1, self._config.factors)

    def _of_visitor(self, visitor_id: str) -> tuple[bytes, float]:
        return self._draw("visitor", visitor_id), self._config.visitor_scale

    def _of_item(self, item_id: str) -> tuple[bytes, float]:
        return self._draw("item", item_id), self._config.item_scale

    def _draw(self, kind: str, name: str) -> bytes:
        return hashlib.shake_128(f"{self._seed}/{kind}/{name}".encode()).digest(4 * self._config.factors)

    def _initial(self, draws: Sequence[tuple[bytes, float]]) -> list[bytes]:
        """Vectors of uniform numbers, the same on every machine.

        draws: of each, random bytes and the scale; the expected squared length is scale². Uniform rather
        than normal: no logarithm or cosine, whose last bit differs between mathematical libraries.
        """
        n = self._config.factors
        numbers = np.frombuffer(b"".join([draw for draw, _ in draws]), "<u4").astype("<f8").reshape(-1, n)
        # (numbers + ½) / 2³¹ - 1 lies strictly between -1 and 1 and has a variance of ⅓.
        vectors = (numbers + 0.5) * 2.0**-31 - 1.0
        return _as_bytes(vectors * np.array([[scale * math.sqrt(3.0 / n)] for _, scale in draws]))

    def _vector(self, owner: str, factors: Factors) -> bytes:
        if len(factors.vector) != self._size_bytes:
            raise StateError(
                f"{owner}: a stored vector has {len(factors.vector) // 8} factors, but online_mf.factors is "
                f"{self._config.factors}; set it back or rebuild the state"
            )
        return factors.vector


class _Waiting:
    """Interactions that wait to be learned."""

    __slots__ = ("draws", "items", "starts", "targets", "waves")

    def __init__(self) -> None:
        self.waves = Waves()
        self.items: dict[str, int] = {}
        """Rows of the items, by id."""
        self.starts: list[bytes] = []
        """The vectors that they begin with, in the order of `Waves.start`."""
        self.draws: dict[int, tuple[bytes, float]] = {}
        """Those of them that are still to be made, by place: random bytes and the scale."""
        self.targets: list[float] = []
        """Of all pairs, in order."""

    def start(self, vector: bytes) -> int:
        """The row of a vector that there is."""
        self.starts.append(vector)
        return self.waves.start()

    def draw(self, how: tuple[bytes, float]) -> int:
        """The row of a vector that is still to be made."""
        self.draws[len(self.starts)] = how
        return self.start(b"")


def _as_bytes(vectors: Vectors) -> list[bytes]:
    rows: list[bytes] = vectors.view((np.void, 8 * vectors.shape[1])).ravel().tolist()
    return rows
