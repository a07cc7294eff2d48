"""What lists are worth: ml-latest-small, each visitor's last fifth looked for in lists of the rest.

How long training and a list take is told here for every model, on one thread.
"""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

from benchmarks.recommenders.rows import Entry, Judged, entry, mark, new_table
from streamrec.contracts import TrainOptions
from streamrec.evaluation.held_out import Lists, Parts, last_of_each, measure_lists, unaware
from streamrec.feedback import Feedback, Knowledge
from streamrec.models import recommender, recommender_class, recommender_of
from streamrec.node_files import load_node
from streamrec.recommender import Recommender

__all__ = ["for_lists", "judge_lists"]

_FOR_LISTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "combined_cf": {"task": "top-n"},
    "item_based_cf": {"task": "top-n"},
    "user_based_cf": {"task": "top-n"},
}
"""Settings of models that foretell ratings by default."""
_HYBRIDS: Final = Path(__file__).resolve().parents[2] / "examples" / "hybrids"
_EXAMPLES: Final[Mapping[str, str]] = {
    "switching_hybrid": "switching.yaml",
    "weighted_hybrid": "weighted.yaml",
}
"""Hybrids that foretell ratings by default: their examples are for lists."""
_DATA: Final = "ml-latest-small"
_BESIDE: Final = "item_popularity"
_NOT_HERE: Final = {
    "content_classifier",
    "group_recommender",
    "tag_profile",
    "tfidf_content",
    "trending_items",
}
"""Made for what this data does not ask: items that nobody has had, lists for groups, what is new today."""


class _Listed(NamedTuple):
    """Lists of one training."""

    lists: Lists
    train_s: float
    """CPU seconds."""
    ms: float
    """CPU milliseconds for a visitor's scores and list."""


def for_lists(name: str) -> Recommender:
    """An untrained model as it is set to make lists."""
    if name in _EXAMPLES:
        return recommender_of(load_node(_HYBRIDS / _EXAMPLES[name]))
    return recommender(name, _FOR_LISTS.get(name))


def judge_lists(
    names: Collection[str], data: tuple[Feedback, Knowledge], on_step: Callable[[int, int], object]
) -> Judged:
    """Metrics of every model; those that are trained for lists have to beat popularity."""
    feedback, knowledge = data
    parts = last_of_each(feedback)
    found: dict[str, _Listed] = {}
    for done, name in enumerate(names, 1):
        found[name] = _listed(name, parts, knowledge)
        on_step(done, len(names))
    beside = found[_BESIDE].lists.ndcg_at_10 if _BESIDE in found else None
    entries = {name: _entries(name, listed, beside) for name, listed in found.items()}
    return Judged([row for rows in entries.values() for row in rows], [_table(found, entries)])


def _listed(name: str, parts: Parts, knowledge: Knowledge) -> _Listed:
    model = for_lists(name)
    began = time.process_time()
    model.train(parts.train, unaware(knowledge, parts.test), TrainOptions(seed=0))
    trained = time.process_time()
    lists = measure_lists(model, parts)
    return _Listed(lists, trained - began, (time.process_time() - trained) / lists.visitors * 1000)


def _entries(name: str, listed: _Listed, beside: float | None) -> list[Entry]:
    lists = listed.lists
    judged = "top-n" in recommender_class(name).tasks and name not in {*_NOT_HERE, _BESIDE}
    reference = beside if judged else None
    others = {
        "recall@20": lists.recall_at_20,
        "coverage@20": lists.coverage_at_20,
        "novelty@20": lists.novelty_at_20,
        "popularity@20": lists.popularity_at_20,
        "train_s": listed.train_s,
        "list_ms": listed.ms,
    }
    return [
        entry(
            name,
            _DATA,
            "ndcg@10",
            lists.ndcg_at_10,
            reference=reference,
            holds=reference is None or lists.ndcg_at_10 > reference,
            required=reference is not None,
            claim="above popularity",
        ),
        *(entry(name, _DATA, metric, value) for metric, value in others.items()),
    ]


def _table(found: Mapping[str, _Listed], entries: Mapping[str, list[Entry]]) -> Table:
    """A line for each model, the best first."""
    columns = ("NDCG@10", "", "Recall@20", "coverage", "novelty", "popularity", "train s", "ms a list")
    table = new_table(f"{_DATA}: each visitor's last fifth in lists of the first four", *columns)
    for name, listed in sorted(found.items(), key=lambda each: -each[1].lists.ndcg_at_10):
        lists = listed.lists
        table.add_row(
            name,
            f"{lists.ndcg_at_10:.4f}",
            mark(entries[name][0]),
            f"{lists.recall_at_20:.4f}",
            f"{lists.coverage_at_20:.3f}",
            f"{lists.novelty_at_20:.2f}",
            f"{lists.popularity_at_20:.1f}",
            f"{listed.train_s:.2f}",
            f"{listed.ms:.2f}",
        )
    return table
