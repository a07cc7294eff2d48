"""Contenders as processes: topics of their own, a run to its end, what was measured in it."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.contender import PROGRESS, RESULT
from benchmarks.meter import Measured, read_measured
from streamrec.config import Settings
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError
from streamrec.topics import connect, create_topics

__all__ = ["BenchmarkError", "own_topics", "run_contender"]

_SILENCE_S: Final = 60.0
"""Without a further event for so long a contender is given up."""
_LOOK_S: Final = 0.1
_ROOT: Final = Path(__file__).resolve().parent.parent


class BenchmarkError(StreamrecError):
    """A contender did not get to its end."""


@contextmanager
def own_topics(settings: Settings) -> Iterator[None]:
    """Topics of one contender's own, gone at the end with all that it made itself."""
    create_topics(settings)
    try:
        yield
    finally:
        with connect(settings.kafka) as admin:
            admin.delete_topics(
                [name for name in admin.list_topics() if name.startswith(settings.kafka.prefix)]
            )


def run_contender(
    name: str,
    kind: str,
    settings: Settings,
    n_events: int,
    warm_up: int,
    folder: Path,
    on_events: Callable[[int], object],
) -> Measured:
    """Run one contender to its end; its log and results go to a new folder.

    kind: what `contender` runs. warm_up: events before measuring begins. on_events: called with the
    events done so far. Raises BenchmarkError, with `name` and the end of the log, if it does not get there.
    """
    folder.mkdir()
    arguments = [kind, str(n_events), str(warm_up), str(folder)]
    with socket.create_server(("127.0.0.1", 0)) as pages:
        web = settings.web.model_copy(update={"fd": pages.fileno()})
        child = Child(
            [sys.executable, "-m", "benchmarks.contender", *arguments],
            folder / "log",
            cwd=_ROOT,
            env={**os.environ, **settings.model_copy(update={"web": web}).environment()},
            files=[pages.fileno()],
        )
    done, heard = 0, time.monotonic()
    try:
        while not child.wait(_LOOK_S) and not (folder / RESULT).exists():
            now = _read_int(folder / PROGRESS)
            if now > done:
                done, heard = now, time.monotonic()
                on_events(done)
            elif time.monotonic() - heard > _SILENCE_S:
                break
        child.stop(timeout_s=20)
    finally:
        child.kill()
    try:
        return read_measured(folder / RESULT)
    except FileNotFoundError:
        tail = "\n".join((folder / "log").read_text(errors="replace").splitlines()[-15:])
        raise BenchmarkError(
            f"{name} ended after {done} of {n_events} events. Its log says last:\n{tail}"
        ) from None


def _read_int(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii") or 0)
    except FileNotFoundError:
        return 0
