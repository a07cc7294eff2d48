"""Tags of visitors and items as matrices: for collaborative filtering that knows tags.

Enters: records of items and the tags that visitors gave. Leaves: for each visitor and each item a row of tags
of length 1, where a tag weighs the more the fewer items have it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from streamrec.feedback import Knowledge

__all__ = ["TagRows", "unit_rows"]


class TagRows:
    """Tags of visitors and of items; what belongs to others is left out."""

    def __init__(self, knowledge: Knowledge, users: Mapping[str, int], items: Mapping[str, int]) -> None:
        """users, items: index by id."""
        tags: dict[str, int] = {}

        def place(tag: str) -> int:
            return tags.setdefault(tag.casefold(), len(tags))

        of_items = [
            (items[item_id], place(tag))
            for item_id, record in knowledge.items.items()
            if item_id in items
            for tag in record.tags
        ]
        of_users = []
        for user_id, item_id, tag in knowledge.tags:
            if item_id in items:
                of_items.append((items[item_id], place(tag)))
            if user_id in users:
                of_users.append((users[user_id], place(tag)))
        n_tags = max(1, len(tags))
        counted = _counts(of_items, (len(items), n_tags))
        # Smoothed, so that a tag that visitors give and no item has weighs something.
        rarity = np.log((1 + len(items)) / (1 + np.bincount(counted.indices, minlength=n_tags))) + 1
        weights = sparse.diags_array(rarity)
        self.of_items: Any = unit_rows(_damped(counted) @ weights)
        """(items, tags), sparse."""
        self.of_users: Any = unit_rows(_damped(_counts(of_users, (len(users), n_tags))) @ weights)
        """(visitors, tags), sparse: those that they gave."""


def unit_rows(matrix: Any) -> Any:
    """The rows of a sparse matrix at length 1; those of zeros stay."""
    rows = sparse.csr_array(matrix, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    of_row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    lengths = np.sqrt(np.bincount(of_row, rows.data**2, minlength=rows.shape[0]))
    rows.data /= np.where(lengths > 0, lengths, 1.0)[of_row]
    return rows


def _counts(pairs: list[tuple[int, int]], shape: tuple[int, int]) -> Any:
    """How often each pair occurs, sparse."""
    places = np.array(pairs, np.int64).reshape(-1, 2).T
    counts = sparse.csr_array((np.ones(places.shape[1]), (places[0], places[1])), shape)
    counts.sum_duplicates()
    return counts


def _damped(counts: Any) -> Any:
    """Every further time counts less, as in tf-idf: 1 + ln n."""
    counts.data = 1 + np.log(counts.data)
    return counts
