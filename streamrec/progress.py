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
    """A bar with events per second and loss, unless that is NaN, to be fed by what is done; gone at the end.

    Where the console is no terminal: a line now and then.
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

        def on_step(done: int, total: int, loss: float) -> None:
            pace = _pace(done, time.monotonic() - start, loss)
            progress.update(task, completed=done, total=total, pace=pace)

        yield on_step


class _Lines:
    """Progress in lines, for logs and pipes."""

    def __init__(self, console: Console, label: str, start: float) -> None:
        self._console = console
        self._label = label
        self._start = self._printed = start

    def on_step(self, done: int, total: int, loss: float) -> None:
        now = time.monotonic()
        if now - self._printed >= _LINE_S:
            self._printed = now
            self._console.print(
                f"   {self._label}: {done / total:.0%}, {_pace(done, now - self._start, loss)}",
                highlight=False,
                soft_wrap=True,
            )


def _pace(done: int, seconds: float, loss: float) -> str:
    pace = f"{done / max(1e-9, seconds):,.0f} events/s"
    return pace if math.isnan(loss) else f"{pace}, loss {loss:.3f}"
