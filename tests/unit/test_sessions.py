"""Session windows and repeats."""

from hypothesis import given
from hypothesis import strategies as st

from streamrec.state.rows import VisitorRow
from streamrec.state.sessions import (
    DIGEST_BYTES,
    Window,
    event_digest,
    is_repeat,
    remember,
    session_window,
)

GAP = 1000


def row(session_id: str = "s", session_time: int = 5000) -> VisitorRow:
    return VisitorRow(0, 0, "e", 0, 0, True, session_id, session_time, [], b"")


def test_a_new_visitor_begins_a_session_named_after_visitor_and_time() -> None:
    assert session_window(None, "v", None, 70, GAP) == Window("v@70", 70, True)


def test_a_new_visitor_begins_the_session_that_is_named() -> None:
    assert session_window(None, "v", "mine", 70, GAP) == Window("mine", 70, True)


def test_silence_of_exactly_the_gap_continues_the_session() -> None:
    assert session_window(row(), "v", None, 5000 + GAP, GAP) == Window("s", 6000, False)


def test_a_longer_silence_begins_a_session() -> None:
    assert session_window(row(), "v", None, 5001 + GAP, GAP) == Window("v@6001", 6001, True)


def test_another_explicit_id_begins_a_session_at_once_and_may_begin_it_earlier() -> None:
    assert session_window(row(), "v", "t", 4000, GAP) == Window("t", 4000, True)


def test_the_same_explicit_id_continues_after_any_silence() -> None:
    assert session_window(row(), "v", "s", 10**9, GAP) == Window("s", 10**9, False)


def test_without_an_id_a_named_session_goes_on() -> None:
    assert session_window(row("named"), "v", None, 5500, GAP) == Window("named", 5500, False)


@given(time=st.integers(0, 5000), session_id=st.sampled_from([None, "s"]))
def test_a_late_interaction_stays_in_the_session_and_does_not_move_its_time(
    time: int, session_id: str | None
) -> None:
    assert session_window(row(), "v", session_id, time, GAP) == Window("s", 5000, False)


@given(st.lists(st.text(max_size=3), max_size=30), st.text(max_size=3), st.integers(1, 12))
def test_the_last_n_event_ids_are_remembered_and_no_others(events: list[str], event: str, n: int) -> None:
    recent = b""
    for event_id in events:
        recent = remember(recent, event_digest(event_id), n)
    assert len(recent) == DIGEST_BYTES * min(n, len(events))
    assert is_repeat(recent, event_digest(event)) == (event in events[-n:])


def test_a_digest_is_not_found_across_the_border_of_two() -> None:
    recent = bytes(range(16))
    assert is_repeat(recent, recent[8:])
    assert not is_repeat(recent, recent[3:11])


def test_a_digest_found_across_a_border_does_not_hide_the_one_behind_it() -> None:
    digest = b"abababab"
    assert is_repeat(b"xxxxxxab" + b"abababxx" + digest, digest)


def test_digests_are_those_of_the_specification() -> None:
    # XXH3, 64 bits, seed 0: they stand in rows, so another version of the library must give the same.
    assert event_digest("").hex() == "2d06800538d394c2"
    assert event_digest("a").hex() == "e6c632b61e964e1f"
