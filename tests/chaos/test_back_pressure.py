"""A worker whose writes take too long: memory stays bounded, nothing is lost, and it catches up."""

import signal
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

import psutil
import pytest
from app_processes import committed, read
from bench import Bench
from system import System, Worker
from traffic import real_clicks
from verdict import Verdict

_MIB = 1 << 20
_PER_S = 500
_WARM_S = 8.0
_SLOW_S = 40.0
_LONGER_S = 5
_MOST_GROWTH_MIB = 32
"""Of resident memory. For each of two partitions a batch in work, one that waits, one fetched ahead and one
on its way, each of a fetch at most (4 MiB)."""
_CATCH_UP_S = 60.0

# Large clicks and large rows, so that what waits is many times what may be in memory.
LARGE = {
    "kafka": {"partitions": 2, "max_poll_records": 500},
    "state": {"max_visitors": 500, "session_gap_s": 1800},
    "online_mf": {"factors": 256},
}


class Watched:
    """Looks at a worker's memory as long as the block lasts; a context manager."""

    _LOOK_S = 0.05

    def __init__(self, worker: Worker) -> None:
        self.rss_mib: list[float] = []
        """Its resident memory, oldest first."""
        self._process = psutil.Process(worker.pid)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.wait(self._LOOK_S):
            self.rss_mib.append(self._process.memory_info().rss / _MIB)


class Found(NamedTuple):
    """What slowing a worker came to."""

    growth_mib: float
    """Of its resident memory, at most, beyond the most that it had at full speed."""
    waiting_mib: float
    """Keys and values that it had not handled when the slowing ended."""
    catch_up_s: float
    verdict: Verdict


def large_clicks(seed: int) -> Iterator[dict[str, Any]]:
    """Real clicks that tell more than they need to."""
    return ({**each, "context": {"page": "x" * 12_000}} for each in real_clicks(seed))


def slowed(bench: Bench, role: str, fault: str = "slow") -> Found:
    """Have a worker wait with its writes under a load that is too much for it then, and let it go again."""
    topic = {"state": "interactions", "scoring": "visitor-states"}[role]
    with bench.system() as system:
        workers = {
            each: system.start(each, [f"{fault} {_LONGER_S}"] if each == role else ())
            for each in ("state", "scoring")
        }
        with Watched(workers[role]) as watched:
            with system.traffic(_PER_S, large_clicks(bench.seed)):
                system.wait_until_flowing()
                time.sleep(_WARM_S)
                level = max(watched.rss_mib)
                workers[role].signal(signal.SIGRTMIN)
                time.sleep(_SLOW_S)
                handled, _ = committed(bench.settings, topic, role)
            workers[role].signal(signal.SIGRTMIN)
            start = time.monotonic()
            system.settle(_CATCH_UP_S)
            catch_up_s = time.monotonic() - start
            growth = max(watched.rss_mib) - level
        system.stop()
        verdict = bench.judge(system, report=fault == "slow")
        found = Found(growth, size_mib(system, topic, handled), catch_up_s, verdict)
    print(f"{role}: {found[:3]}, {verdict.clicks} clicks")  # noqa: T201
    return found


def size_mib(system: System, topic: str, handled: dict[int, int]) -> float:
    """Keys and values of a topic from these offsets on."""
    waiting = (each for each in read(system.settings, topic) if each.offset >= handled[each.partition])
    return sum(len(each.key) + len(each.value or b"") for each in waiting) / _MIB


@pytest.mark.chaos
@pytest.mark.parametrize("bench", [LARGE], indirect=True)
@pytest.mark.parametrize("role", ["state", "scoring"])
def test_what_waits_waits_in_kafka(bench: Bench, role: str) -> None:
    found = slowed(bench, role)
    assert found.waiting_mib > 2 * _MOST_GROWTH_MIB, "else there is nothing that a queue could have held"
    assert found.growth_mib < _MOST_GROWTH_MIB
    found.verdict.check()
    assert found.verdict.repeats == 0
    assert found.verdict.exits == [0, 0]


@pytest.mark.chaos
@pytest.mark.parametrize("bench", [LARGE], indirect=True)
@pytest.mark.parametrize("role", ["state", "scoring"])
def test_a_queue_without_a_bound_is_caught(bench: Bench, role: str) -> None:
    found = slowed(bench, role, "bug-hoard")
    assert found.growth_mib > _MOST_GROWTH_MIB
