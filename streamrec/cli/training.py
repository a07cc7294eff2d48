"""`streamrec training`: retraining in the background, and one run of it right now."""

import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from streamrec.config import Settings
    from streamrec.retraining import Outcome

__all__ = ["register"]

_NICE = 19


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(training)


def training(
    once: Annotated[
        bool,
        typer.Option("--once", help="Train, judge and release right now, or go on with what was killed."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run a training worker: GRU4Rec anew, on a schedule or when the live hit rate falls."""
    from streamrec.config import load_settings
    from streamrec.topics import require_rights

    settings = load_settings()
    if once:
        _print(_run_now(settings), json)
        return
    require_rights(settings, "training")
    from streamrec.agents.training import run_training

    run_training(settings)


def _run_now(settings: "Settings") -> "Outcome":
    """One run, which gives way to everything else on the machine."""
    import logging
    import tempfile

    from rich.console import Console

    from streamrec.cli.signals import interrupt_when_terminated
    from streamrec.progress import progress_bar

    os.nice(_NICE)
    # As its libraries are loaded they look at how many threads they may have.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(settings.training.threads)
    from streamrec.retraining import carry_out
    from streamrec.retraining.plan import Place

    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    tempfile.tempdir = str(Place(settings.training.folder).temporary)
    interrupt_when_terminated()
    try:
        with progress_bar(Console(stderr=True)) as on_step:
            return carry_out(settings, on_step=on_step)
    except KeyboardInterrupt:
        # What it began is cleared away; who watches it is to see that it was killed.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise


def _print(outcome: "Outcome", json: bool) -> None:
    if json:
        print_json(outcome)
        return
    detail = f" ({outcome.detail})" if outcome.detail not in ("", outcome.result) else ""
    failed = f" by {', '.join(outcome.failed_checks)}" if outcome.failed_checks else ""
    typer.echo(f"{outcome.version}: {outcome.result}{failed}{detail}")
    if failed:
        typer.echo(f"  streamrec models show {outcome.version}    has what was measured")
