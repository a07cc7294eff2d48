"""Half an hour under load: memory, open files and the size of the state stay level."""

import json
import os
import statistics
import time
from pathlib import Path

import psutil
import pytest
from bench import Bench
from kafka.admin import ConfigResource

from streamrec.topics import connect

REPORT = Path(__file__).parents[2] / "build" / "chaos" / "soak.json"
MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
_SAMPLE_S = 10
_MOST_GROWTH_MIB_PER_MIN = 0.3
"""Resident memory of a worker, once warm."""


class Samples:
    """Figures over time, and their growth once the first third, the warming up, is over."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[float, float]]] = {}

    def add(self, name: str, minute: float, value: float) -> None:
        self.series.setdefault(name, []).append((round(minute, 2), round(value, 2)))

    def warm(self, name: str) -> list[tuple[float, float]]:
        series = self.series[name]
        return series[len(series) // 3 :]

    def growth_per_min(self, name: str) -> float:
        """Slope of the least-squares line."""
        return statistics.linear_regression(*zip(*self.warm(name), strict=True)).slope


def size_of_topic(bench: Bench, topic: str) -> int:
    """Bytes of its segments at the broker."""
    with connect(bench.settings.kafka) as admin:
        (broker,) = admin.describe_log_dirs()
    return sum(
        partition["partition_size"]
        for folder in broker["log_dirs"]
        for each in folder["topics"]
        if each["name"] == topic
        for partition in each["partitions"]
    )


def _report(bench: Bench, clicks: int, samples: Samples) -> None:
    report = {
        "seed": bench.seed,
        "minutes": MINUTES,
        "clicks": clicks,
        "growth_per_min": {name: round(samples.growth_per_min(name), 4) for name in samples.series},
        "series": samples.series,
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1) + "\n")


@pytest.mark.soak
@pytest.mark.parametrize(
    "bench",
    [{"kafka": {"compaction_lag_s": 60, "max_poll_records": 2000}, "state": {"max_visitors": 2000}}],
    indirect=True,
)
def test_nothing_grows(bench: Bench) -> None:
    topic = bench.settings.kafka.topic("visitor-states")
    with connect(bench.settings.kafka) as admin:
        admin.alter_configs([ConfigResource("TOPIC", topic, {"segment.ms": "30000"})])
    samples = Samples()
    with bench.system() as system:
        workers = {role: system.start(role) for role in ("state", "scoring")}
        with system.traffic(per_s=300):
            system.wait_until_flowing()
            processes = {role: psutil.Process(each.pid) for role, each in workers.items()}
            start = time.monotonic()
            while (minute := (time.monotonic() - start) / 60) < MINUTES:
                for role, process in processes.items():
                    samples.add(f"{role}_rss_mib", minute, process.memory_info().rss / (1 << 20))
                    samples.add(f"{role}_open_files", minute, process.num_fds())
                samples.add("visitor_states_mib", minute, size_of_topic(bench, topic) / (1 << 20))
                time.sleep(_SAMPLE_S)
        system.settle()
        system.stop()
        _report(bench, system.sent, samples)
        verdict = bench.judge(system, compacted=True)
    verdict.check()
    assert verdict.exits == [0, 0]
    for role in workers:
        assert samples.growth_per_min(f"{role}_rss_mib") < _MOST_GROWTH_MIB_PER_MIN
        files = [value for _, value in samples.warm(f"{role}_open_files")]
        assert max(files) - min(files) <= 5
    # It rises until the cleaner comes, and falls; the second half may not stand above the first.
    sizes = [value for _, value in samples.warm("visitor_states_mib")]
    half = len(sizes) // 2
    assert max(sizes[half:]) < 1.2 * max(sizes[:half])
