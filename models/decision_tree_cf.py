"""Decision-tree CF: a tree for each item, which asks how the visitor rated other items.

Enters: ratings. Leaves: the rating expected, that of the baseline predictor, μ + b_u + b_i, and by how much
visitors of the leaf to which the visitor comes rated the item above it, shrunk towards 0. Questions are of
the items most often rated by the same visitors, and of by how much these were rated above their baselines;
what the visitor did not rate goes where most is won, as missing values do.

Source: Breese, Heckerman and Kadie, "Empirical Analysis of Predictive Algorithms for Collaborative
Filtering", UAI 1998, whose Bayesian network is a tree an item. We differ: regression trees, of what the
baseline leaves. scikit-learn grows them; they are kept as arrays, so that scoring walks down all of them at
once and needs it no more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat, PositiveInt

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._extras import imported
from streamrec.models._rating_table import RatingTable, chosen
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["DecisionTreeCF", "DecisionTreeCFConfig"]

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

_LEAF: Final = -1


class DecisionTreeCFConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    questions: PositiveInt = 50
    """How many other items a tree may ask of."""
    max_depth: PositiveInt = 3
    """Questions from root to leaf at most."""
    min_leaf: PositiveInt = 10
    """Ratings of the item that a leaf has at least; where there are not twice as many there is no tree."""
    leaf_damping: NonNegativeFloat = 100.0
    """Ratings at the baseline that are added to those of each leaf."""
    user_damping: NonNegativeFloat = 15.0
    """As of the baseline predictor."""
    item_damping: NonNegativeFloat = 10.0
    """As of the baseline predictor."""


class _Trees(NamedTuple):
    """The nodes of all trees; item i's root is node i. One entry a node."""

    asked: Indices
    """The item whose rating decides; -1 in a leaf."""
    at_most: Numbers
    """Rated up to this above its baseline, left it goes."""
    left: Indices
    right: Indices
    missing_left: NDArray[np.bool_]
    values: Numbers
    """By how much the item is rated above the baseline."""

    def next(self, nodes: Indices, answers: FloatArray) -> Indices:
        """One question down from each node; a leaf is its own next. answers: (N,), NaN what is missing."""
        answer = answers[self.asked[nodes]]
        is_left = np.where(np.isnan(answer), self.missing_left[nodes], answer <= self.at_most[nodes])
        below = np.where(is_left, self.left[nodes], self.right[nodes])
        return np.where(self.asked[nodes] == _LEAF, nodes, below)


