"""`streamrec demo`: real clicks through the real thing, and how good the lists were."""

from pathlib import Path
from typing import Annotated

import typer

from streamrec.cli.output import quiet_kafka_client
from streamrec.cli.signals import interrupt_when_terminated

__all__ = ["register"]

_WIDTH = 110
"""Of the lines in a log or a pipe."""


def register(app: typer.Typer) -> None:
    """Add the verb `demo`."""
    app.command("demo")(_run)


def _run(
    out: Annotated[Path, typer.Option(help="Folder for the summary, the logs and the model.")] = Path(
        "build/demo"
    ),
    days_first: Annotated[
        float, typer.Option(min=1, max=28, help="Days of clicks that the first version is trained on.")
    ] = 23.0,
    days_train: Annotated[
        float,
        typer.Option(min=1, max=29, help="Days of clicks for the second one; the later ones are replayed."),
    ] = 24.0,
    clicks: Annotated[
        int | None,
        typer.Option(min=2, help="Clicks to replay; all without it. Few are too few for the gate."),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, help="Clicks a second, on average.")] = 500.0,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A recommender to be trained on the same clicks and shown beside, such as wals; repeat it.",
        ),
    ] = None,
) -> None:
    """Show all of it: Kafka, training, real clicks replayed live, and a second version that takes over.

    Takes about two and a half minutes.

    Exit code 1 if a list was lost or came twice. Uses a Kafka of its own, or the one that
    STREAMREC_KAFKA__BOOTSTRAP names, there on topics of its own.
    """
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.demo import DemoOptions, run_demo
    from streamrec.errors import StreamrecError

    interrupt_when_terminated()
    quiet_kafka_client()
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    options = DemoOptions(out, days_first, days_train, clicks, rate, beside=beside or ())
    try:
        summary = run_demo(load_settings(), options, console)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(130) from None
    if faults := summary.faults():
        raise StreamrecError(f"the demo went wrong: {', '.join(faults)}; the logs are in {out / 'logs'}")
