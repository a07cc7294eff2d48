"""A recommender on feedback held out: errors of ratings or figures of lists, with intervals; two compared.

In: ratings foretold (folds) or lists made (held_out). Out: a `FeedbackEvaluation`, whose values can be
compared rating for rating, or visitor for visitor.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import IntArray
from streamrec.errors import DatasetError
from streamrec.evaluation import beyond
from streamrec.evaluation.folds import Foretold
from streamrec.evaluation.held_out import MadeLists
from streamrec.evaluation.intervals import Interval, confidence_intervals, paired_tests
from streamrec.evaluation.metrics import (
    hit_rate_at_k,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)
from streamrec.evaluation.summary import Comparison
from streamrec.feedback import Feedback
from streamrec.recommender import Task

__all__ = ["FeedbackEvaluation", "compare_feedback", "summarise_lists", "summarise_ratings"]

Values = NDArray[np.float64]
_Ranks = NDArray[np.float64]

_AT_K: Final[Mapping[str, Callable[[_Ranks, int, IntArray], Values]]] = {
    "ndcg": ndcg_at_k,
    "recall": recall_at_k,
    "precision": lambda ranks, k, _: precision_at_k(ranks, k),
    "hit_rate": lambda ranks, k, _: hit_rate_at_k(ranks, k),
    "mrr": lambda ranks, k, _: mrr_at_k(ranks, k),
    "map": map_at_k,
}
_MAIN: Final = ("ndcg", "recall")
_ROOTS: Final = ("rmse",)


@dataclass(frozen=True, slots=True)
class FeedbackEvaluation:
    """What a recommender came to."""

    label: str
    model: str
    task: Task
    config: dict[str, Any]
    metrics: dict[str, float]
    """rmse, mae and unscored, the share of ratings that it could not foretell; or of lists by name@k, means
    over the visitors, NaN where nothing can be said."""
    intervals: dict[str, Interval]
    """95 % bootstrap intervals over visitors, of the main metrics."""
    visitors: int
    judged: int
    """Ratings foretold, or items that were looked for in lists."""
    seed: int
    """Of the bootstrap."""
    train_s: float
    evaluate_s: float
    values: dict[str, Values] = field(repr=False)
    """Of the main metrics, one for each rating or visitor; of rmse the squared error."""
    groups: IntArray = field(repr=False)
    """Whose each value is."""
    made: MadeLists | None = field(default=None, repr=False)
    """The lists."""

    def to_json(self) -> dict[str, Any]:
        """All but the columns, ready for JSON; the metrics at the top, null for NaN."""
        return {
            "model": self.model,
            "label": self.label,
            "task": self.task,
            **{name: None if np.isnan(value) else value for name, value in self.metrics.items()},
            "train_s": self.train_s,
            "evaluate_s": self.evaluate_s,
            "intervals": {name: [each.low, each.high] for name, each in self.intervals.items()},
            "visitors": self.visitors,
            "judged": self.judged,
            "seed": self.seed,
            "config": self.config,
        }


def summarise_ratings(
    parts: Iterable[tuple[Feedback, Foretold]], seed: int = 0, **about: Any
) -> FeedbackEvaluation:
    """Errors of ratings, over all parts together.

    parts: ratings that were held out, and what was foretold of them. about: the fields that are not
    computed here. A rating that could not be foretold counts as Foretold says.
    """
    users: list[str] = []
    errors, unscored = [], []
    for test, foretold in parts:
        users += [test.user_ids[user] for user in test.users.tolist()]
        errors.append(foretold.expected - test.values)
        unscored.append(foretold.unscored)
    error = np.concatenate(errors)
    values = {"rmse": error**2, "mae": np.abs(error)}
    _, groups = np.unique(np.array(users), return_inverse=True)
    intervals = confidence_intervals(values, groups, roots=_ROOTS, seed=seed)
    return FeedbackEvaluation(
        **about,
        metrics={
            **{name: each.mean for name, each in intervals.items()},
            "unscored": float(np.concatenate(unscored).mean()),
        },
        intervals=intervals,
        visitors=int(groups.max()) + 1,
        judged=len(error),
        seed=seed,
        values=values,
        groups=groups,
    )


def summarise_lists(made: MadeLists, ks: Sequence[int], seed: int = 0, **about: Any) -> FeedbackEvaluation:
    """Figures of lists, at each k; what goes beyond being right at the longest, which the lists have.

    about: the fields that are not computed here.
    """
    columns = {f"{name}@{k}": of_k(made.ranks, k, made.relevant) for k in ks for name, of_k in _AT_K.items()}
    values = {f"{name}@{k}": columns[f"{name}@{k}"] for k in ks for name in _MAIN}
    groups = np.arange(len(made.visitor_ids))
    return FeedbackEvaluation(
        **about,
        metrics={**{name: float(each.mean()) for name, each in columns.items()}, **_beyond(made)},
        intervals=confidence_intervals(values, groups, seed=seed),
        visitors=len(groups),
        judged=int(made.relevant.sum()),
        seed=seed,
        values=values,
        groups=groups,
        made=made,
    )


def compare_feedback(first: FeedbackEvaluation, second: FeedbackEvaluation) -> Comparison:
    """By how much the first is above the second, and whether that is chance; of errors, less is better.

    Raises DatasetError if they were not judged by the same ratings or visitors.
    """
    if first.values.keys() != second.values.keys() or not np.array_equal(first.groups, second.groups):
        raise DatasetError(
            f"{first.label} was judged by {first.judged:,} of {first.visitors:,} visitors, {second.label} by "
            f"{second.judged:,} of {second.visitors:,}, not the same ones; evaluate both on the same parts"
        )
    differences = paired_tests(first.values, second.values, first.groups, roots=_ROOTS, seed=first.seed)
    return Comparison(first.label, second.label, differences)


def _beyond(made: MadeLists) -> dict[str, float]:
    k = made.tops.shape[1]
    of_lists = {
        "novelty": beyond.novelty(made.tops, made.clicks),
        "average_popularity": beyond.average_popularity(made.tops, made.clicks),
        "long_tail": beyond.long_tail_share(made.tops, beyond.long_tail(made.clicks)),
    }
    return {
        f"coverage@{k}": beyond.catalogue_coverage(made.tops, len(made.clicks)),
        f"gini@{k}": beyond.gini(made.tops, len(made.clicks)),
        **{f"{name}@{k}": beyond.mean_of_lists(values) for name, values in of_lists.items()},
    }
