"""`streamrec train`: from clicks to a published model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.cli import train_recommender
from streamrec.cli.gate import gated_release
from streamrec.cli.output import JsonOption, print_json
from streamrec.cli.parameters import parse_parameters
from streamrec.cli.sources import BundledOption, DataOption, FromHistoryOption, FromTopicOption, named_source

if TYPE_CHECKING:
    from streamrec.config import Settings
    from streamrec.datasets import Clicks
    from streamrec.training import Trained

__all__ = ["register"]

_train = typer.Typer(help="Train a model and publish it in the registry.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs `train gru4rec` and `train recommender`."""
    train_recommender.register(_train)
    app.add_typer(_train, name="train")


@_train.command()
def gru4rec(
    data: DataOption = None,
    bundled: BundledOption = False,
    from_topic: FromTopicOption = False,
    from_history: FromHistoryOption = False,
    until: Annotated[
        float | None,
        typer.Option(
            min=0, help="Train on this many days from the first click; later sessions are held out."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A hyperparameter, such as epochs=5; may be repeated."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Hyperparameters for a good model soon; --param goes on top.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of initial weights, negatives and dropout.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where present.")] = "auto",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A file that keeps the state of the training: stopped, it goes on from there."),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Go on from this version's weights; live: from the live one's."),
    ] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate/--no-evaluate", help="Whether to measure on the sessions held out.")
    ] = True,
    release: Annotated[
        bool,
        typer.Option(
            "--release",
            help="Make it the live version, if the gate lets it in: workers load it at once. The gate needs "
            "a live version and held-out clicks; without them there is nothing to judge it by.",
        ),
    ] = False,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", "--force", help="Release it whatever the gate would say.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train GRU4Rec, publish it in the registry, load it once to be sure, and release it if so asked."""
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.progress import progress_bar
    from streamrec.registry import Registry
    from streamrec.training import gru4rec_config, train_gru4rec

    settings = load_settings()
    config = gru4rec_config(parse_parameters(param or []), quick=quick)
    console = Console(stderr=True)
    registry = Registry.of(settings)
    if release:
        registry.require_trusted_signer()
    start = _live(settings) if warm_start == "live" else warm_start
    clicks, source = named_source(settings, data, bundled, from_topic, console, from_history)
    train, held_out = _split(clicks, until)
    with progress_bar(console) as on_step:
        trained = train_gru4rec(
            train,
            registry,
            config=config,
            seed=seed,
            device=device,
            on_step=on_step,
            held_out=held_out if evaluate else None,
            data=source,
            checkpoint=checkpoint,
            start=start,
        )
    if not trained.version:
        return  # the first of torchrun's processes says it all
    if not json:
        _print(trained, train, held_out if evaluate else None)
    made_live, verdict, done = (
        gated_release(settings, trained.version, clicks, has_held_out=bool(held_out), skip=no_gate)
        if release
        else (None, None, _how_to_release(trained.version))
    )
    if json:
        made = {**trained._asdict(), "directory": str(trained.directory)}
        print_json({**made, "release": made_live, "verdict": verdict})
    else:
        typer.echo(done)
        if made_live:
            typer.echo(f"live at {settings.kafka.bootstrap} as release {made_live.sequence}")
    if release and made_live is None:
        raise typer.Exit(1)


def _how_to_release(version: str) -> str:
    return (
        f"make it live with: streamrec models release {version}\n"
        f"or if it is not worse than the live one: streamrec models gate {version} --from-topic"
    )


def _live(settings: "Settings") -> str:
    from streamrec.errors import ConfigError
    from streamrec.releases import released

    live = released(settings).get("gru4rec/live")
    if live is None:
        raise ConfigError("--warm-start live: no version is live yet; name one, or train without a start")
    return live.version


def _split(clicks: "Clicks", until: float | None) -> tuple["Clicks", "Clicks | None"]:
    from streamrec.datasets import DAY_MS, split_by_day
    from streamrec.errors import DatasetError

    if until is None:
        return clicks, None
    train, held_out = split_by_day(clicks, until)
    if not len(train):
        days = (clicks.last_ms - clicks.first_ms) / DAY_MS
        raise DatasetError(f"no session ends in the first {until:g} days; the clicks cover {days:.1f}")
    return train, held_out


def _print(trained: "Trained", clicks: "Clicks", held_out: "Clicks | None") -> None:
    typer.echo(
        f"trained on {len(clicks):,} clicks in {trained.train_s:.0f} s "
        f"({trained.events / trained.train_s:,.0f} events per second)"
    )
    if trained.metrics:
        typer.echo(
            "{next_clicks:,.0f} next clicks held out, unseen items as misses: "
            "Recall@20 {recall_at_20:.4f}, MRR@20 {mrr_at_20:.4f}".format_map(trained.metrics)
        )
    elif held_out is None:
        typer.echo("not measured: nothing is held out; --until DAYS does that")
    typer.echo(f"published as {trained.version} in {trained.directory}")
