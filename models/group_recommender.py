"""Group recommender: items for several people at once, from what another recommender says for each of them.

Enters: feedback of people, and who is in which group (Knowledge.groups). Leaves: for a visitor whose id is
that of a group, one score an item out of those of its members; for any other what the recommender underneath
says. Members of whom that can tell nothing are left out.

Strategies: the mean; the lowest (least misery); the highest (most pleasure); points by place in each member's
list (Borda); the mean of what no member finds below a threshold (average without misery), what one does being
left out of lists. Merged profiles: the members' ratings become those of one visitor, means where several
rated the same, and the recommender underneath answers it as a stranger, if it can. Scores of Borda are to
rank by, all others are ratings where those underneath are.

Source: Masthoff, "Group Recommender Systems: Combining Individual Models", Recommender Systems Handbook,
2011.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models import recommender_of
from streamrec.models._nodes import OverBaseConfig, load_parts, save_parts
from streamrec.models._rating_table import chosen
from streamrec.models._saving import load_state, save_state
from streamrec.models._splitting import takes_repeats
from streamrec.recommender import Known, Reason, Recommender, Task, Visitor

__all__ = ["GroupRecommender", "GroupRecommenderConfig"]

Strategy = Literal[
    "average", "least misery", "most pleasure", "borda", "average without misery", "merged profiles"
]


class GroupRecommenderConfig(OverBaseConfig, frozen=True):
    """Hyperparameters."""

    strategy: Strategy = "average"
    """How what members think becomes what the group does."""
    misery: FiniteFloat = 2.0
    """The score below which an item is misery; for average without misery alone. Of a base
    that can make lists as well it is a rating where that is given `task: rating`."""

    @property
    def task(self) -> Task:
        """What scores for a group are at best: points are none to expect."""
        return "top-n" if self.strategy == "borda" else "rating"


class GroupRecommender:
    """A recommender, and who is in which group; a recommender.Recommender."""

    Config = GroupRecommenderConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating", "top-n"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"groups"})

    def __init__(self, config: GroupRecommenderConfig | None = None) -> None:
        self.config = config or GroupRecommenderConfig()
        self._base: Recommender = recommender_of(self.config.base)
        self._groups: Mapping[str, Sequence[str]] = {}
        # Of each group its members' ratings together, for merged profiles.
        self._profiles: dict[str, tuple[list[str], list[float]]] = {}

    @property
    def items(self) -> Sequence[str]:
        """Those of the recommender underneath."""
        return self._base.items

    @property
    def takes_repeats(self) -> bool:
        """Whether that wants several ratings of a pair as they are."""
        return takes_repeats(self._base)

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Train the recommender underneath. Raises DatasetError if it does, or if a group has no members."""
        for group, members in knowledge.groups.items():
            if not members:
                raise DatasetError(f"group {group!r} has no members: leave it out, or say who is in it")
        self._groups = {group: list(members) for group, members in knowledge.groups.items()}
        self._profiles = self._merged(feedback) if self.config.strategy == "merged profiles" else {}
        return self._base.train(feedback, knowledge, options)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """What the group is expected to think; see recommender.Recommender."""
        if visitor.visitor_id not in self._groups:
            return self._base.score(visitor, items)
        if self.config.strategy == "merged profiles":
            return self._base.score(self._as_one(visitor), items)
        if self.config.strategy == "borda":
            # Places are those among all items, whatever is asked for.
            points = self._together(np.array([_points(row) for row in self._of_members(visitor, None)]))
            index = {item_id: place for place, item_id in enumerate(self.items)}
            return chosen(points.astype(np.float64), index, items)
        return self._together(self._of_members(visitor, items))

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """What each member is expected to think, or its points; of merged profiles, as underneath."""
        if visitor.visitor_id not in self._groups:
            return self._base.explain(visitor, item_id)
        if self.config.strategy == "merged profiles":
            return self._base.explain(self._as_one(visitor), item_id)
        if np.isnan(self.score(visitor, [item_id])).all():
            return []
        scores = self._of_members(visitor, None)
        if self.config.strategy == "borda":
            scores = np.array([_points(row) for row in scores])
        of_item = scores[:, list(self.items).index(item_id)].tolist()
        members = zip(self._groups[visitor.visitor_id], of_item, strict=True)
        reasons = [Reason("user", member, score) for member, score in members if np.isfinite(score)]
        return sorted(reasons, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        ids = {"groups": list(self._groups), "profiles": list(self._profiles)}
        ids |= {f"members{n}": list(members) for n, members in enumerate(self._groups.values())}
        ids |= {f"items{n}": items for n, (items, _) in enumerate(self._profiles.values())}
        values = {f"values{n}": np.array(each) for n, (_, each) in enumerate(self._profiles.values())}
        save_state(directory, "GroupRecommender", self.config, ids, values)
        save_parts([self._base], directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "GroupRecommender", cls.Config)
        model = cls(config)
        model._groups = {group: ids[f"members{n}"] for n, group in enumerate(ids["groups"])}
        model._profiles = {
            group: (ids[f"items{n}"], numbers[f"values{n}"].tolist())
            for n, group in enumerate(ids["profiles"])
        }
        [model._base] = load_parts([config.base], directory)
        return model

    def _of_members(self, visitor: Visitor, items: Sequence[str] | None) -> FloatArray:
        """(members, items)"""
        members = self._groups[visitor.visitor_id]
        return np.array(
            [self._base.score(Visitor(member, context=visitor.context), items) for member in members]
        )

    def _together(self, scores: FloatArray) -> FloatArray:
        told = np.isfinite(scores)
        n = told.sum(axis=0)
        if self.config.strategy == "least misery":
            found = np.where(told, scores, np.inf).min(axis=0)
        elif self.config.strategy == "most pleasure":
            found = np.where(told, scores, -np.inf).max(axis=0)
        else:
            found = np.where(told, scores, 0).sum(axis=0, dtype=np.float64) / np.maximum(n, 1)
        if self.config.strategy == "average without misery":
            found = np.where((told & (scores < self.config.misery)).any(axis=0), np.nan, found)
        together: FloatArray = np.where(n > 0, found, np.nan).astype(np.float32)
        return together

    def _as_one(self, visitor: Visitor) -> Visitor:
        # Without an id, for the recommender underneath might know a visitor by that of the group.
        return Visitor("", *self._profiles.get(visitor.visitor_id, ([], [])), visitor.context)

    def _merged(self, feedback: Feedback) -> dict[str, tuple[list[str], list[float]]]:
        feedback = feedback.without_repeats()
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for place, user in enumerate(feedback.users.tolist()):
            rows[feedback.user_ids[user]].append(place)
        found = {}
        for group, members in self._groups.items():
            places = np.array([place for member in members for place in rows.get(member, ())], np.int64)
            items, inverse = np.unique(feedback.items[places], return_inverse=True)
            means = np.bincount(inverse, feedback.values[places]) / np.maximum(np.bincount(inverse), 1)
            found[group] = [feedback.item_ids[item] for item in items.tolist()], means.tolist()
        return found


def _points(scores: FloatArray) -> NDArray[np.float32]:
    """Borda's points, as shares of the most: 1 for the first place, 0 for the last; ties share."""
    points = np.full(len(scores), np.nan, np.float32)
    told = np.flatnonzero(np.isfinite(scores))
    _, inverse, counts = np.unique(scores[told], return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    points[told] = (below + (counts - 1) / 2)[inverse] / max(len(told) - 1, 1)
    return points