class DecisionTreeCF:
    """A regression tree for each item; a recommender.Recommender."""

    Config = DecisionTreeCFConfig
    needs: ClassVar[Sequence[str]] = ("sklearn",)
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})

    def __init__(self, config: DecisionTreeCFConfig | None = None) -> None:
        self.config = config or DecisionTreeCFConfig()
        self._table = RatingTable.empty()
        self._mean = 0.0
        self._levels: Numbers = np.empty(0)
        self._trees = _leaves(0)

    @property
    def items(self) -> Sequence[str]:
        """See recommender.Recommender."""
        return self._table.item_ids

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Grow a tree for each item. Raises DatasetError if there are no ratings."""
        options = options or TrainOptions()
        self._table = table = RatingTable.of(feedback)
        self._mean = float(table.values.mean())
        n_items = table.shape[1]
        levels, self._levels = table.levels(self.config.user_damping, self.config.item_damping)
        above = table.values - self._mean - levels[table.users] - self._levels[table.items]
        rated, there = table.matrix(above), table.matrix(np.ones(len(table)))
        by_item, together = rated.tocsc(), there.T.tocsr()
        grown: list[tuple[Any, Indices] | None] = []
        for item in range(n_items):
            places = slice(by_item.indptr[item], by_item.indptr[item + 1])
            raters, targets = by_item.indices[places], by_item.data[places]
            if len(raters) < 2 * self.config.min_leaf:
                grown.append(None)
            else:
                asked = _most_rated(together[[item]] @ there, item, self.config.questions)
                answers = rated[raters][:, asked].toarray()
                answers[there[raters][:, asked].toarray() == 0] = np.nan
                grown.append((self._grown(answers, targets, options.seed), asked))
            if options.on_step is not None and (item % 100 == 99 or item == n_items - 1):
                options.on_step(int(by_item.indptr[item + 1]), len(table), float("nan"))
        self._trees = _joined(grown, self.config.leaf_damping)
        return TrainReport(len(feedback), [])

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected, within the range of training; see recommender.Recommender."""
        if not len(self._table):
            return chosen(np.empty(0), {}, items)
        level, answers = self._answers(visitor)
        nodes = np.arange(self._table.shape[1])
        for _ in range(self.config.max_depth):
            nodes = self._trees.next(nodes, answers)
        expected = np.clip(level + self._levels + self._trees.values[nodes], *self._table.bounds)
        return chosen(expected, self._table.item_index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The mean, visitor and item as of the baseline, and what each question's answer adds to that.

        Parts add up to the score, if that is within the range of ratings.
        """
        item = self._table.item_index.get(item_id)
        if item is None:
            return []
        level, answers = self._answers(visitor)
        trees, node = self._trees, np.array([item])
        added: dict[int, float] = {item: float(self._levels[item] + trees.values[item])}
        for _ in range(self.config.max_depth):
            asked, below = int(trees.asked[node[0]]), trees.next(node, answers)
            if asked != _LEAF:
                added[asked] = added.get(asked, 0.0) + float(trees.values[below[0]] - trees.values[node[0]])
            node = below
        parts = [Reason("item", self.items[of], weight) for of, weight in added.items()]
        parts += [Reason("rating", "", self._mean), Reason("user", visitor.visitor_id, level - self._mean)]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        arrays = {f"tree_{name}": column for name, column in self._trees._asdict().items()}
        numbers = {**self._table.arrays(), **arrays, "mean": np.array(self._mean), "levels": self._levels}
        save_state(directory, "DecisionTreeCF", self.config, self._table.ids(), numbers)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, "DecisionTreeCF", cls.Config)
        model = cls(config)
        model._table, model._mean = RatingTable.saved(ids, arrays), float(arrays["mean"])
        model._levels = arrays["levels"]
        model._trees = _Trees(*(arrays[f"tree_{name}"] for name in _Trees._fields))
        return model

    def _grown(self, answers: Numbers, targets: Numbers, seed: int) -> Any:
        """scikit-learn's arrays of a tree's nodes."""
        # numpy takes seeds of 32 bits.
        tree = imported("sklearn.tree", "DecisionTreeRegressor")(
            max_depth=self.config.max_depth,
            min_samples_leaf=self.config.min_leaf,
            random_state=seed % 2**32,
        )
        return tree.fit(answers, targets).tree_

    def _answers(self, visitor: Visitor) -> tuple[float, FloatArray]:
        """μ + b_u, and how far the visitor rates items above the baseline, (N,); NaN where there is none."""
        rated, given = self._table.rated_by(visitor)
        above = given - self._mean - self._levels[rated]
        level = float(above.sum()) / max(len(above) + self.config.user_damping, 1.0)
        # In float32, as scikit-learn compares.
        answers = np.full(self._table.shape[1], np.nan, np.float32)
        answers[rated] = above - level
        return self._mean + level, answers


def _most_rated(counts: Any, item: int, n: int) -> Indices:
    """The n items most often rated by raters of the item, ascending; ties by index. counts: (1, N) sparse."""
    of_all = counts.toarray()[0]
    of_all[item] = 0
    first = np.argsort(-of_all, kind="stable")[:n]
    return np.sort(first[of_all[first] > 0])


def _leaves(n: int) -> _Trees:
    """Nodes without questions, of value 0."""
    none = np.zeros(n, np.int64)
    return _Trees(none + _LEAF, np.zeros(n), none, none.copy(), np.zeros(n, bool), np.zeros(n))


def _joined(grown: Sequence[tuple[Any, Indices] | None], damping: float) -> _Trees:
    """All trees in one; an item without any is a leaf of value 0. Inner nodes have values as leaves do."""
    n_items = len(grown)
    sizes = [1 if each is None else each[0].node_count for each in grown]
    starts = n_items + np.cumsum([0, *sizes[:-1]]) - np.arange(n_items)
    n = int(sum(sizes))
    trees = _leaves(n)
    for item, each in enumerate(grown):
        if each is None:
            continue
        tree, asked = each
        # The root, which is first with scikit-learn, goes to the item's own place.
        places = starts[item] - 1 + np.arange(tree.node_count)
        places[0] = item
        inner = tree.children_left >= 0
        trees.asked[places[inner]] = asked[tree.feature[inner]]
        trees.at_most[places] = tree.threshold
        trees.left[places[inner]] = places[tree.children_left[inner]]
        trees.right[places[inner]] = places[tree.children_right[inner]]
        trees.missing_left[places] = tree.missing_go_to_left.astype(bool)
        shrunken = tree.n_node_samples / (tree.n_node_samples + damping)
        trees.values[places] = tree.value[:, 0, 0] * shrunken
    return trees
