"""Items of a partition: slots, counts, draws."""

from collections import Counter

import pytest

from streamrec.state.items import NO_FACTORS, ItemIndex
from streamrec.state.rows import Factors, ItemRow, decode_item_row


def index(*items: str, max_items: int = 10, half_life_ms: float = 1000.0) -> ItemIndex:
    made = ItemIndex((), max_items=max_items, half_life_ms=half_life_ms, draw_key=b"p0")
    for offset, item_id in enumerate(items):
        made.add(item_id, 0.0, 100 * offset, offset)
    return made


def flushed(made: ItemIndex) -> dict[str, ItemRow | None]:
    return {
        key[2:].decode(): None if value is None else decode_item_row(value)
        for key, value, _ in made.flush(lambda item_id: Factors(item_id.encode(), 1.0))
    }


def test_new_items_take_the_next_slots() -> None:
    assert list(index("c", "a", "b")) == ["c", "a", "b"]


def test_the_longest_unused_leaves_and_the_last_slot_fills_its_place() -> None:
    made = index("a", "b", "c", max_items=3)
    made.count("a", 1.0, 500, 3)
    flushed(made)
    assert made.evict(4) == "b"
    assert list(made) == ["a", "c"]
    assert flushed(made) == {"b": None, "c": ItemRow(4, 1, 200, 0.0, Factors(b"c", 1.0))}
    assert not made.is_full


def test_deleted_rows_stand_before_changed_ones() -> None:
    made = index("a", "b", max_items=2)
    made.evict(2)
    made.add("c", 0.0, 300, 2)
    assert [value is None for _, value, _ in made.flush(lambda _: NO_FACTORS)] == [True, False, False]


def test_a_count_halves_in_a_half_life_and_a_late_weight_counts_whole() -> None:
    made = index("a")
    made.count("a", 4.0, 1000, 1)
    made.count("a", 1.0, 2000, 2)
    made.count("a", 2.0, 500, 3)
    assert flushed(made)["a"] == ItemRow(3, 0, 2000, 4 / 2 + 1 + 2, Factors(b"a", 1.0))


def test_a_flush_gives_each_changed_item_once_and_then_nothing() -> None:
    made = index("a", "b")
    for offset in range(5):
        made.touch("a", 10 + offset)
    assert made.changed_bytes > 0
    rows = made.flush(lambda _: NO_FACTORS)
    assert [(key, decode_item_row(value).offset) for key, value, _ in rows if value] == [
        (b"i:a", 14),
        (b"i:b", 1),
    ]
    assert made.flush(lambda _: NO_FACTORS) == []
    assert made.changed_bytes == 0


def test_draws_follow_from_the_offset_and_leave_out_the_item_itself() -> None:
    made = index(*"abcdefgh")
    for offset in range(200):
        drawn = made.draw(20, offset, "c")
        assert drawn == made.draw(20, offset, "c")
        assert len(set(drawn)) == len(drawn)
        assert "c" not in drawn
        assert made.draw(3, offset, "x") == made.draw(20, offset, "x")[: len(made.draw(3, offset, "x"))]


def test_draws_are_spread_evenly_over_the_items() -> None:
    made = index(*"abcdefgh", "the one clicked")
    n = Counter(item_id for offset in range(9000) for item_id in made.draw(1, offset, "the one clicked"))
    assert set(n) == set("abcdefgh")
    assert all(abs(count - 1000) < 150 for count in n.values())


def test_draws_of_another_partition_differ() -> None:
    here, there = (ItemIndex((), max_items=99, half_life_ms=1, draw_key=key) for key in (b"0", b"1"))
    for n in range(50):
        here.add(str(n), 0.0, n, n)
        there.add(str(n), 0.0, n, n)
    assert [here.draw(5, n, "") for n in range(5)] != [there.draw(5, n, "") for n in range(5)]


@pytest.mark.parametrize("slots", [[0, 2], [1, 1], [1, 2], [0, 0]])
def test_slots_with_holes_are_refused(slots: list[int]) -> None:
    rows = [(str(n), ItemRow(0, slot, 0, 0.0, NO_FACTORS)) for n, slot in enumerate(slots)]
    with pytest.raises(ValueError, match="slots"):
        ItemIndex(rows, max_items=9, half_life_ms=1.0, draw_key=b"")
