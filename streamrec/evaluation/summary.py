"""A trained model on test sessions: every metric by name, with intervals; and two models compared.

In: a trained model, the sessions it learned from and sessions it has not seen. Out: an
`Evaluation`, whose figures are named metric@k, and whose columns can be compared click for click.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import IntArray, OnStep, Session
from streamrec.errors import DatasetError
from streamrec.evaluation import beyond
from streamrec.evaluation.intervals import Difference, Interval, confidence_intervals, paired_tests
from streamrec.evaluation.metrics import (
    auc,
    f1_at_k,
    hit_rate_at_k,
    map_at_k,
    mar_at_k,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    require_k,
)
from streamrec.evaluation.next_items import Judged, NextItems, TrainedModel, Unseen, next_items
from streamrec.evaluation.ranks import FloatRanks, Ties

__all__ = ["Comparison", "Evaluation", "Groups", "compare", "evaluate", "values_at_k"]

Values = NDArray[np.float64]

_AT_K: Final[Mapping[str, Callable[[FloatRanks, int], Values]]] = {
    "recall": recall_at_k,
    "precision": precision_at_k,
    "f1": f1_at_k,
    "hit_rate": hit_rate_at_k,
    "mrr": mrr_at_k,
    "ndcg": ndcg_at_k,
    "map": map_at_k,
    "mar": mar_at_k,
}
_MAIN: Final = ("recall", "mrr", "ndcg")
_UNGROUPED: Final = "(none)"


class Groups(NamedTuple):
    """Names of groups, for what is compared between them. What has no group is in one called (none)."""

    items: Mapping[str, str] = {}
    """Of each item, by its id: how much of all attention goes to them."""
    sessions: Mapping[str, str] = {}
    """Of each test session, by its id: how well they are served."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model did on a test set."""

    model: str
    config: dict[str, Any]
    metrics: dict[str, float]
    """By name@k; auc stands alone. NaN where nothing can be said, as of lists that are empty."""
    intervals: dict[str, Interval]
    """95 % bootstrap intervals over sessions, of the main metrics."""
    item_groups: dict[str, float]
    """Share of all attention by group of items; empty without groups."""
    session_groups: dict[str, dict[str, float]]
    """Mean of each main metric at the largest k by group of sessions; empty without groups."""
    test_sessions: int
    """Sessions with a click that was judged."""
    next_clicks: int
    """Clicks judged."""
    unseen_clicks: int
    """Clicks of the test set on items that training did not see."""
    items: int
    """Items that the model can rank."""
    ties: Ties
    unseen: Unseen
    judged: Judged
    seed: int
    """Of the bootstrap."""
    clicks: IntArray = field(repr=False)
    """(N,) in training, of each item of the catalogue: the items of training, the first click first, and what
    the model knows beyond them."""
    next_items: NextItems = field(repr=False)
    """Its targets and tops are indices in the catalogue."""
    train_s: float | None = None
    events_per_s: float | None = None
    """Training events per second of wall time; None where the training was not seen."""

    @property
    def session_group_gaps(self) -> dict[str, float]:
        """Largest difference between two groups of sessions, by metric."""
        return {name: beyond.largest_gap(means) for name, means in self.session_groups.items()}

    def to_json(self) -> dict[str, Any]:
        """All but the columns, ready for JSON; the metrics at the top, null for NaN."""
        return {
            "model": self.model,
            **{name: _number(value) for name, value in self.metrics.items()},
            "events_per_s": self.events_per_s,
            "train_s": self.train_s,
            "evaluate_s": self.next_items.seconds,
            "intervals": {name: [each.low, each.high] for name, each in self.intervals.items()},
            "item_groups": {name: _number(value) for name, value in self.item_groups.items()},
            "session_groups": self.session_groups,
            "session_group_gaps": self.session_group_gaps,
            "test_sessions": self.test_sessions,
            "next_clicks": self.next_clicks,
            "unseen_clicks": self.unseen_clicks,
            "items": self.items,
            "catalogue": len(self.clicks),
            "ties": self.ties,
            "unseen": self.unseen,
            "judged": self.judged,
            "seed": self.seed,
            "config": self.config,
        }


class Comparison(NamedTuple):
    """One model beside another on the same clicks."""

    first: str
    second: str
    differences: dict[str, Difference]
    """By metric, first less second: 95 % interval and p-value of a paired bootstrap over sessions."""

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "differences": {name: each._asdict() for name, each in self.differences.items()},
        }


