"""`streamrec demo`, `streamrec standalone` and `streamrec replay`: all of it on one machine."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the summary, logs and models.")] = Path("build/demo"),
    days_train: Annotated[float, typer.Option(min=1, max=29, help="Days of clicks to train on.")] = 24.0,
    clicks: Annotated[int | None, typer.Option(min=1, help="Clicks to replay; all by default.")] = None,
    duration: Annotated[float, typer.Option(min=5, help="Seconds that replaying all of them takes.")] = 45.0,
) -> None:
    """Real clicks through a real Kafka: train, replay live, judge the lists. Takes minutes."""
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.demo.run import DemoOptions, run_demo

    out.mkdir(parents=True, exist_ok=True)
    run_demo(load_settings(), DemoOptions(out, days_train, clicks, duration), Console())
