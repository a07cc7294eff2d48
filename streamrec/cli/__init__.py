"""The command line: `streamrec VERB`.

Every family of verbs is a module of this package with `register(app)`. `--help` has to be
quick, so these modules import what they run inside their functions.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from streamrec import __version__
from streamrec.cli import (
    archive,
    backtest,
    broker,
    config,
    demo,
    doctor,
    evaluate,
    explain,
    import_,
    loadtest,
    models,
    run,
    standalone,
    topics,
    train,
    training,
    tune,
)
from streamrec.cli.output import print_error
from streamrec.errors import StreamrecError

__all__ = ["app", "main"]

app = typer.Typer(
    name="streamrec",
    help="A streaming recommender: clicks into Kafka, fresh recommendations out of it.",
    epilog="Settings are STREAMREC_ environment variables: `streamrec config show`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamrec {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


for _family in (
    broker,
    topics,
    train,
    evaluate,
    tune,
    models,
    run,
    archive,
    import_,
    backtest,
    explain,
    standalone,
    loadtest,
    training,
    demo,
    doctor,
    config,
):
    _family.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    # It warns of each step of its own that takes 0.1 s: on a busy machine that is none to act upon.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    try:
        app(args=arguments)
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
