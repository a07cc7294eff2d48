"""What was measured of sessions as claims: a value, the figure beside it, and whether the claim holds."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from operator import ge, gt, lt
from statistics import mean, stdev
from typing import Final, NamedTuple

from rich.table import Table

from benchmarks.quality.runs import Measured, Run
from benchmarks.quality.settings import OFFICIAL
from benchmarks.recommenders.rows import Entry

__all__ = ["claims", "claims_table"]


class _Claim(NamedTuple):
    wanted: str
    sign: str
    holds: Callable[[float, float], bool]
    beside: str = ""
    """How the settings of GRU4Rec begin whose best is the reference; empty: it is the official figure."""
    required: bool = True
    """Whether all of it has failed if this does not hold."""


_CLAIMS: Final[Mapping[str, _Claim]] = {
    "published": _Claim("not below", "≥", ge),
    "tuned": _Claim("above", ">", gt),
    "baseline": _Claim("below", "<", lt, "published, cross-entropy"),
    "neighbours": _Claim("below", "<", lt, "tuned", required=False),
}
"""By the kind of setting."""


def claims(runs: Sequence[Run], measured: Sequence[Measured]) -> list[Entry]:
    """One entry for every metric of every setting, its value the mean over the seeds.

    Its reference is the official figure, or for other models one of GRU4Rec on the same data.
    """
    groups: dict[tuple[str, str, str], list[tuple[Run, Measured]]] = {}
    for run, found in zip(runs, measured, strict=True):
        groups.setdefault((run.data, run.model, run.setting), []).append((run, found))
    entries = [_entry(group, metric) for group in groups.values() for metric in group[0][1].metrics]
    for entry in entries:
        claim = _claim(entry["setting"])
        if claim.beside:
            entry["reference"] = _best(claim.beside, entry["data"], entry["metric"], entries)
        entry["holds"] = claim.holds(entry["value"], entry["reference"])
    return entries


def _claim(setting: str) -> _Claim:
    return _CLAIMS[setting.split(",")[0]]


def _entry(group: Sequence[tuple[Run, Measured]], metric: str) -> Entry:
    run = group[0][0]
    values = [found.metrics[metric] for _, found in group]
    official = OFFICIAL.get((run.data, run.parameters.get("loss", "")), {})
    claim = _claim(run.setting)
    return {
        "model": run.model,
        "data": run.data,
        "metric": metric,
        "value": round(mean(values), 5),
        "reference": official.get(metric),
        "holds": False,
        "required": claim.required,
        "claim": claim.wanted,
        "setting": run.setting,
        "standard_error": round(stdev(values) / sqrt(len(values)), 5) if len(values) > 1 else None,
        "values": [round(value, 5) for value in values],
        "events_per_s": round(mean(found.events_per_s for _, found in group), 1),
        "parameters": dict(run.parameters),
    }


def _best(setting: str, data: str, metric: str, entries: Sequence[Entry]) -> float:
    """The best GRU4Rec whose setting begins like this."""
    return max(
        float(entry["value"])
        for entry in entries
        if (entry["model"], entry["data"], entry["metric"]) == ("gru4rec", data, metric)
        and entry["setting"].startswith(setting)
    )


def claims_table(data: str, entries: Sequence[Entry], seeds: int) -> Table:
    """The claims on one data set, a line for each setting: ours, what was wanted, and whether it holds."""
    table = Table(
        title=f"{data}: ours beside the official GRU4Rec, baselines beside ours",
        title_justify="left",
        caption=f"± is the standard error of the mean of {seeds} seeds; official figures have one.",
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("", no_wrap=True)
    for metric in dict.fromkeys(entry["metric"] for entry in entries):
        table.add_column(metric, justify="right", no_wrap=True)
        table.add_column("wanted", justify="right", no_wrap=True)
        table.add_column("")
    rows: dict[str, list[str]] = {}
    for entry in entries:
        rows.setdefault(_name(entry), []).extend(_cells(entry))
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _name(entry: Entry) -> str:
    """GRU4Rec by its setting, the others by the model and what tells two settings of it apart."""
    if entry["model"] == "gru4rec":
        return str(entry["setting"])
    return ", ".join([entry["model"], *entry["setting"].split(", ")[1:]])


def _cells(entry: Entry) -> list[str]:
    error = entry["standard_error"]
    value = f"{entry['value']:.4f}" + (" " * 9 if error is None else f" ± {error:.4f}")
    return [value, f"{_claim(entry['setting']).sign} {entry['reference']:.4f}", _mark(entry)]


def _mark(entry: Entry) -> str:
    if entry["holds"]:
        return "[green]ok[/]"
    return "[bold red]no[/]" if entry["required"] else "[bold yellow]not beaten[/]"
