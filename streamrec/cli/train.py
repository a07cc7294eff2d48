"""`streamrec train`: from clicks to a published model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.cli.output import JsonOption, print_json
from streamrec.cli.parameters import parse_parameters
from streamrec.cli.sources import BundledOption, DataOption, FromTopicOption, named_source

if TYPE_CHECKING:
    from streamrec.datasets import Clicks
    from streamrec.training import Trained

__all__ = ["register"]

_train = typer.Typer(help="Train a model and publish it in the registry.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verb `train gru4rec`."""
    app.add_typer(_train, name="train")


@_train.callback()
def _models() -> None:
    pass  # with one verb only, typer would leave its name out


@_train.command()
def gru4rec(
    data: DataOption = None,
    bundled: BundledOption = False,
    from_topic: FromTopicOption = False,
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
    evaluate: Annotated[
        bool, typer.Option("--evaluate/--no-evaluate", help="Whether to measure on the sessions held out.")
    ] = True,
    release: Annotated[
        bool, typer.Option("--release", help="Make it the live version: workers load it at once.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train GRU4Rec, publish it in the registry, load it once to be sure, and release it if so asked."""
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.progress import progress_bar
    from streamrec.registry import Registry
    from streamrec.releases import announce
    from streamrec.training import gru4rec_config, train_gru4rec

    settings = load_settings()
    config = gru4rec_config(parse_parameters(param or []), quick=quick)
    console = Console(stderr=True)
    registry = Registry.of(settings.registry)
    if release:
        registry.require_trusted_signer()
    clicks, source = named_source(settings, data, bundled, from_topic, console)
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
        )
    if not trained.version:
        return  # the first of torchrun's processes says it all
    released = announce(settings, "gru4rec", trained.version) if release else None
    if json:
        print_json({**trained._asdict(), "directory": str(trained.directory), "release": released})
        return
    _print(trained, train, held_out if evaluate else None)
    typer.echo(
        f"live at {settings.kafka.bootstrap} as release {released.sequence}"
        if released
        else f"make it live with: streamrec models release {trained.version}"
    )


def _split(clicks: "Clicks", until: float | None) -> tuple["Clicks", "Clicks | None"]:
    from streamrec.datasets import DAY_MS, split_by_time
    from streamrec.errors import DatasetError

    if until is None:
        return clicks, None
    train, held_out = split_by_time(clicks, clicks.first_ms + round(until * DAY_MS))
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
