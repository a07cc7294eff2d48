"""The state app: interactions -> visitor-states, batch by batch of each partition.

Thin wiring around `streamrec.advance`: where records come from, where rows go, and what
is counted. A batch's rows and its watermark are one append; what cannot be accepted is
on the dead letters before it.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, Protocol, TypeGuard

from streamrec import metrics
from streamrec.admission import require_fast
from streamrec.advance import Changes, DeadLetter, PartitionState, Place, advance
from streamrec.canary import Canary
from streamrec.config import Settings
from streamrec.contracts import StepModel
from streamrec.engine.app import create_app
from streamrec.engine.log import KafkaLog, Log, Out
from streamrec.engine.reader import BroadcastReader, read_range
from streamrec.engine.runner import Background, Batch, add_agent, run_worker
from streamrec.engine.table import PartitionTable
from streamrec.engine.web import OperatorsPages
from streamrec.errors import StateError
from streamrec.events import MAX_KEY_BYTES
from streamrec.ports import PAGES_PORTS
from streamrec.privacy import Pseudonyms
from streamrec.registry import Registry
from streamrec.scorer import load_step
from streamrec.shelf import ModelShelf
from streamrec.state.rows import Row
from streamrec.state_opener import state_opener
from streamrec.topics import known_topics, require_topics, watch_topics

__all__ = ["StateKeeper", "run_state"]

log = logging.getLogger(__name__)


class Table(Protocol):
    """What the keeper needs of a table; PartitionTable and the tests' twin have it."""

    def rows(self, partition: int) -> dict[bytes, bytes]: ...
    def owns(self, partition: int) -> bool: ...
    def has_fresh_claim(self, partition: int) -> bool: ...
    async def take_over(self, partition: int) -> None: ...
    async def append(self, partition: int, rows: Sequence[Row]) -> int: ...


