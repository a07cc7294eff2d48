"""Session models on files of clicks: trained, measured beside each other, and what to be wary of.

In: a split of clicks, and contenders: a model's name, its hyperparameters and a label. Out: an
Evaluation for each, comparisons with the first, and warnings in words.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamrec.contracts import TrainOptions
from streamrec.datasets import click_sessions, read_columns
from streamrec.evaluation.next_items import Unseen, judged_sessions
from streamrec.evaluation.ranks import Ties
from streamrec.evaluation.splits import Split
from streamrec.evaluation.summary import Comparison, Evaluation, Groups, compare, evaluate
from streamrec.models import make_config, session_model_class
from streamrec.offline.naming import Named, Progress

__all__ = [
    "Contender",
    "Rules",
    "compared",
    "contenders",
    "load_groups",
    "lost_to_baselines",
    "train_and_evaluate",
]

_SURE: Final = 0.05
_FACTS: Final = ("recall", "mrr")


class Contender(NamedTuple):
    """A model that is to be trained and measured."""

    label: str
    model: str
    config: Any
    seed: int = 0

    @property
    def deep(self) -> bool:
        """Whether it is trained in the background and exported, and has to be worth that."""
        return hasattr(session_model_class(self.model), "export")


class Rules(NamedTuple):
    """How next clicks are judged; see streamrec.evaluation."""

    k: Sequence[int] = (5, 10, 20)
    ties: Ties = "conservative"
    unseen: Unseen = "leave out"
    groups: Groups | None = None
    seed: int = 0
    """Of the bootstrap."""


def contenders(named: Sequence[Named]) -> list[Contender]:
    """Contenders of session models by name. Raises ConfigError if one cannot be configured like that."""
    return [
        Contender(
            each.label,
            each.model,
            make_config(each.model, session_model_class(each.model).Config, each.parameters),
            each.seed,
        )
        for each in named
    ]


def train_and_evaluate(
    contender: Contender, split: Split, rules: Rules, *, progress: Progress, device: str = "auto"
) -> Evaluation:
    """Train on the one part, measure on the other.

    Raises DatasetError before the training if there is nothing to measure; then ConfigError and
    DatasetError, as the model does.
    """
    model = session_model_class(contender.model)(contender.config)
    train_sessions, test_sessions = list(click_sessions(split.train)), list(click_sessions(split.test))
    judged_sessions(test_sessions, set(split.train.item_ids), unseen=rules.unseen, judged=split.judged)
    with progress(f"training {contender.label}") as on_step:
        started = time.perf_counter()
        report = model.train(train_sessions, TrainOptions(contender.seed, device, on_step=on_step))
        train_s = time.perf_counter() - started
    with progress(f"evaluating {contender.label}") as on_step:
        return evaluate(
            model,
            contender.label,
            train_sessions,
            test_sessions,
            k=rules.k,
            ties=rules.ties,
            unseen=rules.unseen,
            judged=split.judged,
            seed=rules.seed,
            groups=rules.groups,
            train_s=train_s,
            events_per_s=report.events / train_s,
            on_step=on_step,
        )


def compared(evaluations: Sequence[Evaluation]) -> list[Comparison]:
    """Each but the first beside the first."""
    return [compare(each, evaluations[0]) for each in evaluations[1:]]


def lost_to_baselines(evaluations: Sequence[Evaluation], deep: Mapping[str, bool]) -> list[str]:
    """What to say about deep models that are no better than a baseline; deep: which are, by label.

    What may be chance is called that. Chance is which sessions were drawn: it covers neither the seed of a
    training nor how many baselines it is compared with.
    """
    k = evaluations[0].next_items.tops.shape[1]
    found = []
    for each in evaluations:
        rivals = [rival for rival in evaluations if not deep[rival.model]] if deep[each.model] else []
        for name in (f"{metric}@{k}" for metric in _FACTS):
            best = max(rivals, key=lambda rival: rival.metrics[name], default=each)
            if best.metrics[name] > each.metrics[name]:
                p = compare(each, best).differences[name].p
                chance = "" if p < _SURE else ", may be chance"
                found.append(
                    f"{each.model} loses to {best.model}, a baseline: {name} is {each.metrics[name]:.4f} and "
                    f"not {best.metrics[name]:.4f} (p {p:.4f}{chance})"
                )
    return found


def load_groups(path: Path, id_column: str) -> dict[str, str]:
    """Groups by id, from a tab-separated file with the columns `id_column` and Group.

    Read as clicks are: quotes belong to an id. Raises DatasetError if it cannot be read or lacks a column.
    """
    return dict(cells for _, cells in read_columns(path, (id_column, "Group")))
