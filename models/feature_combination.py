"""Feature combination: one model of ratings over features of different kinds, ids and content.

Enters: ratings, and records of items: tags, categories, words. Leaves: the rating expected,
μ + b_u + b_i + ⟨p_u, q_i⟩, where an item's level and vector are the sum of its own and of those of its
features, (b_i, q_i) = w_i + Σ x_f v_f. So an item with few ratings is known by its content and one with many
by them, without a choice between two models; an item with a record alone is scored as well.

The vectors are those that minimise the squared error plus the penalties of biased_mf on visitors and on what
is items' own, w_i, and λ_f Σ |v_f|², found by turns: items, visitors, and features by one ridge regression of
all items on their features. An item's features of one kind have length 1 together, so that many words do not
drown a category.

Source: Burke, "Hybrid Recommender Systems: Survey and Experiments", User Modeling and User-Adapted
Interaction 12, 2002, section 3.4; the model: Agarwal and Chen, "Regression-based Latent Factor Models", KDD
2009, which is a factorisation machine (Rendle, ICDM 2010) of the pairs of visitor and feature. By hand:
kept libraries of either are not to be had for current Python versions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from streamrec.contracts import TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.events import Item
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._content import labels, words
from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._rating_factors import RatingFactors, Ratings, grown, levels_of, ridge_shares, with_one
from streamrec.models._ridge import FloatMatrix, IntArray, dots, ridge
from streamrec.recommender import Known, Reason, Visitor

__all__ = ["FeatureCombination", "FeatureCombinationConfig"]


class FeatureCombinationConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=20, le=1000)
    """Length of a vector."""
    damping: PositiveFloat = 1.5
    """λ: penalty on the vector of a visitor, and on an item's own, of one rating."""
    damping_growth: float = Field(default=0.5, ge=0, le=1)
    """w: the penalty grows with the ratings of a visitor or an item to this power; 0 is the same for all."""
    level_damping: PositiveFloat = 5.0
    """λ_b: ratings at the mean that are added to those of each visitor and each item."""
    feature_damping: PositiveFloat = 10.0
    """λ_f: penalty on a feature's vector."""
    min_items: PositiveInt = 3
    """Records in which a tag, category or word has to be to count."""
    max_features: PositiveInt = Field(default=1000, le=10_000)
    """How many of them count at most, those in most records; time grows with the square."""
    epochs: PositiveInt = 15
    """Turns: the items, the features, then the visitors."""


