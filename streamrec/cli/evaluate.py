"""`streamrec evaluate`: session models on files of clicks, beside each other."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streamrec.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from streamrec.datasets import Clicks
    from streamrec.evaluation.summary import Comparison, Evaluation

__all__ = ["register"]

_ALWAYS_K = (5, 10, 20)
_TEST_SHARE = 0.2


def register(app: typer.Typer) -> None:
    """Add the verb `evaluate`."""
    app.command("evaluate")(_evaluate)


def _evaluate(
    model: Annotated[
        list[str],
        typer.Option(metavar="[LABEL=]NAME", help="gru4rec, popularity, …; repeat it to compare with the first."),
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
    test_days: Annotated[
        float | None, typer.Option(min=0, help="Of one file, test on the sessions of so many last days.")
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help=f"Of one file, test on this share of the sessions [{_TEST_SHARE}]."),
    ] = None,
    leave_one_out: Annotated[
        bool,
        typer.Option("--leave-one-out", help="Test on each session's last click; training knows the future then."),
    ] = False,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MODEL.]NAME=VALUE", help="A hyperparameter, such as gru4rec.epochs=5; may be repeated."
        ),
    ] = None,
    k: Annotated[int, typer.Option(min=1, max=1000, help="Length of the lists; 5, 10 and 20 are always there.")] = 20,
    ties: Annotated[
        Literal["conservative", "optimistic", "mean"], typer.Option(help="What equal scores make of a rank.")
    ] = "conservative",
    unseen: Annotated[
        Literal["leave-out", "miss"], typer.Option(help="What becomes of test clicks on items not trained on.")
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
    """Train session models, rank every next click of a test set against the whole catalogue, and compare.

    Splits follow the time: the test is later than the training.
    """
    from rich.console import Console

    from streamrec.evaluation.plots import need_matplotlib
    from streamrec.evaluation.summary import Groups
    from streamrec.offline import (
        Rules,
        compared,
        contenders,
        load_groups,
        lost_to_baselines,
        train_and_evaluate,
    )
    from streamrec.training import progress_bar

    if report:
        need_matplotlib()
    runs = contenders(model, param or [], seed)
    rules = Rules(
        k=sorted({*_ALWAYS_K, k}),
        ties=ties,
        unseen="miss" if unseen == "miss" else "leave out",
        judged="last click" if leave_one_out else "every click",
        groups=Groups(
            load_groups(item_groups, "ItemId") if item_groups else {},
            load_groups(session_groups, "SessionId") if session_groups else {},
        ),
        seed=seed,
    )
    console = Console(stderr=True)
    said: list[str] = []
    warn = partial(_warn, console, said)
    with _python_warnings(warn):
        train_clicks, test_clicks = _clicks(train, test, data, bundled, test_days, test_share, leave_one_out, warn)
    progress = partial(progress_bar, console)
    evaluations = [
        train_and_evaluate(each, train_clicks, test_clicks, rules, progress=progress, device=device) for each in runs
    ]
    comparisons = compared(evaluations)
    deep = {each.label: each.deep for each in runs}
    for warning in lost_to_baselines(evaluations, deep):
        warn(warning)
    ...
