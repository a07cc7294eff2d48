"""`streamrec import`: history that there is already, into ours."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamrec.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from streamrec.history.importing import Imported

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb `import`."""
    app.command("import")(_import)


def _import(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV, TSV, JSON lines or Parquet; .gz or not.")
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=NAME",
            help="Which column is what: visitor_id=customer; repeat it. Fields: event_id, type, "
            "visitor_id, item_id, time, session_id, value, rec_id, context. Usual names are known.",
        ),
    ] = None,
    time_unit: Annotated[
        Literal["auto", "s", "ms", "iso"],
        typer.Option(
            help="Times are seconds or milliseconds since 1970, or ISO 8601 texts; auto tells by size."
        ),
    ] = "auto",
    event_type: Annotated[str, typer.Option("--type", help="Type of the rows that name none.")] = "click",
    format: Annotated[  # noqa: A002 (the option's name)
        Literal["csv", "tsv", "jsonl", "parquet"] | None, typer.Option(help="If the name does not tell.")
    ] = None,
    refused: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where refused rows go, as NAME.refused.jsonl. Default: build/import."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Replace what the same file was imported as before.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring files of interactions into history, through the checks of live traffic.

    Each file is a source of its own, named by its digest: to import it twice is to import it once. Where rows
    have no visitor, each session is one. `train --from-history` reads imports before the topic.
    """
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.history.fields import Reading, parse_columns
    from streamrec.history.importing import import_file
    from streamrec.progress import progress_bar

    settings = load_settings()
    reading = Reading(parse_columns(column or []), event_type, time_unit)
    console = Console(stderr=True)
    done = []
    for path in files:
        with progress_bar(console, f"importing {path.name}") as on_step:
            imported = import_file(
                settings,
                path,
                reading,
                format=format,
                again=again,
                refused=refused / f"{path.name}.refused.jsonl" if refused else None,
                progress=lambda done, total: on_step(done, max(1, total), float("nan")),
            )
        done.append(imported)
    if json:
        print_json([each._asdict() for each in done])
    else:
        _print(done)


def _print(done: "list[Imported]") -> None:
    print_table(
        ["file", "source", "rows", "taken", "refused", "seconds"],
        [
            [
                each.file,
                each.id[:12],
                each.rows,
                each.taken,
                each.rows - each.taken,
                "there already" if each.already else f"{each.seconds:.1f}",
            ]
            for each in done
        ],
    )
    for each in done:
        if each.refused:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in each.refused.items())
            where = f": {each.refused_file}" if each.refused_file else ""
            typer.echo(f"{each.file}: refused were {reasons}{where}")
