"""Replays: what clicks of the past become."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.config import load_settings
from streamrec.datasets import Clicks, make_clicks
from streamrec.events import decode_interaction, encode
from streamrec.replay import MIN_TICK_MS, at_speed, event_times, interactions

START_MS = 1_700_000_000_000


def _clicks() -> Clicks:
    return make_clicks(
        ["a", "b", "a", "a"], ["i1", "i2", "i3", "i1"], [1_000_000, 1_010_000, 1_060_000, 1_600_000]
    )


def test_event_times_start_now_and_are_divided_by_the_speed_up() -> None:
    times = event_times(_clicks(), 10.0, START_MS)
    assert times.tolist() == [START_MS, START_MS + 1_000, START_MS + 6_000, START_MS + 60_000]


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=50),
    st.floats(0.01, 1e6, allow_nan=False),
)
def test_event_times_keep_the_order_and_never_run_ahead(times_ms: list[int], speed_up: float) -> None:
    clicks = make_clicks(["s"] * len(times_ms), ["i"] * len(times_ms), times_ms)
    times = event_times(clicks, speed_up, START_MS)
    assert (np.diff(times) >= 0).all()
    exact = START_MS + (clicks.time_ms - clicks.first_ms) / speed_up
    assert (times <= exact).all()
    assert (exact - times < 1.0 + 1e-3).all()


def test_interactions_keep_session_item_and_order() -> None:
    clicks = _clicks()
    made = list(interactions(clicks, event_times(clicks, 1.0, START_MS), run=7))
    assert [each.item_id for each in made] == ["i1", "i2", "i3", "i1"]
    assert [each.session_id for each in made] == [each.visitor_id for each in made] == ["a", "b", "a", "a"]
    assert [each.time - START_MS for each in made] == [0, 10_000, 60_000, 600_000]
    assert {each.type for each in made} == {"click"}
    assert [decode_interaction(encode(each)) for each in made] == made


def test_event_ids_tell_every_click_and_every_run_apart() -> None:
    clicks = _clicks()
    times = event_times(clicks, 1.0, START_MS)
    ids = [[each.event_id for each in interactions(clicks, times, run)] for run in (1, 1, 2)]
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 8


def test_half_life_and_ticks_follow_the_speed_up() -> None:
    settings = load_settings(
        state={"popularity_half_life_s": 3600.0, "visitor_ttl_s": 86_400}, scoring={"tick_ms": 1000}
    )
    fast = at_speed(settings, 10.0)
    assert fast.state.popularity_half_life_s == pytest.approx(360.0)
    assert fast.scoring.tick_ms == 100
    assert fast.state.visitor_ttl_s == 86_400
    assert at_speed(settings, 1e6).scoring.tick_ms == MIN_TICK_MS
    assert at_speed(settings, 1.0) == settings


def test_ticks_that_are_short_already_stay() -> None:
    settings = load_settings(scoring={"tick_ms": 2})
    assert at_speed(settings, 1000.0).scoring.tick_ms == 2
