"""Clicks to learn from and clicks to be judged by, so that training does not know the future.

In: `Clicks`. Out: a `Split`. A split by time says what a model will be worth; leave-one-out is for
comparison with papers that used it.
"""

import warnings
from typing import NamedTuple

import numpy as np

from streamrec.datasets import DAY_MS, Clicks, sessions, split_by_time
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.next_items import Judged

__all__ = ["Split", "as_given", "by_time", "leave_one_out"]


class Split(NamedTuple):
    """What to train on, and what to be judged by."""

    train: Clicks
    test: Clicks
    judged: Judged = "every click"
    """Which clicks of the test sessions count; those before are their context."""


def by_time(clicks: Clicks, *, days: float | None = None, share: float | None = None) -> Split:
    """Sessions that end before a cut in time to train on, and those that start at it or after to test on.

    days: from the cut to the last click; or share: of the sessions, those that start last. A session
    that runs across the cut is in neither part, so that every training click is earlier than every
    test click. Raises ConfigError unless one of the two is given and within its limits, DatasetError if a
    part is empty.
    """
    if (days is None) == (share is None):
        raise ConfigError("how much to test on? give days or a share of the sessions, one of the two")
    if days is not None and not days > 0:
        raise ConfigError(f"{days:g} days to test on; it has to be more than 0")
    if share is not None and not 0 < share < 1:
        raise ConfigError(f"a share of {share:g} to test on; it has to be between 0 and 1, 0.1 for instance")
    cut_ms = clicks.last_ms - round(days * DAY_MS) if days is not None else _start_of_last(clicks, share or 0)
    train, test = split_by_time(clicks, cut_ms)
    if not len(train) or not len(test):
        covered = (clicks.last_ms - clicks.first_ms) / DAY_MS
        raise DatasetError(
            f"no session {'starts after' if len(train) else 'ends before'} the cut, "
            f"{(clicks.last_ms - cut_ms) / DAY_MS:.3g} days before the last click; the clicks cover "
            f"{covered:.3g} days: test on {'more' if len(train) else 'less'}"
        )
    return Split(train, test)


def as_given(train: Clicks, test: Clicks) -> Split:
    """Two sets of clicks that were split elsewhere.

    Warns if sessions are in both, or if test clicks are not later than all training clicks.
    """
    both = set(train.session_ids) & set(test.session_ids)
    if both:
        warnings.warn(
            f"{len(both):,} sessions are in the training clicks and in the test clicks, {min(both)!r} for "
            "one: they may be judged by what was learned from them; take them out of one of the two",
            stacklevel=2,
        )
    early = int(np.count_nonzero(test.time_ms <= train.last_ms))
    if early:
        warnings.warn(
            f"{early:,} of {len(test):,} test clicks are not later than the last training click: training "
            "knows some of their future",
            stacklevel=2,
        )
    return Split(train, test)


def leave_one_out(clicks: Clicks) -> Split:
    """Every session but its last click to train on, and that click to be judged by, if its item is left.

    Warns: what is learned from is in part later than what is judged. Sessions of one click are trained on
    only. Raises DatasetError if there are no others.
    """
    found = [places for places in sessions(clicks).values() if len(places) > 1]
    if not found:
        raise DatasetError("no session has two clicks or more: there is none to leave out")
    warnings.warn(
        "leave-one-out: training knows clicks that are later than those to be predicted, so that the "
        "figures are better than live ones will be; a split by time has none of that",
        stacklevel=2,
    )
    train, test = np.ones(len(clicks), np.bool_), np.zeros(len(clicks), np.bool_)
    for places in found:
        train[places[-1]] = False
        test[places] = True
    return Split(clicks.take(train), clicks.take(test), "last click")


def _start_of_last(clicks: Clicks, share: float) -> int:
    """Start of the earliest of the last `share` of the sessions to start, ms since 1970."""
    starts = [int(clicks.time_ms[places[0]]) for places in sessions(clicks).values()]  # in their order
    return starts[min(len(starts) - 1, round((1 - share) * len(starts)))]
