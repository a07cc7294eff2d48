"""The state app's step, slow and obvious: one interaction at a time, everything scanned.

What `streamrec.advance` does in batches and with indexes has to come out the same.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from state_parts import ONE_PARTITION, SmallOnline

from streamrec.advance import InputRecord, Place, partition_of
from streamrec.config import StateSettings
from streamrec.contracts import OnlineModel, StepModel
from streamrec.errors import RecordError
from streamrec.events import Interaction, decode_interaction
from streamrec.state.rows import (
    Factors,
    ItemRow,
    LearnerRow,
    SessionRow,
    VisitorRow,
    Watermark,
    encode_row,
)


@dataclass
class Item:
    slot: int
    offset: int
    time: int
    count: float = 0.0


class Reference:
    """The state of one partition."""

    def __init__(
        self,
        settings: StateSettings,
        online: OnlineModel | None,
        n_negatives: int,
        tick_ms: int,
        place: Place = ONE_PARTITION,
    ) -> None:
        self.settings, self.online, self.n_negatives, self.tick_ms = settings, online, n_negatives, tick_ms
        self.place = place
        self.unlearnable = online.bad if isinstance(online, SmallOnline) else ""
        self.clock = 0
        self.offset = -1
        self.visitors: dict[str, VisitorRow] = {}
        self.items: dict[str, Item] = {}
        self.past: list[SessionRow] = []
        self.visitor_log: list[tuple[bytes, bytes | None]] = []
        self.rejected: list[tuple[int, str]] = []
        self.seen: list[tuple[int, dict[bytes, bytes]]] = []
        self.visible: dict[bytes, bytes] = {}

    def take(self, record: InputRecord, model: StepModel | None) -> None:
        """Apply a record. A model that fails leaves no trace but the refusal."""
        try:
            self.accept(record, model)
        except RecordError as error:
            self.rejected.append((record.offset, error.reason))
        self.offset = record.offset

    def accept(self, record: InputRecord, model: StepModel | None) -> None:
        settings = self.settings
        if record.value is None:
            raise RecordError("null_value", "")
        if record.key is None:
            raise RecordError("no_key", "")
        headers = sum(len(name.encode()) + len(value or b"") + 2 for name, value in record.headers)
        if len(record.value) + len(record.key) + headers > settings.max_event_bytes:
            raise RecordError("oversized", "")
        event = decode_interaction(record.value)
        if record.key != event.visitor_id.encode():
            raise RecordError("wrong_key", "")
        if partition_of(record.key, self.place.n_partitions) != self.place.partition:
            raise RecordError("wrong_partition", "")
        if event.type not in settings.weights:
            raise RecordError("unknown_type", "")
        if event.time > record.timestamp + 1000 * settings.max_future_s:
            raise RecordError("future", "")
        clock = max(self.clock, event.time)
        horizon = clock - 1000 * settings.visitor_ttl_s
        if event.time < max(horizon, record.timestamp - 1000 * settings.visitor_ttl_s):
            raise RecordError("late", "")
        before = self.visitors.get(event.visitor_id)
        if before is not None and before.last_time < horizon:
            before = None
        digest = xxhash.xxh3_64_digest(event.event_id.encode())
        recent = b"" if before is None else before.recent_events
        if digest in [recent[start : start + 8] for start in range(0, len(recent), 8)]:
            return
        # Whether a model fails is known before anything is changed.
        hidden, version = self.hidden_after(record, event, before, model)
        if self.unlearnable and event.item_id == self.unlearnable and settings.weights[event.type]:
            raise RecordError("model_failed", "")
        self.apply(record, event, clock, horizon, before, hidden, version, recent + digest)

    def new_session(self, event: Interaction, before: VisitorRow | None) -> bool:
        if before is None:
            return True
        if event.session_id is not None:
            return event.session_id != before.session_id
        return event.time - before.session_time > 1000 * self.settings.session_gap_s

    def hidden_after(
        self, record: InputRecord, event: Interaction, before: VisitorRow | None, model: StepModel | None
    ) -> tuple[bytes, str]:
        fresh = self.new_session(event, before)
        if self.settings.weights[event.type] <= 0:
            return (b"", "") if before is None or fresh else (before.hidden, before.model_version)
        if model is None:
            return b"", ""
        hidden, items = b"", [event.item_id]
        if before is not None and not fresh:
            if before.model_version == model.version:
                hidden = before.hidden
            else:
                items = [*before.items, event.item_id]
        for item_id in items:
            if model.item_index(item_id) >= 0:
                state = np.frombuffer(hidden or bytes(4 * model.hidden_size), dtype="<f4")[None, :]
                try:
                    state = model.step(np.array([model.item_index(item_id)]), state)
                except RuntimeError:
                    raise RecordError("model_failed", "") from None
                hidden = state.tobytes()
        return hidden, model.version

    def forget(self, n: int, offset: int, before: float = math.inf) -> None:
        """Forget n visitors, those silent the longest first, of those last seen before a time."""
        due = [(row.last_time, name) for name, row in self.visitors.items() if row.last_time < before]
        for _, visitor_id in sorted(due)[:n]:
            self.keep_session(self.visitors.pop(visitor_id))
            self.visitor_log.append((b"v:" + visitor_id.encode(), None))

    def keep_session(self, row: VisitorRow) -> None:
        if len(row.items) >= 2 and self.settings.recent_sessions:
            self.past.append(SessionRow(len(self.past), row.session_time, row.items))

    def apply(
        self,
        record: InputRecord,
        event: Interaction,
        clock: int,
        horizon: int,
        before: VisitorRow | None,
        hidden: bytes,
        version: str,
        recent: bytes,
    ) -> None:
        settings, time = self.settings, event.time
        starts_tick = clock // self.tick_ms > self.clock // self.tick_ms
        self.clock = clock
        self.forget(len(self.visitors), record.offset, before=horizon)
        if before is None and len(self.visitors) >= settings.max_visitors:
            self.forget(len(self.visitors) - settings.max_visitors + 1, record.offset)
        if starts_tick:
            self.visible = self.visitor_rows() | self.session_rows() | self.item_rows()
        fresh = self.new_session(event, before)
        weight = settings.weights[event.type]
        old: Any = before
        items = ([] if fresh else old.items) + ([event.item_id] if weight > 0 else [])
        session = event.session_id or (f"{event.visitor_id}@{time}" if fresh else old.session_id)
        row = VisitorRow(
            offset=record.offset,
            clock_ms=clock,
            event_id=event.event_id,
            event_time=time,
            record_time=record.timestamp,
            asks=weight > 0,
            session_id=session,
            session_time=time if fresh else max(time, old.session_time),
            items=items[-settings.session_items :],
            recent_events=recent[-8 * settings.recent_events :],
            model_version=version,
            hidden=hidden,
            factors=self.learn(record, event, weight, Factors() if before is None else before.factors),
            last_time=time if before is None else max(time, before.last_time),
        )
        if before is not None and fresh:
            self.keep_session(before)
        self.visitors[event.visitor_id] = row
        self.visitor_log.append((b"v:" + event.visitor_id.encode(), encode_row(row)))
        self.seen.append((record.offset, self.visible))

    def learn(self, record: InputRecord, event: Interaction, weight: float, factors: Factors) -> Factors:
        online, item_id = self.online, event.item_id
        if weight == 0 or (weight < 0 and online is None):
            return factors if online else Factors()
        if item_id not in self.items:
            self.evict(record.offset)
            self.items[item_id] = Item(len(self.items), record.offset, event.time)
        item = self.items[item_id]
        if weight > 0:
            later = max(item.time, event.time)
            half_life_ms = 1000 * self.settings.popularity_half_life_s
            item.count = item.count * 2.0 ** (-(later - item.time) / half_life_ms) + weight
            item.time = later
        item.offset = record.offset
        if online is None:
            return Factors()
        negatives = self.negatives(record.offset, item_id) if weight > 0 else []
        for negative in negatives:
            self.items[negative].offset = record.offset
        target = 2 * weight / (1 + weight) if weight > 0 else 0.0
        return online.learn_one(
            event.visitor_id, factors if factors.vector else online.visitor(event.visitor_id), item_id,
            target, negatives,
        )  # fmt: skip

    def evict(self, offset: int) -> None:
        if len(self.items) < self.settings.max_items:
            return
        gone = min(self.items, key=lambda item_id: (self.items[item_id].time, item_id))
        hole = self.items.pop(gone).slot
        for item in self.items.values():
            if item.slot == len(self.items):
                item.slot, item.offset = hole, offset
        if self.online is not None:
            self.online.drop_item(gone)

    def negatives(self, offset: int, without: str) -> list[str]:
        key = hashlib.blake2b(f"{self.settings.seed}/{self.place.partition}".encode()).digest()
        words = hashlib.blake2b(f"{offset}/0".encode(), key=key).digest()
        by_slot = {item.slot: item_id for item_id, item in self.items.items()}
        drawn: list[str] = []
        for n in range(self.n_negatives):
            word = int.from_bytes(words[4 * n : 4 * n + 4], "little")
            item_id = by_slot[word * len(by_slot) // 2**32]
            if item_id != without and item_id not in drawn:
                drawn.append(item_id)
        return drawn

    def visitor_rows(self) -> dict[bytes, bytes]:
        return {b"v:" + visitor_id.encode(): encode_row(row) for visitor_id, row in self.visitors.items()}

    def session_rows(self) -> dict[bytes, bytes]:
        size = self.settings.recent_sessions
        return {f"s:{n % size}".encode(): encode_row(row) for n, row in enumerate(self.past)}

    def item_rows(self) -> dict[bytes, bytes]:
        return {
            b"i:" + item_id.encode(): encode_row(
                ItemRow(
                    item.offset,
                    item.slot,
                    item.time,
                    item.count,
                    Factors() if self.online is None else self.online.item(item_id),
                )
            )
            for item_id, item in self.items.items()
        }

    def rows(self) -> dict[bytes, bytes]:
        """All rows, as bytes."""
        rows = self.visitor_rows() | self.session_rows() | self.item_rows()
        if self.online is not None and self.online.numbers()[0]:
            rows[b"g:"] = encode_row(LearnerRow(*self.online.numbers()))
        if self.offset >= 0:
            rows[b"w:"] = encode_row(
                Watermark(self.offset, self.place.topic_id, self.clock, self.place.table_id, len(self.past))
            )
        return rows
