"""The board of sessions: what is in sight when, and sources that know exactly that."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from state_parts import BASE

from streamrec.board_opener import board_opener
from streamrec.config import SESSION_SOURCES, Settings, load_settings
from streamrec.errors import ConfigError
from streamrec.session_board import SessionBoard
from streamrec.state.rows import SessionRow, VisitorRow, encode_row, session_key

ITEMS = "abcdef"
VISITORS = "uvw"


def settings_of(*sources: str, **options: Any) -> Settings:
    weights = {"popularity": 1.0, **dict.fromkeys(sources, 1.0)}
    state = {"recent_sessions": 4, **options.pop("state", {})}
    return load_settings(state=state, scoring={"weights": weights}, **options)


def board_of(*sources: str, **options: Any) -> SessionBoard:
    return board_opener(settings_of(*sources, **options))().sessions


def row(items: str, time: int = BASE) -> VisitorRow:
    return VisitorRow(
        *(0, time, "e", time, time, True, "s", time, list(items), b""),
    )


def past(items: str, time: int = BASE) -> bytes:
    return encode_row(SessionRow(0, time, list(items)))


def seen(*sessions: str, sources: tuple[str, ...] = SESSION_SOURCES, **options: Any) -> SessionBoard:
    """A board of sessions that are over, one a second."""
    board = board_of(*sources, **options)
    for slot, items in enumerate(sessions):
        board.apply(session_key(slot), past(items, BASE + 1000 * slot))
    board.begin_tick()
    return board


def best(board: SessionBoard, source: str, items: str, n: int = 10) -> str:
    return "".join(board.best(source, list(items), n))


every_source = pytest.mark.parametrize("source", SESSION_SOURCES)


@every_source
def test_what_others_had_beside_the_item_is_proposed(source: str) -> None:
    board = seen("ab", "ab", "ac", "de", "df")
    assert set(best(board, source, "a")) - {"a"} == {"b", "c"}
    assert best(board, source, "x") == ""


@every_source
def test_a_session_is_in_sight_from_the_next_tick_on(source: str) -> None:
    board = seen("ab")
    board.apply(session_key(1), past("ac"))
    board.visit("v", row("ad"))
    assert not set("cd") & set(best(board, source, "a"))
    board.begin_tick()
    assert set("bcd") <= set(best(board, source, "a"))


@every_source
def test_an_overwritten_slot_and_a_forgotten_visitor_leave_nothing_behind(source: str) -> None:
    board = seen("ab", "ac")
    board.visit("v", row("ad"))
    board.begin_tick()
    board.apply(session_key(0), past("ef"))
    board.apply(session_key(1), None)
    board.visit("v", None)
    board.begin_tick()
    assert best(board, source, "a") == ""


@every_source
def test_a_visitor_who_begins_anew_is_no_longer_in_the_old_session(source: str) -> None:
    board = board_of(source)
    for items in ("abc", "d"):
        board.visit("v", row(items))
        board.begin_tick()
    assert best(board, source, "a") == ""


@every_source
def test_what_a_visitor_had_before_is_proposed_again(source: str) -> None:
    board = board_of(source)
    board.visit("v", row("abc"))
    board.begin_tick()
    board.visit("v", row("abca"))
    assert set(best(board, source, "abca")) >= {"b", "c"}


@every_source
def test_the_best_come_first_equals_by_id_and_those_left_out_are_missing(source: str) -> None:
    board = seen(*["ad"] * 3, "ac", "ab", "ef")
    ranked = best(board, source, "a").replace("a", "")
    assert ranked[0] == "d"
    assert board.best(source, ["a"], 10, {"d"}, set(), {"a"}) == list(ranked[1:])
    assert best(board, source, "a", n=1) == best(board, source, "a")[0]


def test_what_is_in_sight_can_be_learned_bit_by_bit() -> None:
    board = seen("ab", "ac", "ad", "ae", "af")
    assert list(board.learn(2)) == [3, 1, 0]
    assert list(board.learn(2)) == []
    assert best(board, "markov", "a") == "bcdef"


def test_equals_stand_in_the_order_of_their_ids() -> None:
    assert best(seen("ad", "ac", "ab"), "markov", "a") == "bcd"


def test_one_click_is_no_session_yet() -> None:
    board = board_of(*SESSION_SOURCES)
    board.visit("v", row("a"))
    board.visit("w", row("b"))
    board.begin_tick()
    assert [best(board, source, "a") for source in SESSION_SOURCES] == [""] * 5


def test_without_a_source_nothing_is_read_and_nothing_kept() -> None:
    board = board_of()
    board.apply(session_key(0), b"no session row")
    board.begin_tick()
    assert not list(board.sources)


def test_only_the_sources_that_have_a_weight_are_made() -> None:
    settings = load_settings(
        state={"recent_sessions": 1}, scoring={"weights": {"markov": 0.5, "stan": 0.0, "vs_knn": 0.1}}
    )
    assert list(board_opener(settings)().sessions.sources) == ["markov", "vs_knn"]


def test_partitions_do_not_share_what_they_learn() -> None:
    opened = board_opener(settings_of("markov", "vmis_knn"))
    one, other = opened().sessions, opened().sessions
    one.apply(session_key(0), past("ab"))
    for board in (one, other):
        board.begin_tick()
    assert (best(one, "markov", "a"), best(other, "markov", "a")) == ("b", "")
    assert best(other, "vmis_knn", "a") == ""


def test_hyperparameters_reach_the_models_as_numbers_and_as_text() -> None:
    sessions = ("abc", "de")
    assert best(seen(*sessions, sources=("markov",)), "markov", "a") == "bc"
    assert best(seen(*sessions, sources=("markov",), markov={"window": "1"}), "markov", "a") == "b"
    assert best(seen("ab", "ac", sources=("stan",), stan={"k": 1}), "stan", "a").replace("a", "") == "c"


@pytest.mark.parametrize(
    ("source", "parameters", "message"),
    [
        (
            "markov",
            {"window": 0},
            r"source of lists with STREAMREC_MARKOV__WINDOW=0:\n  window: .*greater than or equal to 1",
        ),
        (
            "item_knn",
            {"k": 5, "neighbours": 3},
            r"STREAMREC_ITEM_KNN__K=5, STREAMREC_ITEM_KNN__NEIGHBOURS=3:\n  neighbours: there is no such",
        ),
        ("vmis_knn", {"max_sessions": 9}, r"vmis_knn: max_sessions .*state\.recent_sessions"),
    ],
)
def test_a_hyperparameter_that_does_not_fit_is_named(source: str, parameters: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        board_opener(settings_of(source, **{source: parameters}))


notes = st.one_of(
    st.tuples(st.just("past"), st.integers(0, 3), st.text(ITEMS, min_size=2, max_size=5), st.integers(0, 9)),
    st.tuples(st.just("gone"), st.integers(0, 3)),
    st.tuples(st.just("click"), st.sampled_from(VISITORS), st.sampled_from(ITEMS), st.integers(0, 9)),
    st.tuples(st.just("anew"), st.sampled_from(VISITORS), st.sampled_from(ITEMS), st.integers(0, 9)),
    st.tuples(st.just("forget"), st.sampled_from(VISITORS)),
    st.tuples(st.just("tick"), st.booleans()),
    st.tuples(st.just("tick"), st.just(True)),
    st.tuples(st.just("learn"), st.integers(1, 3)),
)


def note(board: SessionBoard, rows: dict[str, Any], change: Any) -> None:
    """Tell the board of a change, and put what it leads to among the rows."""
    kind, *what = change
    if kind == "past":
        slot, items, time = what
        rows[f"s:{slot}"] = (items, time)
        board.apply(session_key(slot), past(items, BASE + time))
    elif kind == "gone":
        rows.pop(f"s:{what[0]}", None)
        board.apply(session_key(what[0]), None)
    elif kind == "forget":
        rows.pop(f"v:{what[0]}", None)
        board.visit(what[0], None)
    else:
        visitor, item, time = what
        before = "" if kind == "anew" else rows.get(f"v:{visitor}", ("", 0))[0]
        rows[f"v:{visitor}"] = (before + item)[-4:], time
        board.visit(visitor, row(rows[f"v:{visitor}"][0], BASE + time))


def built_at_once(rows: dict[str, Any], make: Callable[[], SessionBoard]) -> SessionBoard:
    board = make()
    for key, (items, time) in sorted(rows.items()):
        if key.startswith("s:"):
            board.apply(key.encode(), past(items, BASE + time))
        else:
            board.visit(key[2:], row(items, BASE + time))
    board.begin_tick()
    return board


def answers(board: SessionBoard, asked: str) -> list[str]:
    """What every source proposes after each item."""
    return [best(board, source, asked[:n]) for source in SESSION_SOURCES for n in range(1, len(asked) + 1)]


OPEN = board_opener(settings_of(*SESSION_SOURCES, state={"session_items": 4}))


@hypothesis_settings(max_examples=200, deadline=None)
@given(changes=st.lists(notes, min_size=10, max_size=40), asked=st.text(ITEMS, min_size=1, max_size=4))
def test_whatever_came_and_went_the_sources_know_what_is_in_sight(changes: list[Any], asked: str) -> None:
    def make() -> SessionBoard:
        return OPEN().sessions

    board = make()
    rows: dict[str, Any] = {}
    visible: dict[str, Any] = {}
    for change in [*changes, ("tick", True)]:
        if change[0] == "learn":
            next(board.learn(change[1]), 0)
            continue
        if change[0] != "tick":
            note(board, rows, change)
            continue
        assert not change[1] or answers(board, asked) == answers(built_at_once(visible, make), asked)
        board.begin_tick()
        visible = dict(rows)
        assert not change[1] or answers(board, asked) == answers(built_at_once(visible, make), asked)
