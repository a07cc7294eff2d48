"""The processes under measurement: `python -m benchmarks.contender KIND N_EVENTS WARM_UP FOLDER PINNED`.

Settings come from the environment, as for the apps. Each process ends itself once it has
done its events; what it measured lies in FOLDER.
"""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from prometheus_client import Counter

from benchmarks.cores import take_all_cores, take_the_core
from benchmarks.meter import Meter
from streamrec import metrics
from streamrec.config import Settings, load_settings

PROGRESS = "progress"
RESULT = "result.json"


class _Counter:
    """Events done so far."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self) -> float:
        return self.done


def raw(settings: Settings, count: _Counter) -> None:
    """aiokafka as it comes: fetch in bulk and decode, nothing else."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streamrec.events import decode_interaction

    async def consume() -> NoReturn:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        topic = settings.kafka.topic("interactions")
        consumer.assign([TopicPartition(topic, each) for each in range(settings.kafka.partitions)])
        while True:
            fetched = await consumer.getmany(timeout_ms=200, max_records=settings.kafka.max_poll_records)
            for records in fetched.values():
                for record in records:
                    decode_interaction(record.value)
                count.done += len(records)

    asyncio.run(consume())


def stock(settings: Settings, count: _Counter, *, folder: Path) -> None:
    """A Faust agent as its tutorial has it: JSON values, a table with a count per key, `worker -l info`.

    An event is done once the changelog has acknowledged its count, as the state app's are.
    Without `-l info` it costs a fifth more: Faust then makes debug records for its spinner.
    """
    import faust

    class Counts(faust.Table):
        def _on_changelog_sent(self, fut: Any) -> None:
            super()._on_changelog_sent(fut)
            count.done += 1

    app = _stock_app(settings, folder)
    topic = app.topic(settings.kafka.topic("interactions"), key_type=str)
    counts = app.tables.add(Counts(app, name="counts", default=int))

    async def clicks(stream: Any) -> None:
        async for click in stream:
            counts[click["visitor_id"]] += 1

    app.agent(topic, name="clicks")(clicks)
    app.main()


def _stock_app(settings: Settings, folder: Path) -> Any:
    """A Faust app as its tutorial has it; `main` runs it as `worker -l info`."""
    import faust

    sys.argv = ["faust", "worker", "--without-web", "-l", "info"]
    return faust.App(
        f"{settings.kafka.prefix}stock",
        broker=f"kafka://{settings.kafka.bootstrap}",
        topic_partitions=settings.kafka.partitions,
        topic_replication_factor=1,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        datadir=folder / "faust",
    )


def state(settings: Settings, _: _Counter) -> None:
    """The state app as it is: rows appended durably, offsets committed."""
    from streamrec.agents.state import run_state

    run_state(settings)


def scoring(settings: Settings, _: _Counter) -> None:
    """The scoring app as it is: a list for every row that asks for one."""
    from streamrec.agents.scoring import run_scoring

    run_scoring(settings)


def recovery(settings: Settings, count: _Counter, *, n_rows: int) -> None:
    """The state app with rows to recover and clicks behind them.

    A row is done once it is applied, the first click of a partition once its state is made of the rows.
    n_rows: how many there are, without those that earlier runs have left to say that they were here.
    """
    from streamrec.agents.state import StateKeeper, run_state
    from streamrec.engine.table import RowStore

    apply, handle = RowStore.apply, StateKeeper.handle
    applied, recovered = 0, set[int]()

    def counted(self: RowStore, partition: int, records: Any) -> None:
        nonlocal applied
        apply(self, partition, records)
        applied += len(records)
        count.done = min(applied, n_rows) + len(recovered)

    async def handled(self: StateKeeper, batch: Any) -> None:
        await handle(self, batch)
        recovered.add(batch.partition)
        count.done = min(applied, n_rows) + len(recovered)

    RowStore.apply, StateKeeper.handle = counted, handled  # type: ignore[method-assign]
    run_state(settings)


def stock_recovery(settings: Settings, count: _Counter, *, folder: Path) -> None:
    """A Faust table as it comes that recovers the same rows, as bytes."""
    import faust

    class Rows(faust.Table):
        def apply_changelog_batch(self, batch: Any) -> None:
            super().apply_changelog_batch(batch)
            count.done += len(batch)

    app = _stock_app(settings, folder)
    raw_bytes = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    changelog = app.topic(settings.kafka.topic("visitor-states"), **raw_bytes)
    app.tables.add(Rows(app, name="rows", changelog_topic=changelog))

    async def clicks(stream: Any) -> None:
        async for _ in stream:
            pass

    app.agent(app.topic(settings.kafka.topic("interactions"), **raw_bytes), name="clicks")(clicks)
    app.main()


def _total(counter: Counter) -> float:
    """An app's own count; not the whole registry, whose process metrics cost more."""
    return sum(
        sample.value
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )


def main(kind: str, n_events: str, warm_up: str, folder: str, pinned: str) -> None:
    """Run one contender under the meter."""
    (take_the_core if int(pinned) else take_all_cores)()
    settings = load_settings()
    count = _Counter()
    place = Path(folder)
    counts = {"state": partial(_total, metrics.events), "scoring": partial(_total, metrics.recommendations)}
    Meter(
        counts.get(kind, count),
        int(n_events),
        int(warm_up),
        place / PROGRESS,
        place / RESULT,
    ).start()
    kinds: dict[str, Callable[[Settings, _Counter], None]] = {
        "raw": raw,
        "stock": partial(stock, folder=place),
        "state": state,
        "scoring": scoring,
        "recovery": partial(recovery, n_rows=int(n_events) - settings.kafka.partitions),
        "stock-recovery": partial(stock_recovery, folder=place),
    }
    kinds[kind](settings, count)


if __name__ == "__main__":
    main(*sys.argv[1:])
