"""The item board: what is visible when, and exact, ordered answers."""

import math
import random
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from streamrec.errors import StateError
from streamrec.item_board import ItemBoard
from streamrec.proposals import item_keys
from streamrec.state.rows import Factors, ItemRow, encode_row, item_key

TICK_MS = 1000
HALF_LIFE_S = 60.0

numbers = st.integers(-16, 16).map(lambda n: n / 8)
vectors = st.tuples(numbers, numbers, numbers)
item_ids = st.sampled_from([f"i{n}" for n in range(40)])
changes = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"),
            item_ids,
            vectors,
            numbers,
            st.integers(0, 5).map(float),
            st.integers(0, 300_000),
        ),
        st.tuples(st.just("drop"), item_ids),
        st.tuples(st.just("tick")),
    ),
    max_size=80,
)


def factors(vector: ArrayLike, bias: float = 0.0) -> Factors:
    return Factors(np.array(vector, dtype="<f8").tobytes(), bias)


def row(vector: ArrayLike = (), bias: float = 0.0, count: float = 1.0, time: int = 0, slot: int = 0) -> bytes:
    return encode_row(ItemRow(0, slot, time, count, factors(vector, bias)))


def new_board() -> ItemBoard:
    return ItemBoard(TICK_MS, HALF_LIFE_S)


def board_of(items: dict[str, bytes]) -> ItemBoard:
    board = new_board()
    for item_id, value in items.items():
        board.apply(item_key(item_id), value)
    board.advance_to(0)
    return board


def suiting(
    board: ItemBoard, vector: ArrayLike, n: int, excluded: AbstractSet[str] = frozenset(), *unavailable: str
) -> list[str]:
    found = board.best([factors(vector)], n, set(unavailable), [excluded])
    return found.names(0)


def popular(board: ItemBoard, n: int, excluded: AbstractSet[str] = frozenset()) -> list[str]:
    return board.popular(n, set(), [excluded]).names(0)


def ranked(scores: dict[str, float]) -> list[str]:
    """Best first; ties by key."""
    keys = dict(zip(scores, item_keys(scores).tolist(), strict=True))
    return sorted(scores, key=lambda item_id: (-scores[item_id], keys[item_id]))


def test_rows_become_visible_at_the_next_tick_and_not_before() -> None:
    board = new_board()
    board.advance_to(5_000)
    board.apply(item_key("a"), row())
    board.advance_to(5_999)
    assert "a" not in board
    assert not board.starts_tick(5_999)
    assert board.starts_tick(6_000)
    board.advance_to(6_000)
    assert popular(board, 3) == ["a"]


def test_the_first_clock_makes_everything_visible() -> None:
    board = new_board()
    board.apply(item_key("a"), row())
    board.advance_to(0)
    assert "a" in board


def test_a_deleted_row_disappears_at_the_next_tick() -> None:
    board = board_of({"a": row(), "b": row()})
    board.apply(item_key("a"), None)
    assert "a" in board
    board.advance_to(TICK_MS)
    assert popular(board, 3) == ["b"]
    assert len(board) == 1


def test_an_item_may_take_the_slot_of_another_in_any_order() -> None:
    moved, removed = (item_key("b"), row([0.0, 2.0], slot=0)), (item_key("a"), None)
    for order in ([moved, removed], [removed, moved]):
        board = board_of({"a": row([1.0, 0.0], slot=0), "b": row([0.0, 1.0], slot=1)})
        for key, value in order:
            board.apply(key, value)
        board.advance_to(TICK_MS)
        assert board.suiting([factors([0.0, 1.0])])[0].tolist() == [2.0 * 2.0**32]
        assert suiting(board, [0.0, 1.0], 5) == ["b"]


@given(changes=changes, visitor=vectors, excluded=st.sets(item_ids, max_size=20), n=st.integers(1, 12))
def test_answers_are_those_of_a_plain_dictionary(
    changes: list[Any], visitor: tuple[float, ...], excluded: set[str], n: int
) -> None:
    board, clock = new_board(), 0
    pending: dict[str, Any] = {}
    visible: dict[str, Any] = {}
    for kind, *change in changes:
        if kind == "tick":
            clock += TICK_MS
            board.advance_to(clock)
            visible = {i: held for i, held in (visible | pending).items() if held is not None}
            pending = {}
        elif kind == "put":
            item_id, vector, bias, count, time = change
            board.apply(item_key(item_id), row(vector, bias, count, time))
            pending[item_id] = (vector, bias, count, time)
        else:
            board.apply(item_key(change[0]), None)
            pending[change[0]] = None
    left = {item_id: held for item_id, held in visible.items() if item_id not in excluded}
    scores = {
        item_id: sum(x * y for x, y in zip(visitor, vector, strict=True)) + bias
        for item_id, (vector, bias, _, _) in left.items()
    }
    decayed = {
        item_id: math.log2(count) + time / (1000 * HALF_LIFE_S)
        for item_id, (_, _, count, time) in left.items()
        if count
    }
    assert len(board) == len(visible)
    assert suiting(board, visitor, n, excluded) == ranked(scores)[:n]
    assert popular(board, n, excluded) == ranked(decayed)[:n]


