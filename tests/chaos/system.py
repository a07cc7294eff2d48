"""The system under test: the real worker processes, kept alive as a supervisor keeps them."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import shifted
import worker
from app_processes import App, committed, last
from traffic import Traffic, real_clicks

from streamrec.config import Settings
from streamrec.state.rows import WATERMARK_KEY, decode_watermark

_RESTART_AFTER_S = 0.2
_MOST_STARTS = 400


class Worker:
    """A worker that is started again whenever it ends by itself.

    faults: of the first start, the second, ...; see worker.py. Later starts have none.
    """

    def __init__(self, role: str, settings: Settings, log: Path, faults: Sequence[str] = ()) -> None:
        self.role = role
        self.exits: list[int] = []
        """Exit codes of the processes that have ended."""
        self._settings = settings
        self._log = log
        self._faults = list(faults)
        self._stopping = False
        self._app = self._start()
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def _start(self) -> App:
        fault = self._faults.pop(0) if self._faults else ""
        file = shifted.__file__ if fault.startswith("clock ") else worker.__file__
        program = (file, self.role, *fault.split()) if fault else ()
        return App(self.role, self._settings, self._log, program)

    def _supervise(self) -> None:
        while True:
            self.exits.append(self._app.process.wait())
            if self._stopping or len(self.exits) == _MOST_STARTS:
                return
            time.sleep(_RESTART_AFTER_S)
            self._app = self._start()

    @property
    def log(self) -> str:
        """What all its processes have printed."""
        return self._log.read_text()

    @property
    def stopped(self) -> bool:
        """Whether it has been told to stop."""
        return self._stopping

    @property
    def pid(self) -> int:
        return self._app.process.pid

    @property
    def ready(self) -> bool:
        return self._app.page("readyz")[0] == 200

    @property
    def handles(self) -> bool:
        """Whether it has handled a batch."""
        return any(self._values("streamrec_batch_size_count"))

    @property
    def holds_standbys(self) -> bool:
        """Whether it is the standby of some partitions, and has all their rows."""
        values = self._values("streamrec_standby_remaining")
        return bool(values) and not any(values)

    def page(self, name: str) -> str:
        """Text of an operators' page."""
        return self._app.page(name)[1]

    def _values(self, metric: str) -> list[float]:
        lines = self.page("metrics").splitlines()
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{metric}{{")]

    def kill(self) -> None:
        """SIGKILL; the supervisor starts it again."""
        self._app.process.kill()

    def signal(self, number: signal.Signals) -> None:
        self._app.process.send_signal(number)

    def stop(self) -> tuple[int, float]:
        """SIGTERM, and no new start; exit code and the seconds it took."""
        self._stopping = True
        start = time.monotonic()
        self._app.process.send_signal(signal.SIGTERM)
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), f"{self.role} has not stopped within 60 s:\n{self.log[-3000:]}"
        return self.exits[-1], time.monotonic() - start

    def end(self) -> None:
        """SIGKILL, and no new start."""
        self._stopping = True
        self._app.process.kill()
        self._thread.join(timeout=10)


class System:
    """Workers and traffic on one set of topics; a context manager that leaves nothing running.

    seed: of everything that the test and the traffic draw.
    """

    def __init__(self, settings: Settings, folder: Path, seed: int) -> None:
        self.settings = settings
        self.random = random.Random(seed)
        self.workers: list[Worker] = []
        self.sent = 0
        """Clicks that Kafka has acknowledged."""
        self.fault_s: float | None = None
        """When the first fault came, seconds since 1970."""
        self._folder = folder
        self._seed = seed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self.workers:
            each.end()

    def start(self, role: str, faults: Sequence[str] = (), settings: Settings | None = None) -> Worker:
        """Start a worker; it is kept alive until it is stopped."""
        log = self._folder / f"{role}-{len(self.workers)}.log"
        started = Worker(role, settings or self.settings, log, faults)
        self.workers.append(started)
        return started

    @contextmanager
    def traffic(
        self,
        per_s: float = 200.0,
        events: Iterator[dict[str, Any]] | None = None,
        clock_ahead_s: float = 0.0,
    ) -> Iterator[Traffic]:
        """Clicks come in for as long as the block lasts."""
        clicks = real_clicks(self._seed + len(self.workers)) if events is None else events
        with Traffic(self.settings, clicks, per_s, clock_ahead_s) as traffic:
            yield traffic
        self.sent += traffic.sent

    def pause(self, least_s: float, most_s: float) -> None:
        """Let some time go by, drawn with the seed: a fault is to come at any moment."""
        time.sleep(self.random.uniform(least_s, most_s))

    def fault(self) -> None:
        """Say that a fault comes now: recovery is measured from the first one on."""
        self.fault_s = self.fault_s or time.time()

    def wait(self, condition: Callable[[], bool], timeout_s: float = 60.0, what: str = "") -> None:
        """Wait for a condition. Fails, with the end of all logs, after timeout_s."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(
                    f"--- {each.role}, ended with {each.exits}\n{each.log[-3000:]}" for each in self.workers
                )
                raise AssertionError(f"{what or 'what is waited for'}: not within {timeout_s:g} s\n{logs}")
            time.sleep(0.1)

    def wait_until_flowing(self, timeout_s: float = 60.0) -> None:
        """Wait until every partition has a list that was made from now on."""
        now_ms = time.time() * 1000
        n = self.settings.kafka.partitions

        def flowing() -> bool:
            newest = last(self.settings, "recommendations").values()
            # By the broker's time: the clock of a worker may be off.
            return len(newest) == n and all(each.timestamp > now_ms for each in newest)

        self.wait(flowing, timeout_s, "lists in every partition")

    def settle_state(self, timeout_s: float = 300.0) -> None:
        """Wait until all input is handled by state."""
        self.wait(self._state_is_done, timeout_s, "state at the end of its input")

    def settle(self, timeout_s: float = 300.0) -> None:
        """Wait until all input is handled, by state and by scoring."""
        self.settle_state(timeout_s)
        self.wait(self._scoring_is_done, timeout_s, "scoring at the end of visitor-states")

    def _state_is_done(self) -> bool:
        marks = last(self.settings, "visitor-states", WATERMARK_KEY)
        done = {partition: decode_watermark(each.value).offset for partition, each in marks.items()}
        return done == {
            partition: each.offset for partition, each in last(self.settings, "interactions").items()
        }

    def _scoring_is_done(self) -> bool:
        offsets, ends = committed(self.settings, "visitor-states", "scoring")
        return offsets == ends

    def stop(self) -> None:
        """Stop the workers in order; each has to end with exit code 0 within ten seconds."""
        for each in [each for each in self.workers if not each.stopped]:
            code, seconds = each.stop()
            assert code == 0, f"{each.role} ended with {code}:\n{each.log[-3000:]}"
            assert seconds < 10, f"{each.role} took {seconds:.1f} s to stop"
