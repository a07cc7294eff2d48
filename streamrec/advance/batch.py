"""The state app's step: a batch of one partition's input in, changed rows out."""

from collections.abc import Sequence
from typing import Final

from streamrec.advance.changes import Changes
from streamrec.advance.learning import Learning
from streamrec.advance.partition import Held, PartitionState
from streamrec.advance.records import DeadLetter, InputRecord, Intake, ModelError
from streamrec.advance.steps import State, Steps
from streamrec.contracts import StepModel
from streamrec.errors import RecordError
from streamrec.events import Interaction
from streamrec.state.expiry import MOST_LEAVING
from streamrec.state.items import NO_FACTORS
from streamrec.state.rows import (
    LEARNER_KEY,
    VISITOR,
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
        self._steps = None if step_model is None else Steps(step_model)
        self._version = "" if step_model is None else step_model.version
        self._hidden_bytes = 0 if step_model is None else 4 * step_model.hidden_size
        self._failure = failure
        self._intake = Intake(settings, state.place.partition, state.place.n_partitions)
        self._learning = Learning(state)
        self._ttl_ms = settings.visitor_ttl_s * 1000
        self._gap_ms = settings.session_gap_s * 1000
        self._session_items = settings.session_items
        self._recent_events = settings.recent_events
        self._changes = Changes(Watermark(state.offset, state.place.topic_id, state.clock_ms))
        self._waiting: list[tuple[int, bytes, VisitorRow, State]] = []
        self._size = 0

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
            self._finish(done)
        return changes

    def _take(self, record: InputRecord) -> None:
        """Apply one record. Raises RecordError, with nothing changed, if it is refused."""
        if self._failure is not None and self._failure.offset == record.offset:
            raise RecordError(self._failure.reason, str(self._failure))
        state, intake = self._state, self._intake
        event, record_key = intake.read(record)
        key = VISITOR + record_key
        held = state.visitor(event.visitor_id, key)
        if held is None:  # else it was checked when the row was made
            intake.check_partition(record_key)
        weight = intake.weight(event)
        clock = max(state.clock_ms, event.time)
        horizon = clock - self._ttl_ms
        intake.check_time(event.time, record.timestamp, horizon)
        if held is not None and held.row.last_time < horizon:
            held = None
        digest = event_digest(event.event_id)
        if held is not None and is_repeat(held.row.recent_events, digest):
            self._changes.counts[event.type, "repeat"] += 1
            return
        self._changes.counts[event.type, "accepted"] += 1
        self._changes.clicked += event.rec_id is not None and weight > 0
        self._move_clock(clock, horizon, record.offset)
        if held is None:
            self._welcome(event, key, record.offset)
        self._apply(record, key, event, weight, held, digest)

    def _move_clock(self, clock: int, horizon: int, offset: int) -> None:
        """Close the tick if the clock leaves it, and let go of visitors silent for too long."""
        state = self._state
        if clock // state.tick_ms > state.clock_ms // state.tick_ms:
            self._flush_items()
        state.clock_ms = clock
        for _ in range(MOST_LEAVING):
            visitor_id = state.visitors.pop_before(horizon)
            if visitor_id is None:
                break
            self._forget(visitor_id, offset, "visitor_ttl")

    def _welcome(self, event: Interaction, key: bytes, offset: int) -> None:
        """Make room for a visitor who is new, or was silent for too long and starts afresh."""
        state = self._state
        if state.visitor(event.visitor_id, key) is not None:
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
        self._changes.rows.append((key, None, offset))
        self._size += len(key) + _ROW_BYTES
        self._changes.evictions[reason] += 1

    def _apply(
        self,
        record: InputRecord,
        key: bytes,
        event: Interaction,
        weight: float,
        held: Held | None,
        digest: bytes,
    ) -> None:
        """Make the visitor's next row. Its hidden state follows when the steps are taken."""
        state, offset, time = self._state, record.offset, event.time
        row = None if held is None else held.row
        window = session_window(row, event.visitor_id, event.session_id, time, self._gap_ms)
        going_on = None if window.is_new else held
        version, hidden, waits_for = self._session_model(event, weight, going_on, offset)
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
        state.held[event.visitor_id] = Held(new, waits_for)
        if waits_for is None:
            self._changes.rows.append((key, encode_row(new), offset))
        else:
            self._waiting.append((len(self._changes.rows), key, new, waits_for))
            self._changes.rows.append((key, None, offset))
        self._size += len(key) + self._row_bytes(new)

    def _session_model(
        self, event: Interaction, weight: float, going_on: Held | None, offset: int
    ) -> tuple[str, bytes, State | None]:
        """Model version and hidden state of the next row, or the state that it waits for.

        going_on: the visitor if the session goes on, else None.
        """
        version, hidden, waits_for = "", b"", None
        if going_on is not None:
            version, hidden = going_on.row.model_version, going_on.row.hidden
            waits_for = going_on.waits_for
        if weight <= 0:
            return version, hidden, waits_for
        model, steps = self._model, self._steps
        if model is None or steps is None:
            return "", b"", None
        items = [event.item_id]
        if version != self._version:
            hidden, waits_for = b"", None
            if going_on is not None:
                items = going_on.row.items + items
        for item_id in items:
            index = model.item_index(item_id)
            if index >= 0:
                waits_for = steps.step(waits_for or steps.begin(hidden), index, offset)
        return self._version, hidden, waits_for

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
        rows = self._learning.flush()
        self._changes.rows += rows
        self._size += sum(len(key) + len(value or b"") + _ROW_BYTES for key, value, _ in rows)

    def _finish(self, offset: int) -> None:
        """Complete the visitor rows, and end with the items' rest, the learner, the watermark."""
        state, changes = self._state, self._changes
        if self._steps is not None:
            self._steps.run()
            for place, key, row, waits_for in self._waiting:
                row.hidden = self._steps.hidden(waits_for)
                changes.rows[place] = (key, encode_row(row), row.offset)
        self._flush_items()
        if state.online is not None:
            learner = LearnerRow(*state.online.numbers())
            if learner != state.learner:
                state.learner = learner
                changes.rows.append((LEARNER_KEY, encode_row(learner), offset))
        changes.watermark = Watermark(offset, state.place.topic_id, state.clock_ms)
        changes.rows.append((WATERMARK_KEY, encode_row(changes.watermark), offset))
        state.uncommitted = True
