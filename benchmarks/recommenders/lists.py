"""What lists are worth: ml-latest-small, each visitor's last fifth looked for in lists of the rest.

How long training and a list take is told here for every model, on one thread.
"""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

from benchmarks.recommenders.data import tagged
from benchmarks.recommenders.rows import Entry, Judged, Notes, entry, new_table
from streamrec.contracts import TrainOptions
from streamrec.evaluation.feedback_summary import summarise_lists
from streamrec.evaluation.held_out import Parts, last_of_each, make_lists, unaware
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
_NEW_ITEMS: Final = "for items that nobody has had: see citeulike-t, new items"
_EXCUSED: Final[Mapping[str, str]] = {
    "content_classifier": _NEW_ITEMS,
    "group_recommender": "for groups: see camra2011; of one visitor it lists by the ratings it expects",
    "tag_profile": _NEW_ITEMS,
    "tfidf_content": _NEW_ITEMS,
    "trending_items": "for what is had of late: here each visitor's last fifth has a time of its own",
}
"""Trained for lists, and need not be above popularity here."""
_METRICS: Final[Mapping[str, str]] = {
    "ndcg@10": "ndcg@10",
    "recall@20": "recall@20",
    "coverage@20": "coverage@20",
    "novelty@20": "novelty@20",
    "popularity@20": "average_popularity@20",
}
"""By their names in the report, those of the evaluation."""


class _Listed(NamedTuple):
    """Lists of one training."""

    metrics: Mapping[str, float]
    """By their names in the report."""
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
    """Metrics of every model, popularity always among them; what is trained for lists has to beat that."""
    feedback, knowledge = data
    parts = last_of_each(feedback)
    known = tagged(unaware(knowledge, parts.test))
    listed = list(dict.fromkeys([_BESIDE, *names]))
    found: dict[str, _Listed] = {}
    for done, name in enumerate(listed, 1):
        found[name] = _listed(name, parts, known)
        on_step(done, len(listed))
    beside = found[_BESIDE].metrics["ndcg@10"]
    entries = {name: _entries(name, of_model, beside) for name, of_model in found.items()}
    return Judged([row for rows in entries.values() for row in rows], [_table(found, entries)])


def _listed(name: str, parts: Parts, knowledge: Knowledge) -> _Listed:
    model = for_lists(name)
    began = time.process_time()
    model.train(parts.train, knowledge, TrainOptions(seed=0))
    trained = time.process_time()
    made = make_lists(model, parts, 20)
    listed_s = time.process_time() - trained
    about = {"label": name, "model": name, "task": "top-n", "config": {}}
    found = summarise_lists(made, (10, 20), **about, train_s=trained - began, evaluate_s=listed_s)
    metrics = {metric: found.metrics[of] for metric, of in _METRICS.items()}
    return _Listed(metrics, trained - began, listed_s / found.visitors * 1000)


def _entries(name: str, listed: _Listed, beside: float) -> list[Entry]:
    judged = "top-n" in recommender_class(name).tasks and name != _BESIDE
    ndcg = listed.metrics["ndcg@10"]
    others = {**listed.metrics, "train_s": listed.train_s, "list_ms": listed.ms}
    del others["ndcg@10"]
    return [
        entry(
            name,
            _DATA,
            "ndcg@10",
            ndcg,
            reference=beside if judged else None,
            holds=ndcg > beside,
            required=True,
            excuse=_EXCUSED.get(name, ""),
            claim="above popularity's",
        ),
        *(entry(name, _DATA, metric, value) for metric, value in others.items()),
    ]


def _table(found: Mapping[str, _Listed], entries: Mapping[str, list[Entry]]) -> Table:
    """A line for each model, the best first."""
    columns = ("NDCG@10", "", "Recall@20", "coverage", "novelty", "popularity", "train s", "ms a list")
    table = new_table(f"{_DATA}: each visitor's last fifth in lists of the first four", *columns)
    notes = Notes()
    for name, listed in sorted(found.items(), key=lambda each: -each[1].metrics["ndcg@10"]):
        table.add_row(
            name,
            f"{listed.metrics['ndcg@10']:.4f}",
            notes.mark(entries[name][0]),
            f"{listed.metrics['recall@20']:.4f}",
            f"{listed.metrics['coverage@20']:.3f}",
            f"{listed.metrics['novelty@20']:.2f}",
            f"{listed.metrics['popularity@20']:.1f}",
            f"{listed.train_s:.2f}",
            f"{listed.ms:.2f}",
        )
    table.caption = notes.under(f"ok: above {_BESIDE}. What only foretells ratings is listed, not judged.")
    return table
