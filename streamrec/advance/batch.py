"""The state app's step: a batch of one partition's input in, changed rows out."""

from collections.abc import Sequence
from typing import Final

from streamrec.advance.changes import Changes
from streamrec.advance.learning import Learning
from streamrec.advance.partition import Held, PartitionState
from streamrec.advance.records import DeadLetter, InputRecord, Intake, ModelError
from streamrec.advance.steps import Chain, run_chains
from streamrec.contracts import StepModel
from streamrec.errors import RecordError
from streamrec.events import Interaction
from streamrec.state.expiry import MOST_LEAVING
from streamrec.state.items import NO_FACTORS
from streamrec.state.rows import (
    LEARNER_KEY,
    WATERMARK_KEY,
    LearnerRow,
    VisitorRow,
    Watermark,
    encode_row,
    visitor_key,
)
from streamrec.state.sessions import event_digest, is_repeat, remember, session_window

__all__ = ["advance"]

MAX_APPEND_BYTES: Final = 4 << 20
# A row's fixed fields, its headers and its place in a record batch.
_ROW_BYTES: Final = 128


def advance(
    records: Sequence[InputRecord],
    state: PartitionState,
    step_model: StepModel | None,
    *,
    max_append_bytes: int = MAX_APPEND_BYTES,
) -> Changes:
    """Apply records, in offset order, to the state of their partition.

    The changes are one append; after it, and before the next call, `state.commit` takes them.
    Their size stays near `max_append_bytes`, so that a call may consume fewer records than
    given, but at least one. The rows depend on the partition's input alone, not on how it is
    cut into calls; a failed record ends its call. Raises StateError if the changes of the
    last call are not committed.
    """
    state.begin()
    failure: ModelError | None = None
    while True:
        try:
            return _Call(state, step_model, failure).run(records, max_append_bytes)
        except ModelError as found:
            # What came before the record is right, what came after it built on it: once more without.
            failure = found
            end = next(n for n, record in enumerate(records, 1) if record.offset == found.offset)
            records = records[:end]
            state.rebuild()


