"""The blend: weighted reciprocal ranks, shares, and order."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.blend import Blend, Place

WEIGHTS = {"deep": 1.0, "near": 0.5, "popular": 0.1}

item_lists = st.lists(st.sampled_from([f"i{n}" for n in range(30)]), unique=True, max_size=25)


def blend(k: int = 4, min_share: float = 0.0, rank_constant: float = 1.0, **weights: float) -> Blend:
    return Blend(weights or WEIGHTS, k, min_share, rank_constant)


def ids(places: list[Place]) -> list[str]:
    return [place.item_id for place in places]


def test_scores_are_weighted_reciprocal_ranks() -> None:
    places = blend().fuse({"deep": ["a", "b"], "near": ["b", "c"]})
    assert ids(places) == ["b", "a", "c"]
    assert [place.score for place in places] == pytest.approx([1 / 3 + 0.5 / 2, 1 / 2, 0.5 / 3])


def test_all_that_proposed_an_item_are_named_the_strongest_first() -> None:
    places = blend().fuse({"deep": ["a", "x", "y", "b"], "near": ["b", "a"], "popular": ["a", "b"]})
    assert {place.item_id: place.sources for place in places}["a"] == ["deep", "near", "popular"]
    assert {place.item_id: place.sources for place in places}["b"] == ["near", "deep", "popular"]


def test_a_source_of_weight_zero_is_left_out() -> None:
    places = blend(deep=1.0, near=0.0).fuse({"deep": ["a"], "near": ["b"]})
    assert ids(places) == ["a"]


def test_equal_scores_stand_in_the_order_of_their_ids() -> None:
    assert ids(blend(one=1.0, two=1.0).fuse({"one": ["b", "c"], "two": ["a", "d"]})) == list("abcd")


def test_sources_of_equal_points_are_named_by_weight_then_name() -> None:
    (place,) = blend(k=1, two=1.0, one=1.0).fuse({"two": ["a"], "one": ["a"]})
    assert place.sources == ["one", "two"]


def test_a_source_gets_its_share_at_the_end_of_the_list() -> None:
    lists = {"deep": [f"d{n}" for n in range(20)], "popular": ["p0", "p1"]}
    assert ids(blend(k=10, rank_constant=60.0).fuse(lists)) == [f"d{n}" for n in range(10)]
    shared = blend(k=10, min_share=0.15, rank_constant=60.0).fuse(lists)
    assert ids(shared) == [f"d{n}" for n in range(8)] + ["p0", "p1"]
    assert shared[-1].sources == ["popular"]


def test_the_source_whose_share_a_place_is_stands_first() -> None:
    lists = {"deep": [f"d{n}" for n in range(20)], "popular": ["d15"]}
    last = blend(k=10, min_share=0.05, rank_constant=60.0, deep=1.0, popular=0.01).fuse(lists)[-1]
    assert last.item_id == "d15"
    assert last.sources == ["popular", "deep"]


def test_where_shares_take_more_than_there_is_the_heavier_sources_go_first() -> None:
    lists = {"deep": ["a", "b"], "near": ["c", "d"], "popular": ["e", "f"]}
    assert ids(blend(k=1, min_share=0.3).fuse(lists)) == ["a"]
    assert ids(blend(k=2, min_share=0.3).fuse(lists)) == ["a", "c"]


def test_no_lists_give_no_places() -> None:
    assert blend().fuse({}) == []


@given(
    deep=item_lists,
    near=item_lists,
    popular=item_lists,
    k=st.integers(1, 12),
    min_share=st.sampled_from([0.0, 0.05, 0.2, 1 / 3]),
    rank_constant=st.sampled_from([0.5, 2.0, 60.0]),
)
def test_what_holds_of_every_blend(
    deep: list[str], near: list[str], popular: list[str], k: int, min_share: float, rank_constant: float
) -> None:
    fusion = blend(k, min_share, rank_constant)
    lists = {
        source: proposals[: fusion.depth]
        for source, proposals in (("deep", deep), ("near", near), ("popular", popular))
    }
    places = fusion.fuse(lists)
    assert places == fusion.fuse(dict(reversed(lists.items())))
    assert len(set(ids(places))) == len(places) == min(k, len(set().union(*lists.values())))
    assert [(-place.score, place.item_id) for place in places] == sorted(
        (-place.score, place.item_id) for place in places
    )
    for place in places:
        assert sorted(place.sources) == sorted(s for s in lists if place.item_id in lists[s])
    held = Counter(place.sources[0] for place in places)
    quota = -int(-round(min_share * k, 9) // 1)
    if quota * len(lists) <= k:
        for source, proposals in lists.items():
            elsewhere = {place.item_id for place in places if place.sources[0] != source}
            assert held[source] >= min(quota, len(set(proposals) - elsewhere))


@given(deep=item_lists, near=item_lists, popular=item_lists, k=st.integers(1, 12))
def test_without_shares_the_best_sums_of_points_are_chosen(
    deep: list[str], near: list[str], popular: list[str], k: int
) -> None:
    fusion = blend(k)
    lists = {"deep": deep, "near": near, "popular": popular}
    sums: dict[str, float] = {}
    for source in fusion.sources:
        for rank, item_id in enumerate(lists[source], 1):
            sums[item_id] = sums.get(item_id, 0.0) + fusion.points(source, rank)
    wanted = sorted((-points, item_id) for item_id, points in sums.items() if points)[:k]
    assert [(-place.score, place.item_id) for place in fusion.fuse(lists)] == wanted
