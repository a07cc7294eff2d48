"""How alike two rows of ratings are: two visitors by the items both rated, or two items by who rated both.

Enters: what two rows gave the same columns. Leaves: a similarity, higher is more alike, 0 where nothing
tells. Each is made of statistics that are sums over the columns that two rows share, so that sums can be
kept and go on growing; and of sums over each row by itself (`Totals`).

Sources: pcc, Resnick et al., "GroupLens", CSCW 1994; cosine, Breese et al., UAI 1998; msd, Shardanand and
Maes, CHI 1995; adjusted_cosine, Sarwar et al., WWW 2001; pip, Ahn, Information Sciences 178(1), 2008; pss,
Liu et al., Knowledge-Based Systems 56, 2014; euclidean, Segaran, "Programming Collective Intelligence", 2007.
Written by hand: libraries compare dense rows, and take what was not rated for a 0.
"""

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADDITIVE",
    "BY_TOTALS",
    "N_STATISTICS",
    "Scale",
    "Similarity",
    "Totals",
    "similarities",
    "statistics",
]

Floats = NDArray[np.float64]

Similarity = Literal["adjusted_cosine", "cosine", "euclidean", "jaccard", "msd", "pcc", "pip", "pss"]

N_STATISTICS: Final = {
    "adjusted_cosine": 4,
    "cosine": 2,
    "euclidean": 2,
    "jaccard": 1,
    "msd": 2,
    "pcc": 6,
    "pip": 2,
    "pss": 2,
}
"""How many sums a pair of rows has; the first is how many columns both rated."""

ADDITIVE: Final = frozenset({"cosine", "euclidean", "jaccard", "msd", "pcc"})
"""A rating adds to the sums of its own pairs only. The others measure ratings against the mean of their
column (pip and pss also against the scale's middle): one more rating moves that, and with it the sums of all
pairs that share the column."""

BY_TOTALS: Final = frozenset({"cosine", "jaccard"})
"""What takes the totals of both rows; all others take the sums of the pair alone."""

# Less than this of a sum of squares is what rounding leaves of no variance.
_NOISE: Final = 1e-12


class Scale(NamedTuple):
    """The ratings there are."""

    lowest: float
    highest: float

    @property
    def middle(self) -> float:
        """Neither liked nor disliked."""
        return (self.lowest + self.highest) / 2


class Totals(NamedTuple):
    """Sums over all ratings of rows, shared columns or not; (m,) each."""

    counts: Floats
    squares: Floats


def statistics(kind: Similarity, own: Floats, other: Floats, column_mean: Floats, scale: Scale) -> Floats:
    """What shared columns add to the sums of their pairs, (s, m).

    own, other: (m,) what the two rows gave the column. column_mean: (m,) of all ratings of it.
    """
    one = np.ones(len(own))
    if kind == "jaccard":
        return one[None]
    if kind == "cosine":
        return np.stack([one, own * other])
    if kind in ("msd", "euclidean"):
        return np.stack([one, (own - other) ** 2])
    if kind == "pcc":
        return np.stack([one, own * other, own, other, own * own, other * other])
    if kind == "adjusted_cosine":
        a, b = own - column_mean, other - column_mean
        return np.stack([one, a * b, a * a, b * b])
    return np.stack([one, (_pip if kind == "pip" else _pss)(own, other, column_mean, scale)])


def similarities(kind: Similarity, sums: Floats, own: Totals, other: Totals) -> Floats:
    """Similarities of pairs, (m,): pcc, cosine, adjusted_cosine within ±1, pip and pss from 0, others 0 to 1.

    sums: (s, m) of `statistics` over the columns that both rated. own, other: of the pair's rows.
    """
    n = sums[0]
    if kind == "jaccard":
        return _ratio(n, own.counts + other.counts - n)
    if kind == "cosine":
        return _ratio(sums[1], np.sqrt(own.squares * other.squares))
    if kind == "msd":
        return np.where(n > 0, 1 / (1 + _ratio(sums[1], n)), 0.0)
    if kind == "euclidean":
        return np.where(n > 0, 1 / (1 + np.sqrt(np.maximum(sums[1], 0))), 0.0)
    if kind == "pcc":
        _, product, a, b, aa, bb = sums
        spread = _spread(n, a, aa) * _spread(n, b, bb)
        return np.clip(_ratio(n * product - a * b, np.sqrt(spread)), -1.0, 1.0)
    if kind == "adjusted_cosine":
        return np.clip(_ratio(sums[1], np.sqrt(sums[2] * sums[3])), -1.0, 1.0)
    return np.array(sums[1])


def _ratio(above: Floats, below: Floats) -> Floats:
    """The quotient; 0 where it has none."""
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def _spread(n: Floats, total: Floats, square: Floats) -> Floats:
    """n² times the variance."""
    spread = n * square - total * total
    return np.where(spread > _NOISE * n * square, spread, 0.0)


def _pip(own: Floats, other: Floats, mean: Floats, scale: Scale) -> Floats:
    """Proximity, impact, popularity: what two ratings of one column say, the more the further from usual."""
    a, b = own - scale.middle, other - scale.middle
    agree = a * b >= 0
    distance = np.abs(own - other) * np.where(agree, 1, 2)
    proximity = (2 * (scale.highest - scale.lowest) + 1 - distance) ** 2
    impact = (np.abs(a) + 1) * (np.abs(b) + 1)
    same_side = (own - mean) * (other - mean) > 0
    popularity = np.where(same_side, 1 + ((own + other) / 2 - mean) ** 2, 1.0)
    pip: Floats = proximity * np.where(agree, impact, 1 / impact) * popularity
    return pip


def _pss(own: Floats, other: Floats, mean: Floats, scale: Scale) -> Floats:
    """Proximity, significance, singularity: as pip, each between 0 and 1."""
    proximity = 1 - _sigmoid(np.abs(own - other))
    significance = _sigmoid(np.abs(own - scale.middle) * np.abs(other - scale.middle))
    singularity = 1 - _sigmoid(np.abs((own + other) / 2 - mean))
    pss: Floats = proximity * significance * singularity
    return pss


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))
