"""Splits without knowledge of the future, and loud ones with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import Scored

from streamrec.datasets import DAY_MS, Clicks, bundled_clicks, click_sessions, make_clicks, sessions
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.next_items import next_items
from streamrec.evaluation.splits import as_given, by_time, leave_one_out


def clicks(*rows: tuple[str, str, float]) -> Clicks:
    """Sessions, items and times in days."""
    return make_clicks(
        *zip(*((session, item, round(day * DAY_MS)) for session, item, day in rows), strict=True)
    )


FIVE = clicks(
    ("a", "x", 0), ("a", "y", 1), ("b", "x", 2), ("b", "z", 7.5), ("c", "y", 7), ("c", "y", 8),
    ("d", "x", 8), ("d", "w", 9), ("e", "z", 10),
)  # fmt: skip


def names(found: Clicks) -> set[str]:
    return set(found.session_ids)


def test_a_split_by_days_tests_on_what_starts_at_the_cut_or_after() -> None:
    split = by_time(FIVE, days=3)
    # b runs across the cut.
    assert (names(split.train), names(split.test)) == ({"a"}, {"c", "d", "e"})
    assert split.judged == "every click"


def test_a_split_by_share_tests_on_the_sessions_that_start_last() -> None:
    split = by_time(FIVE, share=0.4)
    assert (names(split.train), names(split.test)) == ({"a", "b"}, {"d", "e"})


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), min_size=1),
    st.one_of(
        st.floats(0.01, 0.99).map(lambda share: {"share": share}),
        st.floats(1e-8, 60e-8).map(lambda days: {"days": days}),
    ),
)
def test_no_training_click_is_as_late_as_a_test_click(
    rows: list[tuple[int, int]], how_much: dict[str, float]
) -> None:
    everything = make_clicks(*zip(*((str(session), "i", ms) for session, ms in rows), strict=True))
    try:
        split = by_time(everything, **how_much)
    except DatasetError:
        return
    assert split.train.last_ms < split.test.first_ms
    assert not names(split.train) & names(split.test)
    as_given(split.train, split.test)  # a warning would be an error


def test_about_the_share_asked_for_is_tested_on() -> None:
    everything = bundled_clicks()
    split = by_time(everything, share=0.1)
    assert len(sessions(split.test)) / len(sessions(everything)) == pytest.approx(0.1, abs=0.001)


@pytest.mark.parametrize(
    ("how_much", "named"),
    [
        ({}, "days or a share"),
        ({"days": 1, "share": 0.1}, "days or a share"),
        ({"days": 0}, "0 days"),
        ({"days": float("nan")}, "nan days"),
        ({"share": 0}, "share of 0"),
        ({"share": 1}, "share of 1"),
        ({"share": 20}, "share of 20"),
    ],
)
def test_how_much_to_test_on_has_limits(how_much: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        by_time(FIVE, **how_much)


def test_an_empty_part_is_refused_with_the_way_out() -> None:
    with pytest.raises(DatasetError, match=r"ends before the cut, 9.5 days .* cover 10 days: test on less"):
        by_time(FIVE, days=9.5)
    across = clicks(("a", "x", 0), ("b", "x", 1), ("b", "y", 5))
    with pytest.raises(DatasetError, match=r"starts after the cut, 2 days .* test on more"):
        by_time(across, days=2)


def test_two_files_are_taken_as_they_are() -> None:
    train, test = clicks(("a", "x", 0), ("a", "y", 1)), clicks(("b", "x", 1.1))
    assert as_given(train, test) == (train, test, "every click")


def test_sessions_in_both_files_are_taken_with_a_warning() -> None:
    train, test = clicks(("a", "x", 0), ("b", "y", 1)), clicks(("a", "x", 2), ("b", "x", 2), ("c", "x", 2))
    with pytest.warns(UserWarning, match=r"2 sessions are in .* 'a' for one"):
        as_given(train, test)


def test_files_that_overlap_in_time_are_taken_with_a_warning() -> None:
    train, test = clicks(("a", "x", 0), ("b", "y", 2)), clicks(("c", "x", 1), ("c", "x", 2), ("c", "y", 3))
    with pytest.warns(UserWarning, match="2 of 3 test clicks are not later"):
        as_given(train, test)


def test_the_last_click_of_each_session_is_left_out_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="training knows clicks that are later"):
        split = leave_one_out(FIVE)
    assert split.judged == "last click"
    trained = [*zip(split.train.session_ids, split.train.item_ids, strict=True)]
    assert trained == [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"), ("e", "z")]
    assert len(split.test) == len(FIVE) - 1
    assert names(split.test) == {"a", "b", "c", "d"}
    assert np.all(np.diff(split.test.time_ms) >= 0)


def test_what_was_left_out_is_judged_and_nothing_that_was_trained_on() -> None:
    with pytest.warns(UserWarning, match="leave-one-out"):
        split = leave_one_out(
            clicks(("s", "a", 0), ("s", "b", 1), ("s", "x", 2), ("t", "b", 3), ("t", "a", 4))
        )
    model = Scored("ab", {"a": [0, 1], "b": [1, 0]})
    found = next_items(model, click_sessions(split.test), judged=split.judged, seen=set(split.train.item_ids))
    assert (found.sessions.tolist(), found.positions.tolist()) == ([1], [1])  # b to a, and not a to b


def test_with_single_clicks_only_there_is_none_to_leave_out() -> None:
    with pytest.raises(DatasetError, match="none to leave out"):
        leave_one_out(clicks(("a", "x", 0), ("b", "x", 1)))
