"""A small app on the batch engine, to be run as a process: `python engine_app.py FOLDER [FAULT]`.

It counts what comes in for each key of `interactions`, and keeps count and watermark as
rows of `visitor-states`, as the state app does. The watermark chains a digest over all
records of the partition: it is right only if every record was handled once, in order.
A record with the value `forget` deletes its key's row.

FAULT is what happens to the process: `before N` and `after N` kill it (SIGKILL) right before
or after its N-th append, `raise P N` raises when the record of partition P with offset N comes,
`wait` and `block` stop the first handler for good, with the event loop and without it. `slow` makes each
batch take a while, `late` the end of a rebalance.
Into FOLDER go the rows as they were recovered, one JSON file for each recovery.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from streamrec.config import load_settings
from streamrec.engine.app import create_app
from streamrec.engine.log import KafkaLog, Out
from streamrec.engine.reader import read_range
from streamrec.engine.runner import Batch, add_agent, run_worker
from streamrec.engine.table import PartitionTable
from streamrec.engine.transport import BatchConsumer
from streamrec.engine.web import OperatorsPages

WATERMARK = b"w:"


class Mark(NamedTuple):
    """What the watermark says: last offset, and a digest over all records up to it."""

    offset: int = -1
    digest: str = ""

    def after(self, offset: int, key: bytes, value: bytes) -> "Mark":
        """The mark once one more record is handled."""
        chained = hashlib.blake2b(b"%s/%d/%s/%s" % (self.digest.encode(), offset, key, value), digest_size=16)
        return Mark(offset, chained.hexdigest())

    @classmethod
    def of(cls, rows: Mapping[bytes, bytes]) -> "Mark":
        return cls(*json.loads(rows[WATERMARK])) if WATERMARK in rows else cls()


def changed(rows: Mapping[bytes, bytes], records: Any) -> dict[bytes, bytes | None]:
    """The rows that records change; the watermark last."""
    mark = Mark.of(rows)
    new: dict[bytes, bytes | None] = {}
    for record in records:
        if record.offset <= mark.offset:
            continue
        mark = mark.after(record.offset, record.key, record.value)
        count = int(new.get(record.key, rows.get(record.key)) or b"0")
        new[record.key] = None if record.value == b"forget" else b"%d" % (count + 1)
    if new:
        new[WATERMARK] = json.dumps(mark).encode()
    return new


def say(what: str) -> None:
    """A line for the test to wait for."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def resume_late() -> None:
    """When a rebalance ends, Faust seeks what is committed, then empties its queues: leave time between."""
    seek = BatchConsumer.perform_seek

    async def and_wait(self: BatchConsumer) -> None:
        await seek(self)
        say("sought")
        await asyncio.sleep(2.0)

    BatchConsumer.perform_seek = and_wait  # type: ignore[method-assign]


def main(folder: Path, fault: str = "none") -> None:
    """Run until told to stop, or until the fault."""
    settings = load_settings()
    moment, *at = fault.split()
    places = [int(each) for each in at]
    interactions = settings.kafka.topic("interactions")
    app = create_app(settings, "engine")
    log = KafkaLog(settings.kafka, app.conf.id)
    table = app.tables.add(
        PartitionTable(
            app,
            name="rows",
            topic=settings.kafka.topic("visitor-states"),
            log=log,
            partitions=settings.kafka.partitions,
            missing=partial(read_range, settings.kafka, settings.kafka.topic("visitor-states")),
        )
    )
    appends = recoveries = 0
    if moment == "late":
        resume_late()

    async def handle(batch: Batch) -> None:
        nonlocal appends
        if moment == "wait":
            await asyncio.Event().wait()
        if moment == "block":
            threading.Event().wait()
        if not table.owns(batch.partition):
            await table.take_over(batch.partition)
        rows = table.rows(batch.partition)
        records = list(batch.records)
        start = Mark.of(rows).offset + 1
        if records[0].offset > start:
            say(f"gap {batch.partition} {start} {records[0].offset}")
            skipped = read_range(settings.kafka, interactions, batch.partition, start, records[0].offset)
            records = [*[record async for part in skipped for record in part], *records]
        if moment == "raise" and any([batch.partition, record.offset] == places for record in records):
            raise ArithmeticError("this record cannot be handled")
        if moment == "slow":
            await asyncio.sleep(0.02)
        if new := changed(rows, records):
            appends += 1
            nth = appends  # other partitions append meanwhile
            if moment == "before" and nth == places[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            await table.append(batch.partition, [Out(key, value) for key, value in new.items()])
            if moment == "after" and nth == places[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            for key, value in new.items():
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
        say(f"handled {batch.partition} {records[0].offset} {records[-1].offset}")

    async def recovered() -> None:
        nonlocal recoveries
        rows = {
            str(tp.partition): {
                key.decode(): value.decode() for key, value in table.rows(tp.partition).items()
            }
            for tp in app.consumer.assignment()
            if tp.topic == interactions
        }
        place = folder / f"recovered-{os.getpid()}-{recoveries}"
        place.with_suffix(".part").write_text(json.dumps(rows))
        place.with_suffix(".part").rename(place.with_suffix(".json"))
        recoveries += 1

    async def prepare() -> None:
        if moment == "late":
            await asyncio.sleep(4.0)

    table.on_recover(recovered)
    watchdog = add_agent(app, "engine", settings.kafka, interactions, handle, before=prepare)
    pages = OperatorsPages(
        "127.0.0.1", settings.web.port, lambda: None if app.tables.actives_ready else "recovering"
    )
    run_worker(app, settings, pages=pages, background=[watchdog], on_stop=[log.stop])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
