"""What user-based and item-based collaborative filtering share: neighbours that vote for items.

Enters: ratings. Leaves: scores. For the task "rating" the level of visitor and item and, on top, the mean of
what the neighbours deviate from theirs, weighted by similarity; for "top-n" the sum of similarity times
value: the more neighbours speak for an item the better.

Sources: Herlocker et al., "An Algorithmic Framework for Performing Collaborative Filtering", SIGIR 1999
(centring, significance weighting); Koren, TKDD 4(1), 2010 (baselines); Papagelis et al., "Incremental
Collaborative Filtering for Highly-Scalable Recommendation Algorithms", ISMIS 2005 (sums kept by event);
Cremonesi et al., RecSys 2010 (sums that are not normalised, for top-n).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeInt, PositiveInt

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import ConfigError, DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge, checked_value
from streamrec.models._co_ratings import CoRatings, Lines
from streamrec.models._levels import Baselines, fit_baselines
from streamrec.models._saving import load_state, save_state
from streamrec.models._similarity import Scale, Similarity
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["Asker", "Centre", "MemoryBasedCF", "MemoryBasedConfig", "Votes", "nearest"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Centre = Literal["none", "mean", "baseline"]


class MemoryBasedConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters of both sides."""

    task: Task = "rating"
    """What scores are: ratings expected, or numbers to be ranked by."""
    similarity: Similarity | None = None
    """How neighbours are told: only what is more alike than 0 is one. None: pcc for ratings, and for lists
    cosine, which needs no ratings that differ."""
    k: PositiveInt = 40
    """Neighbours that vote for an item at most: the most similar ones that can."""
    significance: NonNegativeInt = 50
    """Ratings in common below which a similarity counts for less, in proportion; 0: each counts in full."""
    centre: Centre = "mean"
    """What ratings expected are measured from. none: nothing; mean: that of the visitor (user-based) or of
    the item (item-based); baseline: μ + b_u + b_i, which has to be fitted to all ratings at once."""

    @property
    def alike_by(self) -> Similarity:
        """The similarity that is meant."""
        return self.similarity or ("pcc" if self.task == "rating" else "cosine")


class Asker(NamedTuple):
    """A visitor as neighbours are looked for."""

    user: int
    """Its index, -1 for a stranger."""
    items: Ints
    """(n,) indices of what it had, ascending."""
    values: Floats
    """(n,) how it rated them."""
    level: float
    """Its mean, or how it deviates as to the baselines."""


class Votes(NamedTuple):
    """Who votes for what; (m,) each. Of one candidate by ascending neighbour."""

    places: Ints
    """Of the candidate, among those asked for."""
    neighbours: Ints
    similarity: Floats
    values: Floats
    """What the neighbour says of the candidate."""

    def only(self, chosen: NDArray[Any]) -> "Votes":
        """Some of the votes."""
        return Votes(*(each[chosen] for each in self))