class StateKeeper:
    """Keeps the rows of this worker's partitions up to date. `handle` is the agent's handler.

    topic_ids: Kafka's ids of interactions and visitor-states.
    missing: reads input again: (partition, start, end) -> batches of records.
    committed: the offset that the group had committed for a partition, or None.
    step_model: the session model that is live now, or None. canary: the one that serves a share of the
        visitors now, or None.
    """

    def __init__(
        self,
        settings: Settings,
        topic_ids: Mapping[str, str],
        table: Table,
        log: Log,
        *,
        missing: Callable[[int, int, int], AsyncIterator[list[Any]]],
        committed: Callable[[int], int | None],
        step_model: Callable[[], StepModel | None],
        canary: Callable[[], Canary[StepModel] | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._topic_ids = topic_ids
        self._table = table
        self._log = log
        self._missing = missing
        self._committed = committed
        self._step_model = step_model
        self._canary = canary
        self._open = state_opener(settings)
        self._pseudonyms = Pseudonyms(settings.privacy.pseudonym_key)
        self._states: dict[int, PartitionState] = {}

    async def handle(self, batch: Batch) -> None:
        """Bring the partition up to the end of the batch, durably."""
        state = await self._state(batch.partition)
        records = await self._without_gap(batch, state)
        while records:
            with metrics.stage_seconds.labels("state").time():
                changes = advance(records, state, self._step_model(), self._canary())
            if changes.rejected:
                await self._log.send(
                    self._settings.kafka.topic("dead-letters"),
                    batch.partition,
                    self._dead_letters(changes, batch.partition),
                )
            if changes.rows:
                with metrics.stage_seconds.labels("append").time():
                    size = await self._table.append(batch.partition, changes.rows)
                metrics.append_bytes.observe(size)
            state.commit(changes)
            _count(changes)
            records = records[changes.consumed :]
        metrics.batch_size.labels("state").observe(len(batch.records))

    def entries(self) -> dict[tuple[str, ...], float]:
        """Visitors and items held, by kind and partition."""
        return {
            (kind, str(partition)): len(held)
            for partition, state in self._here()
            for kind, held in (("visitors", state.visitors), ("items", state.items))
        }

    def clocks_ahead(self) -> dict[tuple[str, ...], float]:
        """Seconds by which the clocks of partitions, their newest event times, are ahead of ours."""
        now = time.time()
        return {(str(partition),): max(0.0, state.clock_ms / 1000 - now) for partition, state in self._here()}

    def size_bytes(self) -> dict[tuple[str, ...], float]:
        """Keys and values of the rows held, by partition."""
        return {(str(partition),): state.size_bytes for partition, state in self._here()}

    def _here(self) -> list[tuple[int, PartitionState]]:
        """The states of partitions that have not moved to another worker."""
        return [(n, state) for n, state in self._states.items() if self._table.owns(n)]

    async def _state(self, partition: int) -> PartitionState:
        rows = self._table.rows(partition)
        state = self._states.get(partition)
        # New here, or back from another worker: recovery may have put its rows among ours.
        if not self._table.has_fresh_claim(partition) or not _is_of(state, rows):
            settings = self._settings
            with metrics.recovery_seconds.time():
                await self._table.take_over(partition)
                # A claim that is only renewed brings no rows, and to decode a million takes seconds.
                if not _is_of(state, rows):
                    place = Place(
                        self._topic_ids["interactions"],
                        partition,
                        settings.kafka.partitions,
                        self._topic_ids["visitor-states"],
                    )
                    state = self._open(rows, place)
            committed = self._committed(partition)
            if committed is not None and committed > state.offset + 1:
                raise StateError(
                    f"partition {partition}: offset {committed} of {settings.kafka.topic('interactions')} is "
                    f"committed, but the rows of {settings.kafka.topic('visitor-states')} end at "
                    f"{state.offset}: rows are lost; run `streamrec state rebuild` to make them again"
                )
            self._states = {**dict(self._here()), partition: state}
        return state

    async def _without_gap(self, batch: Batch, state: PartitionState) -> Sequence[Any]:
        """The batch, behind what the engine skipped: read once more, then accepted as missing."""
        start = state.offset + 1
        if batch.start <= start:
            return batch.records
        found: list[Any] = []
        async for records in self._missing(batch.partition, start, batch.start):
            found.extend(records)
        if start > 0:  # else the partition is new here, and retention may have had its share
            # It takes the oldest; what lacks between others are the control records of transactions.
            metrics.input_gaps.inc((found or batch.records)[0].offset - start)
        return [*found, *batch.records]

    def _dead_letters(self, changes: Changes, partition: int) -> list[Out]:
        topic = self._settings.kafka.topic("interactions")
        if log.isEnabledFor(logging.DEBUG):
            for letter in changes.rejected:
                # Not the message: a model that fails may quote the visitor.
                log.debug(
                    "%s[%d] offset %d is refused: %s, visitor %s",
                    *(topic, partition, letter.record.offset, letter.reason),
                    self._pseudonyms.of(letter.record.key or b""),
                )
        return [_dead_letter(letter, topic, partition) for letter in changes.rejected]


def _is_of(state: PartitionState | None, rows: dict[bytes, bytes]) -> TypeGuard[PartitionState]:
    """Whether the state was made of these rows and they have not changed under it."""
    return state is not None and state.rows is rows and state.is_current()


def _dead_letter(letter: DeadLetter, topic: str, partition: int) -> Out:
    """The record as it came, with its place and the reason in headers before its own.

    Of an oversized one only the start of the key goes along: its size may be anywhere.
    """
    record = letter.record
    headers = [
        ("topic", topic.encode()),
        ("partition", b"%d" % partition),
        ("offset", b"%d" % record.offset),
        ("timestamp", b"%d" % record.timestamp),
        ("reason", letter.reason.encode()),
        ("message", letter.message.encode()),
    ]
    if not letter.with_body:
        return Out(record.key and record.key[:MAX_KEY_BYTES], None, headers)
    return Out(record.key, record.value, [*headers, *record.headers])


def _count(changes: Changes) -> None:
    for (kind, outcome), n in changes.counts.items():
        metrics.events.labels(kind, outcome).inc(n)
    for letter in changes.rejected:
        metrics.dead_letters.labels(letter.reason).inc()
    for reason, n in changes.evictions.items():
        metrics.state_evictions.labels(reason).inc(n)
    metrics.replayed_events.inc(changes.replayed)
    metrics.recommendations_clicked.inc(changes.clicked)
    if changes.rows:
        metrics.event_age.observe(max(0.0, time.time() - changes.watermark.clock_ms / 1000))


def run_state(settings: Settings) -> NoReturn:
    """Run a state worker until it is told to stop.

    Raises BrokerError, TopicError, StateError, EngineError before it starts; later faults end the process.
    """
    kafka = settings.kafka
    interactions, visitor_states = kafka.topic("interactions"), kafka.topic("visitor-states")
    require_topics(settings, ["interactions", "visitor-states", "models", "dead-letters"])
    topic_ids = known_topics(settings, ["interactions", "visitor-states"])
    app = create_app(settings, "state")
    log = KafkaLog(kafka, app.conf.id)
    table = PartitionTable(
        app,
        name="visitor-states",
        topic=visitor_states,
        log=log,
        partitions=kafka.partitions,
        missing=partial(read_range, kafka, visitor_states),
    )
    app.tables.add(table)
    load = partial(load_step, Registry.of(settings))
    shelf: ModelShelf[StepModel] = ModelShelf("gru4rec", load, partial(require_fast, settings.admission))
    models = BroadcastReader(kafka, kafka.topic("models"), shelf.on_record)
    keeper = StateKeeper(
        settings,
        topic_ids,
        table,
        log,
        missing=partial(read_range, kafka, interactions),
        committed=lambda partition: app.consumer.committed(interactions, partition),
        step_model=lambda: shelf.live,
        canary=lambda: shelf.canary,
    )

    async def models_known() -> None:
        await models.caught_up.wait()
        await shelf.settled()

    def ready() -> str | None:
        if not models.caught_up.is_set():
            return "reading the models topic"
        if not shelf.is_settled:
            return "loading the model"
        return None if app.tables.actives_ready else "recovering visitor-states"

    metrics.recovery_remaining.read_from(
        lambda: {(str(tp.partition),): n for tp, n in app.tables.recovery.active_remaining().items()}
    )
    metrics.standby_remaining.read_from(
        lambda: {(str(tp.partition),): max(0, n) for tp, n in app.tables.recovery.standby_remaining().items()}
    )
    metrics.state_entries.read_from(keeper.entries)
    metrics.state_bytes.read_from(keeper.size_bytes)
    metrics.clock_ahead.read_from(keeper.clocks_ahead)
    watchdog = add_agent(app, "state", kafka, interactions, keeper.handle, before=models_known)
    topics_stay = partial(watch_topics, settings, topic_ids)
    web = settings.web
    pages = OperatorsPages(web.host, web.port or PAGES_PORTS["state"], ready, web.fd)
    background: list[Background] = [models.run, shelf.run, watchdog, topics_stay]
    run_worker(app, settings, pages=pages, background=background, on_stop=[log.stop])
