"""Who has the credit of a click on an interleaved list."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_parts import BASE, Record, click

from streamrec.config import load_settings
from streamrec.evaluation.prequential import Prequential
from streamrec.evaluation.teams import Pair, preference
from streamrec.events import recommendation_id

SETTINGS = load_settings(
    kafka={"partitions": 1},
    state={"session_gap_s": 30},
    evaluation={"window": 4, "cutoffs": [3], "interleaved_lists": 3},
)
PAIR = Pair("v1", "v2")


def rec_id(offset: int) -> str:
    return recommendation_id(SETTINGS.kafka.topic("interactions"), 0, offset)


def shown(answers: int, live: str, challenger: str, *, visitor: str = "v", **fields: Any) -> Record:
    """An interleaved list for the interaction at an offset; z, its last item, has no team."""
    teams = {**dict.fromkeys(live, "live"), **dict.fromkeys(challenger, "challenger"), "z": None}
    items = [
        {
            "item_id": item,
            "score": 1.0,
            "sources": ["gru4rec"],
            "reason": "",
            **({"team": team} if team else {}),
        }
        for item, team in teams.items()
    ]
    body = {
        "rec_id": rec_id(answers),
        "visitor_id": visitor,
        "items": items,
        "release": "v1",
        "challenger": "v2",
        "input_partition": 0,
        "input_offset": answers,
        **fields,
    }
    return Record(answers, BASE, visitor.encode(), json.dumps(body).encode())


def judged(clicks: Sequence[Record], lists: Sequence[Record]) -> Prequential:
    judge = Prequential(SETTINGS, 0)
    judge.take_interactions(clicks, len(clicks))
    judge.take_lists(lists, len(clicks))
    return judge


def results(clicks: Sequence[Record], lists: Sequence[Record]) -> dict[str, int]:
    return {more: n for more, n in judged(clicks, lists).credits.results.get(PAIR, {}).items() if n}


def last(n: int) -> Record:
    """The list that lets everything before it be judged."""
    return shown(n, "", "", visitor="last")


def test_a_click_that_names_its_list_is_credited_to_the_team_of_its_item() -> None:
    clicks = [click(0), click(1, "w"), click(2, "v", "c", rec_id=rec_id(0)), click(3, "last")]
    assert results(clicks, [shown(0, "ab", "cd"), last(3)]) == {"challenger": 1}
    clicks[2] = click(2, "v", "a", rec_id=rec_id(0))
    assert results(clicks, [shown(0, "ab", "cd"), last(3)]) == {"live": 1}


def test_a_click_that_names_an_older_list_is_credited_to_that_one() -> None:
    clicks = [click(0), click(1, item="q"), click(2, item="c", rec_id=rec_id(0)), click(3, "last")]
    lists = [shown(0, "ab", "cd"), shown(1, "c", "d"), last(3)]
    assert results(clicks, lists) == {"challenger": 1}


def test_without_a_name_the_list_of_the_click_before_has_the_credit() -> None:
    clicks = [click(0), click(1, item="c"), click(2, item="a"), click(3, "last")]
    assert results(clicks, [shown(0, "ab", "cd"), shown(1, "a", "c"), last(3)]) == {
        "challenger": 1,
        "live": 1,
    }


@pytest.mark.parametrize(
    "third",
    [
        {"item": "z"},  # of no team
        {"item": "q"},  # not in the list
        {"item": "c", "rec_id": "another"},
        {"item": "c", "rec_id": rec_id(1)},  # another visitor's
        {"item": "c", "session_id": "next"},  # another session, and it names nothing
        {"item": "c", "type": "dislike"},
    ],
)
def test_what_is_credited_to_nobody(third: dict[str, Any]) -> None:
    clicks = [click(0), click(1, "w"), click(2, "v", **third), click(3, "last")]
    lists = [shown(0, "ab", "cd"), shown(1, "ab", "cd", visitor="w"), last(3)]
    assert results(clicks, lists) == {}


def test_a_list_is_won_by_more_clicks_and_a_second_click_on_an_item_is_none() -> None:
    named = [(item, rec_id(0)) for item in "ccabd"]
    expected = [{"challenger": 1}, {"challenger": 1}, {"tie": 1}, {"live": 1}, {"tie": 1}]
    for n, wanted in enumerate(expected, 1):
        clicks = [click(0), *(click(1 + i, item=a, rec_id=b) for i, (a, b) in enumerate(named[:n]))]
        clicks.append(click(n + 1, "last"))
        assert results(clicks, [shown(0, "ab", "cd"), last(n + 1)]) == wanted, n


def test_of_a_list_that_comes_again_the_first_counts_and_old_ones_are_forgotten() -> None:
    clicks = [click(n, f"v{n}") for n in range(5)] + [click(5, "v0", "c", rec_id=rec_id(0)), click(6, "last")]
    again = [shown(4, "ab", "cd", visitor="v4"), shown(4, "cd", "ab", visitor="v4")]
    lists = [shown(n, "ab", "cd", visitor=f"v{n}") for n in range(4)]
    assert results(clicks, [*lists, *again, last(6)]) == {}, "three are remembered"
    clicks[5] = click(5, "v4", "c", rec_id=rec_id(4))
    assert results(clicks, [*lists, *again, last(6)]) == {"challenger": 1}


def test_interleaved_lists_are_no_versions_hits() -> None:
    clicks = [click(0), click(1, item="c"), click(2, item="c"), click(3, "last")]
    plain = json.loads(shown(1, "c", "").value or b"")
    del plain["challenger"]
    lists = [shown(0, "ab", "cd"), Record(1, BASE, b"v", json.dumps(plain).encode()), last(3)]
    judge = judged(clicks, lists)
    assert judge.counts == {"interleaved": 1, "judged": 1}
    assert judge.sums.versions["v1"].whole.clicks == 1.0


def test_lists_without_teams_cost_nothing_and_say_nothing() -> None:
    assert preference([]) == (0, 0, 0, 0.0, -0.5, 0.5, 1.0)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10))
def test_the_preference_is_the_share_of_lists_won_and_the_sign_test_is_exact(
    wins: int, losses: int, ties: int
) -> None:
    visitors = [Counter(challenger=1)] * wins + [Counter(live=1)] * losses + [Counter(tie=1)] * ties
    found = preference(visitors)
    n = wins + losses
    assert (found.wins, found.losses, found.ties) == (wins, losses, ties)
    if n + ties:
        assert found.preference == pytest.approx((wins + ties / 2) / (n + ties) - 0.5)
        assert found.low <= found.preference <= found.high
    tail = sum(math.comb(n, i) for i in range(min(wins, losses) + 1)) / 2**n
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_bounds_know_that_the_lists_of_a_visitor_belong_together() -> None:
    alone = preference([Counter(challenger=1)] * 300 + [Counter(live=1)] * 200)
    together = preference([Counter(challenger=100)] * 3 + [Counter(live=100)] * 2)
    assert alone.low > 0 > together.low
    assert alone.preference == together.preference
