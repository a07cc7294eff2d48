"""What each model comes to: errors of its ratings on five folds, lists against what visitors did last."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any, Final, NamedTuple

from streamrec.contracts import TrainOptions
from streamrec.evaluation.folds import cross_validate
from streamrec.evaluation.held_out import Lists, Parts, measure_lists
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models import recommender, recommender_of
from streamrec.node_files import load_node
from streamrec.recommender import Recommender

__all__ = ["Listed", "Rated", "judge_lists", "judge_ratings"]

_FOR_LISTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "combined_cf": {"task": "top-n", "user_similarity": "cosine", "item_similarity": "cosine"},
    "item_based_cf": {"task": "top-n", "similarity": "cosine"},
    "user_based_cf": {"task": "top-n", "similarity": "cosine"},
}
"""Settings of models that foretell ratings by default."""
_HYBRIDS: Final = Path(__file__).resolve().parents[2] / "examples" / "hybrids"
_EXAMPLES_FOR_LISTS: Final[Mapping[str, str]] = {
    "switching_hybrid": "switching.yaml",
    "weighted_hybrid": "weighted.yaml",
}
"""Hybrids that foretell ratings by default: their examples are for lists."""


class Rated(NamedTuple):
    """Means over the folds."""

    rmse: float
    mae: float
    unscored: float
    """Share of the ratings that it could not foretell, and that count as foretold by the mean."""
    seconds: float
    """Training and foretelling, all folds, on one thread."""


class Listed(NamedTuple):
    """Lists of one training."""

    lists: Lists
    train_s: float
    ms: float
    """For a visitor's scores and list."""


def judge_ratings(
    name: str,
    feedback: Feedback,
    knowledge: Knowledge = NOTHING,
    on_fold: Callable[[int], object] = lambda _: None,
) -> Rated:
    """A model's errors in five-fold cross-validation."""
    began = time.process_time()
    folds = cross_validate(lambda: recommender(name), feedback, knowledge, on_fold=on_fold)
    spent = time.process_time() - began
    return Rated(
        mean(fold.rmse for fold in folds),
        mean(fold.mae for fold in folds),
        mean(fold.unscored for fold in folds),
        spent,
    )


def judge_lists(name: str, parts: Parts, knowledge: Knowledge = NOTHING) -> Listed:
    """A model's lists for the visitors of the test part."""
    model = _for_lists(name)
    began = time.process_time()
    model.train(parts.train, knowledge, TrainOptions(seed=0))
    trained = time.process_time()
    lists = measure_lists(model, parts)
    return Listed(lists, trained - began, (time.process_time() - trained) / lists.visitors * 1000)


def _for_lists(name: str) -> Recommender:
    if name in _EXAMPLES_FOR_LISTS:
        return recommender_of(load_node(_HYBRIDS / _EXAMPLES_FOR_LISTS[name]))
    return recommender(name, _FOR_LISTS.get(name))
