"""`streamrec state`, `scoring` and `evaluation`: one worker each, until it is told to stop."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamrec.config import Settings

__all__ = ["register"]


_state = typer.Typer(invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(_state, name="state")
    app.command()(scoring)
    app.command()(evaluation)


@_state.callback()
def state(context: typer.Context) -> None:
    """Run a state worker: interactions -> visitor-states."""
    if context.invoked_subcommand is not None:
        return
    settings = _admitted("state")
    from streamrec.agents.state import run_state

    run_state(settings)


@_state.command()
def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget all rows; the workers make them again from interactions, as far back as it is kept."""
    from streamrec.config import load_settings
    from streamrec.topics import forget_state

    settings = load_settings()
    topic = settings.kafka.topic("visitor-states")
    if not yes:
        typer.confirm(f"Delete {topic} at {settings.kafka.bootstrap} and make it anew?", abort=True)
    forget_state(settings)
    typer.echo(f"{topic} is empty; start the state and scoring workers to fill it")


def scoring() -> None:
    """Run a scoring worker: visitor-states -> recommendations."""
    # numpy's threads would only fight those of ONNX Runtime, and be read when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    settings = _admitted("scoring")
    from streamrec.agents.scoring import run_scoring

    run_scoring(settings)


def evaluation() -> None:
    """Run an evaluation worker: how good the lists are, live, in /metrics."""
    settings = _admitted("evaluation")
    from streamrec.agents.evaluation import run_evaluation

    run_evaluation(settings)


def _admitted(role: str) -> "Settings":
    """The settings, with which Kafka lets us in; asked before the imports that take seconds."""
    from streamrec.config import load_settings
    from streamrec.topics import require_rights

    settings = load_settings()
    require_rights(settings, role)
    return settings
