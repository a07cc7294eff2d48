"""Sessions that are over stay in a ring of rows, rule by rule. In any batch: test_advance_law.py."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_parts import BASE, Partition, Record, SmallOnline, click

from streamrec.advance import Changes
from streamrec.config import StateSettings
from streamrec.errors import StateError
from streamrec.state.ring import SessionRing
from streamrec.state.rows import SessionRow, decode_session_row, decode_watermark

HOUR_MS = 3_600_000


def keeping(n: int, **settings: int) -> StateSettings:
    return StateSettings(recent_sessions=n, **settings)


def visit(offset: int, visitor: str, items: str, time: int = BASE, session: str = "s") -> list[Record]:
    return [click(offset + n, visitor, item, time + n, session_id=session) for n, item in enumerate(items)]


def ring(partition: Partition) -> dict[str, str]:
    """Items of the session rows, by key."""
    return {
        key.decode(): "".join(decode_session_row(value).items)
        for key, value in partition.rows.items()
        if key.startswith(b"s:")
    }


def keys(changes: Changes) -> list[str]:
    return [key.decode() + ("" if value is not None else " gone") for key, value, _ in changes.rows]


def test_by_default_no_session_is_kept() -> None:
    partition = Partition(StateSettings(max_visitors=1))
    partition.take(*visit(0, "v", "ab"), *visit(2, "v", "cd", session="next"), *visit(4, "w", "e"))
    assert ring(partition) == {}
    assert decode_watermark(partition.rows[b"w:"]).n_sessions == 0


def test_a_session_is_over_when_the_visitors_next_one_starts() -> None:
    partition = Partition(keeping(5))
    changes = partition.take(*visit(0, "v", "aba"), *visit(3, "v", "c", BASE + 9, "next"))
    # Behind the visitor's row: a reader that stops between them knows the old session once, not twice.
    assert keys(changes) == ["v:v"] * 4 + ["s:0", "i:a", "i:b", "i:c", "w:"]
    assert decode_session_row(partition.rows[b"s:0"]) == SessionRow(0, BASE + 2, ["a", "b", "a"])


def test_a_session_is_over_when_its_visitor_is_forgotten() -> None:
    partition = Partition(keeping(5, max_visitors=1))
    changes = partition.take(*visit(0, "v", "ab"), *visit(2, "w", "c"))
    assert keys(changes)[:5] == ["v:v", "v:v", "v:v gone", "s:0", "v:w"]
    assert decode_session_row(partition.rows[b"s:0"]) == SessionRow(0, BASE + 1, ["a", "b"])


def test_a_visitor_who_returns_after_expiry_leaves_one_session_behind() -> None:
    partition = Partition(keeping(5, visitor_ttl_s=60))
    changes = partition.take(*visit(0, "v", "ab"), *visit(2, "v", "c", BASE + HOUR_MS))
    assert [key for key in keys(changes) if key[0] != "i"] == ["v:v", "v:v", "v:v gone", "s:0", "v:v", "w:"]
    assert ring(partition) == {"s:0": "ab"}


def test_a_silence_ends_a_session_without_an_id() -> None:
    partition = Partition(keeping(5))
    times = (BASE, BASE + 1, BASE + HOUR_MS)
    partition.take(*(click(n, item="abc"[n], time=time) for n, time in enumerate(times)))
    assert ring(partition) == {"s:0": "ab"}


@pytest.mark.parametrize("items", ["", "a"])
def test_a_session_of_one_item_or_none_is_not_worth_a_row(items: str) -> None:
    partition = Partition(keeping(5, max_visitors=1))
    first = [*visit(0, "v", items), click(5, "v", "x", type="impression", session_id="s")]
    partition.take(*first, *visit(6, "v", "bc", session="next"), *visit(8, "v", "d", session="last"))
    assert ring(partition) == {"s:0": "bc"}


def test_the_oldest_session_makes_room_for_the_newest() -> None:
    partition = Partition(keeping(2))
    for n, items in enumerate(("ab", "cd", "ef", "gh")):
        partition.take(*visit(10 * n, "v", items, BASE + n, f"s{n}"))
        partition.restore()
    assert ring(partition) == {"s:0": "ef", "s:1": "cd"}
    assert decode_watermark(partition.rows[b"w:"]).n_sessions == 3


def test_no_row_says_whose_session_it_was() -> None:
    partition = Partition(keeping(5))
    partition.take(*visit(0, "somebody", "ab"), *visit(2, "somebody", "c", session="next"))
    assert msgspec.msgpack.decode(partition.rows[b"s:0"]) == [0, BASE + 1, ["a", "b"]]


def test_rows_of_before_there_were_sessions_are_read() -> None:
    partition = Partition()
    partition.take(*visit(0, "v", "ab"))
    *older, n_sessions = msgspec.msgpack.decode(partition.rows[b"w:"])
    assert n_sessions == 0
    rows = partition.rows | {b"w:": msgspec.msgpack.encode(older)}
    later = Partition(keeping(5), rows=rows)
    later.take(*visit(2, "v", "c", session="next"))
    assert ring(later) == {"s:0": "ab"}


def test_a_model_that_fails_on_a_record_leaves_no_session_behind() -> None:
    partition = Partition(keeping(5), make_online=lambda: SmallOnline(bad="!"))
    records = [*visit(0, "v", "ab"), *visit(2, "v", "!", session="next"), *visit(3, "v", "c", session="s")]
    changes = partition.take_all(*records)
    assert [letter.reason for each in changes for letter in each.rejected] == ["model_failed"]
    assert ring(partition) == {}


@pytest.mark.parametrize("size", [0, 50])
def test_a_ring_that_was_larger_gives_back_its_slots_in_portions(size: int) -> None:
    partition = Partition(keeping(200))
    for n in range(191):
        partition.take(*visit(10 * n, "v", "ab", BASE + n, f"s{n}"))
    assert len(ring(partition)) == 190
    smaller = Partition(keeping(size), rows=partition.rows)
    sizes = []
    for n in range(4):
        smaller.take(*visit(3000 + 10 * n, "v", "cd", BASE + HOUR_MS, f"t{n}"))
        sizes.append(len(ring(smaller)))
        smaller.restore()
    assert sizes == [max(size, 190 - 64 * n) for n in range(1, 5)]
    assert decode_watermark(smaller.rows[b"w:"]).n_sessions == 190 + (4 if size else 0)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 12)), max_size=6))
def test_the_last_sessions_are_kept_however_large_the_ring_has_been(phases: list[tuple[int, int]]) -> None:
    rows: dict[bytes, bytes] = {}
    expected: list[int] = []
    n_kept = 0

    def restored(size: int) -> SessionRing:
        slots = [(decode_session_row(value).number, int(key[2:])) for key, value in rows.items()]
        return SessionRing(size, n_kept, slots)

    for size, n in phases:
        lasting = restored(size)
        for _ in range(n):
            after_a_restart = restored(size).keep(["a", "b"], 0, 0)
            changes = lasting.keep(["a", "b"], 0, 0)
            assert changes == after_a_restart
            for key, value, _ in changes:
                rows[key] = value or b""
            rows = {key: value for key, value in rows.items() if value}
            expected = [*expected, n_kept][-size:] if size else []
            n_kept = lasting.n_kept
            assert sorted(decode_session_row(value).number for value in rows.values()) == expected


def test_a_slot_that_is_no_number_is_refused() -> None:
    with pytest.raises(StateError, match="streamrec state rebuild"):
        Partition(rows={b"s:first": b""})
