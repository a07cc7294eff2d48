"""What was measured as rows: of the report, of a table.

A row says what a figure is held to, whether that holds, and whether the run fails if it does not. What need
not hold may have its reason beside it, and has where it does not.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

__all__ = ["Entry", "Judged", "Notes", "add_to_report", "entry", "mark", "new_table", "not_held"]

Entry = dict[str, Any]
_KEY: Final = ("model", "setting", "data", "metric")


class Judged(NamedTuple):
    """The answer to one question."""

    entries: Sequence[Entry]
    tables: Sequence[Table]


def entry(
    model: str,
    data: str,
    metric: str,
    value: float,
    *,
    setting: str | None = None,
    reference: float | None = None,
    holds: bool = False,
    required: bool = False,
    excuse: str = "",
    claim: str = "",
    more: Mapping[str, float] | None = None,
) -> Entry:
    """A row of the report; reference, holds and claim say what the value is held to.

    Without a reference nothing is claimed: `holds` is None. excuse: why it need not hold, though required.
    """
    claimed = reference is not None
    return {
        "model": model,
        **({} if setting is None else {"setting": setting}),
        "data": data,
        "metric": metric,
        "value": round(value, 4),
        "reference": None if reference is None else round(reference, 4),
        "holds": bool(holds) if claimed else None,
        "required": claimed and required and not excuse,
        "claim": claim if claimed else "",
        **({"excuse": excuse} if claimed and excuse and not holds else {}),
        **{name: round(each, 4) for name, each in (more or {}).items()},
    }


def not_held(entries: Sequence[Entry]) -> list[str]:
    """A line for each claim that is required and does not hold."""
    return [
        f"{each['data']}, {', '.join(filter(None, (each['model'], each.get('setting'))))}: {each['metric']} "
        f"is {each['value']:.4f}, wanted {each['claim']} {each['reference']:.4f}"
        for each in entries
        if each["required"] and not each["holds"]
    ]


def add_to_report(report: Path, entries: Sequence[Entry]) -> None:
    """Put the rows in place of those that say the same of the same models and data."""
    report.parent.mkdir(parents=True, exist_ok=True)
    ours = {_key(each) for each in entries}
    before = json.loads(report.read_text("utf-8")) if report.exists() else []
    kept = [each for each in before if _key(each) not in ours]
    report.write_text(json.dumps([*kept, *entries], indent=2) + "\n", "utf-8")


def new_table(title: str, *columns: str, caption: str | None = None) -> Table:
    """A table without lines; the first column is for names."""
    table = Table(
        title=title, title_justify="left", caption=caption, caption_justify="left", box=None, pad_edge=False
    )
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def mark(row: Entry) -> str:
    """Whether a claim holds, for a cell."""
    if row["holds"] is None:
        return ""
    if row["holds"]:
        return "[green]ok[/]"
    return "[bold red]no[/]" if row["required"] else "[yellow]no[/]"


class Notes:
    """Why claims of a table need not hold: numbers for its cells, reasons for what stands below it."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, row: Entry) -> str:
        """As `mark`, with the number of the excuse, if it has one."""
        if "excuse" not in row:
            return mark(row)
        number = self._numbers.setdefault(row["excuse"], len(self._numbers) + 1)
        return f"{mark(row)} ({number})"

    def under(self, caption: str = "") -> str:
        """The caption, and each reason in a line below it."""
        return "\n".join(filter(None, [caption, *(f"({n}) {each}" for each, n in self._numbers.items())]))


def _key(row: Entry) -> tuple[Any, ...]:
    return tuple(row.get(part) for part in _KEY)
