"""The judge of a backtest, and what its figures are, by hand."""

import dataclasses
import math
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from streamrec.backtest.history import ClicksHistory
from streamrec.backtest.judge import NextClicks, Pairs
from streamrec.backtest.partition import Asked
from streamrec.backtest.releases import Releases
from streamrec.backtest.run import Plan, Tally
from streamrec.backtest.summary import compare, summarise
from streamrec.catalogue import Catalogue
from streamrec.config import StateSettings, load_settings
from streamrec.datasets import make_clicks
from streamrec.demo.judge import Judge
from streamrec.errors import DatasetError
from streamrec.events import Recommendation, RecommendedItem
from streamrec.publishing import Sent
from streamrec.state.rows import VisitorRow

# Visitor, session, item, and what its list holds: of the blend, and of the sources.
ASKED = [
    ("v", "s1", "a", ["x", "b"], {"gru4rec": ["b", "x"], "popularity": []}),
    ("w", "s2", "a", ["c", "b"], {"gru4rec": ["c", "b"], "popularity": ["b"]}),
    ("v", "s1", "b", ["a", "c"], {"gru4rec": ["c", "a"], "popularity": ["a"]}),  # 2, 1, none
    ("w", "s3", "c", ["c", "d"], {"gru4rec": ["d", "c"], "popularity": ["c"]}),  # a new session
    ("v", "s1", "c", ["a", "b"], {"gru4rec": ["c", "d"], "popularity": ["d"]}),  # 2, 1, none
    ("w", "s3", "e", ["a", "b"], {"gru4rec": ["a", "b"], "popularity": ["a"]}),  # none, none, none
]
BEFORE = [None, None, (0, 0), None, (2, 0), (3, 3)]
"""For each, the place of the list that it is held against, and of the first one of the session."""


def asked(n: int, made: bool = True, emit_time: int | None = None) -> Asked:
    visitor_id, session_id, item_id, items, candidates = ASKED[n]
    row = VisitorRow(n, n, f"e{n}", n, 1000 * n, True, session_id, n, [item_id], b"")
    recommendation = Recommendation(
        rec_id=f"r{n}",
        visitor_id=visitor_id,
        session_id=session_id,
        event_id=f"e{n}",
        items=[RecommendedItem(each, 1.0, ["gru4rec"], "why") for each in items],
        model="gru4rec",
        release="v1" if n < 4 else "v2",
        event_time=n,
        emit_time=1000 * n if emit_time is None else emit_time,
        input_partition=0,
        input_offset=n,
        candidates=candidates,
    )
    return Asked(visitor_id, row, recommendation if made else None)


def judged(k: int = 2, **options: Any) -> NextClicks:
    judge = NextClicks(k, lambda offset: 10 * offset, StateSettings())
    for n in range(len(ASKED)):
        judge.take(asked(n, **options))
    return judge


def test_each_list_is_held_against_the_next_click_of_its_session() -> None:
    pairs = judged().pairs()
    assert pairs.places.tolist() == [10 * place for place, _ in filter(None, BEFORE)]
    assert pairs.sessions.tolist() == [10 * session for _, session in filter(None, BEFORE)]
    assert {source: ranks.tolist() for source, ranks in pairs.ranks.items()} == {
        "blend": [2.0, 2.0, math.inf],
        "gru4rec": [1.0, 1.0, math.inf],
        "popularity": [math.inf, math.inf, math.inf],
    }


def test_only_the_first_k_places_count() -> None:
    judge = judged(k=1)
    assert judge.pairs().ranks["blend"].tolist() == [math.inf] * 3
    assert judge.pairs().ranks["gru4rec"].tolist() == [1.0, 1.0, math.inf]
    assert judge.recommended["blend"] == {"x", "c", "a"}


def test_it_counts_lists_and_items() -> None:
    judge = judged()
    assert judge.lists == {"v1": 4, "v2": 2}
    assert judge.clicked == {"a", "b", "c", "e"}
    assert judge.recommended == {
        "blend": {"x", "a", "b", "c", "d"},
        "gru4rec": {"x", "a", "b", "c", "d"},
        "popularity": {"a", "b", "c", "d"},
    }


def test_what_has_no_list_is_not_judged_and_learned_all_the_same() -> None:
    judge = NextClicks(2, lambda offset: offset, StateSettings())
    for n in range(len(ASKED)):
        judge.take(asked(n, made=n != 2))
    assert judge.pairs().places.tolist() == [0, 3]
    assert judge.clicked == {"a", "b", "c", "e"}


@pytest.mark.parametrize(("emit_time", "too_late"), [(2000, 0), (2001, 1), (4001, 2), (5001, 3)])
def test_a_list_after_the_next_click_is_too_late(emit_time: int, too_late: int) -> None:
    assert judged(emit_time=emit_time).too_late == too_late


