"""The state app's step: a batch of one partition's input in, changed rows out."""

from collections.abc import Sequence
from typing import Final

from streamrec.advance.changes import Changes
from streamrec.advance.learning import Learning
from streamrec.advance.partition import Held, PartitionState
from streamrec.advance.records import BatchError, DeadLetter, InputRecord, Intake, ModelError
from streamrec.advance.stepping import Stepping, session_model
from streamrec.advance.waiting import Waiting
from streamrec.canary import Canary
from streamrec.contracts import StepModel
from streamrec.errors import RecordError
from streamrec.events import Interaction
from streamrec.state.expiry import MOST_LEAVING
from streamrec.state.rows import (
    LEARNER_KEY,
    VISITOR,
    WATERMARK_KEY,
    LearnerRow,
    VisitorRow,
    deletion,
    encode_row,
)
from streamrec.state.sessions import event_digest, is_repeat, remember, session_window

__all__ = ["advance"]

MAX_APPEND_BYTES: Final = 4 << 20
# What a record batch adds to a row.
_FRAME_BYTES: Final = 32


def advance(
    records: Sequence[InputRecord],
    state: PartitionState,
    step_model: StepModel | None,
    canary: Canary[StepModel] | None = None,
    *,
    max_append_bytes: int = MAX_APPEND_BYTES,
) -> Changes:
    """Apply records, in offset order, to the state of their partition.

    step_model: steps the hidden states of all visitors whom the canary does not serve.
    The changes are one append; after it, and before the next call, `state.commit` takes them.
    Their size stays near `max_append_bytes`, so that a call may consume fewer records than
    given, but at least one. The rows depend on the partition's input alone, not on how it is
    cut into calls; a failed record ends its call. Raises StateError if the changes of the
    last call are not committed.
    """
    state.begin()
    failure: ModelError | None = None
    one_by_one = False
    while True:
        try:
            return _Call(state, step_model, canary, failure, one_by_one).run(records, max_append_bytes)
        except BatchError:
            one_by_one = True
            state.rebuild()
        except ModelError as found:
            # What came before the record is right, what came after it built on it: once more without.
            failure = found
            end = next(n for n, record in enumerate(records, 1) if record.offset == found.offset)
            records = records[:end]
            state.rebuild()


