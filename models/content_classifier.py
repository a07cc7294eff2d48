"""Content classifier: for each visitor a naive Bayes classifier of contents into liked and not liked.

Enters: records of items (title, text, tags, categories) and feedback. Leaves: by how much an item's terms
make it likelier to be liked, as log odds, the prior left out because it is the same for all items.

A rating of α between the lowest, 0, and the highest in training, 1, makes an item an example of what is liked
by α and of what is not by 1 − α. Where all ratings are equal, what the visitor had is liked, and nothing is
known of what is not. Both classes start as if they had seen `prior` items of the average: so an unknown class
is the whole catalogue. An item can be scored with no interaction; how that meets the contract stands in
`_content`.

Source: Mooney and Roy, "Content-Based Book Recommending Using Learning for Text Categorization", DL 2000
(examples weighted by rating); tf-idf and normalised lengths as counts: Rennie et al., "Tackling the Poor
Assumptions of Naive Bayes Text Classifiers", ICML 2003. By hand: scikit-learn's would be trained anew for
each answer, and what the classes start from is the catalogue here, not a constant.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import BaseModel, PositiveFloat

from streamrec.events import Item
from streamrec.models._content import ContentModel, Vector, labels, words
from streamrec.models._histories import History

__all__ = ["ContentClassifier", "ContentClassifierConfig"]


class ContentClassifierConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    prior: PositiveFloat = 100.0
    """Average items that each class has seen before the first of its own."""
    liked_from: float | None = None
    """Value from which what the visitor had is wholly liked, and below which wholly not (of what it had more
    than once, the mean); None: by degrees, as above. Where values are weights of types (topic and history),
    trainings and evaluations set it to 0: all is liked, and nothing is known of what is not."""


class ContentClassifier(ContentModel):
    """Log odds of terms for each visitor; a recommender.StreamRecommender."""

    Config = ContentClassifierConfig
    _averaged: tuple[Any, int, Vector] = None, 0, np.empty(0)
    """The average item, and the rows and their version of which it was made: a pass over the catalogue."""

    def _terms_of(self, item: Item) -> Iterable[str]:
        return (*words(item), *labels(item))

    def _vector(self, rows: Any, had: History, visitor_id: str) -> Vector | None:
        if not rows.nnz:
            return None
        low, high = self._range
        if self.config.liked_from is not None:
            liked = np.where(had.values >= self.config.liked_from * had.times, had.times, 0.0)
        else:
            liked = (had.values - low * had.times) / (high - low) if high > low else had.times
        # A stranger may come with ratings out of the range.
        liked = np.clip(liked, 0, had.times)
        average = self._average()
        odds: Vector = self._log_chances(rows, liked, average)
        odds -= self._log_chances(rows, had.times - liked, average)
        return odds

    def _log_chances(self, rows: Any, weights: Vector, average: Vector) -> Vector:
        counts = rows.T @ weights + self.config.prior * average
        # Of a term that is in no row any more nobody asks for the chance.
        found: Vector = np.log(np.where(counts > 0, counts / counts.sum(), 1.0))
        return found

    def _average(self) -> Vector:
        """A small share of an item of each term, as it occurs in the rows of items that have any."""
        rows, version, found = self._averaged
        if rows is not self._rows or version != rows.version:
            matrix = self._rows.all()
            sums = np.bincount(matrix.indices, matrix.data, minlength=matrix.shape[1])
            # A little more, but not of terms that are in no row any more: others would be the rarer for them.
            n_items = max(int(np.count_nonzero(np.diff(matrix.indptr))), 1)
            found = np.where(sums > 0, sums + 1e-3, 0.0) / n_items
            self._averaged = self._rows, self._rows.version, found
        return found