def evaluate(
    model: TrainedModel,
    name: str,
    train_sessions: Iterable[Session],
    test_sessions: Iterable[Session],
    *,
    k: Sequence[int] = (5, 10, 20),
    ties: Ties = "conservative",
    unseen: Unseen = "leave out",
    judged: Judged = "every click",
    seed: int = 0,
    groups: Groups | None = None,
    train_s: float | None = None,
    events_per_s: float | None = None,
    on_step: OnStep | None = None,
) -> Evaluation:
    """Rank every next click of the test sessions by a trained model, and measure.

    k: lengths of the lists that are measured; what goes beyond being right is measured at the largest.
    train_s, events_per_s: of the training, for the record. Otherwise as next_items.
    Raises DatasetError if there is nothing to measure, ValueError if a k is below 1.
    """
    for each in k:
        require_k(each)
    train, test, groups = list(train_sessions), list(test_sessions), groups or Groups()
    seen = dict.fromkeys(item_id for session in train for item_id in session.items)
    found = next_items(
        model, test, k=max(k), ties=ties, unseen=unseen, seen=seen, judged=judged, on_step=on_step
    )
    # Not the model's own items: figures of models that know more or fewer of them have to be comparable.
    catalogue = list(dict.fromkeys([*seen, *model.items]))
    found = _in_catalogue(found, model.items, catalogue)
    clicks = beyond.item_clicks(train, catalogue)
    main = values_at_k(found.ranks, k, _MAIN)
    return Evaluation(
        model=name,
        config=_config(model),
        metrics={
            **{metric: float(values.mean()) for metric, values in values_at_k(found.ranks, k).items()},
            "auc": float(auc(found.mean_ranks, len(catalogue)).mean()),
            **_beyond_accuracy(found.tops, clicks, beyond.session_incidence(train, catalogue)),
        },
        intervals=confidence_intervals(main, found.sessions, seed=seed),
        item_groups=_exposure(found, catalogue, groups.items),
        session_groups=_by_session_group(found, test, groups.sessions, max(k)),
        test_sessions=len(np.unique(found.sessions)),
        next_clicks=len(found.ranks),
        unseen_clicks=sum(item_id not in seen for session in test for item_id in session.items),
        items=len(model.items),
        ties=ties,
        unseen=unseen,
        judged=judged,
        seed=seed,
        clicks=clicks,
        next_items=found,
        train_s=train_s,
        events_per_s=events_per_s,
    )


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """How much better the first is than the second in the main metrics, and whether that is chance.

    Raises DatasetError if they were not judged by the same clicks and tie rule.
    """
    one, other = first.next_items, second.next_items
    same_clicks = np.array_equal([one.sessions, one.positions], [other.sessions, other.positions])
    if not same_clicks or first.ties != second.ties:
        raise DatasetError(
            f"{first.model} was judged by {first.next_clicks} clicks with {first.ties} ties, {second.model} "
            f"by {second.next_clicks} with {second.ties} ties, and not the same ones; evaluate both on the "
            "same sessions by the same rules"
        )
    names = [name for name in first.intervals if name in second.intervals]
    differences = paired_tests(
        _values_of(names, one.ranks), _values_of(names, other.ranks), one.sessions, seed=first.seed
    )
    return Comparison(first.model, second.model, differences)


def values_at_k(
    ranks: FloatRanks, ks: Sequence[int], metrics: Iterable[str] = tuple(_AT_K)
) -> dict[str, Values]:
    """Each metric at each k for every click, (Q,), by name@k; one relevant item a click."""
    return _values_of([f"{metric}@{k}" for k in ks for metric in metrics], ranks)


def _values_of(names: Iterable[str], ranks: FloatRanks) -> dict[str, Values]:
    parts = {name: name.split("@") for name in names}
    return {name: _AT_K[metric](ranks, int(k)) for name, (metric, k) in parts.items()}


def _in_catalogue(found: NextItems, items: Sequence[str], catalogue: Sequence[str]) -> NextItems:
    """The same with the places of items in the catalogue, not in the model."""
    index = {item_id: n for n, item_id in enumerate(catalogue)}
    # -1, no item, takes the last place.
    places = np.array([*(index[item_id] for item_id in items), -1], np.int64)
    return found._replace(targets=places[found.targets], tops=places[found.tops])


def _beyond_accuracy(tops: IntArray, clicks: IntArray, incidence: Any) -> dict[str, float]:
    of_lists = {
        "intra_list_diversity": beyond.intra_list_diversity(tops, incidence),
        "novelty": beyond.novelty(tops, clicks),
        "average_popularity": beyond.average_popularity(tops, clicks),
        "long_tail": beyond.long_tail_share(tops, beyond.long_tail(clicks)),
    }
    k = tops.shape[1]
    return {
        f"coverage@{k}": beyond.catalogue_coverage(tops, len(clicks)),
        f"gini@{k}": beyond.gini(tops, len(clicks)),
        **{f"{name}@{k}": beyond.mean_of_lists(values) for name, values in of_lists.items()},
    }


def _exposure(found: NextItems, catalogue: Sequence[str], groups: Mapping[str, str]) -> dict[str, float]:
    if not groups:
        return {}
    return beyond.exposure_by_group(found.tops, [groups.get(item_id, _UNGROUPED) for item_id in catalogue])


def _by_session_group(
    found: NextItems, test: Sequence[Session], groups: Mapping[str, str], k: int
) -> dict[str, dict[str, float]]:
    if not groups:
        return {}
    of_click = [groups.get(test[place].session_id, _UNGROUPED) for place in found.sessions.tolist()]
    values_by_name = values_at_k(found.ranks, [k], _MAIN)
    return {name: beyond.means_by_group(values, of_click) for name, values in values_by_name.items()}


def _config(model: TrainedModel) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return config.model_dump(mode="json") if config is not None else {}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
