"""`streamrec evaluate` of recommenders: on ratings or other feedback, beside each other."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from streamrec.cli.evaluate_shared import TEST_SHARE, Asked, Sources, as_json, print_comparisons, title
from streamrec.cli.knowledge import unknowing
from streamrec.cli.output import print_json, print_table, warn
from streamrec.cli.sources import one_source

if TYPE_CHECKING:
    from streamrec.evaluation.feedback_summary import FeedbackEvaluation
    from streamrec.evaluation.summary import Comparison
    from streamrec.feedback import Feedback
    from streamrec.offline import Named
    from streamrec.offline.recommenders import Contender, Rules, Source
    from streamrec.recommender import Task

__all__ = ["evaluate_recommenders"]


def evaluate_recommenders(
    named: Sequence["Named"],
    sources: Sources,
    asked: Asked,
    *,
    task: "Task | None",
    folds: int,
    columns: Sequence[str] | None,
    contexts: Sequence[str],
    knowledge: Mapping[str, Path | None],
) -> None:
    """Train recommenders, have them foretell ratings or make lists for visitors, and print.

    Raises ConfigError or DatasetError naming what is wrong.
    """
    from rich.console import Console

    from streamrec.evaluation.feedback_report import write_feedback_report
    from streamrec.evaluation.page import require_writable
    from streamrec.evaluation.plots import need_matplotlib
    from streamrec.evaluation.report_parts import About
    from streamrec.knowledge_files import load_knowledge
    from streamrec.offline.recommenders import (
        Rules,
        compared,
        contenders,
        require_task,
        require_values,
        shared_tasks,
        train_and_evaluate,
    )
    from streamrec.progress import progress_bar

    if asked.report:
        need_matplotlib()
    progress = partial(progress_bar, Console(stderr=True))
    # Of interactions of all types, as history has them for lists, values are weights.
    running = contenders(named, weights=sources.from_history)
    if task:
        require_task(running, task)
    possible = frozenset([task]) if task else shared_tasks(running)
    known = load_knowledge(**knowledge)
    if sources.from_history and "top-n" in possible:
        possible = frozenset(["top-n"])  # of all interactions
    source = _load(sources, possible, columns, contexts)
    judged = _task(source, possible)
    _require_sense(judged, sources, contexts)
    _require_ratings(judged, source)
    require_values(running, judged, source)
    share = TEST_SHARE if sources.test_share is None else sources.test_share
    rules = Rules(judged, folds, share, asked.ks, asked.seed)
    said = _warnings(source, judged)
    said += unknowing(
        {each.label: each.node(judged) for each in running},
        known,
        _parts(source),
        has_columns=judged == "rating" and not (sources.bundled or sources.from_history),
    )
    warn(said)
    if asked.report:
        require_writable(asked.report)  # before the trainings, which may take hours
    found = [
        train_and_evaluate(each, source, known, rules, progress=progress, device=asked.device)
        for each in running
    ]
    comparisons = compared(found)
    if asked.report:
        about = About(title([each.label for each in running]), _facts(source, rules), said)
        write_feedback_report(asked.report, found, comparisons, about)
        typer.echo(f"written to {asked.report}", err=True)
    if asked.json:
        print_json(as_json(_models(running, found), comparisons, said))
    else:
        _print(found, comparisons, asked.k, _how(source, rules))


def _load(
    sources: Sources, possible: frozenset["Task"], columns: Sequence[str] | None, contexts: Sequence[str]
) -> "Source":
    from streamrec.errors import ConfigError
    from streamrec.evaluation.held_out import Parts
    from streamrec.feedback_files import load_feedback
    from streamrec.offline.recommenders import clicks_feedback

    if sources.split and sources.train and sources.test:
        if sources.test_share is not None:
            raise ConfigError(
                "--test-share splits --data, --bundled or --from-history; --train and --test are split "
                "already"
            )
        parts = (load_feedback(path, columns, contexts) for path in (sources.train, sources.test))
        return Parts(*parts)
    if sources.data is not None and not (sources.bundled or sources.from_history):
        return load_feedback(sources.data, columns, contexts)
    if contexts or columns:
        raise ConfigError("--context and --columns are of --data, --train and --test; clicks have neither")
    if sources.from_history and not (sources.bundled or sources.data):
        from streamrec.config import load_settings
        from streamrec.history import history_feedback

        return history_feedback(load_settings(), ratings=possible == {"rating"}).feedback
    return clicks_feedback(one_source(sources.data, sources.bundled, sources.from_history))


def _task(source: "Source", possible: frozenset["Task"]) -> "Task":
    """What is asked for, or all that is possible; of two, ratings if there are some that differ."""
    if len(possible) == 1:
        return next(iter(possible))
    values = np.concatenate([part.values for part in _parts(source)])
    return "rating" if len(np.unique(values)) > 1 else "top-n"


def _require_sense(task: "Task", sources: Sources, contexts: Sequence[str]) -> None:
    from streamrec.errors import ConfigError

    if task == "rating" and sources.test_share is not None:
        raise ConfigError("--test-share is for --task top-n; ratings are held out by --folds")
    if task == "top-n" and contexts:
        raise ConfigError("--context is for --task rating: lists are made without one")


def _require_ratings(task: "Task", source: "Source") -> None:
    from streamrec.errors import DatasetError
    from streamrec.evaluation.held_out import Parts

    if task == "rating" and isinstance(source, Parts):
        for name, part in zip(("training", "test"), source, strict=True):
            if (part.values == 1).all():
                raise DatasetError(
                    f"every rating of the {name} file is 1, as where it has no column of ratings"
                )


def _warnings(source: "Source", task: "Task") -> list[str]:
    from streamrec.evaluation.held_out import Parts

    if isinstance(source, Parts):
        train, test = ({*_pairs(part)} for part in source)
        both = len(train & test)
        if both and task == "rating":
            return [f"{both:,} pairs of a visitor and an item are in the training and in the test as well"]
    elif task == "top-n" and not source.time_ms.any():
        return ["no times are known: the last of each visitor's interactions are those that stand last"]
    return []


def _pairs(feedback: "Feedback") -> list[tuple[str, str]]:
    users = [feedback.user_ids[user] for user in feedback.users.tolist()]
    return list(zip(users, (feedback.item_ids[item] for item in feedback.items.tolist()), strict=True))


def _parts(source: "Source") -> Sequence["Feedback"]:
    from streamrec.evaluation.held_out import Parts

    return source if isinstance(source, Parts) else (source,)


def _facts(source: "Source", rules: "Rules") -> dict[str, str]:
    parts = _parts(source)
    names = ("data",) if len(parts) == 1 else ("training", "test")
    return {
        **{name: _described(part) for name, part in zip(names, parts, strict=True)},
        "judged by": _how(source, rules),
    }


def _described(feedback: "Feedback") -> str:
    return (
        f"{len(feedback):,} interactions of {len(feedback.user_ids):,} visitors with "
        f"{len(feedback.item_ids):,} items"
    )


def _how(source: "Source", rules: "Rules") -> str:
    from streamrec.evaluation.held_out import Parts

    given = isinstance(source, Parts)
    if rules.task == "rating":
        return "the ratings of the test file" if given else f"ratings held out in {rules.folds} folds"
    looked_for = "the test file" if given else f"the last {rules.share:g} of each visitor's interactions"
    return f"items of {looked_for} that the visitor had not had before"


def _models(running: Sequence["Contender"], found: Sequence["FeedbackEvaluation"]) -> list[dict[str, object]]:
    return [
        {**each.to_json(), "seed": contender.seed} for contender, each in zip(running, found, strict=True)
    ]


def _print(
    found: Sequence["FeedbackEvaluation"], comparisons: Sequence["Comparison"], k: int, how: str
) -> None:
    from streamrec.evaluation.intervals import covered

    first = found[0]
    if first.task == "rating":
        names, others, of_lists = ["rmse", "mae"], {"unscored": "unscored"}, ""
    else:
        longest = first.made.tops.shape[1] if first.made is not None else k
        names = [f"ndcg@{k}", f"recall@{k}"]
        others = {
            name.removeprefix("average_"): f"{name}@{longest}"
            for name in ("coverage", "novelty", "average_popularity")
        }
        of_lists = f"; {', '.join(others)} of lists of {longest}"
    print_table(
        ["model", *names, *others, "train s"],
        [
            [
                each.label,
                *(
                    f"{inside.mean:.4f} ({inside.low:.3f}–{inside.high:.3f})"
                    for inside in (each.intervals[name] for name in names)
                ),
                *(f"{each.metrics[name]:.3f}" for name in others.values()),
                f"{each.train_s:.1f}",
            ]
            for each in found
        ],
    )
    print_comparisons(comparisons, names, covered("visitors"))
    judged = "ratings" if first.task == "rating" else "items"
    typer.echo(
        f"\nfigures on {first.judged:,} {judged} of {first.visitors:,} visitors: {how}{of_lists}; "
        "95 % intervals over visitors"
    )
