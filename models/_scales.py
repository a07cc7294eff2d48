"""Scores of several recommenders on one scale, so that lists can be made of all of them.

Enters: a visitor's scores of all items, NaN where there is none, and which items are new to the visitor. What
it had is in no list, and may well stand before all others in a recommender's order: places and spreads are
those among what is new, and what the visitor had gets the place that it would have there.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["by_place", "places", "ranks", "z_scores"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FIRST: Final = 60
"""What is added to a place before it is inverted, so that the first few differ by less than tenfold."""


def ranks(scores: Floats, new: Mask) -> Floats:
    """1 for the best, (n,); those of one score share the mean of their ranks."""
    among = np.sort(_among(scores, new))
    below, up_to = (np.searchsorted(among, scores, side) for side in ("left", "right"))
    found = 1 + len(among) - up_to + np.maximum(up_to - below - 1, 0) / 2
    return np.where(np.isnan(scores), np.nan, found)


def z_scores(scores: Floats, new: Mask) -> Floats:
    """By how many standard deviations each is above the mean, (n,); 0 where all are the same."""
    among = _among(scores, new)
    if not len(among):
        return scores
    spread = among.std()
    # Of equal numbers the mean may be off by their rounding.
    is_one = spread <= 1e-12 * np.abs(among).max()
    found: Floats = (scores - among.mean()) * (0.0 if is_one else 1 / spread)
    return found


def places(*keys: Floats) -> Floats:
    """1 for the smallest, and so on, (n,): by the first key, among equals by the next; equals share one."""
    order = np.lexsort(keys[::-1])
    steps = np.zeros(len(order), bool)
    for key in keys:
        steps[1:] |= key[order][1:] != key[order][:-1]
    found = np.empty(len(order))
    found[order] = 1 + np.cumsum(steps)
    return found


def by_place(place: Floats) -> Floats:
    """Scores of places or ranks: 1 / (60 + place), which weigh the first few much and all others little.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank
    Learning Methods", SIGIR 2009.
    """
    return 1 / (_FIRST + place)


def _among(scores: Floats, new: Mask) -> Floats:
    """The scores of what is new, or of everything where nothing is."""
    told = np.isfinite(scores)
    return scores[told & new] if (told & new).any() else scores[told]
