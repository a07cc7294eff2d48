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

__all__ = ["ContentClassifier", "ContentClassifierConfig"]


class ContentClassifierConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    prior: PositiveFloat = 100.0
    """Average items that each class has seen before the first of its own."""


class ContentClassifier(ContentModel):
    """Log odds of terms for each visitor; a recommender.StreamRecommender."""

    Config = ContentClassifierConfig
    _averaged: tuple[Any, Vector] = None, np.empty(0)
    """The average item, and the matrix of which it was made: a pass over the catalogue."""

    def _terms_of(self, item: Item) -> Iterable[str]:
        return (*words(item), *labels(item))

    def _vector(self, rows: Any, values: Vector, visitor_id: str) -> Vector | None:
        if not rows.nnz:
            return None
        low, high = self._range
        liked = (values - low) / (high - low) if high > low else np.ones(len(values))
        average = self._average()
        odds: Vector = self._log_chances(rows, np.clip(liked, 0, 1), average)
        odds -= self._log_chances(rows, np.clip(1 - liked, 0, 1), average)
        return odds

    def _log_chances(self, rows: Any, weights: Vector, average: Vector) -> Vector:
        counts = rows.T @ weights + self.config.prior * average
        found: Vector = np.log(counts / counts.sum())
        return found

    def _average(self) -> Vector:
        """A small share of an item of each term, as it occurs in the rows; never zero."""
        # With every item that is put the matrix is another one.
        of, found = self._averaged
        if of is not self._rows.matrix:
            matrix = self._rows.matrix[np.array(self._row_of, np.int64)]
            sums = np.bincount(matrix.indices, matrix.data, minlength=matrix.shape[1])
            found = (sums + 1e-3) / max(len(self._row_of), 1)
            self._averaged = self._rows.matrix, found
        return found