class _Call:
    """One pass over a batch. `failure` names the record to refuse because a model fails on it.

    one_by_one: the online model learns records singly, so that it shows which of them it fails on.
    """

    def __init__(
        self,
        state: PartitionState,
        step_model: StepModel | None,
        canary: Canary[StepModel] | None,
        failure: ModelError | None,
        one_by_one: bool,
    ) -> None:
        settings = state.settings
        self._state = state
        self._live = None if step_model is None else Stepping(step_model)
        self._canary = canary
        self._in_canary = None if canary is None else Stepping(canary.model)
        self._failure = failure
        self._intake = Intake(settings, state.place.partition, state.place.n_partitions)
        self._learning = Learning(state, one_by_one=one_by_one)
        self._waiting = Waiting()
        self._ttl_ms = settings.visitor_ttl_s * 1000
        self._gap_ms = settings.session_gap_s * 1000
        self._session_items = settings.session_items
        self._recent_events = settings.recent_events
        self._keeps_sessions = state.past.has_work
        self._changes = Changes(state.watermark(state.offset))
        self._accepted = dict.fromkeys(settings.weights, 0)
        self._size = 0
        self._tick_end = _tick_end(state.clock_ms, state.tick_ms)

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
            if self._size + state.items.changed_bytes >= max_bytes:
                break
        for kind, n in self._accepted.items():
            if n:
                changes.counts[kind, "accepted"] = n
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
        held = state.visitor(key)
        if held is None:  # else it was checked when the row was made
            intake.check_partition(record_key)
        clock = event.time if event.time > state.clock_ms else state.clock_ms
        horizon = clock - self._ttl_ms
        weight = intake.weight(event, record.timestamp, horizon)
        if held is not None and held.row.last_time < horizon:
            held = None
        digest = event_digest(event.event_id)
        if held is not None and is_repeat(held.row.recent_events, digest):
            self._changes.counts[event.type, "repeat"] += 1
            return
        self._accepted[event.type] += 1
        if event.rec_id is not None and weight > 0:
            self._changes.clicked += 1
        if clock >= self._tick_end:
            self._flush_items()
            self._tick_end = _tick_end(clock, state.tick_ms)
        state.clock_ms = clock
        if state.visitors.earliest < horizon:
            self._part_with_silent(horizon, record.offset)
        if held is None:
            self._welcome(event, key, record.offset)
        self._apply(record, key, event, weight, held, digest)

    def _part_with_silent(self, horizon: int, offset: int) -> None:
        """Forget visitors who have been silent since before `horizon`."""
        for _ in range(MOST_LEAVING):
            key = self._state.visitors.pop_before(horizon)
            if key is None:
                break
            self._forget(key, offset, "visitor_ttl")

    def _welcome(self, event: Interaction, key: bytes, offset: int) -> None:
        """Make room for a visitor who is new, or was silent for too long and starts afresh."""
        state = self._state
        if state.visitor(key) is not None:
            # Its turn to leave had not come yet. Its place among the visitors serves the new row.
            self._forget(key, offset, "visitor_ttl")
            return
        for _ in range(MOST_LEAVING):
            if len(state.visitors) < state.settings.max_visitors:
                break
            self._forget(state.visitors.pop(), offset, "visitor_bound")
        state.visitors.add(event.time, key)

    def _forget(self, key: bytes, offset: int, reason: str) -> None:
        left = self._state.visitor(key) if self._keeps_sessions else None
        self._state.held[key] = None
        self._changes.rows.append(deletion(key, offset))
        self._size += len(key) + _FRAME_BYTES
        self._changes.evictions[reason] += 1
        if left is not None:
            self._keep_session(left.row, offset)

    def _keep_session(self, row: VisitorRow, offset: int) -> None:
        """The session of a visitor's row is over."""
        rows = self._state.past.keep(row.items, row.session_time, offset)
        self._changes.rows += rows
        self._size += sum(len(key) + len(value or b"") + _FRAME_BYTES for key, value, _ in rows)

    def _apply(
        self,
        record: InputRecord,
        key: bytes,
        event: Interaction,
        weight: float,
        held: Held | None,
        digest: bytes,
    ) -> None:
        """Make the visitor's next row. What the models make of it follows at the end of the call."""
        state, offset, time = self._state, record.offset, event.time
        row = None if held is None else held.row
        window = session_window(row, event.visitor_id, event.session_id, time, self._gap_ms)
        going_on = None if window.is_new else held
        canary = self._canary
        stepping = self._live if canary is None or not canary.serves(event.visitor_id) else self._in_canary
        version, hidden, waits_for = session_model(stepping, event, weight, going_on, offset)
        items = [] if going_on is None else going_on.row.items
        if weight > 0:
            items = [*items, event.item_id]
            if len(items) > self._session_items:
                items = items[-self._session_items :]
        factors, learns = self._learning.learn(event, weight, offset, held, self._changes)
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
            factors,
            time if row is None or time > row.last_time else row.last_time,
            hidden if waits_for is None else b"",
        )
        now = state.held[key] = Held(new, waits_for, learns)
        rows = self._changes.rows
        value = encode_row(new)
        self._size += len(key) + len(value) + _FRAME_BYTES
        if waits_for is not None and stepping is not None:
            self._size += stepping.hidden_bytes
        if learns is not None:
            self._size += state.items.factors_bytes
        if waits_for is not None or learns is not None:
            self._waiting.add(len(rows), key, value, now, stepping)
        rows.append((key, value, ()))
        if row is not None and window.is_new and self._keeps_sessions:
            # Behind the visitor's row, so that no reader meets the session twice: here and still there.
            self._keep_session(row, offset)

    def _flush_items(self) -> None:
        self._size += self._state.items.changed_bytes
        self._changes.rows += self._learning.flush()

    def _finish(self, offset: int) -> None:
        """Complete the visitor rows, and end with the items' rest, the learner, the watermark."""
        state, changes = self._state, self._changes
        self._waiting.fill(changes.rows, self._learning.run())
        self._flush_items()
        if state.online is not None:
            learner = LearnerRow(*state.online.numbers())
            if learner != state.learner:
                state.learner = learner
                changes.rows.append((LEARNER_KEY, encode_row(learner), ()))
        changes.watermark = state.watermark(offset)
        changes.rows.append((WATERMARK_KEY, encode_row(changes.watermark), ()))
        state.uncommitted = True


def _tick_end(clock_ms: int, tick_ms: int) -> int:
    """The time at which the tick that the clock is in ends."""
    return (clock_ms // tick_ms + 1) * tick_ms
