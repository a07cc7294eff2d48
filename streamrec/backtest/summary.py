"""What a backtest came to: figures of a run, and how much another run over the same history differs.

Metrics are means over the judged lists, named with the number of places that count: hit_rate@20.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.backtest.run import Plan, Tally
from streamrec.errors import DatasetError
from streamrec.evaluation.intervals import Difference, paired_tests
from streamrec.evaluation.lists import BLEND
from streamrec.evaluation.metrics import hit_rate_at_k, mrr_at_k, ndcg_at_k
from streamrec.evaluation.ranks import FloatRanks

__all__ = ["Comparison", "compare", "metric_names", "summarise"]

_METRICS: Final = {"hit_rate": hit_rate_at_k, "mrr": mrr_at_k, "ndcg": ndcg_at_k}


class Comparison(NamedTuple):
    """One run beside another, on the lists that both made."""

    run: str
    against: str
    pairs: int
    """Lists that were judged in both."""
    differences: Mapping[str, Mapping[str, Difference]]
    """By source and metric: the mean of the run less that of the other."""

    def to_json(self) -> dict[str, Any]:
        """The same with all names."""
        differences = {
            source: {name: difference._asdict() for name, difference in metrics.items()}
            for source, metrics in self.differences.items()
        }
        return {**self._asdict(), "differences": differences}


def metric_names(k: int) -> list[str]:
    """The names of the metrics."""
    return [f"{name}@{k}" for name in _METRICS]


def summarise(plan: Plan, tally: Tally) -> dict[str, Any]:
    """The figures of a run, to be printed or written as JSON. Raises DatasetError if nothing was judged."""
    pairs = tally.pairs
    if not len(pairs.places):
        raise DatasetError(
            f"{plan.name}: there is nothing to judge: {tally.lists.total():,} of {tally.events:,} events had "
            "a list, and no session went on after one"
        )
    sources = {
        source: {
            **{name: float(values.mean()) for name, values in _metrics(pairs.ranks[source], plan.k).items()},
            "coverage": len(tally.recommended[source]) / len(tally.items),
        }
        for source in _blend_first(pairs.ranks)
    }
    return {
        "config": plan.name,
        "events": tally.events,
        "outcomes": dict(tally.outcomes),
        "lists": tally.lists.total(),
        "releases": dict(tally.lists),
        "judged": len(pairs.places),
        "sessions": len(np.unique(pairs.sessions)),
        "too_late": tally.too_late,
        "items": len(tally.items),
        "sources": sources,
        "seconds": {
            "state": tally.state_s,
            "lists": tally.lists_s,
            "rest": tally.total_s - tally.state_s - tally.lists_s,
        },
    }


def compare(plan: Plan, tally: Tally, other: Plan, other_tally: Tally) -> Comparison:
    """The first run beside the other one. Raises DatasetError if they judged no list in common."""
    both, here, there = np.intersect1d(
        tally.pairs.places, other_tally.pairs.places, assume_unique=True, return_indices=True
    )
    if not len(both):
        raise DatasetError(f"{plan.name} and {other.name} judged no list of the same click")
    sessions = other_tally.pairs.sessions[there]
    differences = {
        source: paired_tests(
            _metrics(tally.pairs.ranks[source][here], plan.k),
            _metrics(other_tally.pairs.ranks[source][there], plan.k),
            sessions,
        )
        for source in _blend_first(tally.pairs.ranks)
        if source in other_tally.pairs.ranks
    }
    return Comparison(plan.name, other.name, len(both), differences)


def _metrics(ranks: FloatRanks, k: int) -> dict[str, NDArray[np.float64]]:
    return {name: metric(ranks, k) for name, metric in zip(metric_names(k), _METRICS.values(), strict=True)}


def _blend_first(sources: Iterable[str]) -> list[str]:
    return sorted(sources, key=lambda source: (source != BLEND, source))
