"""Tag-aware collaborative filtering: neighbours who had the same, or tag alike, and items tagged alike.

Enters: interactions, tags of the items' records and tags that visitors gave. Leaves: how far a visitor is
expected to like an item, a mean of two votes, each as a share of its sum over all items. Of the user-based
one visitors are rows of items, with tags as further items; of the item-based one items are rows of visitors,
with tags as further visitors. Rows are compared by the cosine. By tags alone a visitor is answered who had
nothing, and an item that few had finds neighbours.

Source: Tso-Sutter, Marinho and Schmidt-Thieme, "Tag-aware Recommender Systems by Fusion of Collaborative
Filtering Algorithms", SAC 2008. We differ: interactions and tags are each brought to a length of their own,
so that many of the one do not drown the other; rare tags weigh more; and a visitor's tags are those it gave,
and those of what it had.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from scipy import sparse

from streamrec.contracts import FloatArray, IntArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._preference_factors import LikesConfig
from streamrec.models._rating_table import chosen
from streamrec.models._saving import load_state, save_state
from streamrec.models._tags import TagRows, unit_rows
from streamrec.recommender import Known, Reason, Task, Visitor

__all__ = ["TagAwareCF", "TagAwareCFConfig"]

Vector = NDArray[np.float64]

_AT_ONCE: Final = 1 << 22
"""Similarities that are held at a time: 32 MiB, and as much again for each of their places."""
_REASONS: Final = 10
_MATRICES: Final = ("likes", "users", "item_tags", "alike")


class TagAwareCFConfig(LikesConfig, frozen=True):
    """Hyperparameters."""

    k: PositiveInt = 40
    """Visitors who vote at most; and items for which each that a visitor had votes at most."""
    tags: float = Field(default=0.3, ge=0, le=1)
    """What tags weigh in a similarity; interactions weigh the rest. At 0 tags play no part."""
    user_based: float = Field(default=0.5, ge=0, le=1)
    """λ: the share of the user-based vote; the rest is the item-based one's."""


class _Asker(NamedTuple):
    """A visitor as it votes and is voted for."""

    user: int
    """Its index; -1 for a stranger."""
    liked: IntArray
    """(n,) indices of items."""
    row: Any
    """(1, items + tags), sparse: its own row beside those of all visitors."""


class _Votes(NamedTuple):
    """What speaks for items, with the shares of both sides already in the weights."""

    users: IntArray
    """(n,) neighbours."""
    of_users: Vector
    items: IntArray
    """(m,) items that the visitor had."""
    of_items: float
    """What a similarity to one of them weighs."""


