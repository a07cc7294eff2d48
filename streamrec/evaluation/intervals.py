"""How sure a mean is: bootstrap over sessions, and a paired test of two models.

The clicks of a session depend on each other, so that sessions are drawn and not clicks: each drawn
session brings all its clicks, and a mean is one over the clicks that came together. In: one
value for each click, under the name of its metric, and the session of each click. Where visitors are
drawn with their ratings or lists, these stand in place of sessions and clicks.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16; Field and
Welsh, Bootstrapping clustered data, JRSS B 69, 2007.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import IntArray

__all__ = [
    "Difference",
    "Interval",
    "confidence_intervals",
    "covered",
    "paired_tests",
]

Values = NDArray[np.float64]

_DRAWS: Final = 2000


def covered(drawn: str) -> str:
    """What intervals and p-values stand for, to be said wherever they are shown; drawn: sessions, say."""
    return (
        f"Intervals and p-values are over {drawn}: they cover neither what another seed of a training would "
        "change nor the number of comparisons"
    )


class Interval(NamedTuple):
    """A mean, and the bounds it is within at the level asked for."""

    mean: float
    low: float
    high: float


class Difference(NamedTuple):
    """How much higher the mean of the first model is, its bounds, and the test of no difference."""

    difference: float
    low: float
    high: float
    p: float
    """Two-sided: how often drawing sessions alone makes a difference as large; at least 1 / (draws + 1)."""


def confidence_intervals(
    values: Mapping[str, Values],
    sessions: IntArray,
    *,
    roots: Collection[str] = (),
    level: float = 0.95,
    draws: int = _DRAWS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap interval of the mean of each metric.

    values: (Q,) each; sessions: (Q,), equal numbers for the clicks of one session. roots: metrics that are
    the square root of their mean, as of squared errors. The metrics share their draws. Raises ValueError
    without clicks.
    """
    table = _table(values, sessions)
    bounds = _bounds(_drawn_means(table, sessions, draws, seed), level)
    found = np.stack([table.mean(axis=0), *bounds])
    # What a root has drawn lies within the roots of the bounds: a root keeps the order.
    rows = _rooted(found, values, roots).T.tolist()
    return {name: Interval(*row) for name, row in zip(values, rows, strict=True)}


def paired_tests(
    first: Mapping[str, Values],
    second: Mapping[str, Values],
    sessions: IntArray,
    *,
    roots: Collection[str] = (),
    level: float = 0.95,
    draws: int = _DRAWS,
    seed: int = 0,
) -> dict[str, Difference]:
    """Paired bootstrap test of the difference of means of two models on the same clicks.

    first, second: the same metrics, (Q,) each, click for click; otherwise as confidence_intervals.
    p is the share of draws whose difference is as far from the one observed as that is from zero.
    """
    one, other = _table(first, sessions), _table({name: second[name] for name in first}, sessions)

    def differences(means: Values) -> Values:
        of_clicks, ones, others = np.split(means, 3, axis=1)
        rooted: Values = _rooted(ones, first, roots) - _rooted(others, first, roots)
        return np.where([name in roots for name in first], rooted, of_clicks)

    table = np.concatenate([one - other, one, other], axis=1)
    observed = differences(table.mean(axis=0)[None])[0]
    drawn = differences(_drawn_means(table, sessions, draws, seed))
    extreme = (np.abs(drawn - observed) >= np.abs(observed)).sum(axis=0)
    rows = np.stack([observed, *_bounds(drawn, level), (1 + extreme) / (1 + draws)], axis=1).tolist()
    return {name: Difference(*row) for name, row in zip(first, rows, strict=True)}


def _drawn_means(table: Values, sessions: IntArray, draws: int, seed: int) -> Values:
    """Means over the clicks of as many sessions as there are, drawn with replacement; (draws, M)."""
    _, session_of = np.unique(sessions, return_inverse=True)
    clicks = np.bincount(session_of)
    sums = np.stack([np.bincount(session_of, weights=column) for column in table.T], axis=1)
    totals = np.column_stack([sums, clicks])
    n = len(totals)
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, totals.shape[1]))
    for draw in range(draws):
        times = np.bincount(rng.integers(n, size=n), minlength=n)
        drawn[draw] = times @ totals
    means: Values = drawn[:, :-1] / drawn[:, -1:]
    return means


def _rooted(means: Values, names: Collection[str], roots: Collection[str]) -> Values:
    """(D, M) with the columns of `roots` under a root."""
    is_root = np.array([name in roots for name in names])
    rooted: Values = np.where(is_root, np.sqrt(np.where(is_root, means, 0.0)), means)
    return rooted


def _table(values: Mapping[str, Values], sessions: IntArray) -> Values:
    if not len(sessions):
        raise ValueError("there are no clicks: nothing can be drawn")
    return np.stack([*values.values()], axis=1)


def _bounds(drawn: Values, level: float) -> Values:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it has to be between 0 and 1, 0.95 for instance")
    bounds: Values = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return bounds
