"""`streamrec train recommender`: from feedback to a version that can be a source of lists."""

import json as json_text
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.cli.output import JsonOption, print_json, warn
from streamrec.cli.parameters import parse_parameters
from streamrec.cli.sources import BundledOption, FromHistoryOption, FromTopicOption

if TYPE_CHECKING:
    from rich.console import Console

    from streamrec.config import Settings
    from streamrec.feedback import Feedback, Knowledge
    from streamrec.recommender_artifacts import TrainedRecommender

__all__ = ["register"]

_SUFFIXES = (".yaml", ".yml")


def register(app: typer.Typer) -> None:
    """Add the verb `recommender` to those of `train`."""
    app.command("recommender")(_train)


def _train(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A recommender, as `streamrec models kinds` lists them, or a YAML file that composes one.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="A file of feedback: user, item and, if there are any, rating and time."),
    ] = None,
    bundled: BundledOption = False,
    from_topic: FromTopicOption = False,
    from_history: FromHistoryOption = False,
    items: Annotated[
        Path | None,
        typer.Option(help="What is known of items: JSON lines, records as on the items topic."),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A hyperparameter, such as factors=64; may be repeated."),
    ] = None,
    ratings: Annotated[
        bool | None,
        typer.Option(
            "--ratings/--all",
            help="Of topic and history: interactions of type rating by their values, or all by the weights "
            "of their types.",
            show_default="all, if it makes lists",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of whatever is drawn.")] = 0,
    json: JsonOption = False,
) -> None:
    """Train a recommender, publish it in the registry, and say how to make it a source of lists."""
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.models import recommender_class, recommender_of
    from streamrec.node_files import load_node
    from streamrec.progress import progress_bar
    from streamrec.recommender import ItemLearner
    from streamrec.recommender_artifacts import as_source, train_recommender
    from streamrec.registry import Registry

    settings, console = load_settings(), Console(stderr=True)
    node = load_node(Path(name)) if name.endswith(_SUFFIXES) else {"model": name}
    node |= parse_parameters(param or [])
    only_rates = "top-n" not in recommender_class(node.get("model", "")).tasks
    wanted = only_rates if ratings is None else ratings
    feedback, source = _feedback(settings, data, bundled, from_topic, from_history, wanted, console)
    if not ratings:
        node = as_source(node, feedback)
    registry = Registry.of(settings)
    knowledge = _knowledge(settings, items, from_topic or from_history)
    if isinstance(recommender_of(node), ItemLearner) and not knowledge.items:
        warn(
            [
                "it goes by what items are, and nothing says so yet: give --items FILE, or have records on "
                "the items topic"
            ]
        )
    with progress_bar(console) as on_step:
        trained = train_recommender(
            node,
            feedback,
            registry,
            knowledge=knowledge,
            seed=seed,
            data=source,
            on_step=on_step,
        )
    if not any(probe.top for probe in registry.manifest(trained.model, trained.version).probes):
        warn(["it has no item for any visitor that was looked at: they had too little to learn from"])
    if json:
        print_json({**trained._asdict(), "directory": str(trained.directory)})
    else:
        _print(trained, is_signed=registry.signer() is not None or not settings.registry.require_signature)


def _print(trained: "TrainedRecommender", *, is_signed: bool) -> None:
    typer.echo(
        f"{trained.model} {trained.version}: {trained.interactions:,} interactions of {trained.visitors:,} "
        f"visitors, {trained.items:,} items, {trained.train_s:.1f} s"
    )
    typer.echo(f"published in {trained.directory}")
    if not is_signed:
        typer.echo(
            "not signed, so scoring refuses it: sign it with `streamrec models sign "
            f"{trained.version}`, or set STREAMREC_REGISTRY__SIGNING_KEY before training"
        )
    chosen = json_text.dumps({trained.model: {"version": trained.version, "weight": 0.5}})
    typer.echo(
        "a source of lists, with these settings for scoring (and for explain and backtest):\n"
        f"  export STREAMREC_SCORING__RECOMMENDERS='{chosen}'"
    )


def _feedback(
    settings: "Settings",
    data: Path | None,
    bundled: bool,
    from_topic: bool,
    from_history: bool,
    ratings: bool,
    console: "Console",
) -> "tuple[Feedback, dict[str, Any]]":
    from streamrec.cli.sources import require_one
    from streamrec.datasets import bundled_clicks
    from streamrec.feedback_files import load_feedback
    from streamrec.offline.recommenders import clicks_feedback

    require_one(
        {
            "--data FILE": data is not None,
            "--bundled": bundled,
            "--from-topic": from_topic,
            "--from-history": from_history,
        }
    )
    if data is not None:
        return load_feedback(data), {"source": data.name}
    if bundled:
        told = {"source": "bundled clicks, their sessions as visitors"}
        return clicks_feedback(bundled_clicks()), told
    with console.status("reading the interactions") if console.is_terminal else nullcontext():
        if from_history:
            from streamrec.history import history_feedback

            return history_feedback(settings, ratings=ratings)
        from streamrec.topic_feedback import read_feedback

        return read_feedback(settings, ratings=ratings)


def _knowledge(settings: "Settings", items: Path | None, from_kafka: bool) -> "Knowledge":
    from streamrec.feedback import NOTHING
    from streamrec.knowledge_files import load_knowledge

    if items is not None:
        return load_knowledge(items=items)
    if from_kafka:
        from streamrec.topic_feedback import read_items

        return read_items(settings)
    return NOTHING
