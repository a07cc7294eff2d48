"""The one-machine set-up measured, to hold the simulator against: `python -m benchmarks.scaling --check`.

The real apps, one state and one scoring worker, under `streamrec loadtest`'s load at several rates; and two
scoring workers beside one, of the same visitor-states. Broker, apps and generator share the cores with
whatever else runs on the machine: how much that was is measured too.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from benchmarks.load import N_PARTITIONS, fill, make_load, own_topics
from benchmarks.meter import Measured
from benchmarks.pages import samples
from benchmarks.running import Contender
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.engine.broker import Broker
from streamrec.engine.reader import read_range
from streamrec.loadtest import Load, Report, load_test
from streamrec.releases import announce
from streamrec.standalone import ROLES, Apps
from streamrec.topics import connect

__all__ = ["Pair", "Run", "measure_pair", "measure_runs"]

_WARM_UP_S: Final = 4.0
_SAMPLED: Final = 2_000
"""Records of a topic whose sizes are looked at."""
_EACH: Final = 0.4
"""Of the clicks, how many each of two workers answers: an even split of the partitions gives it half."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One load: what lists took, and what everybody did for it. Costs are CPU µs a click of the whole run."""

    clicks_per_s: float
    p50_ms: float
    p99_ms: float
    acknowledgement_ms: float
    """From a click's publication to Kafka's acknowledgement, p50."""
    generator_behind_ms: float
    """Part of the freshness that is the generator's own, p99."""
    state_us: float
    scoring_us: float
    broker_us: float
    generator_us: float
    state_batch: float
    """Clicks in a batch, mean."""
    scoring_batch: float
    rows: float
    """Of visitor-states, a click: its visitor's, those of items, its part of the batch's watermark."""
    append_bytes: float
    """The same in bytes."""
    others_cores: float
    """Cores that were busy with something else meanwhile."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Lists a second of one scoring worker and of two together, on the same visitor-states and cores."""

    one_per_s: float
    two_per_s: float
    one_us: float
    """CPU µs a list."""
    two_us: float
    state_us: float
    """CPU µs a click of one state worker, alone before them: in large batches, as all here."""


def measure_runs(
    settings: Settings,
    broker: Broker,
    version: str,
    rates: Sequence[float],
    seconds: float,
    work: Path,
    on_run: Callable[[], object] = lambda: None,
) -> tuple[list[Run], dict[str, float]]:
    """A run at each rate, and the mean sizes of records in bytes, by topic.

    settings: of the apps, with Kafka and registry. work: a folder for logs. on_run: called after each.
    """
    sessions = list(click_sessions(bundled_clicks()))
    runs = []
    with own_topics(settings):
        announce(settings, "gru4rec", version)
        with Apps(settings, work / "apps") as apps:
            apps.wait_until_ready()
            pids = {**apps.pids, "broker": broker.pid, "generator": psutil.Process().pid}
            for rate in rates:
                load = Load(rate, seconds, _WARM_UP_S, "poisson")
                with _watched(apps, pids) as seen:
                    report = load_test(settings, sessions, load, lambda _: apps.check()).report
                runs.append(_run(report, seen))
                on_run()
        sizes = {name: _mean_bytes(settings, name) for name in ("interactions", "recommendations")}
    return runs, sizes


def _run(report: Report, seen: Mapping[Any, Any]) -> Run:
    us = {name: round(spent_s / report.published * 1e6, 1) for name, spent_s in seen["cpu_s"].items()}
    return Run(
        clicks_per_s=report.per_s,
        p50_ms=report.freshness.p50_ms,
        p99_ms=report.freshness.p99_ms,
        acknowledgement_ms=report.acknowledgement.p50_ms,
        generator_behind_ms=report.behind.p99_ms,
        **{f"{name}_us": each for name, each in us.items()},
        state_batch=round(report.published / seen["state", "batches"], 2),
        scoring_batch=round(report.published / seen["scoring", "batches"], 2),
        rows=round(seen["scoring", "records"] / report.published, 2),
        append_bytes=round(seen["append_bytes"] / report.published),
        others_cores=round(seen["others"], 2),
    )


