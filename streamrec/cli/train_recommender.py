"""`streamrec train recommender`: from feedback to a version that can be a source of lists."""

import json as json_text
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from streamrec.cli.knowledge import (
    ColumnsOption,
    ContextOption,
    GroupsOption,
    ItemsOption,
    TagsOption,
    TrustOption,
    split_columns,
    unknowing,
)
from streamrec.cli.output import JsonOption, print_json, warn
from streamrec.cli.parameters import parse_parameters
from streamrec.cli.sources import BundledOption, FromHistoryOption, FromTopicOption, require_one

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


class _Source(NamedTuple):
    """Where the feedback is from."""

    data: Path | None
    bundled: bool
    from_topic: bool
    from_history: bool
    columns: Sequence[str] | None
    contexts: Sequence[str]

    @property
    def from_kafka(self) -> bool:
        """Whether it is what visitors did live, now or some time."""
        return self.from_topic or self.from_history

    def require_sense(self) -> None:
        """Raises ConfigError if it is not one, or if columns are named of what has none."""
        from streamrec.errors import ConfigError

        asked = {
            "--data FILE": self.data is not None,
            "--bundled": self.bundled,
            "--from-topic": self.from_topic,
            "--from-history": self.from_history,
        }
        require_one(asked, "interactions")
        if self.data is None and (self.columns or self.contexts):
            raise ConfigError(
                "--context and --columns are of --data; live interactions and clicks have neither"
            )


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
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A hyperparameter, such as factors=64; may be repeated."),
    ] = None,
    ratings: Annotated[
        bool | None,
        typer.Option(
            "--ratings/--all",
            help="Of topic and history: interactions of type rating by their values, or all by the weights "
            "of their types, each of which is a like.",
            show_default="all, if it and its parts make lists",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of whatever is drawn.")] = 0,
    json: JsonOption = False,
    columns: ColumnsOption = None,
    in_context: ContextOption = None,
    items: ItemsOption = None,
    tags: TagsOption = None,
    trust: TrustOption = None,
    groups: GroupsOption = None,
) -> None:
    """Train a recommender, publish it in the registry, and say how to make it a source of lists."""
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.models import recommender_of
    from streamrec.node_files import load_node
    from streamrec.nodes import asked_for, foretelling
    from streamrec.progress import progress_bar
    from streamrec.recommender_artifacts import as_source, train_recommender
    from streamrec.registry import Registry

    settings, console = load_settings(), Console(stderr=True)
    source = _Source(data, bundled, from_topic, from_history, split_columns(columns), in_context or ())
    source.require_sense()
    node = load_node(Path(name)) if name.endswith(_SUFFIXES) else {"model": name}
    node |= parse_parameters(param or [])
    asked = asked_for(node, "rating" if ratings else "top-n")
    recommender_of(asked)  # what is wrong with it is told before anything is read
    wanted = bool(foretelling(asked)) if ratings is None else ratings
    feedback, told = _feedback(settings, source, wanted, console)
    node = as_source(
        node,
        feedback,
        "rating" if ratings else "top-n",
        weights=source.from_kafka and not wanted,
    )
    registry = Registry.of(settings)
    files = {"items": items, "tags": tags, "trust": trust, "groups": groups}
    knowledge = _knowledge(settings, files, from_kafka=source.from_kafka)
    has_columns = source.data is not None
    warn(unknowing({"it": node}, knowledge, [feedback], has_topic=source.from_kafka, has_columns=has_columns))
    with progress_bar(console) as on_step:
        trained = train_recommender(
            node,
            feedback,
            registry,
            knowledge=knowledge,
            seed=seed,
            data=told,
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
    settings: "Settings", source: _Source, ratings: bool, console: "Console"
) -> "tuple[Feedback, dict[str, Any]]":
    from streamrec.datasets import bundled_clicks
    from streamrec.feedback_files import load_feedback
    from streamrec.offline.recommenders import clicks_feedback

    if source.data is not None:
        return load_feedback(source.data, source.columns, source.contexts), {"source": source.data.name}
    if source.bundled:
        told = {"source": "bundled clicks, their sessions as visitors"}
        return clicks_feedback(bundled_clicks()), told
    with console.status("reading the interactions") if console.is_terminal else nullcontext():
        if source.from_history:
            from streamrec.history import history_feedback

            return history_feedback(settings, ratings=ratings)
        from streamrec.topic_feedback import read_feedback

        return read_feedback(settings, ratings=ratings)


def _knowledge(settings: "Settings", files: Mapping[str, Path | None], *, from_kafka: bool) -> "Knowledge":
    """What the files hold, and of items else what the items topic says."""
    from streamrec.knowledge_files import load_knowledge

    known = load_knowledge(**files)
    if files["items"] is None and from_kafka:
        from streamrec.topic_feedback import read_items

        return known._replace(items=read_items(settings).items)
    return known
