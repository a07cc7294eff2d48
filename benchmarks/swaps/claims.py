"""What a run has to show, each claim a pure function of what was found; see Claim."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.stats import theilslopes

from benchmarks.swaps.found import Found, ListFound, Place
from streamrec.contracts import StepModel

__all__ = [
    "Claim",
    "always_forward",
    "as_fast",
    "growth_per_swap",
    "level",
    "made_by_its_version",
    "one_list_each",
    "percentile",
    "same_lists",
    "same_version",
]

MOST_SLOWER: Final = 2.0
"""p99 of freshness with swaps, as a multiple of that without."""
MOST_GROWTH_MIB: Final = 0.1
"""Of resident memory, per swap, once warm: a version has some thirty MiB."""
MOST_STEP_MIB: Final = 20.0
"""That memory may lie higher in the end: less than one version that is kept."""
MOST_OFF: Final = 1e-5
"""Of hidden states and scores, from what is recomputed."""
_SHOWN: Final = 3


class Claim(NamedTuple):
    """A claim, whether it holds, and what was measured."""

    claim: str
    holds: bool
    measured: dict[str, Any]


def one_list_each(clicks: Mapping[Place, int], lists: Sequence[ListFound]) -> Claim:
    """Each click has exactly one list."""
    counts = Counter(each.place for each in lists)
    missing = clicks.keys() - counts.keys()
    doubled = [place for place, n in counts.items() if n > 1]
    strange = counts.keys() - clicks.keys()
    return Claim(
        "each click has exactly one list",
        bool(clicks) and not (missing or doubled or strange),
        {
            "clicks": len(clicks),
            "lists": len(lists),
            "missing": len(missing),
            "doubled": len(doubled),
            "for no click": len(strange),
        },
    )


def same_version(found: Found, lists: Sequence[ListFound]) -> Claim:
    """A list names the version of the visitor's row."""
    other = [each for each in lists if found.rows[each.place].version != each.release]
    unnamed = [each for each in lists if not each.release]
    return Claim(
        "each list names one version, and the visitor's row names the same",
        bool(lists) and not other and not unnamed,
        {"lists": len(lists), "other": len(other), "without": len(unnamed)},
    )


def made_by_its_version(found: Found, steps: Mapping[str, StepModel], most_items: int) -> Claim:
    """Hidden states are those that the row's version gives for the session's items, from the start on.

    most_items: rows with so many are left out: what came before is not in the row any more. The same is done
    with the next version: where that gives the same, nothing would be told apart.
    """
    versions = list(steps)
    off, off_other = [], []
    for row in found.rows.values():
        if not row.hidden or len(row.items) >= most_items or row.version not in steps:
            continue
        other = versions[(versions.index(row.version) + 1) % len(versions)]
        hidden = np.frombuffer(row.hidden, "<f4")
        off.append(float(np.abs(_hidden(steps[row.version], row.items) - hidden).max()))
        off_other.append(float(np.abs(_hidden(steps[other], row.items) - hidden).max()))
    told_apart = sum(each > 100 * MOST_OFF for each in off_other)
    return Claim(
        "hidden states are those of the row's version, recomputed from the session's items",
        len(off) >= 100 and max(off) <= MOST_OFF and told_apart >= 0.99 * len(off),
        {
            "sample": len(off),
            "furthest off": max(off, default=None),
            "allowed": MOST_OFF,
            "off under another version": told_apart,
        },
    )


def _hidden(model: StepModel, items: Sequence[str]) -> Any:
    hidden = np.zeros((1, model.hidden_size), np.float32)
    for item_id in items:
        if (index := model.item_index(item_id)) >= 0:
            hidden = model.step(np.array([index]), hidden)
    return hidden[0]


def same_lists(live: Mapping[Place, Any], again: Mapping[Place, Any]) -> Claim:
    """Lists are those that history gives under the same releases.

    live, again: by interaction, the release and the items with their scores, in order.
    """
    missing = live.keys() - again.keys()
    differing = [
        place
        for place in live.keys() & again.keys()
        if live[place][0] != again[place][0]
        or [item for item, _ in live[place][1]] != [item for item, _ in again[place][1]]
        or any(abs(a - b) > MOST_OFF for (_, a), (_, b) in zip(live[place][1], again[place][1], strict=True))
    ]
    return Claim(
        "lists are those that a backtest of the topic makes, item by item",
        len(live) >= 100 and not missing and not differing,
        {
            "lists": len(live),
            "not made again": len(missing),
            "differing": len(differing),
            "as": sorted(differing)[:_SHOWN],
        },
    )


