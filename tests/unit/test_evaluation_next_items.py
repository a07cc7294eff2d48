"""Every next click against a slow, obvious way to rank it."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import NAN, Scored

from streamrec.contracts import FloatArray, Session
from streamrec.errors import DatasetError
from streamrec.evaluation.next_items import NextItems, leave_out_unseen, next_items

MODEL = Scored("abcd", {"a": [1, 4, 3, 2], "b": [NAN, 0, 5, 5], "c": [9, 9, 9, 9]})
"""After a: b, c, d, a. After b: c and d, then b, and no a. After c: all the same. After d: as before."""

sessions_of_letters = st.lists(st.text(alphabet="abcdxy", max_size=7).map(Session), min_size=1, max_size=8)


def columns(found: NextItems) -> list[tuple[int, int, int, float]]:
    return [
        *zip(
            *(each.tolist() for each in (found.sessions, found.positions, found.targets, found.ranks)),
            strict=True,
        )
    ]


def test_each_click_but_the_first_is_ranked_by_the_scores_after_the_one_before() -> None:
    found = next_items(MODEL, map(Session, ["abd", "b", "cab"]), k=3)
    assert columns(found) == [(0, 1, 1, 1), (0, 2, 3, 2), (2, 1, 0, 4), (2, 2, 1, 1)]
    assert found.tops.tolist() == [[1, 2, 3], [2, 3, 1], [0, 1, 2], [1, 2, 3]]
    assert found.known.all()
    assert found.seconds > 0


def test_ties_are_counted_as_asked() -> None:
    found = [next_items(MODEL, [Session("cb")], ties=ties) for ties in ("optimistic", "mean", "conservative")]
    assert [each.ranks[0] for each in found] == [1, 2.5, 4]
    assert [each.mean_ranks[0] for each in found] == [2.5] * 3


def test_an_item_without_a_score_has_no_rank_and_is_in_no_list() -> None:
    found = next_items(MODEL, [Session("ba")], k=5)
    assert found.ranks.tolist() == [math.inf]
    assert found.tops.tolist() == [[2, 3, 1, -1, -1]]


def test_clicks_on_unseen_items_are_left_out_with_what_is_then_too_short() -> None:
    test = [Session("axb"), Session("xyb"), Session("xaxyc")]
    found = next_items(MODEL, test)
    assert columns(found) == [(0, 1, 1, 1), (2, 1, 2, 2)]


def test_clicks_on_unseen_items_are_misses_where_so_asked() -> None:
    found = next_items(MODEL, [Session("axb"), Session("xyb")], unseen="miss", k=1)
    assert columns(found) == [(0, 1, -1, math.inf), (0, 2, 1, 1), (1, 1, -1, math.inf), (1, 2, 1, math.inf)]
    # There are lists after unseen items too, but none before the first one known.
    assert found.tops.tolist() == [[1], [1], [-1], [-1]]
    assert found.known.tolist() == [False, True, False, True]


def test_what_training_saw_and_the_model_dropped_stays_and_is_missed() -> None:
    found = next_items(MODEL, [Session("axyb")], seen=["a", "b", "x"])
    assert columns(found) == [(0, 1, -1, math.inf), (0, 2, 1, 1)]


def test_the_last_click_alone_can_be_judged() -> None:
    found = next_items(MODEL, map(Session, ["abd", "b", "cab"]), judged="last click")
    assert columns(found) == [(0, 2, 3, 2), (2, 2, 1, 1)]


def test_a_last_click_on_an_unseen_item_leaves_no_other_to_judge_in_its_place() -> None:
    # After leave-one-out a to b is a transition that training saw.
    test = [Session("abx"), Session("abd"), Session(""), Session("axc")]
    found = next_items(MODEL, test, judged="last click")
    assert columns(found) == [(1, 2, 3, 2), (3, 1, 2, 2)]
    missed = next_items(MODEL, test, judged="last click", unseen="miss")
    assert columns(missed)[0] == (0, 2, -1, math.inf)
    with pytest.raises(
        DatasetError, match="the last of the session one of them: there is nothing to measure"
    ):
        next_items(MODEL, test[:1], judged="last click")


@pytest.mark.parametrize(("unseen", "named"), [("leave out", "on items seen in training"), ("miss", "")])
def test_with_nothing_to_judge_there_is_nothing_to_measure(unseen: str, named: str) -> None:
    with pytest.raises(DatasetError, match=f"two clicks.*{named}.*nothing to measure"):
        next_items(MODEL, [Session("a"), Session("")], unseen=unseen)


def test_lists_have_one_item_or_more() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        next_items(MODEL, [Session("ab")], k=0)


def test_progress_is_told_in_clicks_and_ends_with_all() -> None:
    told: list[tuple[int, int]] = []
    next_items(MODEL, [Session("ab" * 30)] * 4, on_step=lambda done, total, _: told.append((done, total)))
    assert told == [(100, 236), (200, 236), (236, 236)]


def test_a_model_sees_no_click_it_is_judged_by() -> None:
    class Watched(Scored):
        def scores(self, session: Session) -> Iterator[FloatArray]:
            shown.append(session)
            return super().scores(session)

    shown: list[Session] = []
    test = [Session("abd", [1, 2, 3], "s"), Session("axb", [4, 5, 6], "t")]
    next_items(Watched("abcd", {}), test)
    assert [(list(each.items), list(each.times_ms), each.session_id) for each in shown] == [
        (["a", "b"], [1, 2], "s"),
        (["a"], [4], "t"),
    ]


def test_a_model_with_too_few_scores_is_refused() -> None:
    class Short(Scored):
        def scores(self, session: Session) -> Iterator[FloatArray]:
            yield np.zeros(4, np.float32)

    with pytest.raises(ValueError, match="argument"):
        next_items(Short("abcd", {}), [Session("abc")])


@given(sessions_of_letters, st.sampled_from(["leave out", "miss"]))
def test_all_is_as_in_the_obvious_way(test: list[Session], unseen: str) -> None:
    wanted = []
    for place, session in enumerate(test):
        clicks = [item for item in session.items if unseen == "miss" or item in MODEL.items]
        for position in range(1, len(clicks)):
            *_, scores = MODEL.scores(Session(clicks[:position]))
            target = MODEL.items.find(clicks[position])
            behind = target < 0 or math.isnan(scores[target])
            rank = math.inf if behind else float(sum(score >= scores[target] for score in scores.tolist()))
            wanted.append((place, position, target, rank))
    if wanted:
        assert columns(next_items(MODEL, test, unseen=unseen)) == wanted
    else:
        with pytest.raises(DatasetError):
            next_items(MODEL, test, unseen=unseen)


@given(sessions_of_letters)
def test_leaving_out_keeps_the_places_of_sessions_and_the_order_of_clicks(test: list[Session]) -> None:
    timed = [Session(each.items, range(len(each.items)), str(n)) for n, each in enumerate(test)]
    for before, after in zip(timed, leave_out_unseen(timed, set("abcd")), strict=True):
        kept = [
            (item, time) for item, time in zip(before.items, before.times_ms, strict=True) if item in "abcd"
        ]
        assert [*zip(after.items, after.times_ms, strict=True)] == kept
        assert after.session_id == before.session_id