@contextmanager
def _watched(apps: Apps, pids: Mapping[str, int]) -> Iterator[dict[Any, Any]]:
    """What processes spend and apps count within the block; complete when it has ended."""
    found: dict[Any, Any] = {}
    before, spent_s, busy_s, began = _counts(apps), _cpu_s(pids), _busy_s(), time.monotonic()
    yield found
    now, took_s = _counts(apps), time.monotonic() - began
    found |= {name: n - before.get(name, 0.0) for name, n in now.items()}
    found["cpu_s"] = {name: after - spent_s[name] for name, after in _cpu_s(pids).items()}
    found["others"] = max(0.0, _busy_s() - busy_s - sum(found["cpu_s"].values())) / took_s


def _cpu_s(pids: Mapping[str, int]) -> dict[str, float]:
    times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}
    return {name: each.user + each.system for name, each in times.items()}


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _counts(apps: Apps) -> dict[Any, float]:
    """Batches of each app and the records in them, and bytes appended, so far."""
    found: dict[Any, float] = {"append_bytes": 0.0}
    for role in ROLES:
        for each in samples(f"{apps.pages[role]}/metrics"):
            if each.labels.get("app") == role and each.name == "streamrec_batch_size_sum":
                found[role, "records"] = each.value
            elif each.labels.get("app") == role and each.name == "streamrec_batch_size_count":
                found[role, "batches"] = each.value
            elif each.name == "streamrec_append_bytes_sum":
                found["append_bytes"] += each.value
    return found


def _mean_bytes(settings: Settings, name: str) -> float:
    """Key and value of the first records of a topic's first partition."""

    async def read() -> list[int]:
        found: list[int] = []
        async for records in read_range(settings.kafka, settings.kafka.topic(name), 0, 0, _SAMPLED):
            found += [len(each.key) + len(each.value) for each in records]
        return found

    sizes = asyncio.run(read())
    return round(sum(sizes) / len(sizes), 1)


def measure_pair(
    settings: Settings, version: str, n_clicks: int, work: Path, on_run: Callable[[], object]
) -> Pair:
    """Two scoring workers beside one, and nothing else but the broker."""
    load = make_load(n_clicks, N_PARTITIONS, time.time_ns() // 1_000_000 - n_clicks)
    each = round(_EACH * len(load))
    with own_topics(settings):
        filled = fill(settings, load, len(load))
        announce(settings, "gru4rec", version)
        (state,) = _contend(["state"], settings, filled, work / "states")
        on_run()
        (one,) = _contend(["scoring"], settings, each, work / "one")
        on_run()
        with connect(settings.kafka) as admin:
            # Nothing is answered then, and the same rows ask once more.
            admin.delete_groups([f"{settings.kafka.prefix}scoring"])
        two = _contend(["scoring", "scoring"], settings, each, work / "two")
        on_run()
    return Pair(
        one_per_s=round(one.events / one.wall_s),
        two_per_s=round(sum(each.events for each in two) / _span_s(two)),
        one_us=round(one.cpu_us, 1),
        state_us=round(state.cpu_us, 1),
        two_us=round(sum(each.cpu_s for each in two) / sum(each.events for each in two) * 1e6, 1),
    )


def _span_s(workers: Sequence[Measured]) -> float:
    """From the first one's beginning to the last one's end: who works alone counts for one."""
    return max(each.ended_s for each in workers) - min(each.ended_s - each.wall_s for each in workers)


def _contend(kinds: Sequence[str], settings: Settings, n_events: int, work: Path) -> list[Measured]:
    work.mkdir()
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(Contender(kind, kind, settings, n_events, work / f"{kind}-{n}", pinned=False))
            for n, kind in enumerate(kinds)
        ]
        return [each.join() for each in contenders]
