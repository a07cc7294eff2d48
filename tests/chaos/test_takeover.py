"""How long a partition waits for its next owner when the state is large, with a standby and without."""

import asyncio
import json
import time
from statistics import median

import pytest
from app_processes import last
from bench import REPORTS, Bench
from fresh import fresh_topics
from system import System, Worker

from streamrec.advance import partition_of
from streamrec.config import Settings
from streamrec.engine.log import KafkaLog, Out
from streamrec.state.rows import WATERMARK_KEY

_VISITORS = 400_000
_PARTITIONS = 4
_TAKEOVERS = 3


def fill(settings: Settings) -> None:
    """One click of each of many visitors."""

    async def write() -> None:
        now = time.time_ns() // 1_000_000
        partitions: list[list[Out]] = [[] for _ in range(_PARTITIONS)]
        for n in range(_VISITORS):
            visitor_id = f"visitor-{n}"
            event = {"event_id": f"{n}", "type": "click", "item_id": f"item-{n % 1000}", "time": now}
            value = json.dumps(event | {"visitor_id": visitor_id}).encode()
            partitions[partition_of(visitor_id.encode(), _PARTITIONS)].append(Out(visitor_id.encode(), value))
        log = KafkaLog(settings.kafka, "fill")
        for partition, records in enumerate(partitions):
            for first in range(0, len(records), 2000):
                await log.send(settings.kafka.topic("interactions"), partition, records[first : first + 2000])
        await log.stop()

    asyncio.run(write())


def silences_s(bench: Bench, standbys: int) -> list[float]:
    """From the death of a state worker to the first rows of its partitions by the next one, some times."""
    kafka = {"partitions": _PARTITIONS, "session_timeout_s": 6, "standbys": standbys}
    overrides = {"kafka": kafka, "registry": bench.settings.registry.model_dump()}
    folder = bench.folder / f"standbys-{standbys}"
    folder.mkdir()
    with fresh_topics(bench.settings.kafka.bootstrap, folder, overrides) as settings:
        fill(settings)
        with System(settings, folder, bench.seed) as system:
            owner, silences = system.start("state"), []
            system.settle_state(timeout_s=300)
            with system.traffic(per_s=50):
                for _ in range(_TAKEOVERS):
                    other = system.start("state")
                    system.wait(lambda other=other: other.handles, timeout_s=300)
                    if standbys:
                        system.wait(lambda other=other: other.holds_standbys, timeout_s=300)
                    silences.append(_silence_s(system, owner))
                    owner = other
            return silences


def _silence_s(system: System, owner: Worker) -> float:
    """From this worker's death until every partition has newer rows."""
    owner.end()
    died = time.time()
    system.wait(lambda: _oldest_watermark_s(system.settings) > died, timeout_s=300)
    return time.time() - died


def _oldest_watermark_s(settings: Settings) -> float:
    """When the partition that is furthest behind got its newest rows, seconds since 1970."""
    marks = last(settings, "visitor-states", WATERMARK_KEY)
    return min(float(each.timestamp) for each in marks.values()) / 1000


@pytest.mark.chaos
def test_a_standby_makes_the_takeover_of_a_large_state_faster(bench: Bench) -> None:
    without, with_standby = silences_s(bench, 0), silences_s(bench, 1)
    REPORTS.append(
        {
            "fault": "takeover_of_a_large_state",
            "seed": bench.seed,
            "visitors": _VISITORS,
            "recovery_s_without_standby": without,
            "recovery_s_with_standby": with_standby,
        }
    )
    assert median(with_standby) < median(without)
