"""What the verbs print: results on stdout, as a table or as JSON, and errors on stderr."""

import logging
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["JsonOption", "print_error", "print_json", "print_table", "quiet_kafka_client", "warn"]

_ENDLESS: Final = 10_000

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def print_json(value: Any, indent: int = 2) -> None:
    """Print a value as JSON, in one line if `indent` is 0."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=indent))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header; numbers go to the right. Versions are not broken: they are to be copied.

    Into a file or a pipe each row goes as one line: it may be searched.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    cells = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in cells)
        table.add_column(
            column,
            justify="right" if numeric and cells else "left",
            overflow="fold",
            no_wrap=column == "version",
        )
    for row in cells:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = _ENDLESS
    console.print(table)


def print_error(message: str) -> None:
    """Print `error: message` to stderr. Lines are not broken: they may be searched."""
    Console(stderr=True).print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


def warn(texts: Iterable[str]) -> None:
    """Print `warning: text` to stderr for each. Lines are not broken."""
    for text in texts:
        Console(stderr=True).print(Text("warning: ", style="bold yellow") + Text(text), soft_wrap=True)


def quiet_kafka_client() -> None:
    """Keep the client's retries out of the output; what fails for good is raised."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
