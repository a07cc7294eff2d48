"""The judge of the demo, against figures worked out by hand."""

import math
import random

import pytest

from streamrec.datasets import Clicks, make_clicks
from streamrec.demo.judge import Judge
from streamrec.events import Recommendation, RecommendedItem
from streamrec.publishing import Sent

# Session a clicks x, y, z; session b clicks y, x, in the order a b a b a, ten seconds apart.
SESSIONS = ["a", "b", "a", "b", "a"]
ITEMS = ["x", "y", "y", "x", "z"]
AT = [(0, 5), (1, 0), (0, 6), (1, 1), (0, 7)]
"""Partition and offset of each click."""
SENT_MS = [1000, 1010, 1020, 1030, 1040]


def _clicks() -> Clicks:
    return make_clicks(SESSIONS, ITEMS, [10_000 * n for n in range(5)])


def _sent(place: int) -> Sent:
    return Sent(place, *AT[place], SENT_MS[place], SENT_MS[place] / 1000)


def _list(
    place: int,
    items: list[str],
    candidates: dict[str, list[str]] | None = None,
    source: str = "gru4rec",
    rec_id: str | None = None,
    at: tuple[int, int] | None = None,
) -> Recommendation:
    partition, offset = at or AT[place]
    return Recommendation(
        rec_id=rec_id or f"list-{place}",
        visitor_id=SESSIONS[place],
        session_id=SESSIONS[place],
        event_id=f"event-{place}",
        items=[RecommendedItem(item_id, 1.0, [source, "other"], "why") for item_id in items],
        model="gru4rec",
        release="r1",
        event_time=0,
        emit_time=0,
        input_partition=partition,
        input_offset=offset,
        candidates=candidates,
    )


# Next clicks: 0 -> y, 1 -> x, 2 -> z, 3 and 4 -> none.
LISTS = [
    (_list(0, ["q", "y"], {"gru4rec": ["y", "q"], "popularity": ["q", "x"]}), 1015),
    (_list(1, ["q", "y"], {"gru4rec": ["q", "y"], "popularity": ["x", "y"]}, "popularity"), 1025),
    (_list(2, ["q", "x"], {"gru4rec": [], "popularity": ["x", "y"]}), 1050),
    (_list(3, ["q"], {"gru4rec": ["q"], "popularity": ["q"]}, "popularity"), 1040),
    (_list(4, ["q"], {"gru4rec": ["q"], "popularity": ["q"]}), 1140),
]


def _judged(k: int = 2) -> Judge:
    judge = Judge(_clicks(), k)
    for place in range(5):
        judge.on_sent(_sent(place))
    for recommendation, emitted_ms in LISTS:
        judge.on_list(recommendation, emitted_ms)
    return judge


def test_the_next_click_of_the_session_is_looked_for_in_each_list() -> None:
    figures = _judged().figures()
    assert figures.judged_pairs == 3
    assert figures.hit_rates == {
        "blend": pytest.approx(1 / 3),
        "gru4rec": pytest.approx(1 / 3),
        "popularity": pytest.approx(1 / 3),
    }


def test_only_the_first_k_places_count() -> None:
    assert _judged(k=1).figures().hit_rates == {
        "blend": 0.0,
        "gru4rec": pytest.approx(1 / 3),
        "popularity": pytest.approx(1 / 3),
    }


def test_a_position_is_that_of_the_source_named_first() -> None:
    # gru4rec leads the lists of 2, 2 and 1 items, popularity those of 2 and 1.
    assert _judged().figures().positions_share == {
        "gru4rec": pytest.approx(5 / 8),
        "popularity": pytest.approx(3 / 8),
    }


def test_freshness_runs_from_the_click_to_its_list() -> None:
    judge = _judged()
    assert judge.freshness_s().tolist() == [0.015, 0.015, 0.03, 0.01, 0.1]
    figures = judge.figures()
    assert figures.freshness_p50_s == pytest.approx(0.015)
    assert figures.freshness_p99_s == pytest.approx(0.03 + 0.96 * 0.07)


def test_a_list_is_too_late_once_the_next_click_is_published() -> None:
    # Click 2 of the session (1040) is out when the list for click 1 comes (1050).
    figures = _judged().figures()
    assert figures.too_late == 1
    assert figures.too_late_at_original_speed == 0


def test_at_original_speed_the_time_between_the_clicks_counts() -> None:
    judge = Judge(make_clicks(["a", "a", "a"], ["x", "y", "z"], [0, 40, 80]), 2)
    for place in range(3):
        judge.on_sent(Sent(place, 0, place, 1000 + place, 1.0))
        judge.on_list(_list(place, ["y"], at=(0, place)), 1000 + place + (30 if place else 50))
    figures = judge.figures()
    assert figures.too_late == 2  # after a millisecond each
    assert figures.too_late_at_original_speed == 1  # 50 ms for a click that came after 40


def test_nothing_is_lost_or_doubled_in_a_whole_run() -> None:
    judge = _judged()
    figures = judge.figures()
    assert judge.done
    assert (figures.clicks, figures.recommendations) == (5, 5)
    assert (figures.lost, figures.doubled, figures.unasked) == (0, 0, 0)


def test_the_order_of_acknowledgements_and_lists_does_not_matter() -> None:
    expected = _judged().figures()
    takes = [("sent", place) for place in range(5)] + [("list", place) for place in range(5)]
    for seed in range(20):
        random.Random(seed).shuffle(takes)
        judge = Judge(_clicks(), 2)
        for what, place in takes:
            if what == "sent":
                judge.on_sent(_sent(place))
            else:
                judge.on_list(*LISTS[place])
        assert judge.figures() == expected


def test_a_click_without_a_list_is_lost() -> None:
    judge = Judge(_clicks(), 2)
    for place in range(5):
        judge.on_sent(_sent(place))
    judge.on_list(*LISTS[0])
    assert not judge.done
    assert judge.figures().lost == 4
    assert judge.figures().judged_pairs == 1


def test_a_second_list_for_a_click_is_doubled_and_not_judged() -> None:
    judge = _judged()
    judge.on_list(_list(1, ["x"], rec_id="another"), 1060)
    figures = judge.figures()
    assert (figures.recommendations, figures.doubled, figures.lost) == (6, 1, 0)
    assert figures.hit_rates["blend"] == pytest.approx(1 / 3)


def test_a_list_with_the_id_of_another_one_is_doubled() -> None:
    judge = Judge(_clicks(), 2)
    for place in (0, 1):
        judge.on_sent(_sent(place))
        judge.on_list(_list(place, ["x"], rec_id="the same"), 1050)
    figures = judge.figures()
    assert (figures.doubled, figures.lost) == (1, 1)


def test_a_list_for_no_click_is_unasked() -> None:
    judge = _judged()
    judge.on_list(_list(0, ["x"], rec_id="stray", at=(3, 99)), 1050)
    figures = judge.figures()
    assert (figures.recommendations, figures.unasked, figures.doubled) == (6, 1, 0)


def test_without_a_list_there_are_no_rates() -> None:
    figures = Judge(_clicks(), 2).figures()
    assert figures.hit_rates == {}
    assert figures.positions_share == {}
    assert math.isnan(figures.freshness_p50_s)
