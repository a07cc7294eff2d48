"""What was measured as claims: a value, the figure beside it, and whether the claim holds."""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Any, Final

from rich.table import Table

from benchmarks.quality.runs import Measured, Run
from benchmarks.quality.settings import OFFICIAL

__all__ = ["claims", "claims_table", "not_held"]

Entry = dict[str, Any]

_WORDS: Final = {"published": "not below", "tuned": "above", "baseline": "below"}


def claims(runs: Sequence[Run], measured: Sequence[Measured]) -> list[Entry]:
    """One entry for every metric of every setting, its value the mean over the seeds."""
    groups: dict[tuple[str, str, str], list[tuple[Run, Measured]]] = {}
    for run, found in zip(runs, measured, strict=True):
        groups.setdefault((run.data, run.model, run.setting), []).append((run, found))
    entries = [_entry(group, metric) for group in groups.values() for metric in group[0][1].metrics]
    for entry in entries:
        if entry["setting"] == "baseline":
            entry["reference"] = max(
                other["value"]
                for other in entries
                if other["setting"] != "baseline" and _place(other) == _place(entry)
            )
            entry["reference_is"] = "the best of ours"
        entry["holds"] = _holds(entry)
    return entries


def _place(entry: Entry) -> tuple[str, str]:
    return entry["data"], entry["metric"]


def _entry(group: Sequence[tuple[Run, Measured]], metric: str) -> Entry:
    run = group[0][0]
    values = [found.metrics[metric] for _, found in group]
    kind = run.setting.split(",")[0]
    return {
        "model": run.model,
        "data": run.data,
        "metric": metric,
        "value": round(mean(values), 5),
        "reference": OFFICIAL[run.data, run.parameters["loss"]][metric] if kind != "baseline" else None,
        "holds": False,
        "claim": _WORDS[kind],
        "setting": run.setting,
        "reference_is": "the official GRU4Rec with the published hyperparameters, one seed",
        "standard_error": round(stdev(values) / sqrt(len(values)), 5) if len(values) > 1 else None,
        "values": [round(value, 5) for value in values],
        "events_per_s": round(mean(found.events_per_s for _, found in group), 1),
        "parameters": dict(run.parameters),
    }


def _holds(entry: Entry) -> bool:
    value, reference = entry["value"], entry["reference"]
    return bool(
        {"not below": value >= reference, "above": value > reference, "below": value < reference}[
            entry["claim"]
        ]
    )


def not_held(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to say about every claim that does not hold; empty if all do."""
    return [
        "{data}, {model}, {setting}: {metric} is {value:.4f} and not {claim} {reference:.4f}".format_map(
            entry
        )
        for entry in entries
        if not entry["holds"]
    ]


def claims_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Ours beside the official ones, and the baselines beside ours."""
    table = Table(title="Ours beside the official GRU4Rec, baselines beside ours", title_justify="left")
    for name in ("data", "model", "setting", "metric"):
        table.add_column(name, no_wrap=True)
    for name in ("value", "±", "wanted", "reference", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for before, entry in zip([None, *entries], entries, strict=False):
        same = before is not None and before["data"] == entry["data"]
        if not same and before is not None:
            table.add_section()
        error = entry["standard_error"]
        table.add_row(
            "" if same else entry["data"],
            entry["model"],
            entry["setting"],
            entry["metric"],
            f"{entry['value']:.4f}",
            "" if error is None else f"{error:.4f}",
            entry["claim"],
            f"{entry['reference']:.4f}",
            "[green]holds[/]" if entry["holds"] else "[bold red]does not[/]",
        )
    return table
