"""`streamrec config`: the settings in force, and what can be set."""

import typer

from streamrec.cli.output import print_json

__all__ = ["register"]

_config = typer.Typer(help="The settings.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs `config show` and `config schema`."""
    app.add_typer(_config, name="config")


@_config.command()
def show() -> None:
    """Print the settings in force, as JSON: defaults and STREAMREC_ variables."""
    from streamrec.config import load_settings

    print_json(load_settings().model_dump(mode="json"))


@_config.command()
def schema() -> None:
    """Print the JSON Schema of the settings: what can be set, and what it means."""
    from streamrec.config import Settings

    print_json(Settings.model_json_schema())
