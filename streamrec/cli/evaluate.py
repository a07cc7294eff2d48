"""`streamrec evaluate`: session models on files of clicks, beside each other."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streamrec.cli.output import JsonOption, print_json, print_table
from streamrec.cli.sources import FromHistoryOption, one_source

if TYPE_CHECKING:
    from streamrec.datasets import Clicks
    from streamrec.evaluation.report import About
    from streamrec.evaluation.splits import Split
    from streamrec.evaluation.summary import Comparison, Evaluation
    from streamrec.offline import Contender

__all__ = ["register"]

_ALWAYS_K = (5, 10, 20)
_TEST_SHARE = 0.2
_MAIN = ("recall", "mrr", "ndcg")


def register(app: typer.Typer) -> None:
    """Add the verb `evaluate`."""
    app.command("evaluate")(_evaluate)


def _evaluate(
    model: Annotated[
        list[str],
        typer.Option(
            metavar="[LABEL=]NAME",
            help="gru4rec, vs_knn, popularity, …; repeat it to compare with the first.",
        ),
    ],
    train: Annotated[
        Path | None,
        typer.Option(help="Training clicks, tab-separated: SessionId, ItemId, Time in seconds; .gz or not."),
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Test clicks, in the same form.")] = None,
    data: Annotated[Path | None, typer.Option(help="One file instead, split by time.")] = None,
    bundled: Annotated[
        bool, typer.Option("--bundled", help="The clicks that come with streamrec, split by time.")
    ] = False,
    from_history: FromHistoryOption = False,
    test_days: Annotated[
        float | None, typer.Option(help="Split: test on the sessions of so many last days.")
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            help="Split: test on this share of the sessions, those that start last.",
            show_default=str(_TEST_SHARE),
        ),
    ] = None,
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-out",
            help="Split: test on each session's last click. Training then knows the future.",
        ),
    ] = False,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LABEL.]NAME=VALUE",
            help="A hyperparameter, such as epochs=5; gru4rec.epochs=5 among several models. Repeat it.",
        ),
    ] = None,
    k: Annotated[
        int, typer.Option(min=1, max=1000, help="Length of the lists; 5, 10 and 20 are measured anyway.")
    ] = 20,
    ties: Annotated[
        Literal["conservative", "optimistic", "mean"], typer.Option(help="What equal scores make of a rank.")
    ] = "conservative",
    unseen: Annotated[
        Literal["leave-out", "miss"],
        typer.Option(help="What becomes of test clicks on items that training did not see."),
    ] = "leave-out",
    item_groups: Annotated[
        Path | None, typer.Option(help="Tab-separated ItemId and Group: how much attention each group gets.")
    ] = None,
    session_groups: Annotated[
        Path | None, typer.Option(help="Tab-separated SessionId and Group: how well each group is served.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the trainings and of the intervals.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where present.")] = "auto",
    report: Annotated[Path | None, typer.Option(help="Write a page with plots: one HTML file.")] = None,
    json: JsonOption = False,
) -> None:
    """Train session models, rank every next click of the test in the whole catalogue, and compare them."""
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

    if report:
        need_matplotlib()
    console = Console(stderr=True)
    running = contenders(model, param or [], seed)
    rules = Rules(
        k=sorted({*_ALWAYS_K, k}),
        ties=ties,
        unseen="miss" if unseen == "miss" else "leave out",
        groups=Groups(
            load_groups(item_groups, "ItemId") if item_groups else {},
            load_groups(session_groups, "SessionId") if session_groups else {},
        ),
        seed=seed,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        split = _split(train, test, data, bundled, from_history, test_days, test_share, leave_one_out)
    said = [str(each.message) for each in caught]
    _warn(said)
    if report:
        require_writable(report)  # before the trainings, which may take hours
    found = [
        train_and_evaluate(each, split, rules, progress=partial(progress_bar, console), device=device)
        for each in running
    ]
    comparisons = compared(found)
    lost = lost_to_baselines(found, {each.label: each.deep for each in running})
    _warn(lost)
    if report:
        write_report(report, found, comparisons, _about(split, running, [*said, *lost]))
        typer.echo(f"written to {report}", err=True)
    if json:
        print_json(_as_json(running, found, comparisons, [*said, *lost]))
        return
    _print(found, comparisons, k)
    if all(each.deep for each in running):
        typer.echo("is that good? --model vs_knn --model popularity adds what it has to beat")


def _split(
    train: Path | None,
    test: Path | None,
    data: Path | None,
    bundled: bool,
    from_history: bool,
    test_days: float | None,
    test_share: float | None,
    leave_one_out: bool,
) -> "Split":
    from streamrec.datasets import load_clicks
    from streamrec.errors import ConfigError
    from streamrec.evaluation import splits

    ways = [test_days is not None, test_share is not None, leave_one_out]
    if train and test and not (data or bundled or from_history):
        if any(ways):
            raise ConfigError(
                "--test-days, --test-share and --leave-one-out split --data, --bundled or --from-history; "
                "--train and --test are split already"
            )
        return splits.as_given(load_clicks(train), load_clicks(test))
    if train or test or not (data or bundled or from_history):
        raise ConfigError(
            "which clicks? give --train FILE and --test FILE, or --data FILE, --from-history or --bundled to "
            "have them split"
        )
    if sum(ways) > 1:
        raise ConfigError("how to split? give one of --test-days, --test-share and --leave-one-out")
    clicks = one_source(data, bundled, from_history)
    if leave_one_out:
        return splits.leave_one_out(clicks)
    return splits.by_time(clicks, days=test_days, share=test_share if any(ways) else _TEST_SHARE)


def _warn(texts: Sequence[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    for text in texts:
        Console(stderr=True).print(Text("warning: ", style="bold yellow") + Text(text), soft_wrap=True)


def _about(split: "Split", running: Sequence["Contender"], said: Sequence[str]) -> "About":
    from streamrec.evaluation.report import About

    return About(
        " and ".join([", ".join([each.label for each in running[:-1]]), running[-1].label]).removeprefix(
            " and "
        ),
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


def _as_json(
    running: Sequence["Contender"],
    found: Sequence["Evaluation"],
    comparisons: Sequence["Comparison"],
    said: Sequence[str],
) -> dict[str, Any]:
    models = [
        {**each.to_json(), "model": contender.model, "label": contender.label, "seed": contender.seed}
        for contender, each in zip(running, found, strict=True)
    ]
    if len(models) == 1:
        return {**models[0], "warnings": said}
    return {"models": models, "comparisons": [each.to_json() for each in comparisons], "warnings": said}


def _print(found: Sequence["Evaluation"], comparisons: Sequence["Comparison"], k: int) -> None:
    from streamrec.evaluation.intervals import COVERED

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
    if comparisons:
        typer.echo("")
        print_table(
            [f"minus {comparisons[0].second}", *names],
            [
                [
                    each.first,
                    *(
                        f"{of.difference:+.4f} (p {of.p:.4f})"
                        for of in (each.differences[name] for name in names)
                    ),
                ]
                for each in comparisons
            ],
        )
        typer.echo(f"\n{COVERED}.")
    first = found[0]
    judged = "last" if first.judged == "last click" else "next"
    unseen = "are left out" if first.unseen == "leave out" else "are in the test, and foreseen by nobody"
    typer.echo(
        f"\nfigures on {first.next_clicks:,} {judged} clicks of {first.test_sessions:,} sessions; clicks on "
        f"unseen items: {first.unseen_clicks:,}, which {unseen}; ties {first.ties}; "
        "95 % intervals over sessions"
    )
