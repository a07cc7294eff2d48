"""TF-IDF content: items whose words, tags and categories are like those of what the visitor had.

Enters: records of items (title, text, tags, categories) and feedback. Leaves: the cosine between an item's
tf-idf vector and the visitor's profile, the sum of the vectors of what it had, each by its rating. An item
that nobody has clicked is scored as soon as its record is known; how that meets the contract stands in
`_content`.

Source: Lops, de Gemmis and Semeraro, "Content-based Recommender Systems: State of the Art and Trends",
Recommender Systems Handbook, 2011, section 3.3.1: vector space model and Rocchio's profile.
"""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from streamrec.events import Item
from streamrec.models._content import ContentModel, Vector, labels, words
from streamrec.models._histories import History
from streamrec.recommender import Reason, Visitor

__all__ = ["TfidfContent", "TfidfContentConfig"]

_REASONS = 10


class TfidfContentConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    terms: Literal["all", "words", "labels"] = "all"
    """What of a record counts: words of title and text, or labels: tags and categories; or both."""
    weights: Literal["values", "deviations"] = "values"
    """What each item counts in the profile: its rating, or by how much that is above the visitor's mean.
    By deviations, what was liked less speaks against its like; ratings that are all the same count 1 each."""


class TfidfContent(ContentModel):
    """Profiles of terms, compared by the cosine; a recommender.StreamRecommender."""

    Config = TfidfContentConfig

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """What the visitor had that is most like the item: all such parts together are the score."""
        if np.isnan(self.score(visitor, [item_id])[0]):
            return []
        had = self._history(visitor)
        rows, weights = self._rows.of(had.items), self._weights(had)
        alike = rows @ self._rows.of(np.array([self._index[item_id]])).toarray()[0]
        parts = alike * weights / np.linalg.norm(rows.T @ weights)
        order = np.argsort(-np.abs(parts), kind="stable")[:_REASONS]
        items = self.items
        return [Reason("item", items[had.items[place]], float(parts[place])) for place in order.tolist()]

    def _terms_of(self, item: Item) -> Iterable[str]:
        if self.config.terms == "words":
            return words(item)
        return labels(item) if self.config.terms == "labels" else (*words(item), *labels(item))

    def _vector(self, rows: Any, had: History, visitor_id: str) -> Vector | None:
        profile: Vector = rows.T @ self._weights(had)
        length = float(np.linalg.norm(profile))
        return profile / length if length > 0 else None

    def _weights(self, had: History) -> Vector:
        if self.config.weights == "values" or not len(had.items):
            return had.values
        if np.ptp(had.values / had.times) == 0:
            return had.times
        found: Vector = had.values - had.times * (had.values.sum() / had.times.sum())
        return found
