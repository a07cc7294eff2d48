"""`streamrec archive`: one worker, until it is told to stop."""

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb `archive`."""
    app.command("archive")(_archive)


def _archive() -> None:
    """Run an archive worker: interactions -> history, as Parquet files."""
    from streamrec.config import load_settings
    from streamrec.topics import require_rights

    settings = load_settings()
    require_rights(settings, "archive")
    from streamrec.agents.archive import run_archive

    run_archive(settings)
