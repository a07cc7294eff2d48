"""Recommenders on feedback: trained on a part, judged by the rest, measured beside each other.

In: feedback, whole or in two parts, and contenders: a model's name, its hyperparameters and a label. Out: a
FeedbackEvaluation for each, and comparisons with the first.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from streamrec.contracts import OnStep, TrainOptions
from streamrec.datasets import Clicks
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.feedback_summary import (
    FeedbackEvaluation,
    compare_feedback,
    summarise_lists,
    summarise_ratings,
)
from streamrec.evaluation.folds import folds, foretell
from streamrec.evaluation.held_out import Parts, last_of_each, make_lists, unaware
from streamrec.evaluation.summary import Comparison
from streamrec.feedback import Feedback, Knowledge, make_feedback
from streamrec.models import recommender_of
from streamrec.nodes import asked_for, foretelling, possible_tasks, require_ratings
from streamrec.offline.naming import Named, Progress
from streamrec.recommender import Recommender, Task

__all__ = [
    "Contender",
    "Rules",
    "Source",
    "clicks_feedback",
    "compared",
    "contenders",
    "require_task",
    "require_values",
    "shared_tasks",
    "train_and_evaluate",
]

_WHAT: Final[Mapping[Task, str]] = {"rating": "foretells ratings", "top-n": "makes lists"}


class Contender(NamedTuple):
    """A recommender that is to be trained and measured."""

    label: str
    model: str
    parameters: Mapping[str, Any]
    tasks: frozenset[Task]
    """What it can be judged by, as it is configured."""
    seed: int = 0
    weights: bool = False
    """Whether lists are learned from what interactions' types weigh, and not from ratings."""

    def node(self, task: Task) -> dict[str, Any]:
        """What is trained. It and its parts are told what they are judged by, if not otherwise."""
        weights = self.weights and task == "top-n"
        return asked_for({"model": self.model, **self.parameters}, task, weights=weights)

    def make(self, task: Task) -> Recommender:
        """Untrained."""
        return recommender_of(self.node(task))


class Rules(NamedTuple):
    """How they are judged."""

    task: Task
    folds: int = 5
    """For ratings, of feedback that is whole."""
    share: float = 0.2
    """For lists, of feedback that is whole: of each visitor's interactions, the last, to be judged by."""
    k: Sequence[int] = (5, 10, 20)
    """Lengths of lists."""
    seed: int = 0
    """Of the folds and of the bootstrap."""


Source = Feedback | Parts
"""Feedback that is to be divided, or has been."""


def contenders(named: Sequence[Named], *, weights: bool = False) -> list[Contender]:
    """Contenders of recommenders by name. Raises ConfigError if one cannot be configured like that.

    weights: as of Contender.
    """
    return [
        Contender(
            each.label,
            each.model,
            each.parameters,
            possible_tasks({"model": each.model, **each.parameters}),
            each.seed,
            weights,
        )
        for each in named
    ]


def shared_tasks(running: Sequence[Contender]) -> frozenset[Task]:
    """What all of them can be judged by. Raises ConfigError if there is nothing."""
    shared = frozenset[Task](["rating", "top-n"]).intersection(*(each.tasks for each in running))
    if not shared:
        raise ConfigError(
            f"{_told(running)}: nothing that all of them can be judged by; evaluate them apart, the ones "
            "with --task rating, the others with --task top-n"
        )
    return shared


def require_task(running: Sequence[Contender], task: Task) -> None:
    """Raises ConfigError if one of them has no scores for the task."""
    cannot = [each for each in running if task not in each.tasks]
    if cannot:
        raise ConfigError(
            f"--task {task}: {_told(cannot)}; leave {'it' if len(cannot) == 1 else 'them'} out, or ask for "
            f"another task: `streamrec models kinds` says which model has which"
        )


def require_values(running: Sequence[Contender], task: Task, source: Source) -> None:
    """Raises ConfigError if lists of one of them were of ratings expected, and there are none that differ."""
    if task == "top-n":
        for each in running:
            if each.weights and (names := foretelling(each.node(task))):
                raise ConfigError(
                    f"{each.label}: {' and '.join(dict.fromkeys(names))} would foretell what types of "
                    "interactions weigh, as if these were ratings; take parts that make lists, or ask for "
                    "--task rating"
                )
            require_ratings(each.node(task), source.train if isinstance(source, Parts) else source)


