"""What is measured for each curve.

Of each: settings with the registry that holds `version`, a folder for files, and whom to tell of the steps
done and how many there are.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import psutil

from benchmarks.catalogues import BATCHES, clicked_states, measure_catalogues, real_catalogue
from benchmarks.curves.plot import Curve, Line
from benchmarks.load import MODEL, own_settings
from benchmarks.scaling.measure import measure_runs
from benchmarks.visitors import Arrival, Worked, make_rows
from streamrec.backtest.partition import Models, PartitionRun
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks
from streamrec.engine.broker import Broker
from streamrec.events import Interaction, encode
from streamrec.state.rows import encode_row

__all__ = ["CURVES", "OnDone"]

OnDone = Callable[[int, int], None]
"""Called with the steps done, and how many there are."""

_SIZES: Final = (5_000, 18_000, 37_000, 100_000, 300_000, 1_000_000)
_CALLS: Final = 500
_VISITORS: Final = (1_000, 10_000, 100_000, 300_000, 1_000_000)
_LENGTHS: Final = (1, 2, 5, 10, 20, 50, 100)
_AT_ONCE: Final = 512
"""Visitors whose sessions grow together."""
_BATCH: Final = 32
_TURNS: Final = 3
_PARTITIONS: Final = (1, 2, 4, 8, 16, 32)
_PER_S: Final = 500.0
_SECONDS: Final = 15.0
_MS_APART: Final = 1


def _catalogue(settings: Settings, version: str, work: Path, on_done: OnDone) -> list[Curve]:
    hidden, _ = clicked_states(settings, version)
    figures = measure_catalogues(
        real_catalogue(settings, version),
        hidden,
        _SIZES,
        work / "catalogues",
        _CALLS,
        lambda done: on_done(done, len(_SIZES) + 1),
    )
    on_done(len(_SIZES) + 1, len(_SIZES) + 1)

    def line(batch: int) -> Line:
        y, up_to = ([each.ms(batch, p) / batch for each in figures] for p in (50, 99))
        return Line(f"batches of {batch}", y, up_to)

    return [
        Curve(
            "catalogue",
            "The 40 best of a catalogue, one thread",
            "items",
            "ms a visitor (median, bar to p99)",
            [float(each.n_items) for each in figures],
            [line(batch) for batch in BATCHES],
            {
                "model": MODEL,
                "file_bytes": [each.file_bytes for each in figures],
                "rss_bytes": [each.rss_bytes for each in figures],
                "overlap_at_20_with_exact_scores": [round(each.overlap, 4) for each in figures],
            },
        )
    ]


def _visitors(settings: Settings, version: str, work: Path, on_done: OnDone) -> list[Curve]:
    """The state step alone, as visitors are added: its cost between two sizes, and how the process grew."""
    process, most = psutil.Process(), _VISITORS[-1]
    before, held = process.memory_info().rss, 0
    cost_us: list[float] = []
    grown: list[float] = []
    clicks, cpu_s = 0, 0.0

    def on_batch(worked: Worked) -> None:
        nonlocal held, clicks, cpu_s
        held, clicks, cpu_s = held + worked.visitors, clicks + worked.clicks, cpu_s + worked.cpu_s
        on_done(held, most)
        if len(cost_us) < len(_VISITORS) and held >= _VISITORS[len(cost_us)]:
            cost_us.append(cpu_s / clicks * 1e6)
            grown.append((process.memory_info().rss - before) / 2**20)
            clicks, cpu_s = 0, 0.0

    make_rows(settings, version, most, on_batch)
    x = [float(each) for each in _VISITORS]
    details = {"model": MODEL, "cost": "of the clicks since the size before", "cpu_us": cost_us, "mib": grown}
    return [
        Curve(
            "visitors",
            "The state step by visitors held, batches of 2,000",
            "visitors",
            "CPU µs a click",
            x,
            [Line("with GRU4Rec and online CF", cost_us)],
            details,
        ),
        Curve(
            "memory",
            "Memory by visitors held",
            "visitors",
            "MiB",
            x,
            [Line("beyond an empty one", grown)],
            {},
        ),
    ]


def _sessions(settings: Settings, version: str, work: Path, on_done: OnDone) -> list[Curve]:
    """The state step, and lists, of clicks by their place in the session; rows keep all of its items."""
    settings = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"partitions": 1}),
            "state": settings.state.model_copy(update={"session_items": _LENGTHS[-1]}),
        }
    )
    models = Models(settings)
    state_s: dict[int, list[float]] = {length: [] for length in _LENGTHS}
    lists_s: dict[int, list[float]] = {length: [] for length in _LENGTHS}
    row_bytes: list[int] = []
    for turn in range(_TURNS):
        run = PartitionRun(settings, 0, models, Catalogue(), from_ms=0, latency_ms=0)
        for place, records in enumerate(_growing(_LENGTHS[-1]), 1):
            before = run.state_s, run.lists_s
            for first in range(0, _AT_ONCE, _BATCH):
                asked = run.take(records[first : first + _BATCH], version)
            if place in state_s:
                state_s[place].append(run.state_s - before[0])
                lists_s[place].append(run.lists_s - before[1])
                row_bytes.append(len(encode_row(asked[-1].row)))
            on_done(turn * _LENGTHS[-1] + place, _TURNS * _LENGTHS[-1])
    us = 1e6 / _AT_ONCE
    return [
        Curve(
            "sessions",
            "A click and its list by the session's length, batches of 32",
            "clicks of the session",
            "µs (best of three)",
            [float(length) for length in _LENGTHS],
            [
                Line("state step", [min(each) * us for each in state_s.values()]),
                Line("list", [min(each) * us for each in lists_s.values()]),
            ],
            {"model": MODEL, "row_bytes": row_bytes[: len(_LENGTHS)]},
        )
    ]


def _growing(length: int) -> Iterator[list[Arrival]]:
    """The n-th clicks of all sessions, for each n: items of real sessions, strung together."""
    items, offsets, now = bundled_clicks().item_ids, count(), time.time_ns() // 1_000_000
    for place in range(length):
        found = []
        for visitor in range(_AT_ONCE):
            offset = next(offsets)
            name = f"visitor-{visitor}"
            event = Interaction(
                event_id=str(offset),
                type="click",
                visitor_id=name,
                session_id=name,
                item_id=items[visitor * length + place],
                time=now + offset * _MS_APART,
            )
            found.append(Arrival(offset, event.time, name.encode(), encode(event)))
        yield found


def _partitions(settings: Settings, version: str, work: Path, on_done: OnDone) -> list[Curve]:
    """Both apps, under the same load over more and more partitions, on all cores."""
    runs = []
    with Broker.start() as broker:
        for n in _PARTITIONS:
            own = own_settings(settings, broker.bootstrap, f"curve-{n}", partitions=n)
            (run,), _ = measure_runs(own, broker, version, [_PER_S], _SECONDS, work / str(n))
            runs.append(run)
            on_done(len(runs), len(_PARTITIONS))
    x = [float(n) for n in _PARTITIONS]
    details = {"model": MODEL, "runs": msgspec.to_builtins(runs)}
    return [
        Curve(
            "partitions",
            f"{_PER_S:,.0f} clicks a second, one state and one scoring worker",
            "partitions",
            "CPU µs a click",
            x,
            [
                Line("state", [each.state_us for each in runs]),
                Line("scoring", [each.scoring_us for each in runs]),
                Line("broker", [each.broker_us for each in runs]),
            ],
            details,
        ),
        Curve(
            "partitions-freshness",
            f"{_PER_S:,.0f} clicks a second, one state and one scoring worker",
            "partitions",
            "freshness in ms (median, bar to p99)",
            x,
            [Line("from due to the list's arrival", [e.p50_ms for e in runs], [e.p99_ms for e in runs])],
            {},
        ),
    ]


CURVES: Final[Mapping[str, Callable[[Settings, str, Path, OnDone], list[Curve]]]] = {
    "catalogue": _catalogue,
    "visitors": _visitors,
    "sessions": _sessions,
    "partitions": _partitions,
}
