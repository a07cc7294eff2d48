"""A backtest: every partition of a history under some settings and releases.

Partitions know nothing of each other: one after the other and side by side give the same lists.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from streamrec.backtest.history import History
from streamrec.backtest.judge import NextClicks, Pairs
from streamrec.backtest.partition import Models, PartitionRun
from streamrec.backtest.releases import Releases
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.errors import ConfigError
from streamrec.events import Recommendation, encode

__all__ = ["Plan", "Tally", "run_backtest"]

OnEvents = Callable[[int], None]
"""Called now and then with the number of records gone through since the last call."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    name: str
    settings: Settings
    history: History
    releases: Releases
    catalogue: Catalogue
    from_ms: int = 0
    """Lists are made for what was recorded from then on; before, there is only learning."""
    latency_ms: int = 0
    """Time from an interaction's record to the emission of its list."""
    k: int = 20
    """How many places of a list count."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the events."""

    pairs: Pairs
    events: int
    """Records gone through."""
    outcomes: Counter[str]
    """Records by what became of them: accepted, repeat, or the reason of the refusal."""
    lists: Counter[str]
    """Lists by release."""
    too_late: int
    """Lists that came after the click that they are held against."""
    recommended: dict[str, set[str]]
    """Items within the first k places of some list, by source."""
    items: set[str]
    """Items that there are: clicked, in the vocabulary of a release, or in the catalogue."""
    state_s: float
    lists_s: float
    total_s: float
    """Seconds in the state step, in making lists, and in everything; of all processes together."""

    @classmethod
    def joined(cls, parts: "Sequence[Tally]") -> "Tally":
        """The tally of all partitions from those of each."""
        recommended: dict[str, set[str]] = {}
        for part in parts:
            for source, items in part.recommended.items():
                recommended.setdefault(source, set()).update(items)
        return cls(
            pairs=Pairs.joined([part.pairs for part in parts]),
            events=sum(part.events for part in parts),
            outcomes=sum((part.outcomes for part in parts), Counter()),
            lists=sum((part.lists for part in parts), Counter()),
            too_late=sum(part.too_late for part in parts),
            recommended=recommended,
            items=set().union(*(part.items for part in parts)),
            state_s=sum(part.state_s for part in parts),
            lists_s=sum(part.lists_s for part in parts),
            total_s=sum(part.total_s for part in parts),
        )


def run_backtest(
    plan: Plan, *, jobs: int = 1, lists: Path | None = None, on_events: OnEvents = lambda _: None
) -> Tally:
    """Go through all partitions.

    jobs: processes, each with one partition at a time. lists: file for the recommendations, JSON lines
    by partition and offset. Raises ConfigError if that cannot be written, and what the history and the
    registry raise.
    """
    partitions = range(plan.history.n_partitions)
    with _by_partition(lists) as folder:
        if jobs > 1 and len(partitions) > 1:
            return Tally.joined(_side_by_side(plan, min(jobs, len(partitions)), folder, on_events))
        models = _models(plan)
        return Tally.joined([_run(plan, each, models, folder, on_events) for each in partitions])


@contextmanager
def _by_partition(file: Path | None) -> Iterator[Path | None]:
    """A folder for a file of each partition's lists; in the end they are joined in `file`."""
    if file is None:
        yield None
        return
    try:
        file.write_bytes(b"")
        # Beside the file: lists can be more than a disk for temporary files holds.
        parts = TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent)
    except OSError as error:
        raise ConfigError(f"{file}: lists cannot be written there ({error.strerror})") from None
    with parts as name:
        yield Path(name)
        with file.open("wb") as whole:
            for path in sorted(Path(name).iterdir(), key=lambda path: int(path.name)):
                with path.open("rb") as part:
                    shutil.copyfileobj(part, whole)


def _side_by_side(plan: Plan, jobs: int, folder: Path | None, on_events: OnEvents) -> list[Tally]:
    # A fork would leave the threads of ONNX Runtime behind.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        running = [pool.submit(_run_alone, plan, each, folder) for each in range(plan.history.n_partitions)]
        for done in as_completed(running):
            on_events(done.result().events)
        return [each.result() for each in running]


def _run_alone(plan: Plan, partition: int, folder: Path | None) -> Tally:
    return _run(plan, partition, _models(plan), folder, lambda _: None)


def _models(plan: Plan) -> Models:
    return Models(plan.settings)


def _run(plan: Plan, partition: int, models: Models, folder: Path | None, on_events: OnEvents) -> Tally:
    started = time.perf_counter()
    history = plan.history
    run = PartitionRun(
        _traced(plan.settings),
        partition,
        models,
        plan.catalogue,
        from_ms=plan.from_ms,
        latency_ms=plan.latency_ms,
    )
    judge = NextClicks(plan.k, partial(history.place, partition), plan.settings.state)
    schedule, records = plan.releases.schedule(partition), history.records(partition)
    n_events = 0
    with nullcontext() if folder is None else (folder / str(partition)).open("wb") as file:
        while batch := list(islice(records, plan.settings.kafka.max_poll_records)):
            for version, part in schedule.cut(batch):
                for asked in run.take(part, version):
                    judge.take(asked)
                    if file is not None and asked.made is not None:
                        file.write(_line(asked.made, plan.settings))
            n_events += len(batch)
            on_events(len(batch))
    vocabularies = [model.items for model in map(models.scorer, judge.lists) if model is not None]
    return Tally(
        judge.pairs(),
        n_events,
        run.outcomes,
        judge.lists,
        judge.too_late,
        judge.recommended,
        judge.clicked.union(plan.catalogue.items, *vocabularies),
        run.state_s,
        run.lists_s,
        time.perf_counter() - started,
    )


def _traced(settings: Settings) -> Settings:
    """The same settings with each source's own list on every recommendation, for the judge."""
    return settings.model_copy(update={"scoring": settings.scoring.model_copy(update={"trace": True})})


def _line(made: Recommendation, settings: Settings) -> bytes:
    """The list as the scoring app would have sent it."""
    return encode(made if settings.scoring.trace else msgspec.structs.replace(made, candidates=None)) + b"\n"
