"""`streamrec evaluate` of session models: on clicks, beside each other."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streamrec.cli.evaluate_shared import TEST_SHARE, Asked, Sources, as_json, print_comparisons, title
from streamrec.cli.output import print_json, print_table, warn
from streamrec.cli.sources import one_source

if TYPE_CHECKING:
    from streamrec.datasets import Clicks
    from streamrec.evaluation.next_items import Unseen
    from streamrec.evaluation.ranks import Ties
    from streamrec.evaluation.report import About
    from streamrec.evaluation.splits import Split
    from streamrec.evaluation.summary import Comparison, Evaluation
    from streamrec.offline import Contender, Named

__all__ = ["evaluate_session_models"]

_MAIN = ("recall", "mrr", "ndcg")


def evaluate_session_models(
    named: Sequence["Named"],
    sources: Sources,
    asked: Asked,
    *,
    test_days: float | None,
    leave_one_out: bool,
    ties: "Ties",
    unseen: "Unseen",
    item_groups: Path | None,
    session_groups: Path | None,
) -> None:
    """Train session models, rank every next click of the test in the whole catalogue, and print.

    Raises ConfigError or DatasetError naming what is wrong.
    """
    from rich.console import Console

    from streamrec.evaluation.page import require_writable
    from streamrec.evaluation.plots import need_matplotlib
    from streamrec.evaluation.report import write_report
    from streamrec.evaluation.summary import Groups
    from streamrec.offline import (
        Rules,
        compared,
        contenders,
        load_groups,
        lost_to_baselines,
        train_and_evaluate,
    )
    from streamrec.progress import progress_bar

    if asked.report:
        need_matplotlib()
    progress = partial(progress_bar, Console(stderr=True))
    running = contenders(named)
    rules = Rules(
        k=asked.ks,
        ties=ties,
        unseen=unseen,
        groups=Groups(
            load_groups(item_groups, "ItemId") if item_groups else {},
            load_groups(session_groups, "SessionId") if session_groups else {},
        ),
        seed=asked.seed,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        split = _split(sources, test_days, leave_one_out)
    said = [str(each.message) for each in caught]
    warn(said)
    if asked.report:
        require_writable(asked.report)  # before the trainings, which may take hours
    found = [
        train_and_evaluate(each, split, rules, progress=progress, device=asked.device) for each in running
    ]
    comparisons = compared(found)
    lost = lost_to_baselines(found, {each.label: each.deep for each in running})
    warn(lost)
    if asked.report:
        write_report(asked.report, found, comparisons, _about(split, running, [*said, *lost]))
        typer.echo(f"written to {asked.report}", err=True)
    if asked.json:
        print_json(as_json(_models(running, found), comparisons, [*said, *lost]))
        return
    _print(found, comparisons, asked.k)
    if all(each.deep for each in running):
        typer.echo("is that good? --model vs_knn --model popularity adds what it has to beat")


def _split(sources: Sources, test_days: float | None, leave_one_out: bool) -> "Split":
    from streamrec.datasets import load_clicks
    from streamrec.errors import ConfigError
    from streamrec.evaluation import splits

    ways = [test_days is not None, sources.test_share is not None, leave_one_out]
    if sources.split and sources.train and sources.test:
        if any(ways):
            raise ConfigError(
                "--test-days, --test-share and --leave-one-out split --data, --bundled or --from-history; "
                "--train and --test are split already"
            )
        return splits.as_given(load_clicks(sources.train), load_clicks(sources.test))
    if sum(ways) > 1:
        raise ConfigError("how to split? give one of --test-days, --test-share and --leave-one-out")
    clicks = one_source(sources.data, sources.bundled, sources.from_history)
    if leave_one_out:
        return splits.leave_one_out(clicks)
    return splits.by_time(clicks, days=test_days, share=sources.test_share if any(ways) else TEST_SHARE)


def _about(split: "Split", running: Sequence["Contender"], said: Sequence[str]) -> "About":
    from streamrec.evaluation.report import About

    return About(
        title([each.label for each in running]),
        {"training": _described(split.train), "test": _described(split.test)},
        said,
    )


def _described(clicks: "Clicks") -> str:
    first, last = (
        datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        for ms in (clicks.first_ms, clicks.last_ms)
    )
    return (
        f"{len(clicks):,} clicks of {len(set(clicks.session_ids)):,} sessions on "
        f"{len(set(clicks.item_ids)):,} items, {first} to {last} UTC"
    )


def _models(running: Sequence["Contender"], found: Sequence["Evaluation"]) -> list[dict[str, Any]]:
    return [
        {**each.to_json(), "model": contender.model, "label": contender.label, "seed": contender.seed}
        for contender, each in zip(running, found, strict=True)
    ]


def _print(found: Sequence["Evaluation"], comparisons: Sequence["Comparison"], k: int) -> None:
    from streamrec.evaluation.intervals import covered

    names = [f"{name}@{k}" for name in _MAIN]
    longest = found[0].next_items.tops.shape[1]
    print_table(
        ["model", *names, f"coverage@{longest}", "events/s"],
        [
            [
                each.model,
                *(
                    f"{inside.mean:.4f} ({inside.low:.3f}–{inside.high:.3f})"
                    for inside in (each.intervals[name] for name in names)
                ),
                f"{each.metrics[f'coverage@{longest}']:.3f}",
                f"{each.events_per_s:,.0f}",
            ]
            for each in found
        ],
    )
    print_comparisons(comparisons, names, covered("sessions"))
    first = found[0]
    judged = "last" if first.judged == "last click" else "next"
    unseen = "are left out" if first.unseen == "leave out" else "are in the test, and foreseen by nobody"
    typer.echo(
        f"\nfigures on {first.next_clicks:,} {judged} clicks of {first.test_sessions:,} sessions; clicks on "
        f"unseen items: {first.unseen_clicks:,}, which {unseen}; ties {first.ties}; "
        "95 % intervals over sessions"
    )
