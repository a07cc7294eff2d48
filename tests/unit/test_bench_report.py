"""The report of the benchmarks: what a ratio is of, and what is said of one that is too low."""

import io
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from streamrec.loadtest import Latencies, Report

# benchmarks is no part of what is installed.
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(Path(__file__).parents[2]))
    report: Any = import_module("benchmarks.report")
    freshness: Any = import_module("benchmarks.freshness")
    meter: Any = import_module("benchmarks.meter")
    workloads: Any = import_module("benchmarks.workloads")

LISTS, ECHO = "freshness of lists", "echo of two hops by aiokafka"


def _latencies(p99_ms: float) -> Latencies:
    return Latencies(p99_ms / 2, p99_ms / 1.5, p99_ms, 2 * p99_ms, 3 * p99_ms)


def _measured(p99_ms: float) -> Report:
    counts = dict.fromkeys(("published", "acknowledged", "answered", "measured"), 30_000)
    return Report(
        per_s=1000,
        reached_per_s=999.5,
        seconds=30,
        warm_up_s=0,
        visitors=1000,
        arrivals="even",
        missing=0,
        doubled=0,
        freshness=_latencies(p99_ms),
        acknowledgement=_latencies(4),
        behind=_latencies(6),
        stopped=False,
        **counts,
    )


def test_freshness_is_compared_by_the_median_p99() -> None:
    rounds = {
        LISTS: [_measured(90), _measured(60), _measured(700)],
        ECHO: [_measured(30), _measured(500), _measured(20)],
    }
    (entry,) = freshness.freshness_entries(rounds)
    assert (entry["work"], entry["beside"]) == (LISTS, ECHO)
    assert entry["ratio"] == pytest.approx(30 / 90, abs=1e-4)
    assert (entry["work_measured"]["p50_ms"], entry["work_measured"]["p99_ms"]) == (45, 90)
    assert (entry["beside_measured"]["p50_ms"], entry["beside_measured"]["p99_ms"]) == (15, 30)
    assert entry["beside_measured"]["p99_ms_by_round"] == [30, 500, 20]
    assert report.too_low([entry]) == []


def test_a_ratio_that_is_too_low_says_what_it_is_of() -> None:
    (entry,) = freshness.freshness_entries({LISTS: [_measured(600)], ECHO: [_measured(30)]})
    (fault,) = report.too_low([entry])
    assert fault == f"{LISTS}: 0.05 times the freshness (p99) of {ECHO}, 0.1 at least were wanted"

    stock = workloads.COMPARISONS[0].beside
    step = workloads.COMPARISONS[0].work
    cpu = {name: [meter.Measured(1000, 1.0, cpu_s, [1.0], 1)] for name, cpu_s in ((step, 0.1), (stock, 0.5))}
    (entry_of_cpu,) = report.compare(cpu)
    (fault,) = report.too_low([entry_of_cpu])
    assert fault == f"{step}: 5 times the events in a CPU second of {stock}, 12 at least were wanted"

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.ratios_table([entry, entry_of_cpu]))
    table = console.export_text()
    assert "freshness (p99)" in table
    assert "events in a CPU second" in table
    assert table.count("too low") == 2
    assert (entry["aim"], entry_of_cpu["aim"]) == (0.3333, 40.0)
    assert "0.333" in table


def test_an_entry_may_have_a_load_of_its_own(tmp_path: Path) -> None:
    (entry,) = freshness.freshness_entries({LISTS: [_measured(600)], ECHO: [_measured(30)]})
    report.write_report(
        tmp_path / "report.json", [entry, {"work": "other"}], {"load": {"events": 5}, "machine": {}}
    )
    first, second = json.loads((tmp_path / "report.json").read_text())
    assert first["load"]["clicks_per_s"] == 1000
    assert second["load"] == {"events": 5}
    assert "machine" in first