def random_rows(n: int) -> dict[str, bytes]:
    draw = np.random.default_rng(3)
    return {f"i{k}": row(draw.normal(size=32), count=float(draw.random())) for k in range(n)}


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_visitors_scores_do_not_depend_on_the_batch(size: int) -> None:
    board = board_of(random_rows(1003))
    draw = np.random.default_rng(4)
    visitors = [factors(draw.normal(size=32)) for _ in range(size)]
    together = board.suiting(visitors)
    for place, visitor in enumerate(visitors):
        np.testing.assert_array_equal(together[place], board.suiting([visitor])[0])


def test_scores_and_order_do_not_depend_on_how_the_board_was_filled() -> None:
    rows = random_rows(700)
    shuffled = list(rows)
    random.Random(5).shuffle(shuffled)
    one = board_of(rows)
    other = board_of({"gone": row([9.0] * 32), **{item_id: rows[item_id] for item_id in shuffled}})
    other.apply(item_key("gone"), None)
    other.advance_to(TICK_MS)
    visitor = np.random.default_rng(6).normal(size=32)
    assert suiting(one, visitor, 700) == suiting(other, visitor, 700)
    assert popular(one, 700) == popular(other, 700)
    assert sorted(one.suiting([factors(visitor)])[0]) == sorted(other.suiting([factors(visitor)])[0])


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.sampled_from([1e-4, 1.0, 60.0]),
    st.sampled_from([0.0, 2.0**-16, 64.0]),
)
def test_the_best_are_those_of_the_exact_scores(seed: int, n: int, spread: float, apart: float) -> None:
    # Many items nearly alike: rough scores alone could not tell them apart.
    draw = np.random.default_rng(seed)
    middle = draw.normal(size=32) * spread
    board = board_of({f"i{k}": row(middle + draw.integers(-3, 4, 32) * apart) for k in range(400)})
    visitors = [factors(draw.normal(size=32) * spread) for _ in range(3)]
    exact = board.suiting(visitors)
    found = board.best(visitors, n, set(), [set()] * 3)
    for visitor, scores in enumerate(exact):
        expected = ranked({f"i{k}": scores[board._places[f"i{k}"]] for k in range(400)})
        assert found.names(visitor) == expected[:n]


def test_popularity_is_the_decayed_count() -> None:
    board = board_of({"old": row(count=8.0, time=0), "new": row(count=3.0, time=120_000)})
    assert popular(board, 2) == ["new", "old"]  # two half-lives leave 2 of 8
    board.apply(item_key("old"), row(count=16.0, time=0))
    board.advance_to(TICK_MS)
    assert popular(board, 2) == ["old", "new"]


def test_equals_stand_in_the_order_of_their_keys() -> None:
    board = board_of({item_id: row([1.0], count=2.0) for item_id in "dbeac"})
    first, *others = ranked(dict.fromkeys("abcde", 1.0))
    assert suiting(board, [1.0], 3) == [first, *others[:2]]
    assert popular(board, 4, {first}) == others


def test_what_was_proposed_stays_what_it_was() -> None:
    board = board_of({"a": row([1.0]), "b": row([2.0])})
    before = board.best([factors([1.0])], 2, set(), [set()])
    board.apply(item_key("b"), None)
    board.apply(item_key("c"), row([3.0]))
    board.advance_to(TICK_MS)
    assert before.names(0) == ["b", "a"]
    assert suiting(board, [1.0], 2) == ["c", "a"]


def test_leaving_out_more_than_is_spare_still_fills_the_answer() -> None:
    board = board_of({f"i{n:03}": row([1.0 - n / 1000]) for n in range(300)})
    excluded = {f"i{n:03}" for n in range(290)}
    assert suiting(board, [1.0], 5, excluded, "i290") == [f"i{n}" for n in range(291, 296)]
    assert popular(board, 20, excluded) == ranked({f"i{n}": 1.0 for n in range(290, 300)})


def test_items_without_a_vector_are_popular_but_suit_nobody() -> None:
    board = board_of({"counted": row(), "learned": row([1.0, 1.0], count=0.0)})
    assert suiting(board, [1.0, 1.0], 5) == ["learned"]
    assert popular(board, 5) == ["counted"]


def test_without_any_vector_nothing_suits() -> None:
    board = board_of({"counted": row()})
    assert suiting(board, [1.0, 1.0], 5) == []
    assert suiting(new_board(), [1.0, 1.0], 5) == []
    assert popular(new_board(), 5) == []


def test_vectors_of_different_lengths_are_refused() -> None:
    board = board_of({"a": row([1.0, 2.0])})
    with pytest.raises(StateError, match="a vector has 3 factors"):
        board.suiting([factors([1.0, 2.0, 3.0])])
    board.apply(item_key("b"), row([1.0]))
    with pytest.raises(StateError, match=r"item b: .*online_mf\.factors"):
        board.advance_to(TICK_MS)
