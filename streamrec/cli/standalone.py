"""`streamrec standalone` and `streamrec replay`: all of it on one machine, and traffic for it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.cli.output import JsonOption, print_json, quiet_kafka_client
from streamrec.cli.signals import interrupt_when_terminated

if TYPE_CHECKING:
    from streamrec.standalone import Apps, Kafka

__all__ = ["register"]

_CHECK_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the verbs `standalone` and `replay`."""
    app.command()(standalone)
    app.command()(replay)


def standalone(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps Kafka's data; without it they go when this stops."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Kafka's port; without it 9092, or another if that is taken."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the logs of the apps.")] = Path("build/standalone"),
    train: Annotated[
        bool, typer.Option(help="If there is no model yet, train one on 24 days of the bundled clicks.")
    ] = True,
) -> None:
    """Run all of it on this machine until Ctrl-C: Kafka, topics, a model, state and scoring.

    With STREAMREC_KAFKA__BOOTSTRAP set, that Kafka is used instead of one of our own.
    """
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.standalone import Apps, Kafka, live_model, with_own_key

    interrupt_when_terminated()
    console = Console(highlight=False)
    try:
        console.print("Kafka ...")
        with Kafka(with_own_key(load_settings()), data, port) as kafka:
            if train:
                console.print("GRU4Rec ... (the first time it is trained, for a minute or two)")
                live_model(kafka.settings, console)
            console.print("State and scoring ...")
            with Apps(kafka.settings, out / "logs") as apps:
                apps.wait_until_ready()
                typer.echo(_how_to_use(kafka, apps))
                _stay(kafka, apps)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)


def _stay(kafka: "Kafka", apps: "Apps") -> None:
    """Until Ctrl-C, or until a part ends by itself: that raises."""
    import time

    while True:
        apps.check()
        kafka.check()
        time.sleep(_CHECK_S)


def _how_to_use(kafka: "Kafka", apps: "Apps") -> str:
    from streamrec.standalone import TRAINED_DAYS

    interactions, lists = map(kafka.settings.kafka.topic, ("interactions", "recommendations"))
    pages = "\n".join(f"  {address}/metrics  ({role})" for role, address in apps.pages.items())
    return (
        f"\nUp. Clicks go to {interactions}, lists come on {lists}.\n"
        "Real clicks as traffic, of the days that the model has not seen, from another terminal:\n"
        f"  STREAMREC_KAFKA__BOOTSTRAP={kafka.bootstrap} streamrec replay --after {TRAINED_DAYS}\n"
        f"{_keys(kafka)}"
        f"Metrics:\n{pages}\n"
        f"Logs: {', '.join(str(path) for path in apps.logs.values())}\n"
        "Ctrl-C stops it."
    )


def _keys(kafka: "Kafka") -> str:
    """How another terminal trains and releases what these apps serve."""
    registry = kafka.settings.registry
    if registry.signing_key is None:
        return ""
    trusted = json.dumps(registry.trusted_keys)
    return (
        "Before `streamrec doctor`, `models` and `train`, there too:\n"
        f"  export STREAMREC_REGISTRY__SIGNING_KEY={registry.signing_key} "
        f"STREAMREC_REGISTRY__TRUSTED_KEYS='{trusted}'\n"
    )


def replay(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Tab-separated clicks: SessionId, ItemId, Time in seconds; without it the bundled ones."
        ),
    ] = None,
    speed_up: Annotated[float, typer.Option(min=0.001, help="How many times as fast as they came.")] = 1000.0,
    after: Annotated[
        float,
        typer.Option(
            metavar="DAYS",
            min=0,
            help="Only sessions that begin after so many days: what `train --until` leaves.",
        ),
    ] = 0,
    clicks: Annotated[int | None, typer.Option(min=1, help="Only so many, from the first on.")] = None,
    json: JsonOption = False,
) -> None:
    """Publish clicks of the past as live traffic: times shifted to now, sessions kept.

    Time runs faster for the apps as well: start them with STREAMREC_STATE__POPULARITY_HALF_LIFE_S divided by
    the speed-up, if popularity is to decay as it would have.
    """
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from streamrec.config import load_settings
    from streamrec.datasets import bundled_clicks, load_clicks, split_by_day
    from streamrec.errors import DatasetError
    from streamrec.replay import replay as publish

    interrupt_when_terminated()
    quiet_kafka_client()
    settings = load_settings()
    past = load_clicks(data) if data else bundled_clicks()
    if after:
        _, past = split_by_day(past, after)
        if not len(past):
            raise DatasetError(
                f"no session begins after the first {after:g} days; a smaller --after leaves some"
            )
    past = past.first(clicks)
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("replay", total=len(past))
            report = asyncio.run(
                publish(settings, past, speed_up=speed_up, on_sent=lambda _: progress.advance(task))
            )
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(130) from None
    if json:
        print_json(report._asdict())
        return
    rate = report.clicks / report.seconds
    typer.echo(
        f"{report.clicks:,} clicks in {report.seconds:,.1f} s, {rate:,.0f} a second; "
        f"{report.behind_s * 1000:,.0f} ms behind their time at most"
    )
