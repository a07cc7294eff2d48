"""`streamrec state` and `streamrec scoring`: one worker each, until it is told to stop."""

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(state)
    app.command()(scoring)


def state() -> None:
    """Run a state worker: interactions -> visitor-states."""
    from streamrec.agents.state import run_state
    from streamrec.config import load_settings

    run_state(load_settings())


def scoring() -> None:
    """Run a scoring worker: visitor-states -> recommendations."""
    from streamrec.agents.scoring import run_scoring
    from streamrec.config import load_settings

    run_scoring(load_settings())