def train_and_evaluate(
    contender: Contender,
    source: Source,
    knowledge: Knowledge,
    rules: Rules,
    *,
    progress: Progress,
    device: str = "auto",
) -> FeedbackEvaluation:
    """Train on the one part, measure on the other; of ratings that are not divided yet, fold by fold.

    Raises ConfigError or DatasetError if there is nothing to measure, or as the model does.
    """
    if rules.task == "rating":
        return _rated(contender, source, knowledge, rules, progress, device)
    parts = source if isinstance(source, Parts) else last_of_each(source, rules.share)
    model = contender.make("top-n")
    with progress(f"training {contender.label}") as on_step:
        train_s = _trained(
            model, parts.train, unaware(knowledge, parts.test), contender.seed, device, on_step
        )
    with progress(f"evaluating {contender.label}") as on_step:
        started = time.perf_counter()
        made = make_lists(model, parts, max(rules.k), on_step)
        evaluate_s = time.perf_counter() - started
    about = _about(contender, model, "top-n") | {"train_s": train_s, "evaluate_s": evaluate_s}
    return summarise_lists(made, rules.k, rules.seed, **about)


def clicks_feedback(clicks: Clicks) -> Feedback:
    """Clicks as feedback, 1 each: clicks know no visitors, so that each session is one."""
    return make_feedback(clicks.session_ids, clicks.item_ids, time_ms=clicks.time_ms)


def compared(evaluations: Sequence[FeedbackEvaluation]) -> list[Comparison]:
    """Each but the first beside the first."""
    return [compare_feedback(each, evaluations[0]) for each in evaluations[1:]]


def _rated(
    contender: Contender,
    source: Source,
    knowledge: Knowledge,
    rules: Rules,
    progress: Progress,
    device: str,
) -> FeedbackEvaluation:
    foretold = []
    train_s = evaluate_s = 0.0
    model = contender.make("rating")
    for number, (train, test) in enumerate(_rating_parts(source, rules), 1):
        fold = "" if isinstance(source, Parts) else f", fold {number} of {rules.folds}"
        with progress(f"training {contender.label}{fold}") as on_step:
            train_s += _trained(model, train, unaware(knowledge, test), contender.seed, device, on_step)
        with progress(f"evaluating {contender.label}{fold}") as on_step:
            started = time.perf_counter()
            foretold.append((test, foretell(model, train, test, on_step)))
            evaluate_s += time.perf_counter() - started
    about = _about(contender, model, "rating") | {"train_s": train_s, "evaluate_s": evaluate_s}
    return summarise_ratings(foretold, rules.seed, **about)


def _rating_parts(source: Source, rules: Rules) -> Iterator[tuple[Feedback, Feedback]]:
    values = source.train.values if isinstance(source, Parts) else source.values
    if not (np.ptp(values) if len(values) else 0):
        raise DatasetError(
            "there are no ratings that differ, so there is nothing to foretell; a column `rating` holds "
            "them. What visitors had at all is judged by lists: --task top-n"
        )
    if isinstance(source, Parts):
        yield source
    else:
        yield from folds(source, rules.folds, rules.seed)


def _trained(
    model: Recommender, train: Feedback, knowledge: Knowledge, seed: int, device: str, on_step: OnStep
) -> float:
    """Seconds."""
    started = time.perf_counter()
    model.train(train, knowledge, TrainOptions(seed, device, on_step=on_step))
    return time.perf_counter() - started


def _about(contender: Contender, model: Recommender, task: Task) -> dict[str, Any]:
    return {
        "label": contender.label,
        "model": contender.model,
        "task": task,
        "config": _config(model).model_dump(mode="json"),
    }


def _told(running: Sequence[Contender]) -> str:
    return ", ".join(
        f"{each.label} {' and '.join(_WHAT[task] for task in sorted(each.tasks))}" for each in running
    )


def _config(model: Recommender) -> Any:
    return model.config  # type: ignore[attr-defined]