class FeatureCombination(RatingFactors[FeatureCombinationConfig]):
    """Vectors of visitors, items and features by alternating least squares; a recommender.Recommender."""

    Config = FeatureCombinationConfig
    goes_by: ClassVar[frozenset[Known]] = frozenset({"items"})
    _knows_levels: ClassVar[bool] = True

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Fit to ratings and records; see recommender.Recommender. Raises DatasetError if there are none."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        items = list(dict.fromkeys([*feedback.item_ids, *knowledge.items]))
        self._terms, self._content = self._features(items, knowledge.items)
        learned, report = self._fit(feedback, options or TrainOptions())
        # An item that nobody has rated is what its features are.
        by_content = self._content[len(learned.design) :] @ learned.more["features"]
        learned = learned._replace(
            levels=np.append(learned.levels, by_content[:, -1]),
            design=np.vstack([learned.design, with_one(by_content[:, :-1])]),
        )
        self._know(feedback.user_ids, items, learned)
        return report

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The mean, the visitor, the item by itself and each of its features, words as tags.

        They add up to the score, before it is kept within the ratings there are.
        """
        index, place = self._index.get(item_id), self._place(visitor)
        if index is None or place is None:
            return []
        learned = self._learned
        taste, content = with_one(place[None, :-1])[0], self._content[[index]]
        parts = content.data * (learned.more["features"][content.indices] @ taste)
        whole = float(learned.levels[index] + learned.design[index, :-1] @ place[:-1])
        reasons = [
            Reason("rating", "", learned.offset),
            Reason("user", visitor.visitor_id, float(place[-1])),
            Reason("item", item_id, whole - float(parts.sum())),
        ]
        terms = (self._terms[term] for term in content.indices.tolist())
        reasons += [
            Reason("category" if term[0] == "c" else "tag", term[2:], part)
            for term, part in zip(terms, parts.tolist(), strict=True)
        ]
        return sorted(reasons, key=lambda reason: -abs(reason.weight))

    def _learn(
        self, ratings: Ratings, rng: np.random.Generator, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        config, n_items = self.config, len(ratings.by_item.counts)
        _, levels = levels_of(ratings, config.level_damping)
        vectors = np.hstack([rng.normal(0, 0.1, (n_items, config.factors)), levels[:, None]])
        content, above = self._content[:n_items], ratings.values - ratings.mean
        user_damping = self._damping(ratings.by_user.counts)
        item_damping = self._damping(ratings.by_item.counts)
        places = np.zeros((len(ratings.by_user.counts), config.factors + 1))
        features = np.zeros((content.shape[1], config.factors + 1))
        for epoch in range(config.epochs):
            # The first vectors of items are drawn, and say something only once visitors have theirs.
            if epoch:
                design, by_content = with_one(places[:, :-1]), content @ features
                left = above - places[ratings.users, -1]
                left = left - dots(design, by_content, ratings.users, ratings.items)
                vectors = by_content + ridge(ratings.by_item, left, design, item_damping)
                features = self._regressed(content, vectors, item_damping)
            design = with_one(vectors[:, :-1])
            left = above - vectors[ratings.items, -1]
            places = ridge(ratings.by_user, left, design, user_damping)
            progress(float(np.mean((left - dots(places, design, ratings.users, ratings.items)) ** 2)))
        more: dict[str, Any] = {
            "features": features,
            "terms": np.array(self._terms, np.str_),
            "content_weights": self._content.data,
            "content_terms": self._content.indices,
            "content_starts": self._content.indptr,
        }
        return vectors[:, -1], with_one(vectors[:, :-1]), places, more

    def _regressed(self, content: csr_array, vectors: FloatMatrix, damping: FloatMatrix) -> FloatMatrix:
        """Vectors of features, (features, factors + 1), from which items' own deviate least."""
        found = np.empty((content.shape[1], vectors.shape[1]))
        # Items' own vectors are held by one penalty, their levels by another.
        for columns in (slice(None, -1), slice(-1, None)):
            weighted = content.T * damping[:, columns][:, 0]
            squares = (weighted @ content).toarray() + self.config.feature_damping * np.eye(len(found))
            found[:, columns] = np.linalg.solve(squares, weighted @ vectors[:, columns])
        return found

    def _features(self, items: Sequence[str], records: Mapping[str, Item]) -> tuple[list[str], csr_array]:
        """The terms that count, and how much of each an item has, (items, terms)."""
        terms_of = [
            sorted({*words(records[item_id]), *labels(records[item_id])}) if item_id in records else []
            for item_id in items
        ]
        counts = Counter(term for terms in terms_of for term in terms)
        often = sorted((-n, term) for term, n in counts.items() if n >= self.config.min_items)
        terms = sorted(term for _, term in often[: self.config.max_features])
        index = {term: place for place, term in enumerate(terms)}
        starts, columns, weights = [0], [], []
        for of_item in terms_of:
            known = [term for term in of_item if term in index]
            of_kind = Counter(term[0] for term in known)
            columns += [index[term] for term in known]
            weights += [of_kind[term[0]] ** -0.5 for term in known]
            starts.append(len(columns))
        parts = np.array(weights, np.float64), np.array(columns, np.int64), np.array(starts)
        return terms, csr_array(parts, shape=(len(items), len(terms)))

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str], learned: Learned) -> None:
        super()._know(user_ids, item_ids, learned)
        more = cast(Mapping[str, Any], learned.more)
        self._terms = more["terms"].tolist()
        parts = more["content_weights"], more["content_terms"], more["content_starts"]
        self._content = csr_array(parts, shape=(len(item_ids), len(self._terms)))

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        above = had.values - learned.offset - learned.levels[had.items]
        return ridge_shares(learned.design[had.items], above, self._damping(np.array([len(had.items)]))[0])

    def _damping(self, counts: IntArray) -> FloatMatrix:
        config = self.config
        return grown(counts, config.factors, config.damping, config.damping_growth, config.level_damping)
