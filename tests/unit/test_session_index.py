"""The index of recent sessions: whatever happened to it, it is the one that is built at once."""

from collections.abc import Iterable
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec import session_index
from streamrec.session_index import IndexedSession, SessionIndex

KEYS, ITEMS = "pqrstu", "abcd"

_keys, _items, _times = st.sampled_from(KEYS), st.sampled_from(ITEMS), st.integers(0, 5)
_changes = st.one_of(
    st.tuples(st.just("put"), _keys, st.lists(_items, min_size=1, max_size=5), _times),
    st.tuples(st.just("click"), _keys, _items, _times),
    st.tuples(st.just("remove"), _keys),
)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterable[None]:
    """Blocks of two, so that a handful of sessions fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_index, "_BLOCK", 2)
        yield


def observed(index: SessionIndex) -> dict[str, Any]:
    return {
        "len": len(index),
        "sessions": list(index),
        "by key": {key: index.get(key) for key in KEYS},
        "items": set(index.items),
        "holding": {item: list(index.holding(item)) for item in ITEMS},
        "n_holding": {item: index.n_holding(item) for item in ITEMS},
        "n_listed": index.n_listed,
        "repeat_share": index.repeat_share,
    }


def stated(sessions: Iterable[IndexedSession]) -> dict[str, Any]:
    """The same, worked out from the sessions without an index."""
    kept = sorted(sessions, key=lambda session: (session.time_ms, session.key), reverse=True)
    listed = [session for session in kept if len(session.items) > 1]
    steps = [step for session in listed for step in pairwise(session.items)]
    holding = {item: [session for session in listed if item in session.items] for item in ITEMS}
    return {
        "len": len(kept),
        "sessions": kept,
        "by key": {key: next((session for session in kept if session.key == key), None) for key in KEYS},
        "items": {item for session in listed for item in session.items},
        "holding": holding,
        "n_holding": {item: len(holding[item]) for item in ITEMS},
        "n_listed": len(listed),
        "repeat_share": sum(a == b for a, b in steps) / len(steps) if steps else 0.0,
    }


@given(st.lists(_changes, max_size=40), st.integers(1, 6), st.integers(2, 4))
def test_after_any_changes_it_is_the_index_built_from_what_is_left(
    changes: list[Any], max_sessions: int, max_items: int
) -> None:
    index = SessionIndex(max_sessions=max_sessions, max_items=max_items)
    left: dict[str, IndexedSession] = {}
    for name, key, *rest in changes:
        getattr(index, name)(key, *rest)
        before = left.pop(key, None)
        if name == "remove":
            continue
        items, time = rest
        if name == "click" and before:
            items, time = (*before.items, items), max(time, before.time_ms)
        left[key] = IndexedSession(time, key, tuple(items)[-max_items:])
        if len(left) > max_sessions:
            del left[min(left, key=lambda key: (left[key].time_ms, key))]
    rebuilt = SessionIndex(left.values(), max_sessions=max_sessions, max_items=max_items)
    assert observed(index) == stated(left.values()) == observed(rebuilt)


@given(st.dictionaries(_keys, st.tuples(st.lists(_items, min_size=1, max_size=5), _times)), st.integers(1, 4))
def test_built_at_once_it_keeps_the_most_recent(
    sessions: dict[str, tuple[list[str], int]], max_sessions: int
) -> None:
    one_by_one = SessionIndex(max_sessions=max_sessions, max_items=3)
    for key, (items, time_ms) in sessions.items():
        one_by_one.put(key, items, time_ms)
    at_once = SessionIndex(
        [IndexedSession(time, key, tuple(items)) for key, (items, time) in sessions.items()],
        max_sessions=max_sessions,
        max_items=3,
    )
    assert observed(at_once) == observed(one_by_one)


def test_an_old_session_moves_to_the_front_with_its_next_click() -> None:
    index = SessionIndex()
    for time, key in enumerate("pqr"):
        index.put(key, ["a", "b"], time)
    assert [session.key for session in index.holding("a")] == ["r", "q", "p"]
    index.click("p", "c", 10)
    assert [session.key for session in index.holding("a")] == ["p", "r", "q"]
    assert list(index.holding("c")) == [IndexedSession(10, "p", ("a", "b", "c"))]


def test_a_late_click_neither_turns_the_session_back_nor_gets_lost() -> None:
    index = SessionIndex()
    index.put("p", ["a", "b"], 10)
    index.click("p", "c", 3)
    assert index.get("p") == IndexedSession(10, "p", ("a", "b", "c"))


def test_of_equal_times_the_greater_key_comes_first() -> None:
    index = SessionIndex()
    for key in "qrp":
        index.put(key, ["a", "b"], 7)
    assert [session.key for session in index.holding("a")] == ["r", "q", "p"]


def test_of_several_sessions_under_one_key_the_last_counts() -> None:
    index = SessionIndex([IndexedSession(5, "p", ("a", "b")), IndexedSession(3, "p", ("c", "d"))])
    assert list(index) == [IndexedSession(3, "p", ("c", "d"))]
    assert set(index.items) == {"c", "d"}


def test_a_session_of_one_click_is_kept_but_not_listed() -> None:
    index = SessionIndex()
    index.click("p", "a", 1)
    assert len(index) == 1
    assert index.n_listed == index.n_holding("a") == len(list(index.holding("a"))) == 0
    index.click("p", "b", 2)
    assert index.n_listed == index.n_holding("a") == index.n_holding("b") == 1


def test_the_newest_of_an_item_come_first_over_many_blocks() -> None:
    index = SessionIndex(IndexedSession(time, f"{time:06}", ("a", "b")) for time in range(10_000))
    newest = index.holding("a")
    assert [session.time_ms for session in islice(newest, 3)] == [9_999, 9_998, 9_997]
    assert sum(1 for _ in newest) == 9_997


def test_a_session_without_items_is_refused() -> None:
    index = SessionIndex()
    index.put("p", ["a", "b"], 1)
    with pytest.raises(ValueError, match="session 'p' has no items; remove it instead"):
        index.put("p", [], 2)
    assert index.get("p") == IndexedSession(1, "p", ("a", "b"))


@pytest.mark.parametrize("bounds", [{"max_sessions": 0}, {"max_items": 1}])
def test_bounds_that_leave_no_neighbours_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"max_sessions of at least 1 and max_items of at least 2"):
        SessionIndex(**bounds)
