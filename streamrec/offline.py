"""Session models on files of clicks: trained, measured beside each other, and what to be wary of.

In: a split of clicks, and contenders: a model's name, its hyperparameters and a label. Out: an
Evaluation for each, comparisons with the first, and warnings in words.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamrec.contracts import OnStep, TrainOptions
from streamrec.datasets import click_sessions, read_columns
from streamrec.errors import ConfigError
from streamrec.evaluation.next_items import Unseen, judged_sessions
from streamrec.evaluation.ranks import Ties
from streamrec.evaluation.splits import Split
from streamrec.evaluation.summary import Comparison, Evaluation, Groups, compare, evaluate
from streamrec.models import make_config, session_model_class, session_model_name

__all__ = [
    "Contender",
    "Progress",
    "Rules",
    "compared",
    "contenders",
    "load_groups",
    "lost_to_baselines",
    "train_and_evaluate",
]

Progress = Callable[[str], AbstractContextManager[OnStep]]
"""Shows one piece of work, by its name, as long as it is open."""

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


def contenders(models: Sequence[str], parameters: Sequence[str], seed: int = 0) -> list[Contender]:
    """Contenders as the command line names them.

    models: NAME or LABEL=NAME; parameters: NAME=VALUE, or LABEL.NAME=VALUE where there are several
    models. `seed` is a parameter of each. Raises ConfigError naming what is wrong.
    """
    named = _labelled(models)
    given = _by_label(parameters, list(named))
    found = []
    for label, name in named.items():
        own_seed = _seed(given[label].pop("seed", str(seed)))
        config = make_config(name, session_model_class(name).Config, given[label])
        found.append(Contender(label, name, config, own_seed))
    return found


def _labelled(models: Sequence[str]) -> dict[str, str]:
    """Names of models by their labels."""
    named: dict[str, str] = {}
    for each in models:
        label, _, given = each.rpartition("=")
        name = session_model_name(given)
        if (label or name) in named:
            raise ConfigError(
                f"{label or name} is named twice; give labels: --model a={name} --model b={name}"
            )
        named[label or name] = name
    return named


def _by_label(parameters: Sequence[str], labels: Sequence[str]) -> dict[str, dict[str, str]]:
    """Hyperparameters by label; without one they belong to the only model."""
    found: dict[str, dict[str, str]] = {label: {} for label in labels}
    only = labels[0] if len(labels) == 1 else ""
    for each in parameters:
        place, _, value = each.partition("=")
        label, _, name = place.rpartition(".")
        if not name or not value or (label or only) not in found:
            raise ConfigError(
                f"--param {each}: give {'NAME=VALUE' if only else 'MODEL.NAME=VALUE'}, such as "
                f"{'' if only else f'{labels[0]}.'}epochs=5; models are {', '.join(labels)}"
            )
        found[label or only][name] = value
    return found


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"seed={text}: a seed is a whole number from 0")
    return int(text)


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