class TagAwareCF:
    """Both votes over rows that tags prolong; a recommender.Recommender."""

    Config = TagAwareCFConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"items", "tags"})

    def __init__(self, config: TagAwareCFConfig | None = None) -> None:
        self.config = config or TagAwareCFConfig()
        self._know([], [])
        self._liked_from = -np.inf
        nothing = sparse.csr_array((0, 0))
        # Likes; rows of visitors with their tags; tags of items; and of each item those most alike.
        self._likes: Any = nothing
        self._users: Any = nothing
        self._item_tags: Any = nothing
        self._alike: Any = nothing
        # The rows of visitors once more, by column: a visitor is compared along its own columns only.
        self._by_column: Any = nothing

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Compare all items; visitors are compared when they ask. Raises DatasetError without a like."""
        if not len(feedback):
            raise DatasetError("there are no interactions to learn from")
        taggers = [tagging.user_id for tagging in knowledge.tags]
        self._know(list(dict.fromkeys([*feedback.user_ids, *taggers])), feedback.item_ids)
        values, wanted = feedback.values.astype(np.float64), self.config.liked_from
        self._liked_from = float(values.min() + values.max()) / 2 if wanted is None else wanted
        liked = values >= self._liked_from
        if not liked.any():
            raise DatasetError(
                f"no value is {self._liked_from:g} or above, the highest is {values.max():g}: "
                "lower liked_from"
            )
        pairs = (feedback.users[liked], feedback.items[liked])
        likes = sparse.csr_array((np.ones(int(liked.sum())), pairs), (len(self._user_ids), len(self.items)))
        likes.sum_duplicates()
        likes.data[:] = 1.0
        tags = TagRows(knowledge, self._index_of_user, self._index)
        self._likes, self._item_tags = likes, tags.of_items
        self._users = self._prolonged(likes, self._profiles(likes, tags.of_users))
        self._by_column = self._users.T.tocsr()
        rows = self._prolonged(likes.T.tocsr(), tags.of_items)
        by_column = rows.T.tocsr()
        n, parts = len(self.items), []
        for start, end in _shares_of_work(rows, by_column):
            parts.append(_nearest(rows, by_column, start, end, self.config.k))
            if options is not None and options.on_step is not None:
                options.on_step(end * len(feedback) // n, len(feedback), float("nan"))
        self._alike = sparse.csr_array(sparse.vstack(parts))
        return TrainReport(len(feedback), [])

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The votes for items, which add up to 1 over all of them; see recommender.Recommender."""
        votes = self._votes(visitor)
        if votes is None:
            scores = np.full(len(self.items), np.nan)
        else:
            scores = votes.of_users @ self._likes[votes.users]
            scores = scores + votes.of_items * self._alike[votes.items].sum(axis=0)
        return chosen(scores, self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Neighbours who had the item and items of the visitor that are like it, whose parts add up."""
        index, votes = self._index.get(item_id), self._votes(visitor)
        if index is None or votes is None:
            return []
        voted = self._likes[votes.users][:, [index]].toarray()[:, 0] * votes.of_users
        alike = self._alike[votes.items][:, [index]].toarray()[:, 0] * votes.of_items
        parts = [
            Reason("user", self._user_ids[user], part)
            for user, part in zip(votes.users.tolist(), voted.tolist(), strict=True)
        ]
        parts += [
            Reason("item", self.items[item], part)
            for item, part in zip(votes.items.tolist(), alike.tolist(), strict=True)
        ]
        return sorted((each for each in parts if each.weight > 0), key=lambda each: -each.weight)[:_REASONS]

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        numbers: dict[str, NDArray[Any]] = {"liked_from": np.array(self._liked_from)}
        for name in _MATRICES:
            matrix = getattr(self, f"_{name}")
            numbers |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
            numbers[f"{name}_shape"] = np.array(matrix.shape)
        ids = {"users": self._user_ids, "items": self.items}
        save_state(directory, "TagAwareCF", self.config, ids, numbers)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "TagAwareCF", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"])
        model._liked_from = float(numbers["liked_from"])
        for name in _MATRICES:
            parts = tuple(numbers[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
            shape = tuple(numbers[f"{name}_shape"].tolist())
            setattr(model, f"_{name}", sparse.csr_array(parts, shape=shape))
        model._by_column = model._users.T.tocsr()
        return model

    def _know(self, user_ids: Iterable[str], item_ids: Iterable[str]) -> None:
        self.items: Sequence[str] = list(item_ids)
        self._user_ids = list(user_ids)
        self._index_of_user = {user_id: index for index, user_id in enumerate(self._user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(self.items)}

    def _votes(self, visitor: Visitor) -> _Votes | None:
        """Who and what votes, by which weight; None where nothing does."""
        user, liked, row = self._asker(visitor)
        alike = (row @ self._by_column).toarray()[0] if row.nnz else np.zeros(len(self._user_ids))
        if user >= 0:
            alike[user] = 0.0
        users = np.argsort(-alike, kind="stable")[: self.config.k]
        users = np.sort(users[alike[users] > 0])
        counts = np.diff(self._likes.indptr)
        by_users, by_items = alike[users] @ counts[users], self._alike[liked].sum()
        share = self.config.user_based
        of_users = alike[users] * (share / by_users if by_users else 0.0)
        of_items = (1 - share) / by_items if by_items else 0.0
        if not of_users.any() and not of_items:
            return None
        return _Votes(users, of_users, liked, float(of_items))

    def _asker(self, visitor: Visitor) -> _Asker:
        user = self._index_of_user.get(visitor.visitor_id, -1)
        if user >= 0:
            liked: IntArray = self._likes[[user]].indices.astype(np.int64)
            return _Asker(user, liked, self._users[[user]])
        values = [*visitor.values, *[np.inf] * len(visitor.items)]
        known = {
            self._index[item_id]
            for item_id, value in zip(visitor.items, values, strict=False)
            if item_id in self._index and value >= self._liked_from
        }
        liked = np.array(sorted(known), np.int64)
        places = (np.zeros(len(liked), np.int64), liked)
        likes = sparse.csr_array((np.ones(len(liked)), places), (1, len(self.items)))
        no_tags = sparse.csr_array((1, self._item_tags.shape[1]))
        return _Asker(-1, liked, self._prolonged(likes, self._profiles(likes, no_tags)))

    def _profiles(self, likes: Any, given: Any) -> Any:
        """Tags of visitors, (n, tags): those given and those of what they had, each at length 1."""
        return unit_rows(given + unit_rows(likes @ self._item_tags))

    def _prolonged(self, rows: Any, tags: Any) -> Any:
        """Rows of interactions with their tags behind, so that products are weighed similarities."""
        of_tags = self.config.tags
        whole = sparse.csr_array(
            sparse.hstack([unit_rows(rows) * np.sqrt(1 - of_tags), unit_rows(tags) * np.sqrt(of_tags)])
        )
        # What weighs nothing would be multiplied all the same.
        whole.eliminate_zeros()
        return whole


def _shares_of_work(rows: Any, by_column: Any) -> Iterator[tuple[int, int]]:
    """Starts and ends of rows whose similarities to all are made at once."""
    of_entry = np.diff(by_column.indptr)[rows.indices]
    most = np.bincount(
        np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), of_entry, minlength=rows.shape[0]
    )
    share = (np.cumsum(np.minimum(most, rows.shape[0])) // _AT_ONCE).astype(np.int64)
    ends = np.append(np.flatnonzero(np.diff(share)) + 1, rows.shape[0])
    yield from pairwise([0, *ends.tolist()])


def _nearest(rows: Any, by_column: Any, start: int, end: int, k: int) -> Any:
    """Of each row from start to end the k most alike, (end - start, n) sparse; itself is none of them."""
    products = (rows[start:end] @ by_column).tocoo()
    of_row, others = products.coords
    kept = np.flatnonzero((products.data > 0) & (others != of_row + start))
    kept = kept[np.lexsort((-products.data[kept], of_row[kept]))]
    counts = np.bincount(of_row[kept], minlength=end - start)
    rank = np.arange(len(kept)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = kept[rank < k]
    return sparse.csr_array((products.data[kept], (of_row[kept], others[kept])), shape=products.shape)