@pytest.mark.parametrize(
    ("bounds", "times", "places"),
    [
        ({"visitor_ttl_s": 60}, (0, 0, 60_000), [0]),
        ({"visitor_ttl_s": 60}, (0, 0, 60_001), []),
        ({"max_visitors": 2}, (0, 0, 0), [0]),
        ({"max_visitors": 1}, (0, 0, 0), []),
    ],
)
def test_who_is_forgotten_takes_the_list_along(
    bounds: dict[str, int], times: tuple[int, ...], places: list[int]
) -> None:
    judge = NextClicks(2, lambda offset: offset, StateSettings(**bounds))
    for n, time in enumerate(times):  # of v, of w, and of v again
        one = asked(n)
        judge.take(one._replace(row=msgspec.structs.replace(one.row, clock_ms=time, last_time=time)))
    assert judge.pairs().places.tolist() == places


def test_hit_rates_are_those_of_the_judge_of_live_lists() -> None:
    sessions, items = zip(*[(each[1], each[2]) for each in ASKED], strict=True)
    live = Judge(make_clicks(sessions, items, range(len(ASKED))), 2)
    for n in range(len(ASKED)):
        made = asked(n).made
        assert made is not None
        live.on_sent(Sent(n, 0, n, n, 0.0))
        live.on_list(made, n)
    pairs = judged().pairs()
    assert live.judged == len(pairs.places)
    assert live.hit_rates() == {source: float((ranks <= 2).mean()) for source, ranks in pairs.ranks.items()}


def test_pairs_of_partitions_come_in_the_order_of_the_history() -> None:
    parts = [
        Pairs(np.array([1, 4]), np.array([1, 1]), {"blend": np.array([1.0, np.inf])}),
        Pairs(np.array([], np.int64), np.array([], np.int64), {}),
        Pairs(np.array([2, 3]), np.array([2, 3]), {"blend": np.array([2.0, 3.0])}),
    ]
    joined = Pairs.joined(parts)
    assert joined.places.tolist() == [1, 2, 3, 4]
    assert joined.sessions.tolist() == [1, 2, 3, 1]
    assert joined.ranks["blend"].tolist() == [1.0, 2.0, 3.0, np.inf]


def plan(name: str = "run", k: int = 2) -> Plan:
    history = ClicksHistory(make_clicks(["s"], ["a"], [0]), 1)
    return Plan(name, load_settings(), history, Releases(), Catalogue(), k=k)


def tally(pairs: Pairs | None = None) -> Tally:
    judge = judged()
    return Tally(
        pairs or judge.pairs(),
        8,
        Counter(accepted=6, repeat=2),
        judge.lists,
        0,
        judge.recommended,
        {*"abcdexyz"},
        state_s=1.0,
        lists_s=2.0,
        total_s=4.0,
    )


def test_figures_are_means_over_the_judged_lists() -> None:
    figures = summarise(plan(), tally())
    assert figures["sources"]["blend"] == {
        "hit_rate@2": pytest.approx(2 / 3),
        "mrr@2": pytest.approx(1 / 3),
        "ndcg@2": pytest.approx(2 / 3 / math.log2(3)),
        "coverage": 5 / 8,
    }
    assert figures["sources"]["gru4rec"]["mrr@2"] == pytest.approx(2 / 3)
    assert figures["sources"]["popularity"] == {"hit_rate@2": 0, "mrr@2": 0, "ndcg@2": 0, "coverage": 4 / 8}
    assert list(figures["sources"]) == ["blend", "gru4rec", "popularity"]
    assert (figures["events"], figures["lists"], figures["judged"], figures["sessions"]) == (8, 6, 3, 2)
    assert figures["seconds"] == {"state": 1.0, "lists": 2.0, "rest": 1.0}


def test_nothing_to_judge_is_an_error() -> None:
    nothing = Pairs(np.array([], np.int64), np.array([], np.int64), {})
    with pytest.raises(DatasetError, match="run: there is nothing to judge: 6 of 8 events had a list"):
        summarise(plan(), tally(nothing))
    with pytest.raises(DatasetError, match="other and run judged no list of the same click"):
        compare(plan("other"), tally(nothing), plan(), tally())


def test_runs_are_compared_on_the_lists_that_both_made() -> None:
    here = Pairs(np.array([1, 2, 3, 9]), np.arange(4), {"blend": np.array([1.0, 2.0, np.inf, 1.0])})
    there = Pairs(
        np.array([0, 1, 2, 3]),
        np.array([0, 1, 1, 3]),
        {"blend": np.array([1.0, 2.0, np.inf, np.inf]), "gru4rec": np.ones(4)},
    )
    found = compare(plan("new"), tally(here), plan("old"), tally(there))
    assert (found.run, found.against, found.pairs) == ("new", "old", 3)
    assert list(found.differences) == ["blend"]
    assert found.differences["blend"]["hit_rate@2"].difference == pytest.approx(1 / 3)
    assert found.differences["blend"]["mrr@2"].difference == pytest.approx((1 / 2 + 1 / 2) / 3)
    low, high = found.differences["blend"]["mrr@2"][1:3]
    assert low == 0.0  # both sessions drawn are the one without a difference
    assert high == pytest.approx(0.5)


def test_a_run_does_not_differ_from_itself() -> None:
    found = compare(plan("a"), tally(), plan("b"), dataclasses.replace(tally()))
    for metrics in found.differences.values():
        for difference in metrics.values():
            assert (difference.difference, difference.low, difference.high, difference.p) == (0, 0, 0, 1)