def always_forward(
    lists: Sequence[ListFound], sequences: Mapping[str, int], swapped: Mapping[str, int]
) -> Claim:
    """For no visitor a list is followed by one of an earlier release, and every release was swapped in.

    sequences: of the releases, by version. swapped: how many of them each app has taken.
    """
    by_visitor: dict[str, list[ListFound]] = defaultdict(list)
    for each in lists:
        by_visitor[each.visitor_id].append(each)
    back = sum(
        sequences[later.release] < sequences[earlier.release]
        for own in by_visitor.values()
        for earlier, later in pairwise(own)
    )
    across = sum(len({each.release for each in own}) > 1 for own in by_visitor.values())
    seen = {each.release for each in lists}
    return Claim(
        "release numbers never go back for a visitor, and every release is swapped in",
        not back
        and across >= 100
        and seen == set(sequences)
        and all(n == len(sequences) - 1 for n in swapped.values()),
        {
            "visitors": len(by_visitor),
            "visitors with lists of several releases": across,
            "back": back,
            "releases": len(sequences) - 1,
            "seen in lists": len(seen) - 1,
            "swapped": dict(swapped),
        },
    )


def percentile(ms: Sequence[int], share: float) -> float:
    """The value that a share of the values does not exceed."""
    return float(np.quantile(ms, share, method="inverted_cdf")) if len(ms) else float("nan")


def as_fast(without: Sequence[int], with_swaps: Sequence[int], lags: Mapping[str, float]) -> Claim:
    """p99 of freshness is at most twice that without swaps, and nothing was put off.

    without, with_swaps: freshness of lists, ms. lags: the longest that clicks waited in each phase's end, s.
    """
    p99, p99_swaps = percentile(without, 0.99), percentile(with_swaps, 0.99)
    return Claim(
        f"p99 of freshness is at most {MOST_SLOWER:g} times that without swaps, and lag does not grow",
        p99_swaps <= MOST_SLOWER * p99 and max(lags.values()) <= 1,
        {
            "p99 ms without": p99,
            "p99 ms with swaps": p99_swaps,
            "ratio": round(p99_swaps / p99, 2),
            "p50 ms without": percentile(without, 0.5),
            "p50 ms with swaps": percentile(with_swaps, 0.5),
            "max ms without": max(without, default=0),
            "max ms with swaps": max(with_swaps, default=0),
            "lag in seconds of traffic": dict(lags),
        },
    )


def growth_per_swap(rss_mib: Sequence[float]) -> float:
    """Slope of resident memory over all but the first quarter of the swaps, MiB per swap.

    Theil and Sen's, the median of the slopes between any two: what is freed now and then goes up and down by
    a version's size from one swap to the next.
    """
    warm = rss_mib[len(rss_mib) // 4 :]
    return float(theilslopes(warm).slope)


def steps_up(rss_mib: Sequence[float]) -> float:
    """From the median of the second quarter to that of the last, MiB: a step that a slope overlooks."""
    quarter = len(rss_mib) // 4
    return float(np.median(rss_mib[-quarter:]) - np.median(rss_mib[quarter : 2 * quarter]))


def level(rss_mib: Mapping[str, Sequence[float]], reloaded: int) -> Claim:
    """Resident memory of no app grows with the swaps.

    rss_mib: after each swap, by app. reloaded: versions in turn, more than a shelf keeps: each is loaded.
    """
    n = min(map(len, rss_mib.values()))
    if n < 20:
        return Claim(f"memory stays level over {n} swaps", False, {"swaps": n, "at least": 20})
    growth = {role: round(growth_per_swap(series), 4) for role, series in rss_mib.items()}
    up = {role: round(steps_up(series), 1) for role, series in rss_mib.items()}
    return Claim(
        f"memory stays level over {n} swaps",
        max(growth.values()) <= MOST_GROWTH_MIB and max(up.values()) <= MOST_STEP_MIB,
        {
            "MiB per swap, once warm": growth,
            "MiB per swap allowed": MOST_GROWTH_MIB,
            "MiB from the second quarter to the last": up,
            "MiB allowed": MOST_STEP_MIB,
            "versions in turn": reloaded,
            "first and last": {
                role: [round(series[0], 1), round(series[-1], 1)] for role, series in rss_mib.items()
            },
        },
    )
