"""Trainings with what is measured after them, some side by side, each in a process of one thread.

In: runs. Out: the metrics of each, over the full catalogue, test items unseen in training removed,
conservative ties.
"""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import cache
from multiprocessing import get_context
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streamrec.contracts import Session, TrainOptions
from streamrec.datasets import click_sessions, load_clicks
from streamrec.evaluation.metrics import mrr_at_k, recall_at_k
from streamrec.evaluation.next_items import next_items
from streamrec.models import session_model

__all__ = ["Measured", "Run", "measure"]

_K: Final = 20
_LOOK_S: Final = 0.2
_LINE_S: Final = 30.0
"""Between two lines about the progress, where there is no terminal for a bar."""
_TRAINING: Final = 0.8
"""Share of a run's time, about; the rest is measuring."""


class Run(NamedTuple):
    """One training."""

    data: str
    setting: str
    model: str
    parameters: Mapping[str, Any]
    seed: int
    train: Path
    test: Path


class Measured(NamedTuple):
    """What a run came to."""

    metrics: dict[str, float]
    train_s: float
    events_per_s: float


def measure(runs: Sequence[Run], processes: int, console: Console) -> list[Measured]:
    """All runs in their order, as many at once as there are processes; a line for each that is done."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes to come: all threads of one would want all cores
    spawn = get_context("spawn")
    done_of = spawn.Array("d", len(runs))
    columns = [TextColumn("training and measuring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    with (
        ProcessPoolExecutor(processes, spawn, _remember, (done_of,)) as pool,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        task = progress.add_task("", total=len(runs))
        futures = [pool.submit(_measured, number, run) for number, run in enumerate(runs)]
        waiting = dict(zip(futures, runs, strict=True))
        told = time.monotonic()
        try:
            while waiting:
                done, _ = wait(waiting, _LOOK_S, FIRST_COMPLETED)
                progress.update(task, completed=sum(done_of))
                if not console.is_terminal and time.monotonic() - told > _LINE_S:
                    told = time.monotonic()
                    console.print(f"   {sum(done_of):.1f} of {len(runs)} trainings", highlight=False)
                for future in done:
                    line = _line(waiting.pop(future), future.result())
                    console.print(line, highlight=False, soft_wrap=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _line(run: Run, measured: Measured) -> str:
    found = ", ".join(f"{name} {value:.4f}" for name, value in measured.metrics.items())
    return f"   {run.data}, {run.model}, {run.setting}, seed {run.seed}: {found}, {measured.train_s:.0f} s"


_done_of: "SynchronizedArray[float] | None" = None
"""How much of each run is done; shared by all processes."""


def _remember(done_of: "SynchronizedArray[float]") -> None:
    global _done_of
    _done_of = done_of


def _tell(number: int, share: float) -> None:
    if _done_of is not None:
        _done_of[number] = share


@cache
def _sessions(path: Path) -> list[Session]:
    return list(click_sessions(load_clicks(path)))


def _measured(number: int, run: Run) -> Measured:
    def trained(done: int, total: int, _loss: float) -> None:
        _tell(number, _TRAINING * done / total)

    def tested(done: int, total: int, _loss: float) -> None:
        _tell(number, _TRAINING + (1 - _TRAINING) * done / total)

    train = _sessions(run.train)
    model = session_model(run.model, run.parameters)
    started = time.perf_counter()
    report = model.train(train, TrainOptions(run.seed, "cpu", on_step=trained))
    train_s = time.perf_counter() - started
    seen = {item_id for session in train for item_id in session.items}
    ranks = next_items(model, _sessions(run.test), k=_K, seen=seen, on_step=tested).ranks
    metrics = {f"recall@{_K}": recall_at_k(ranks, _K), f"mrr@{_K}": mrr_at_k(ranks, _K)}
    return Measured(
        {name: float(values.mean()) for name, values in metrics.items()}, train_s, report.events / train_s
    )
