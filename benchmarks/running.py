"""Contenders as processes: started, watched, and what they measured."""

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.contender import PROGRESS, RESULT
from benchmarks.meter import Measured, read_measured
from streamrec.config import Settings
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError

__all__ = ["WARM_UP", "BenchmarkError", "Contender"]

WARM_UP: Final = 0.1
"""Share of the events before measuring begins."""
_SILENCE_S: Final = 60.0
"""Without a further event for so long a contender is given up."""
_LOOK_S: Final = 0.1
_ROOT: Final = Path(__file__).resolve().parent.parent


class BenchmarkError(StreamrecError):
    """A contender did not get to its end."""


class Contender:
    """One contender at work; a context manager that kills what has not ended.

    kind: what `benchmarks.contender` runs. folder: a new one, for its log and results.
    warm_up: events before measuring begins, else a tenth. pinned: it has the last core to itself.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        settings: Settings,
        n_events: int,
        folder: Path,
        *,
        warm_up: int | None = None,
        pinned: bool = True,
    ) -> None:
        self._name = name
        self._n_events = n_events
        self._folder = folder
        folder.mkdir()
        before = round(n_events * WARM_UP) if warm_up is None else warm_up
        arguments = [kind, str(n_events), str(before), str(folder), str(int(pinned))]
        with socket.create_server(("127.0.0.1", 0)) as pages:
            web = settings.web.model_copy(update={"fd": pages.fileno()})
            self._child = Child(
                [sys.executable, "-m", "benchmarks.contender", *arguments],
                folder / "log",
                cwd=_ROOT,
                env={**os.environ, **settings.model_copy(update={"web": web}).environment()},
                files=[pages.fileno()],
            )

    def join(self, on_events: Callable[[int], object] = lambda _: None) -> Measured:
        """Wait for its end; what it measured. Raises BenchmarkError if it does not get there.

        on_events: called with the events done so far.
        """
        done, heard = 0, time.monotonic()
        while not self._child.wait(_LOOK_S) and not (self._folder / RESULT).exists():
            now = _read_int(self._folder / PROGRESS)
            if now > done:
                done, heard = now, time.monotonic()
                on_events(done)
            elif time.monotonic() - heard > _SILENCE_S:
                break
        self._child.stop(timeout_s=20)
        try:
            return read_measured(self._folder / RESULT)
        except FileNotFoundError:
            tail = "\n".join((self._folder / "log").read_text(errors="replace").splitlines()[-15:])
            raise BenchmarkError(
                f"{self._name} ended after {done} of {self._n_events} events. Its log says last:\n{tail}"
            ) from None

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()


def _read_int(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii") or 0)
    except FileNotFoundError:
        return 0
