"""What came out: ratios between contenders, the tables, report.json."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
from rich.table import Table

from benchmarks.meter import Measured
from benchmarks.parts import COMPARISONS as PARTS
from benchmarks.road import COMPARISONS as ROAD
from benchmarks.training import COMPARISONS as TRAINING
from benchmarks.visitors import COMPARISONS as VISITORS
from benchmarks.workloads import COMPARISONS, Comparison

__all__ = ["compare", "machine", "ratios_table", "times_table", "too_low", "write_report"]

_PACKAGES: Final = ("streamrec", "faust-streaming", "aiokafka", "msgspec", "river", "onnxruntime", "numpy")


def compare(rounds: Mapping[str, Sequence[Measured]]) -> list[dict[str, Any]]:
    """One entry for every comparison whose contenders both ran; medians over the rounds.

    `at_least` is what must not be lost again, `aim`, where there is one, what was wanted: docs/performance.md
    says what stands between the two.

    rounds: what every contender came to, by its name.
    """
    return [
        {
            "work": each.work,
            "beside": each.beside,
            **_ratio(each, rounds[each.work], rounds[each.beside]),
            "at_least": each.at_least,
            **({} if each.aim is None else {"aim": each.aim}),
            "work_measured": _figures(rounds[each.work]),
            "beside_measured": _figures(rounds[each.beside]),
        }
        for each in (*COMPARISONS, *ROAD, *PARTS, *VISITORS, *TRAINING)
        if each.work in rounds and each.beside in rounds
    ]


def _ratio(
    comparison: Comparison, work: Sequence[Measured], beside: Sequence[Measured]
) -> dict[str, str | float]:
    time, of = (
        ("seconds", "events a second") if comparison.by_clock else ("CPU seconds", "events in a CPU second")
    )
    us = _wall_us if comparison.by_clock else _cpu_us
    return {
        "of": of,
        "ratio": round(us(beside) / us(work), 4),
        "ratio_is": f"{time} per event of `beside` / {time} per event of `work`",
    }


def too_low(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to say about every ratio below its limit; empty if none is."""
    return [
        f"{entry['work']}: {entry['ratio']:.3g} times the {entry['of']} of {entry['beside']}, "
        f"{entry['at_least']:.3g} at least were wanted"
        for entry in entries
        if not entry["ratio"] >= entry["at_least"]
    ]


def _cpu_us(rounds: Sequence[Measured]) -> float:
    return median(each.cpu_us for each in rounds)


def _wall_us(rounds: Sequence[Measured]) -> float:
    return median(each.wall_s / each.events * 1e6 for each in rounds)


def _figures(rounds: Sequence[Measured]) -> dict[str, Any]:
    slices = sorted(each for measured in rounds for each in measured.slices_us)
    return {
        "cpu_us_per_event": round(_cpu_us(rounds), 3),
        "cpu_us_per_event_by_round": [round(each.cpu_us, 3) for each in rounds],
        "cpu_us_per_event_slices_p10": round(_at(slices, 0.1), 3),
        "cpu_us_per_event_slices_p90": round(_at(slices, 0.9), 3),
        "events_per_cpu_s": round(1e6 / _cpu_us(rounds), 1),
        "events_per_s": round(median(each.events / each.wall_s for each in rounds), 1),
        "events_measured": [each.events for each in rounds],
        "wall_s": [round(each.wall_s, 3) for each in rounds],
        "cpu_s": [round(each.cpu_s, 3) for each in rounds],
        "rss_mib": round(median(each.rss_bytes for each in rounds) / 2**20, 1),
    }


def _at(ordered: Sequence[float], fraction: float) -> float:
    return ordered[round(fraction * (len(ordered) - 1))]


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average_before": [round(each, 2) for each in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor() or "unknown",
    )


def write_report(path: Path, entries: Sequence[Mapping[str, Any]], context: Mapping[str, Any]) -> None:
    """Write the entries, each with the machine and the load it holds for, unless it has one of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            [
                {**entry, **{name: of for name, of in context.items() if name not in entry}}
                for entry in entries
            ],
            indent=2,
        )
        + "\n",
        "utf-8",
    )


def times_table(rounds: Mapping[str, Sequence[Measured]]) -> Table:
    """What an event costs every contender."""
    table = Table(title="What an event costs", title_justify="left")
    table.add_column("work")
    for name in ("CPU µs", "p10 to p90", "events/CPU s", "events/s", "memory MiB", "events"):
        table.add_column(name, justify="right")
    for work, measured in rounds.items():
        figures = _figures(measured)
        table.add_row(
            work,
            f"{figures['cpu_us_per_event']:.1f}",
            f"{figures['cpu_us_per_event_slices_p10']:.1f} to {figures['cpu_us_per_event_slices_p90']:.1f}",
            f"{figures['events_per_cpu_s']:,.0f}",
            f"{figures['events_per_s']:,.0f}",
            f"{figures['rss_mib']:.0f}",
            f"{len(measured)} x {figures['events_measured'][0]:,}",
        )
    return table


def ratios_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """How many times better than its peer each is, and in what."""
    table = Table(title="Beside their peers", title_justify="left")
    for name in ("work", "beside", "of"):
        table.add_column(name)
    for name in ("ratio", "at least", "", "aim"):
        table.add_column(name, justify="right")
    for entry in entries:
        good = entry["ratio"] >= entry["at_least"]
        table.add_row(
            entry["work"],
            entry["beside"],
            entry["of"],
            f"{entry['ratio']:.3g}",
            f"{entry['at_least']:.3g}",
            "[green]ok[/]" if good else "[bold red]too low[/]",
            f"{entry['aim']:.3g}" if "aim" in entry else "",
        )
    return table
