"""`streamrec doctor`: everything an operator would look at, in seconds."""

from typing import TYPE_CHECKING

import typer

from streamrec.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from streamrec.doctor import Report

__all__ = ["register"]

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the verb `doctor`."""
    app.command("doctor")(_run)


def _run(json: JsonOption = False) -> None:
    """Check brokers, topics, rights, rows, workers, model, disks, clock and versions; change nothing.

    Takes seconds, 20 at most. Exit code 1 if a check failed; warnings leave it 0.
    """
    from streamrec.config import load_settings
    from streamrec.doctor import examine, gather

    settings = load_settings()
    report = examine(gather(settings), settings)
    if json:
        print_json({"outcome": report.outcome, "findings": report.findings})
    else:
        _print(report)
    if report.outcome == "failed":
        raise typer.Exit(1)


def _print(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in report.findings:
        table.add_row(Text(each.outcome, style=_STYLES[each.outcome]), each.check, Text(each.finding))
        if each.remedy is not None:
            table.add_row("", "", Text(f"→ {each.remedy}", style="bold"))
    Console().print(table)
