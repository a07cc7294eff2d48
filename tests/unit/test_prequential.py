"""Live lists against the next clicks: by hand, and against a slow, obvious computation on whole logs."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prequential_reference import reference
from state_parts import BASE, Record, click

from streamrec import metrics
from streamrec.config import Settings, load_settings
from streamrec.evaluation.fading import FadingSums, Figures, Verdict, figures
from streamrec.evaluation.prequential import Prequential

SETTINGS = load_settings(
    kafka={"partitions": 1},
    state={"session_gap_s": 30, "recent_events": 3},
    evaluation={"window": 4, "cutoffs": [1, 3], "releases": 2, "max_visitors": 3},
)
SOURCES = ("gru4rec", "popularity")


def made(
    n: int, answers: int, items: str, *, visitor: str = "v", release: str = "v1", **fields: Any
) -> Record:
    """The nth record of recommendations: a list for the interaction at an offset, with leads in turn."""
    recommended = [
        {"item_id": item, "score": 1.0, "sources": [SOURCES[place % 2]], "reason": ""}
        for place, item in enumerate(items)
    ]
    body = {
        "rec_id": f"r{answers}",
        "visitor_id": visitor,
        "items": recommended,
        "release": release,
        "input_partition": 0,
        "input_offset": answers,
        **fields,
    }
    return Record(n, BASE, visitor.encode(), json.dumps(body).encode())


def judge(
    interactions: Sequence[Record], lists: Sequence[Record], settings: Settings = SETTINGS
) -> Prequential:
    """Both logs read whole, the lists last."""
    judged = Prequential(settings, 0)
    judged.take_interactions(interactions, len(interactions))
    judged.take_lists(lists, len(interactions))
    return judged


def of(judged: Prequential, settings: Settings = SETTINGS) -> Figures:
    return figures([judged.sums], settings.evaluation)


def test_a_click_is_judged_against_the_list_made_for_the_click_before_it() -> None:
    clicks = [click(0, item="a"), click(1, item="b"), click(2, item="c"), click(3, item="d")]
    lists = [made(0, 0, "xb"), made(1, 1, "cyz"), made(2, 2, "xy"), made(3, 3, "a")]
    judged = judge(clicks, lists)
    assert judged.counts == {"judged": 3}
    found = of(judged)
    # b came second, c first, d not at all; the newest weighs most: 9/16, 3/4, 1.
    clicks_weigh = 9 / 16 + 3 / 4 + 1
    assert found.clicks["blend", "all"] == pytest.approx(clicks_weigh)
    assert found.recall["3", "blend", "all"] == pytest.approx((9 / 16 + 3 / 4) / clicks_weigh)
    assert found.recall["1", "blend", "all"] == pytest.approx(3 / 4 / clicks_weigh)
    assert found.mrr["3", "blend", "all"] == pytest.approx((9 / 16 / 2 + 3 / 4) / clicks_weigh)
    assert found.ndcg["3", "blend", "all"] == pytest.approx((9 / 16 / math.log2(3) + 3 / 4) / clicks_weigh)
    assert found.led_recall["3", "popularity", "all"] == pytest.approx(9 / 16 / clicks_weigh)
    assert found.led_recall["3", "gru4rec", "all"] == pytest.approx(3 / 4 / clicks_weigh)


def test_a_source_is_judged_by_its_own_proposals_where_the_list_tells_them() -> None:
    clicks = [click(0, item="a"), click(1, item="b"), click(2, item="c")]
    lists = [
        made(0, 0, "x", candidates={"gru4rec": ["x", "b"], "popularity": ["b"]}),
        made(1, 1, "c"),
        made(2, 2, "x"),
    ]
    found = of(judge(clicks, lists))
    assert found.mrr["3", "gru4rec", "all"] == 1 / 2
    assert found.mrr["3", "popularity", "all"] == 1
    assert found.clicks["gru4rec", "all"] == 1
    assert found.recall["1", "blend", "all"] == 1 / 1.75


def test_impressions_repeats_and_other_sessions_judge_nothing() -> None:
    clicks = [
        click(0, item="a", session_id="s"),
        click(1, item="b", session_id="s", type="impression"),
        click(2, item="b", session_id="s", event_id="e0"),
        click(3, item="b", session_id="t"),
        click(4, "w", "b"),
        click(5, item="b", session_id="t"),
    ]
    lists = [made(0, 0, "b"), made(1, 3, "x"), made(2, 4, "b", visitor="w"), made(3, 5, "b")]
    judged = judge(clicks, lists)
    assert judged.counts == {"judged": 1}
    assert of(judged).recall["3", "blend", "all"] == 0


@pytest.mark.parametrize(
    ("lists", "counts"),
    [
        ([made(0, 0, "b"), made(1, 0, "x"), made(2, 1, "c"), made(3, 2, "d")], {"judged": 2, "repeated": 1}),
        ([made(0, 0, "b"), made(1, 2, "x")], {"judged": 1, "no_list": 1}),
        ([made(0, 0, "b"), made(1, 2, "x"), made(2, 1, "c")], {"judged": 1, "no_list": 1, "late": 1}),
        ([made(0, 1, "b"), made(1, 0, "x"), made(2, 2, "x")], {"judged": 1, "repeated": 1}),
        ([made(0, 0, "b"), made(1, 1, "c", visitor="w")], {"judged": 1, "unasked": 1}),
        ([made(0, 0, "b"), made(1, 1, "c", input_partition=3)], {"unasked": 1}),
        ([made(0, 0, "b"), made(1, 3, "x"), made(2, 1, "c"), made(3, 2, "d")], {"judged": 2, "unasked": 1}),
        ([made(0, 10**9, "x"), made(1, 0, "b"), made(2, 1, "c")], {"judged": 1, "unasked": 1}),
        ([made(0, -(10**9), "x"), made(1, 0, "b"), made(2, 1, "c")], {"judged": 1, "unasked": 1}),
        ([made(0, 0, "b"), Record(1, BASE, b"v", b"{"), made(2, 1, "c")], {"judged": 1, "undecodable": 1}),
        ([made(0, 0, "b"), Record(1, BASE, b"v", None), made(2, 1, "c")], {"judged": 1, "undecodable": 1}),
        ([made(0, 0, "b", candidates=[]), made(1, 1, "c")], {"no_list": 1, "undecodable": 1}),
    ],
    ids=[
        "came again",
        "never came",
        "too late",
        "from before the beginning",
        "another visitor's",
        "another partition's",
        "for what is still to come",
        "for what is still to come, as the first",
        "for what no log holds",
        "no JSON",
        "no value",
        "no list inside",
    ],
)
def test_every_click_and_list_without_a_partner_is_counted(lists: list[Record], counts: Any) -> None:
    clicks = [click(0, item="a"), click(1, item="b"), click(2, item="c")]
    assert judge(clicks, lists).counts == counts
    assert set(counts) <= {"judged", "no_list", *metrics.IGNORED_LISTS}


def test_who_is_crowded_out_takes_the_list_along() -> None:
    clicks = [click(n, visitor, time=BASE + n) for n, visitor in enumerate("uvwxu")]
    judged = judge(clicks, [made(n, n, "a", visitor=visitor) for n, visitor in enumerate("uvwxu")])
    assert judged.counts == {}
    assert judged.forgotten == 2


def test_what_the_lists_need_is_what_is_wanted() -> None:
    judged = Prequential(SETTINGS, 0)
    assert judged.wanted == (0, 0)
    judged.take_lists([made(0, 40, "a"), made(1, 44, "b"), made(2, 41, "c"), made(3, 50, "d")], 50)
    assert judged.wanted == (40, 45)
    judged.take_interactions([click(40, item="a")], 42)
    assert judged.wanted == (42, 45)
    judged.take_interactions([], 45)  # nothing is there any more
    assert judged.wanted == (45, 0)
    assert judged.counts == {"unasked": 2, "repeated": 1}


def test_what_lies_before_the_next_list_does_not_wait_in_memory() -> None:
    judged = Prequential(SETTINGS, 0)
    judged.take_lists([made(0, 0, "b"), made(1, 99, "c")], 100)
    judged.take_interactions([click(n, item="ab"[n % 2]) for n in range(50)], 50)
    # Clicks 1 to 49 are judged, or known to have no list to be judged against.
    assert judged.counts == {"judged": 1, "no_list": 48}


def verdict(version: str, time_ms: int = 0, rank: int = 1) -> Verdict:
    return Verdict(version, time_ms, rank, "gru4rec", ["gru4rec"], {})


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 50))
def test_the_nth_click_from_the_end_weighs_the_factor_to_the_power_of_n(
    ranks: list[int], window: int
) -> None:
    settings = load_settings(evaluation={"window": window, "cutoffs": [3]}).evaluation
    sums = FadingSums(settings)
    for rank in ranks:
        sums.add(verdict("v1", rank=rank))
    weights = [(1 - 1 / window) ** n for n in reversed(range(len(ranks)))]
    hits = sum(weight for weight, rank in zip(weights, ranks, strict=True) if 1 <= rank <= 3)
    found = figures([sums], settings)
    assert found.clicks["blend", "v1"] == pytest.approx(sum(weights))
    assert found.recall["3", "blend", "v1"] == pytest.approx(hits / sum(weights))


def test_only_the_versions_judged_last_are_shown() -> None:
    one, other = FadingSums(SETTINGS.evaluation), FadingSums(SETTINGS.evaluation)
    for time_ms, version in enumerate(["", "v2", "", "v4"]):
        one.add(verdict(version, time_ms))
    other.add(verdict("v0", 2))
    other.add(verdict("v0", 9))
    assert {version for _, version in figures([one], SETTINGS.evaluation).clicks} == {"all", "none", "v4"}
    both = figures([one, other], SETTINGS.evaluation)
    assert {version for _, version in both.clicks} == {"all", "v0", "v4"}
    assert {key[2] for values in both[:4] for key in values} == {"all", "v0", "v4"}


def test_partitions_count_by_the_weight_of_their_clicks() -> None:
    one, other = FadingSums(SETTINGS.evaluation), FadingSums(SETTINGS.evaluation)
    one.add(verdict("v1"))
    for _ in range(3):
        other.add(verdict("v1", rank=0)._replace(lead=None))
    found = figures([one, other], SETTINGS.evaluation)
    assert found.recall["1", "blend", "all"] == pytest.approx(1 / (1 + 1 + 3 / 4 + 9 / 16))
    assert found.led_recall["1", "gru4rec", "all"] == found.recall["1", "blend", "all"]


interactions = st.lists(
    st.fixed_dictionaries(
        {
            "visitor": st.sampled_from("uvwxy"),
            "item": st.sampled_from("abcd"),
            "seconds": st.integers(0, 20),
            "type": st.sampled_from(["click", "click", "click", "cart", "impression", "unheard-of"]),
            "session_id": st.sampled_from([None, None, "s1", "s2"]),
            "event_id": st.sampled_from([f"e{n}" for n in range(40)]),
        }
    ),
    min_size=1,
    max_size=30,
)
contents = st.fixed_dictionaries(
    {
        "items": st.lists(st.sampled_from("abcd"), unique=True).map("".join),
        "release": st.sampled_from(["v1", "v1", "v2", "v3", ""]),
        "candidates": st.sampled_from([None, {"gru4rec": ["a", "b"], "popularity": ["c"]}]),
    }
)
slips = st.lists(st.tuples(st.sampled_from(["lose", "repeat", "defer"]), st.integers(0, 40)), max_size=6)


def logs_of(
    drawn: list[dict[str, Any]], bodies: list[Any], slipped: Any
) -> tuple[list[Record], list[Record]]:
    """Interactions, and lists for most of them, mostly in order."""
    records, time = [], BASE
    for offset, fields in enumerate(drawn):
        time += fields.pop("seconds") * 1000
        records.append(click(offset, fields.pop("visitor"), fields.pop("item"), time, **fields))
    answers = [n for n, record in enumerate(records) if b"impression" not in (record.value or b"")]
    for kind, place in slipped:
        if answers:
            at = place % len(answers)
            moved = answers[at] if kind == "repeat" else answers.pop(at)
            if kind != "lose":
                answers.insert(place % (len(answers) + 1), moved)
    lists = []
    for n, offset in enumerate(answers):
        body = dict(bodies[n % len(bodies)])
        visitor = (records[offset].key or b"").decode()
        lists.append(made(n, offset, body.pop("items"), visitor=visitor, **body))
    return records, lists


@given(
    interactions,
    st.lists(contents, min_size=1),
    slips,
    st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=30),
)
def test_every_interleaving_gives_what_the_whole_logs_give(
    drawn: list[dict[str, Any]], bodies: list[Any], slipped: Any, turns: list[tuple[bool, int]]
) -> None:
    records, lists = logs_of(drawn, bodies, slipped)
    expected, counts = reference(SETTINGS, {0: (records, lists)})
    judged = Prequential(SETTINGS, 0)
    read = listed = 0
    for is_list, n in [*turns, (True, 99), (False, 99)]:
        if is_list:
            judged.take_lists(lists[listed : listed + n], len(records))
            listed += n
        else:
            chunk = records[read : read + n]
            read += len(chunk)
            judged.take_interactions(chunk, read)
    assert of(judged) == expected
    kept = ("judged", "no_list", "undecodable")
    assert Counter({name: n for name, n in judged.counts.items() if name in kept}) == counts
