"""Decayed popularity: the live popularity, offline. Its contract: test_session_models.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.datasets import DAY_MS, bundled_clicks, click_sessions, split_by_time
from streamrec.errors import ConfigError, DatasetError
from streamrec.item_board import ItemBoard
from streamrec.models import session_model
from streamrec.models.decayed_popularity import DecayedPopularity, DecayedPopularityConfig
from streamrec.models.popularity import Popularity
from streamrec.state.items import ItemIndex

HOUR_MS = 3_600_000


def trained(*sessions: Session, half_life_s: float = 3_600.0) -> DecayedPopularity:
    model = DecayedPopularity(DecayedPopularityConfig(half_life_s=half_life_s))
    model.train(sessions)
    return model


def scored(model: DecayedPopularity) -> dict[str, float]:
    return dict(zip(model.items, next(model.scores(Session(["a"]))).tolist(), strict=True))


def live_order(clicks: list[tuple[int, str]], half_life_s: float) -> list[str]:
    """The items as live scoring has them, from the rows that live state makes of the clicks."""
    index = ItemIndex([], max_items=10**6, half_life_ms=half_life_s * 1000.0, draw_key=b"")
    for offset, (time_ms, item_id) in enumerate(sorted(clicks)):
        if not index.count(item_id, 1.0, time_ms, offset):
            index.add(item_id, 1.0, time_ms, offset)
    board = ItemBoard(tick_ms=1, half_life_s=half_life_s)
    for key, value, _ in index.flush(None):
        board.apply(key, value)
    board.advance_to(max(time_ms for time_ms, _ in clicks))
    return board.popular(len(board), set(), [set()]).names(0)


def test_scores_by_hand() -> None:
    # As of 3 h, with a half-life of 1 h: a has 1/4 + 1/8, b has 1, c has 1/2.
    model = trained(Session(["a", "a", "c"], [0, HOUR_MS, 2 * HOUR_MS]), Session(["b"], [3 * HOUR_MS]))
    expected = {"a": 0.375, "b": 1.0, "c": 0.5}
    assert scored(model) == pytest.approx({item: math.log2(n) for item, n in expected.items()})
    assert sorted(expected, key=scored(model).__getitem__, reverse=True) == ["b", "c", "a"]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abcd")), min_size=1, max_size=30),
    st.sampled_from([600.0, 3_600.0, 86_400.0]),
)
def test_it_orders_as_the_live_popularity_does(hours: list[tuple[int, str]], half_life_s: float) -> None:
    # By thirds of an hour, and uneven: two items with equal decayed counts are a tie, not an order.
    clicks = [(hour * HOUR_MS // 3 + place * 977, item) for place, (hour, item) in enumerate(hours)]
    model = trained(*(Session([item], [time_ms]) for time_ms, item in clicks), half_life_s=half_life_s)
    scores = scored(model)
    live = [scores[item] for item in live_order(clicks, half_life_s)]
    np.testing.assert_allclose(live, sorted(scores.values(), reverse=True), rtol=1e-5, atol=1e-5)


def test_on_the_bundled_clicks_the_first_hundred_are_the_live_ones() -> None:
    clicks, _ = split_by_time(bundled_clicks(), bundled_clicks().last_ms - DAY_MS)
    half_life_s = 6 * 3_600.0
    model = trained(*click_sessions(clicks), half_life_s=half_life_s)
    scores = scored(model)
    live = live_order(list(zip(clicks.time_ms.tolist(), clicks.item_ids, strict=True)), half_life_s)
    assert sorted(scores, key=scores.__getitem__, reverse=True)[:100] == live[:100]


def test_a_long_half_life_counts_like_popularity() -> None:
    sessions = list(click_sessions(bundled_clicks().first(2_000)))
    plain = Popularity()
    plain.train(sessions)
    decayed = trained(*sessions, half_life_s=1e12)
    assert decayed.items == plain.items
    (counts,) = plain.scores(Session(["a"]))
    (logarithms,) = decayed.scores(Session(["a"]))
    np.testing.assert_allclose(np.exp2(logarithms), counts, rtol=1e-4)


def test_what_is_thousands_of_half_lives_old_keeps_its_order() -> None:
    days = 365 * DAY_MS
    old = Session(["older", "old", "old"], [0, HOUR_MS, HOUR_MS])
    scores = scored(trained(old, Session(["new"], [days]), half_life_s=3_600.0))
    assert scores["older"] < scores["old"] < scores["new"] == 0.0
    assert scores["old"] == pytest.approx(1 - (days - HOUR_MS) / HOUR_MS)


def test_the_order_of_sessions_plays_no_part() -> None:
    sessions = list(click_sessions(bundled_clicks().first(2_000)))
    forwards, backwards = trained(*sessions), trained(*reversed(sessions))
    assert forwards.items == backwards.items
    np.testing.assert_allclose(
        next(forwards.scores(Session(["a"]))), next(backwards.scores(Session(["a"]))), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("sessions", "message"),
    [
        (
            [Session(["a", "b"], [1], "s7")],
            "session 's7' has 1 times for 2 items; give one for each, or none",
        ),
        ([Session(["a", "b"], [1, 2]), Session(["c"])], "1 of 3 clicks have no time; give times to all"),
        ([Session([])], "not one click to count; give at least one session"),
    ],
    ids=["too few times", "some without", "no click"],
)
def test_clicks_that_cannot_be_counted_are_refused(sessions: list[Session], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        trained(*sessions)


@pytest.mark.parametrize("half_life_s", ["0", "-3", "inf", "nan"])
def test_a_half_life_is_a_positive_number(half_life_s: str) -> None:
    with pytest.raises(ConfigError, match="half_life_s: Input should be"):
        session_model("decayed_popularity", {"half_life_s": half_life_s})
