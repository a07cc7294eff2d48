"""What was measured as claims: a value, the figure beside it, and whether the claim holds."""

from collections.abc import Iterator, Sequence
from math import sqrt
from operator import ge, gt, lt
from statistics import mean, stdev
from typing import Any, Final

from rich.table import Table

from benchmarks.quality.runs import Measured, Run
from benchmarks.quality.settings import OFFICIAL

__all__ = ["ahead", "claims", "claims_table", "not_held"]

Entry = dict[str, Any]

_CLAIMS: Final = {"published": "not below", "tuned": "above", "baseline": "below", "listed": None}
"""By the kind of setting."""
_SIGNS: Final = {"not below": "≥", "above": ">", "below": "<"}
_TESTS: Final = {"not below": ge, "above": gt, "below": lt}


def claims(runs: Sequence[Run], measured: Sequence[Measured]) -> list[Entry]:
    """One entry for every metric of every setting, its value the mean over the seeds.

    What is only listed claims nothing: it has no reference, and holds.
    """
    groups: dict[tuple[str, str, str], list[tuple[Run, Measured]]] = {}
    for run, found in zip(runs, measured, strict=True):
        groups.setdefault((run.data, run.model, run.setting), []).append((run, found))
    entries = [_entry(group, metric) for group in groups.values() for metric in group[0][1].metrics]
    for entry in entries:
        if entry["setting"] == "baseline":
            entry["reference"] = _best(entry["data"], entry["metric"], entries)
        if claim := entry["claim"]:
            entry["holds"] = bool(_TESTS[claim](entry["value"], entry["reference"]))
    return entries


def _entry(group: Sequence[tuple[Run, Measured]], metric: str) -> Entry:
    run = group[0][0]
    values = [found.metrics[metric] for _, found in group]
    official = OFFICIAL.get((run.data, run.parameters.get("loss", "")), {})
    return {
        "model": run.model,
        "data": run.data,
        "metric": metric,
        "value": round(mean(values), 5),
        "reference": official.get(metric),
        "holds": True,
        "claim": _CLAIMS[run.setting.split(",")[0]],
        "setting": run.setting,
        "standard_error": round(stdev(values) / sqrt(len(values)), 5) if len(values) > 1 else None,
        "values": [round(value, 5) for value in values],
        "events_per_s": round(mean(found.events_per_s for _, found in group), 1),
        "parameters": dict(run.parameters),
    }


def _best(data: str, metric: str, entries: Sequence[Entry]) -> float:
    """The best GRU4Rec."""
    return max(
        float(entry["value"])
        for entry in entries
        if (entry["model"], entry["data"], entry["metric"]) == ("gru4rec", data, metric)
    )


def not_held(entries: Sequence[Entry]) -> list[str]:
    """What to say about every claim that does not hold; empty if all do."""
    return [
        f"{entry['data']}, {entry['model']}, {entry['setting']}: {entry['metric']} is {entry['value']:.4f}, "
        f"wanted {entry['claim']} {entry['reference']:.4f}"
        for entry in entries
        if not entry["holds"]
    ]


def ahead(data: str, entries: Sequence[Entry]) -> Iterator[str]:
    """What to say about those that are only listed, and better than the best GRU4Rec."""
    for entry in entries:
        if entry["data"] == data and entry["claim"] is None:
            value, best = entry["value"], _best(data, entry["metric"], entries)
            if value > best:
                yield f"{entry['model']} is ahead of GRU4Rec: {entry['metric']} {value:.4f}, not {best:.4f}"


def claims_table(data: str, entries: Sequence[Entry]) -> Table:
    """The claims on one data set, a line for each setting: ours, what was wanted, and whether it holds."""
    ours = [entry for entry in entries if entry["data"] == data]
    table = Table(
        title=f"{data}: ours beside the official GRU4Rec, baselines beside ours",
        title_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("", no_wrap=True)
    for metric in dict.fromkeys(entry["metric"] for entry in ours):
        table.add_column(metric, justify="right", no_wrap=True)
        table.add_column("wanted", justify="right", no_wrap=True)
        table.add_column("")
    rows: dict[str, list[str]] = {}
    for entry in ours:
        name = entry["setting"] if entry["model"] == "gru4rec" else entry["model"]
        rows.setdefault(name, []).extend(_cells(entry))
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _cells(entry: Entry) -> list[str]:
    error = entry["standard_error"]
    value = f"{entry['value']:.4f}" + (" " * 9 if error is None else f" ± {error:.4f}")
    if entry["claim"] is None:
        return [value, "", ""]
    mark = "[green]ok[/]" if entry["holds"] else "[bold red]no[/]"
    return [value, f"{_SIGNS[entry['claim']]} {entry['reference']:.4f}", mark]