class MemoryBasedCF(ABC):
    """Ratings kept as they are, compared by rows; a recommender.StreamRecommender."""

    Config: ClassVar[type[MemoryBasedConfig]]
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating", "top-n"})

    def __init__(self, config: MemoryBasedConfig | None = None) -> None:
        self.config = config or self.Config()
        self.items: Sequence[str] = []
        self._baselines: Baselines | None = None
        self._forget([], [])

    @property
    def streams(self) -> bool:
        """Whether it can learn one by one."""
        return self.config.centre != "baseline"

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Compare all rows. Who rates an item again is taken at the last word.

        Raises DatasetError if there are no ratings.
        """
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        once = feedback.without_repeats()
        users, items, values = once.users, once.items, once.values.astype(np.float64)
        self._forget(feedback.user_ids, feedback.item_ids)
        rows, columns = self._ordered(users, items)
        n_rows = int(rows.max()) + 1
        on_step = options.on_step if options is not None else None

        def on_row(done: int) -> None:
            if on_step is not None:
                on_step(done * len(feedback) // n_rows, len(feedback), float("nan"))

        # As one by one: a rating that another replaced was one of the scale.
        scale = Scale(float(feedback.values.min()), float(feedback.values.max()))
        self._ratings.fill(rows, columns, values, on_row, scale)
        if self.config.centre == "baseline":
            self._baselines = fit_baselines(users, items, values)
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """Take in one more rating; see recommender.StreamRecommender.

        Of the similarities adjusted_cosine, pip and pss every rating changes those of pairs that it is no
        part of: the first one makes them be computed when asked for, which is as exact, and slow. Raises
        ConfigError if centred by baselines: each rating changes all of them.
        """
        if not self.streams:
            raise ConfigError(
                "baselines are fitted to all ratings at once: train anew, or learn one by one by centre=mean"
            )
        # As feedback holds them, so that one by one comes to what training gives.
        rating = checked_value(user_id, item_id, value)
        user = self._users.setdefault(user_id, len(self._users))
        item = self._index.setdefault(item_id, len(self._index))
        if user == len(self._user_ids):
            self._user_ids.append(user_id)
        if item == len(self._item_ids):
            self._item_ids.append(item_id)
        row, column = self._ordered(user, item)
        self._ratings.put(row, column, rating)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """Ratings expected, or sums of votes; see recommender.Recommender."""
        asked = (
            np.arange(len(self._item_ids))
            if items is None
            else np.array([self._index.get(item_id, -1) for item_id in items], np.int64)
        )
        scores = np.full(len(asked), np.nan, np.float32)
        asker = self._asker(visitor)
        if asker is None or not (asked >= 0).any():
            return scores
        candidates, back = np.unique(asked[asked >= 0], return_inverse=True)
        scores[asked >= 0] = self._scores(asker, candidates)[back]
        return scores

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The level from which it starts, and the neighbours that vote: parts add up to the score, before it
        is kept within the ratings there are."""
        item, asker = self._index.get(item_id), self._asker(visitor)
        if item is None or asker is None or np.isnan(self.score(visitor, [item_id])[0]):
            return []
        votes = self._voting(asker, np.array([item]))
        parts = votes.similarity * votes.values
        reasons = []
        if self.config.task == "rating":
            parts /= votes.similarity.sum()
            if self.config.centre != "none":
                reasons.append(Reason("rating", "", float(self._level(asker, np.array([item]))[0])))
        reasons += [
            self._reason(neighbour, part)
            for neighbour, part in zip(votes.neighbours.tolist(), parts.tolist(), strict=True)
        ]
        return sorted(reasons, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        save_state(directory, type(self).__name__, self.config, *self.state())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, cls.__name__, cls.Config)
        model = cls(config)
        model.restore(ids, arrays)
        return model

    def state(self) -> tuple[dict[str, list[str]], dict[str, NDArray[Any]]]:
        """What it has learned, for files: lists of ids, and arrays."""
        arrays = self._ratings.arrays() if self._item_ids else {}
        if self._baselines is not None:
            arrays |= {f"baseline_{name}": np.asarray(of) for name, of in self._baselines._asdict().items()}
        return {"users": self._user_ids, "items": self._item_ids}, arrays

    def restore(self, ids: Mapping[str, Sequence[str]], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` gave."""
        self._forget(ids["users"], ids["items"])
        if ids["items"]:
            self._ratings.restore(arrays)
        if "baseline_mean" in arrays:
            users, items = arrays["baseline_of_users"], arrays["baseline_of_items"]
            self._baselines = Baselines(float(arrays["baseline_mean"]), users, items)

    @property
    @abstractmethod
    def _of_users(self) -> Lines:
        """Ratings by visitor."""

    @property
    @abstractmethod
    def _of_items(self) -> Lines:
        """Ratings by item."""

    @abstractmethod
    def _ordered(self, user: Any, item: Any) -> tuple[Any, Any]:
        """Row and column of visitor and item."""

    @abstractmethod
    def _votes(self, asker: Asker, candidates: Ints) -> Votes:
        """All votes of neighbours that are alike at all, for candidates, ascending indices of items."""

    @abstractmethod
    def _level(self, asker: Asker, candidates: Ints) -> Floats:
        """From what the ratings expected are measured, (n,); 0 if from nothing."""

    @abstractmethod
    def _reason(self, neighbour: int, weight: float) -> Reason:
        """A neighbour's part."""

    def _forget(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self._user_ids, self._item_ids = list(user_ids), list(item_ids)
        self.items = self._item_ids
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}
        self._ratings = CoRatings(self.config.alike_by, self.config.significance)
        self._baselines = None

    def _asker(self, visitor: Visitor) -> Asker | None:
        """None if nothing is known of a visitor."""
        user = self._users.get(visitor.visitor_id, -1)
        if user >= 0:
            items, values = self._of_users.indices[user], self._of_users.values[user]
        else:
            known = {self._index[each]: at for at, each in enumerate(visitor.items) if each in self._index}
            if not known:
                return None
            items = np.array(sorted(known), np.int64)
            # Without ratings of its own, a visitor is taken to rate as all others do.
            values = (
                np.array([visitor.values[known[item]] for item in items.tolist()], np.float64)
                if len(visitor.values) >= len(visitor.items)
                else self._of_items.total[items] / self._of_items.count[items]
            )
        if self._baselines is None:
            return Asker(user, items, values, float(values.mean()))
        baselines = self._baselines
        level = baselines.of_users[user] if user >= 0 else baselines.of_stranger(items, values)
        return Asker(user, items, values, float(level))

    def _voting(self, asker: Asker, candidates: Ints) -> Votes:
        """The votes that count."""
        return nearest(self._votes(asker, candidates), self.config.k)

    def _scores(self, asker: Asker, candidates: Ints) -> Floats:
        votes = self._voting(asker, candidates)
        total = np.bincount(votes.places, votes.similarity * votes.values, len(candidates))
        weight = np.bincount(votes.places, votes.similarity, len(candidates))
        unheard = np.full(len(candidates), np.nan)
        if self.config.task == "top-n":
            return np.where(weight > 0, total, unheard)
        level = self._level(asker, candidates)
        mean = np.divide(total, weight, out=np.zeros(len(total)), where=weight > 0)
        expected = np.where(weight > 0, level + mean, unheard if self.config.centre == "none" else level)
        return np.clip(expected, *self._ratings.scale)


def nearest(votes: Votes, k: int) -> Votes:
    """For each candidate the k most similar neighbours' votes, in the order given; of equals the first.

    Similarities above 0 that are one number in single precision are equal: the rounding of sums does not
    choose neighbours.
    """
    crowded = np.flatnonzero(np.bincount(votes.places)[votes.places] > k)
    if not len(crowded):
        return votes
    # One key for both: numbers above 0 are in the order of their bits.
    bits = votes.similarity[crowded].astype(np.float32).view(np.int32)
    order = np.argsort((votes.places[crowded] << 31) - bits, kind="stable")
    counts = np.bincount(votes.places[crowded])
    first = np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.ones(len(votes.places), bool)
    chosen[crowded[order[np.arange(len(order)) - first >= k]]] = False
    return votes.only(chosen)
