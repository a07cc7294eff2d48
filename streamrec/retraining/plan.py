"""What a run is to do, and what became of the last one: two small files in `training.folder`.

They are written beside their places and renamed: whole or not there. A plan is there from before a run
starts until its outcome is known, so whoever finds one takes it up.
"""

import fcntl
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from streamrec.config import TrainingSettings
from streamrec.errors import ConfigError, WorkerError
from streamrec.retraining.decisions import Reason

__all__ = ["Outcome", "Place", "Plan", "Result", "new_plan"]

log = logging.getLogger(__name__)
_T = TypeVar("_T")

_LOCK_TIMEOUT_S = 30.0


Result = Literal["released", "refused", "failed"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run. The same plan, taken up again, trains on the same clicks and goes on from its checkpoint."""

    run: str
    """Its name, in the manifest of the version it makes."""
    reason: Reason
    start_ms: int
    attempts: int = 0
    """How often it was started."""
    from_ms: int = 0
    """Clicks from then on are trained on."""
    until: dict[int, int] | None = None
    """End offset of each partition, exclusive; None until the run has asked for it."""
    topic_id: str = ""
    """Kafka's id of the topic that has these offsets."""
    earlier: tuple[str, ...] | None = None
    """Ids of the imports, and of topics of before, that are trained on; None until they have been read."""
    parent: str | None = None
    """The version that was live then, from which it goes on."""


def new_plan(settings: TrainingSettings, reason: Reason, now_ms: int) -> Plan:
    """A run that starts now."""
    from_ms = 0 if settings.history_s is None else now_ms - settings.history_s * 1000
    name = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dt%H%M%S}-{uuid.uuid4().hex[:8]}"
    return Plan(run=name, reason=reason, start_ms=now_ms, from_ms=max(0, from_ms))


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run."""

    run: str
    reason: Reason
    start_ms: int
    result: Result
    end_ms: int
    detail: str = ""
    version: str = ""
    events: int = 0
    """Training events, over all epochs; 0 if the version was there already."""
    train_s: float = 0.0
    verdict: str = ""
    """Of the gate: passed, refused or undecided; empty if it was not asked."""
    failed_checks: tuple[str, ...] = ()
    """What the version did not pass of its checks."""
    success_ms: int | None = None
    """End of the last run, up to and with this one, whose version was judged."""


class Place:
    """The folder of runs, which is made. Raises ConfigError if it cannot be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = folder / "checkpoint.npz"
        self.temporary = folder / "tmp"
        self.log = folder / "run.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot be made ({error.strerror}); set STREAMREC_TRAINING__FOLDER"
            ) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder: one run at a time. What earlier ones left in the temporary folder is removed.

        Raises WorkerError if another run holds it for long.
        """
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        with (self.folder / ".lock").open("wb") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise WorkerError(
                            f"{self.folder}: another training is under way there; wait for its end, or set "
                            "STREAMREC_TRAINING__FOLDER"
                        ) from None
                    time.sleep(0.1)
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir()
            yield

    def is_held(self) -> bool:
        """Whether a run holds the folder."""
        with (self.folder / ".lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def plan(self) -> Plan | None:
        """The run that is under way, or was when it was killed."""
        return self._read("plan.json", Plan)

    def outcome(self) -> Outcome | None:
        """Of the last run that came to an end."""
        return self._read("outcome.json", Outcome)

    def keep_plan(self, plan: Plan) -> None:
        """Write the plan in place of the one before."""
        if (before := self.plan()) is None or before.run != plan.run:
            self.checkpoint.unlink(missing_ok=True)  # of a run that nobody will take up
        self._write("plan.json", msgspec.json.encode(plan))

    def finish(self, outcome: Outcome) -> Outcome:
        """Write the outcome, and forget the plan and its checkpoint; returns it as it was written."""
        before = self.outcome()
        last = before.success_ms if before is not None else None
        judged = outcome.result in ("released", "refused")
        outcome = msgspec.structs.replace(outcome, success_ms=outcome.end_ms if judged else last)
        self._write("outcome.json", msgspec.json.encode(outcome))
        for each in (self.folder / "plan.json", self.checkpoint):
            each.unlink(missing_ok=True)
        return outcome

    def _read(self, name: str, kind: type[_T]) -> _T | None:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            # Nobody but us writes there; without it, all starts anew.
            log.warning("%s is not taken up: %s", self.folder / name, error)
            return None

    def _write(self, name: str, value: bytes) -> None:
        beside = self.folder / f"{name}.part"
        with beside.open("wb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.folder / name)