class _Call:
    """One pass over a batch. `failure` names the record to refuse because a model fails on it."""

    def __init__(
        self, state: PartitionState, step_model: StepModel | None, failure: ModelError | None
    ) -> None:
        settings = state.settings
        self._state = state
        self._model = step_model
        self._failure = failure
        self._version = "" if step_model is None else step_model.version
        self._hidden_bytes = 0 if step_model is None else 4 * step_model.hidden_size
        self._intake = Intake(settings, state.place.partition, state.place.n_partitions)
        self._learning = Learning(state)
        self._ttl_ms = settings.visitor_ttl_s * 1000
        self._gap_ms = settings.session_gap_s * 1000
        self._session_items = settings.session_items
        self._recent_events = settings.recent_events
        self._out: list[tuple[bytes, bytes | VisitorRow | None, int]] = []
        self._chains: list[Chain] = []
        self._waiting: list[tuple[VisitorRow, Chain, int]] = []
        self._size = 0
        self._changes = Changes(Watermark(state.offset, state.place.topic_id, state.clock_ms))

    def run(self, records: Sequence[InputRecord], max_bytes: int) -> Changes:
        """Take the records one by one, then the model's steps, then make the rows."""
        state, changes = self._state, self._changes
        done = state.offset
        for record in records:
            changes.consumed += 1
            if record.offset <= done:
                changes.replayed += 1
                continue
            done = record.offset
            try:
                self._take(record)
            except ModelError:
                raise
            except RecordError as error:
                with_body = error.reason != "oversized"
                changes.rejected.append(DeadLetter(record, error.reason, str(error), with_body))
                changes.counts["unknown", "rejected"] += 1
            if self._size + self._learning.changed_bytes >= max_bytes:
                break
        if done > state.offset:
            if self._model is not None:
                run_chains(self._model, self._chains)
            self._finish(done)
        return changes

    def _take(self, record: InputRecord) -> None:
        """Apply one record. Raises RecordError, with nothing changed, if it is refused."""
        if self._failure is not None and self._failure.offset == record.offset:
            raise RecordError(self._failure.reason, str(self._failure))
        state = self._state
        event, key = self._intake.read(record)
        held = state.visitor(event.visitor_id)
        if held is None:  # else it was checked when the row was made
            self._intake.check_partition(key)
        weight = self._intake.weight(event)
        clock = max(state.clock_ms, event.time)
        self._intake.check_time(event.time, record.timestamp, clock - self._ttl_ms)
        if held is not None and held.row.last_time < clock - self._ttl_ms:
            held = None
        digest = event_digest(event.event_id)
        if held is not None and is_repeat(held.row.recent_events, digest):
            self._changes.counts[event.type, "repeat"] += 1
            return
        self._changes.counts[event.type, "accepted"] += 1
        self._move_clock(clock, record.offset)
        if held is None:
            self._welcome(event, record.offset)
        self._apply(record, event, weight, held, digest)

    def _move_clock(self, clock: int, offset: int) -> None:
        """Close the tick if the clock leaves it, and let go of visitors silent for too long."""
        state = self._state
        if clock // state.tick_ms > state.clock_ms // state.tick_ms:
            self._flush_items()
        state.clock_ms = clock
        for _ in range(MOST_LEAVING):
            visitor_id = state.visitors.pop_before(clock - self._ttl_ms)
            if visitor_id is None:
                break
            self._forget(visitor_id, offset, "visitor_ttl")

    def _welcome(self, event: Interaction, offset: int) -> None:
        """Make room for a visitor who is new, or was silent for too long and starts afresh."""
        state = self._state
        if state.visitor(event.visitor_id) is not None:
            # Its turn to leave had not come yet. Its place among the visitors serves the new row.
            self._forget(event.visitor_id, offset, "visitor_ttl")
            return
        for _ in range(MOST_LEAVING):
            if len(state.visitors) < state.settings.max_visitors:
                break
            self._forget(state.visitors.pop(), offset, "visitor_bound")
        state.visitors.add(event.time, event.visitor_id)

    def _forget(self, visitor_id: str, offset: int, reason: str) -> None:
        self._state.held[visitor_id] = None
        key = visitor_key(visitor_id)
        self._out.append((key, None, offset))
        self._size += len(key) + _ROW_BYTES
        self._changes.evictions[reason] += 1

    def _apply(
        self, record: InputRecord, event: Interaction, weight: float, held: Held | None, digest: bytes
    ) -> None:
        """Make the visitor's next row. Its hidden state follows when the steps are taken."""
        state, offset, time = self._state, record.offset, event.time
        row = None if held is None else held.row
        window = session_window(row, event.visitor_id, event.session_id, time, self._gap_ms)
        going_on = None if window.is_new else held
        chain, version, hidden = self._session_model(event, weight, going_on, offset)
        items = [] if going_on is None else going_on.row.items
        if weight > 0:
            items = [*items, event.item_id][-self._session_items :]
        factors = NO_FACTORS if row is None else row.factors
        new = VisitorRow(
            offset,
            state.clock_ms,
            event.event_id,
            time,
            record.timestamp,
            weight > 0,
            window.session_id,
            window.session_time,
            items,
            remember(b"" if row is None else row.recent_events, digest, self._recent_events),
            version,
            hidden,
            self._learning.learn(event, weight, offset, factors, self._changes),
            time if row is None else max(row.last_time, time),
        )
        if chain is not None:
            self._waiting.append((new, chain, len(chain.items)))
        state.held[event.visitor_id] = Held(new, chain)
        key = visitor_key(event.visitor_id)
        self._out.append((key, new, offset))
        self._size += len(key) + self._row_bytes(new)

    def _session_model(
        self, event: Interaction, weight: float, going_on: Held | None, offset: int
    ) -> tuple[Chain | None, str, bytes]:
        """What the session model makes of an interaction: steps to wait for, version, hidden state.

        going_on: the visitor if the session goes on, else None. The hidden state counts
        if there are no steps to wait for.
        """
        model = self._model
        if weight <= 0:
            if going_on is None:
                return None, "", b""
            return going_on.chain, going_on.row.model_version, going_on.row.hidden
        if model is None:
            return None, "", b""
        chain = None if going_on is None else going_on.chain
        if chain is None:
            same = going_on is not None and going_on.row.model_version == self._version
            chain = Chain(going_on.row.hidden if going_on is not None and same else b"")
            if going_on is not None and not same:
                for item_id in going_on.row.items:
                    chain.step(model.item_index(item_id), offset)
            self._chains.append(chain)
        chain.step(model.item_index(event.item_id), offset)
        return chain, self._version, b""

    def _row_bytes(self, row: VisitorRow) -> int:
        """About how many bytes a row will have, before its hidden state is there."""
        text = row.event_id + row.session_id + "".join(row.items)
        return (
            (len(text) if text.isascii() else 4 * len(text))
            + 3 * len(row.items)
            + len(row.recent_events)
            + self._hidden_bytes
            + len(row.factors.vector)
            + _ROW_BYTES
        )

    def _flush_items(self) -> None:
        for row in self._learning.flush():
            self._out.append(row)
            self._size += len(row[0]) + len(row[1] or b"") + _ROW_BYTES

    def _finish(self, offset: int) -> None:
        """Rows in the order of the append: as they came, the items' rest, learner, watermark."""
        state, changes = self._state, self._changes
        for row, chain, n_steps in self._waiting:
            row.hidden = chain.hidden[n_steps]
        self._flush_items()
        rows = changes.rows
        for key, value, row_offset in self._out:
            rows.append((key, encode_row(value) if isinstance(value, VisitorRow) else value, row_offset))
        if state.online is not None:
            learner = LearnerRow(*state.online.numbers())
            if learner != state.learner:
                state.learner = learner
                rows.append((LEARNER_KEY, encode_row(learner), offset))
        changes.watermark = Watermark(offset, state.place.topic_id, state.clock_ms)
        rows.append((WATERMARK_KEY, encode_row(changes.watermark), offset))
        state.uncommitted = True
