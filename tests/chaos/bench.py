"""What every test of a fault works with: settings, models, a system, a verdict, the report."""

import dataclasses
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from proxy import Proxy
from system import System
from verdict import Verdict, judge

from streamrec.config import Settings
from streamrec.contracts import ScoreModel, StepModel

REPORT = Path(__file__).parents[2] / "build" / "chaos" / "report.json"
REPORTS: list[dict[str, Any]] = []
"""The figures of every verdict of this run, and the faults that were skipped."""

BENCH_SETTINGS: dict[str, Any] = {
    "kafka": {
        "partitions": 4,
        # Small batches, so that faults find the apps in the middle of something.
        "max_poll_records": 50,
        "session_timeout_s": 6,
        "stall_timeout_s": 20,
        "commit_interval_s": 0.2,
    },
    # Bounds that a few thousand clicks reach.
    "state": {"max_visitors": 150, "max_items": 300, "session_gap_s": 5, "recent_events": 5},
    "online_mf": {"factors": 8},
}


@dataclasses.dataclass
class Bench:
    """What a test of a fault works with."""

    settings: Settings
    seed: int
    folder: Path
    steps: dict[str, StepModel]
    scorers: dict[str, ScoreModel]
    name: str

    @cached_property
    def random(self) -> random.Random:
        """For what a test draws itself."""
        return random.Random(self.seed)

    @contextmanager
    def system(self, settings: Settings | None = None) -> Iterator[System]:
        """The topics, and nothing running yet."""
        with System(settings or self.settings, self.folder, self.seed) as system:
            yield system

    def judge(self, system: System, *, report: bool = True, **options: Any) -> Verdict:
        """Compare with the oracle, and put the figures into the report."""
        verdict = judge(system, self.steps, self.scorers, **options)
        if report:
            figures = {"fault": self.name, "seed": self.seed, "ok": not verdict.wrong}
            REPORTS.append({**figures, **dataclasses.asdict(verdict)})
        return verdict


class FarBench(NamedTuple):
    """A bench whose workers are to reach the broker through a proxy; traffic and verdict do not."""

    bench: Bench
    proxy: Proxy
    bootstrap: str
    """The proxy's address, for the workers."""

    @property
    def settings(self) -> Settings:
        """Of a worker."""
        settings = self.bench.settings
        kafka = settings.kafka.model_copy(update={"bootstrap": self.bootstrap})
        return settings.model_copy(update={"kafka": kafka})


def skipped(report: pytest.TestReport) -> dict[str, str]:
    """What the report says of a fault that could not be tried here."""
    *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else (report.longreprtext,)
    name = report.nodeid.rpartition("::")[2]
    return {"fault": name.removeprefix("test_"), "skipped": str(reason).removeprefix("Skipped: ")}
