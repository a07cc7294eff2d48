"""Progress of work that takes long: a bar on a terminal, lines elsewhere."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streamrec.contracts import OnStep

__all__ = ["progress_bar"]

_LINE_S: Final = 10.0
"""Between two lines."""


@contextmanager
def progress_bar(console: Console, label: str = "training") -> Iterator[OnStep]:
    """A bar with the pace, and the loss unless that is NaN, to be fed by what is done; gone at the end.

    Where the console is no terminal: a line now and then. Less done than before: other work has begun.
    """
    start = time.monotonic()
    if not console.is_terminal:
        lines = _Lines(console, label, start)
        yield lines.on_step
        return
    columns = [
        TextColumn(label),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, pace="")
        pace = _Pace(start)

        def on_step(done: int, total: int, loss: float) -> None:
            progress.update(task, completed=done, total=total, pace=pace.of(done, loss))

        yield on_step


class _Lines:
    """Progress in lines, for logs and pipes."""

    def __init__(self, console: Console, label: str, start: float) -> None:
        self._console = console
        self._label = label
        self._printed = start
        self._pace = _Pace(start)

    def on_step(self, done: int, total: int, loss: float) -> None:
        now, pace = time.monotonic(), self._pace.of(done, loss)
        if now - self._printed >= _LINE_S:
            self._printed = now
            self._console.print(
                f"   {self._label}: {done / total:.0%}, {pace}",
                highlight=False,
                soft_wrap=True,
            )


class _Pace:
    """How much is done in a second, since the work began."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._done = 0

    def of(self, done: int, loss: float) -> str:
        if done < self._done:
            self._start = time.monotonic()
        self._done = done
        pace = f"{done / max(1e-9, time.monotonic() - self._start):,.0f}/s"
        return pace if math.isnan(loss) else f"{pace}, loss {loss:.3f}"
