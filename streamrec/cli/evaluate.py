"""`streamrec evaluate`: models on what they have not seen, beside each other.

What is measured, and by what, follows from the models: session models on the next clicks of sessions
(evaluate_sessions), recommenders on the feedback of visitors (evaluate_feedback).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamrec.cli.evaluate_shared import TEST_SHARE, Asked, Sources
from streamrec.cli.knowledge import (
    KNOWLEDGE,
    ColumnsOption,
    ContextOption,
    GroupsOption,
    ItemsOption,
    TagsOption,
    TrustOption,
    split_columns,
)
from streamrec.cli.output import JsonOption

__all__ = ["register"]

_DATA = "Data"
_SESSIONS = "Session models: next clicks"
_FEEDBACK = "Recommenders: ratings and lists"


def register(app: typer.Typer) -> None:
    """Add the verb `evaluate`."""
    app.command("evaluate")(_evaluate)


def _evaluate(
    context: typer.Context,
    model: Annotated[
        list[str],
        typer.Option(
            metavar="[LABEL=]NAME",
            help="gru4rec, vs_knn, … or wals, slope_one, …: `streamrec models kinds` lists them; or a file, "
            "NAME.yaml. Repeat it to compare with the first.",
        ),
    ],
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
    seed: Annotated[int, typer.Option(min=0, help="Seed of trainings, folds and intervals.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where present.")] = "auto",
    report: Annotated[Path | None, typer.Option(help="Write a page with plots: one HTML file.")] = None,
    json: JsonOption = False,
    train: Annotated[
        Path | None,
        typer.Option(
            help="What to train on, .gz or not. Session models: clicks, tab-separated SessionId, ItemId and "
            "Time in seconds. Recommenders: a line an interaction; columns user, item, perhaps rating, time.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="What to test on, in the same form.", rich_help_panel=_DATA)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="One file instead, in the same form, to be split.", rich_help_panel=_DATA),
    ] = None,
    bundled: Annotated[
        bool,
        typer.Option(
            "--bundled", help="The clicks that come with streamrec, to be split.", rich_help_panel=_DATA
        ),
    ] = False,
    from_history: Annotated[
        bool,
        typer.Option(
            "--from-history",
            help="History, as `streamrec archive` and `streamrec import` wrote it, to be split.",
            rich_help_panel=_DATA,
        ),
    ] = False,
    test_share: Annotated[
        float | None,
        typer.Option(
            help="Split: test on this share, of the sessions those that start last, or of each visitor's "
            "interactions the last.",
            show_default=str(TEST_SHARE),
            rich_help_panel=_DATA,
        ),
    ] = None,
    test_days: Annotated[
        float | None,
        typer.Option(
            help="Split: test on the sessions of so many last days instead.", rich_help_panel=_SESSIONS
        ),
    ] = None,
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-out",
            help="Split: test on each session's last click. Training then knows the future.",
            rich_help_panel=_SESSIONS,
        ),
    ] = False,
    ties: Annotated[
        Literal["conservative", "optimistic", "mean"],
        typer.Option(help="What equal scores make of a rank.", rich_help_panel=_SESSIONS),
    ] = "conservative",
    unseen: Annotated[
        Literal["leave-out", "miss"],
        typer.Option(
            help="What becomes of test clicks on items that training did not see.", rich_help_panel=_SESSIONS
        ),
    ] = "leave-out",
    item_groups: Annotated[
        Path | None,
        typer.Option(
            help="Tab-separated ItemId and Group: how much attention each group gets.",
            rich_help_panel=_SESSIONS,
        ),
    ] = None,
    session_groups: Annotated[
        Path | None,
        typer.Option(
            help="Tab-separated SessionId and Group: how well each group is served.",
            rich_help_panel=_SESSIONS,
        ),
    ] = None,
    task: Annotated[
        Literal["rating", "top-n"] | None,
        typer.Option(
            help="Foretell ratings, or make lists. By default what the models can do; if both, ratings where "
            "the data has some that differ.",
            rich_help_panel=_FEEDBACK,
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Of ratings: parts held out in turn.", rich_help_panel=_FEEDBACK)
    ] = 5,
    columns: ColumnsOption = None,
    in_context: ContextOption = None,
    items: ItemsOption = None,
    tags: TagsOption = None,
    trust: TrustOption = None,
    groups: GroupsOption = None,
) -> None:
    """Train models, measure them on what they have not seen, and set them beside each other.

    Session models rank every next click of the test in the whole catalogue. Recommenders foretell ratings, or
    make lists for visitors, held against what these had next.
    """
    from streamrec.cli.evaluate_feedback import evaluate_recommenders
    from streamrec.cli.evaluate_sessions import evaluate_session_models
    from streamrec.offline import kind_of, named_models

    named = named_models(model, param or [], seed)
    sources = Sources(train, test, data, bundled, from_history, test_share)
    asked = Asked(k, seed, device, report, json)
    if kind_of(named) == "session":
        _refuse(context, [_FEEDBACK, KNOWLEDGE], "recommenders of items for visitors", named[0].label)
        evaluate_session_models(
            named,
            sources,
            asked,
            test_days=test_days,
            leave_one_out=leave_one_out,
            ties=ties,
            unseen="miss" if unseen == "miss" else "leave out",
            item_groups=item_groups,
            session_groups=session_groups,
        )
    else:
        _refuse(context, [_SESSIONS], "session models", named[0].label)
        evaluate_recommenders(
            named,
            sources,
            asked,
            task=task,
            folds=folds,
            columns=split_columns(columns),
            contexts=in_context or [],
            knowledge={"items": items, "tags": tags, "trust": trust, "groups": groups},
        )


def _refuse(context: typer.Context, panels: Sequence[str], kind: str, label: str) -> None:
    """Raises ConfigError if an option of the panels was given: it is for the other kind of models."""
    from streamrec.errors import ConfigError

    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if getattr(parameter, "rich_help_panel", None) in panels
        and (source := context.get_parameter_source(parameter.name or "")) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise ConfigError(f"{', '.join(given)}: for {kind}, and {label} is none")
