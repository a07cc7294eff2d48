"""Shadows beside live, on the same clicks: by hand, and however the logs are read."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_parts import BASE, Record, click

from streamrec.config import load_settings
from streamrec.evaluation.shadows import ShadowFigures, ShadowJudge, shadow_figures

SETTINGS = load_settings(
    kafka={"partitions": 1},
    evaluation={"window": 4, "cutoffs": [1, 3], "shadows": 2},
    state={"session_gap_s": 30},
)


def made(
    n: int, answers: int, items: str, shown: str, *, release: str = "s1", visitor: str = "v", **fields: Any
) -> Record:
    """The nth record of shadow-recommendations."""
    body = {
        "visitor_id": visitor,
        "release": release,
        "items": [{"item_id": item} for item in items],
        "shown": list(shown),
        "input_partition": 0,
        "input_offset": answers,
        **fields,
    }
    return Record(n, BASE, visitor.encode(), json.dumps(body).encode())


def judge(clicks: Sequence[Record], lists: Sequence[Record]) -> ShadowJudge:
    judged = ShadowJudge(SETTINGS, 0)
    judged.take_interactions(clicks, len(clicks))
    judged.take_lists(lists, len(clicks))
    return judged


def of(*judges: ShadowJudge) -> ShadowFigures:
    return shadow_figures(judges, SETTINGS.evaluation)


CLICKS = [click(0), click(1, item="b"), click(2, item="c"), click(3, item="d"), click(4, "last")]
LAST = made(9, 4, "", "", visitor="last", release="none")


def test_both_lists_are_judged_by_the_click_that_came_next() -> None:
    lists = [made(0, 0, "xb", "bx"), made(1, 1, "cyz", "xyz"), LAST]
    found = of(judge(CLICKS, lists))
    weight = 1 + 3 / 4
    assert found.clicks == {("s1",): pytest.approx(weight)}
    assert found.recall == {
        ("1", "shadow", "s1"): pytest.approx(1 / weight),
        ("3", "shadow", "s1"): pytest.approx(1.0),
        ("1", "live", "s1"): pytest.approx(3 / 4 / weight),
        ("3", "live", "s1"): pytest.approx(3 / 4 / weight),
    }


def test_each_shadow_has_its_own_clicks_and_those_judged_last_are_shown() -> None:
    lists = [
        made(0, 0, "b", "x", release="old"),
        made(1, 1, "c", "x", release="s1"),
        made(2, 1, "x", "c", release="s2"),
        made(3, 2, "x", "d", release="s2"),
        LAST,
    ]
    late = [*CLICKS[:1], *(each._replace(timestamp=BASE + n) for n, each in enumerate(CLICKS[1:]))]
    found = of(judge(late, lists))
    assert set(found.clicks) == {("s1",), ("s2",)}
    assert found.recall["3", "shadow", "s1"] == 1.0
    assert found.recall["3", "live", "s2"] == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        Record(0, BASE, b"v", b"{"),
        made(0, 0, "b", "b", input_partition=1),
        made(0, 99, "b", "b"),
        made(0, 0, "b", "b", visitor="another"),
    ],
)
def test_what_judges_nothing(wrong: Record) -> None:
    assert of(judge(CLICKS, [wrong, LAST])).clicks == {}


def test_a_list_that_comes_after_the_next_click_or_again_judges_nothing() -> None:
    assert of(judge(CLICKS, [made(0, 2, "d", "x"), made(1, 0, "b", "b"), LAST])).clicks == {("s1",): 1.0}
    again = of(judge(CLICKS, [made(0, 0, "b", "x"), made(1, 0, "x", "b"), LAST]))
    assert again.recall["1", "shadow", "s1"] == 1.0
    assert again.clicks == {("s1",): 1.0}


def test_another_session_is_no_next_click() -> None:
    clicks = [click(0, session_id="one"), click(1, item="b", session_id="two"), click(2, "last")]
    assert of(judge(clicks, [made(0, 0, "b", "b"), made(1, 2, "", "", visitor="last")])).clicks == {}


walk = st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.booleans()), max_size=30)


@given(
    walk,
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
def test_figures_are_the_same_however_the_logs_are_read(
    steps: list[tuple[str, str, bool]], one: list[int], other: list[int]
) -> None:
    clicks = [click(n, who, item, BASE + 1000 * n) for n, (who, item, _) in enumerate(steps)]
    lists = [
        made(n, n, item + "ab"[n % 2], "bc", visitor=who, release=f"s{n % 2}")
        for n, (who, item, is_sampled) in enumerate(steps)
        if is_sampled
    ]
    whole = of(judge(clicks, lists))
    pieces = ShadowJudge(SETTINGS, 0)
    read = taken = turn = 0
    while taken < len(lists):
        part = lists[taken : taken + one[turn % len(one)]]
        taken += len(part)
        pieces.take_lists(part, len(clicks))
        start, end = pieces.wanted
        assert start == read or start >= end or not read
        for first in range(start, end, other[turn % len(other)]):
            until = min(end, first + other[turn % len(other)])
            pieces.take_interactions(clicks[first:until], until)
        pieces.take_interactions((), end)
        read, turn = max(read, end), turn + 1
    assert of(pieces) == whole
