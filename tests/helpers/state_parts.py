"""Parts for tests of the state app's step: records, small models, and a reader of the log."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamrec.advance import Changes, PartitionState, Place, advance
from streamrec.config import StateSettings
from streamrec.contracts import FloatArray, IntArray
from streamrec.state.rows import ITEM, SESSION, VISITOR, Factors, VisitorRow, decode_visitor_row

BASE = 1_700_000_000_000
HIDDEN = 3
ONE_PARTITION = Place("topic-1", 0, 1)


class Record(NamedTuple):
    """An input record, as a consumer gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def click(offset: int, visitor: str = "v", item: str = "a", time: int = BASE, **fields: Any) -> Record:
    """The record of an interaction; `fields` are further fields of it, `timestamp` the record's."""
    timestamp = fields.pop("timestamp", max(time, BASE))
    event = {"event_id": f"e{offset}", "type": "view", "visitor_id": visitor, "item_id": item, "time": time}
    return Record(offset, timestamp, visitor.encode(), json.dumps(event | fields).encode())


def hashed(name: str) -> float:
    """A number in [-1, 1) that follows from a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest()) / 2**31 - 1


class SmallStep:
    """A step model that knows items of one letter, and fails on item `bad`, batch and all."""

    hidden_size = HIDDEN

    def __init__(self, version: str = "v1", bad: str = "") -> None:
        self.version = version
        self.calls = 0
        self._bad = self.item_index(bad)

    def item_index(self, item_id: str) -> int:
        return ord(item_id) if len(item_id) == 1 else -1

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        self.calls += 1
        if self._bad in items:
            raise RuntimeError("graph failed")
        weight = np.float32(0.5 if self.version == "v1" else 0.25)
        return np.tanh(hidden * weight + (items[:, None] % np.arange(3, 6)).astype(np.float32))


def states(items: str, version: str = "v1") -> bytes:
    """The hidden state of SmallStep after these items, from zeros."""
    model, state = SmallStep(version), np.zeros((1, HIDDEN), dtype=np.float32)
    for item in items:
        state = model.step(np.array([model.item_index(item)]), state)
    return state.tobytes()


class SmallOnline:
    """Matrix factorisation with two factors. Its run fails on item `bad`, having changed some items."""

    def __init__(self, bad: str = "") -> None:
        self.items: dict[str, tuple[float, float]] = {}
        self.bad = bad
        self.outcomes: list[Factors] = []
        self.failed = False
        self._numbers = (0, 0.0)

    def visitor(self, visitor_id: str) -> Factors:
        return Factors(struct.pack("<2d", hashed(visitor_id), 0.5), hashed("b" + visitor_id))

    def item(self, item_id: str) -> Factors:
        return Factors(struct.pack("<2d", *self._item(item_id)), 0.0)

    def _item(self, item_id: str) -> tuple[float, float]:
        return self.items.get(item_id, (hashed(item_id), 0.25))

    def set_item(self, item_id: str, factors: Factors) -> None:
        self.items[item_id] = struct.unpack("<2d", factors.vector)

    def drop_item(self, item_id: str) -> None:
        self.items.pop(item_id, None)

    def numbers(self) -> tuple[int, float]:
        return self._numbers

    def set_numbers(self, n: int, mean: float) -> None:
        self._numbers = n, mean

    def learn(
        self, visitor_id: str, before: Factors | int, item_id: str, target: float, negatives: Sequence[str]
    ) -> int:
        factors = self.outcomes[before] if isinstance(before, int) else before
        factors = factors if factors.vector else self.visitor(visitor_id)
        p, q = struct.unpack("<2d", factors.vector)
        for name, wanted in [(item_id, target), *((negative, 0.0) for negative in negatives)]:
            x, y = self._item(name)
            n, mean = self._numbers
            self._numbers = n + 1, mean + (wanted - mean) / (n + 1)
            error = 0.1 * (wanted - p * x - q * y - self._numbers[1])
            self.items[name] = x + error * p, y + error * q
            p, q = p + error * x, q + error * y
        self.failed |= item_id == self.bad
        self.outcomes.append(Factors(struct.pack("<2d", p, q), factors.bias + target))
        return len(self.outcomes) - 1

    def run(self) -> list[Factors]:
        if self.failed:
            raise ArithmeticError("diverged")
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def learn_one(
        self, visitor_id: str, factors: Factors, item_id: str, target: float, negatives: Sequence[str]
    ) -> Factors:
        self.learn(visitor_id, factors, item_id, target, negatives)
        return self.run()[-1]


class Partition:
    """A partition's state with the log of its appends."""

    def __init__(
        self,
        settings: StateSettings | None = None,
        place: Place = ONE_PARTITION,
        rows: dict[bytes, bytes] | None = None,
        **options: Any,
    ) -> None:
        self.log: list[tuple[bytes, bytes | None]] = []
        self._make: Callable[[dict[bytes, bytes]], PartitionState] = lambda rows: PartitionState(
            rows, place, settings or StateSettings(), **options
        )
        self.state = self._make(rows or {})

    @property
    def rows(self) -> dict[bytes, bytes]:
        return self.state.rows

    def restore(self) -> None:
        """Forget everything but the bytes of the rows."""
        self.state = self._make(dict(self.state.rows))

    def take(self, *records: Record, model: SmallStep | None = None, **options: Any) -> Changes:
        """One call of advance, appended and committed."""
        changes = advance(records, self.state, model, **options)
        self.log += [(key, value) for key, value, _ in changes.rows]
        self.state.commit(changes)
        return changes

    def take_all(self, *records: Record, **options: Any) -> list[Changes]:
        """As many calls as it needs."""
        changes: list[Changes] = []
        while records:
            changes.append(self.take(*records, **options))
            records = records[changes[-1].consumed :]
        return changes

    def visitor(self, visitor: str = "v") -> VisitorRow:
        """The visitor's row."""
        return decode_visitor_row(self.rows[VISITOR + visitor.encode()])

    def visitor_log(self) -> list[tuple[bytes, bytes | None]]:
        """All visitor rows and deletions ever appended."""
        return [(key, value) for key, value in self.log if key[:2] == VISITOR]


def seen_by_lists(
    log: Iterable[tuple[bytes, bytes | None]], tick_ms: int
) -> list[tuple[int, dict[bytes, bytes]]]:
    """For every visitor row of a log, its offset and the rows of items, sessions and visitors, as of the last
    tick, that its list may use."""
    pending: dict[bytes, bytes | None] = {}
    visible: dict[bytes, bytes] = {}
    tick = 0
    seen = []
    for key, value in log:
        if key[:2] == VISITOR and value is not None:
            row = decode_visitor_row(value)
            if row.clock_ms // tick_ms > tick:
                tick = row.clock_ms // tick_ms
                changed = visible | pending
                visible = {each: bytes_ for each, bytes_ in changed.items() if bytes_ is not None}
                pending = {}
            seen.append((row.offset, visible))
        if key[:2] in (ITEM, SESSION, VISITOR):
            pending[key] = value
    return seen
