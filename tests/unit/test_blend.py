"""The blend: weighted reciprocal ranks, shares, and order."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.blend import Blend, Blended
from streamrec.proposals import of_lists

WEIGHTS = {"deep": 1.0, "near": 0.5, "popular": 0.1}

item_lists = st.lists(st.sampled_from([f"i{n}" for n in range(30)]), unique=True, max_size=25)


def blend(k: int = 4, min_share: float = 0.0, rank_constant: float = 1.0, **weights: float) -> Blend:
    return Blend(weights or WEIGHTS, k, min_share, rank_constant)


def fused(fusion: Blend, lists: Mapping[str, Sequence[str]]) -> Blended:
    (blended,) = fusion.fuse({source: of_lists([items]) for source, items in lists.items()})
    return blended


def test_scores_are_weighted_reciprocal_ranks() -> None:
    found = fused(blend(), {"deep": ["a", "b"], "near": ["b", "c"]})
    assert found.item_ids == ["b", "a", "c"]
    assert found.scores == pytest.approx([1 / 3 + 0.5 / 2, 1 / 2, 0.5 / 3])


def test_all_that_proposed_an_item_are_named_the_strongest_first() -> None:
    found = fused(blend(), {"deep": ["a", "x", "y", "b"], "near": ["b", "a"], "popular": ["a", "b"]})
    sources = dict(zip(found.item_ids, found.sources, strict=True))
    assert sources["a"] == ["deep", "near", "popular"]
    assert sources["b"] == ["near", "deep", "popular"]


def test_a_source_of_weight_zero_is_left_out() -> None:
    assert fused(blend(deep=1.0, near=0.0), {"deep": ["a"], "near": ["b"]}).item_ids == ["a"]


def test_of_equal_scores_the_heavier_sources_comes_first_then_the_one_by_name() -> None:
    equal = {"one": ["b", "c"], "two": ["a", "d"]}
    assert fused(blend(one=1.0, two=1.0), equal).item_ids == ["b", "a", "c", "d"]
    # 2 / (1 + 3) is 1 / (1 + 1).
    heavy = {"heavy": ["a", "b", "z"], "light": ["c"]}
    assert fused(blend(heavy=2.0, light=1.0), heavy).item_ids == ["a", "b", "z", "c"]


def test_sources_of_equal_points_are_named_by_weight_then_name() -> None:
    assert fused(blend(k=1, two=1.0, one=1.0), {"two": ["a"], "one": ["a"]}).sources == [["one", "two"]]


def test_a_source_gets_its_share_at_the_end_of_the_list() -> None:
    lists = {"deep": [f"d{n}" for n in range(20)], "popular": ["p0", "p1"]}
    assert fused(blend(k=10, rank_constant=60.0), lists).item_ids == [f"d{n}" for n in range(10)]
    shared = fused(blend(k=10, min_share=0.15, rank_constant=60.0), lists)
    assert shared.item_ids == [f"d{n}" for n in range(8)] + ["p0", "p1"]
    assert shared.sources[-1] == ["popular"]


def test_the_source_whose_share_a_place_is_stands_first() -> None:
    lists = {"deep": [f"d{n}" for n in range(20)], "popular": ["d15"]}
    found = fused(blend(k=10, min_share=0.05, rank_constant=60.0, deep=1.0, popular=0.01), lists)
    assert found.item_ids[-1] == "d15"
    assert found.sources[-1] == ["popular", "deep"]


def test_where_shares_take_more_than_there_is_the_heavier_sources_go_first() -> None:
    lists = {"deep": ["a", "b"], "near": ["c", "d"], "popular": ["e", "f"]}
    assert fused(blend(k=1, min_share=0.3), lists).item_ids == ["a"]
    assert fused(blend(k=2, min_share=0.3), lists).item_ids == ["a", "c"]


def test_no_lists_give_no_places() -> None:
    assert blend().fuse({}) == []
    assert fused(blend(), {"deep": []}) == Blended([], [], [])
    assert fused(blend(), {"unknown": ["a"]}) == Blended([], [], [])


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
    found = fused(fusion, lists)
    assert found == fused(fusion, dict(reversed(lists.items())))
    assert len(set(found.item_ids)) == len(found.item_ids) == min(k, len(set().union(*lists.values())))
    assert found.scores == sorted(found.scores, reverse=True)
    for item_id, score, sources in zip(*found, strict=True):
        assert sorted(sources) == sorted(s for s in lists if item_id in lists[s])
        assert score == sum(
            fusion.points(s, lists[s].index(item_id) + 1) for s in fusion.sources if s in sources
        )
    held = Counter(sources[0] for sources in found.sources)
    quota = -int(-round(min_share * k, 9) // 1)
    if quota * len(lists) <= k:
        for source, proposals in lists.items():
            elsewhere = {
                item_id
                for item_id, sources in zip(found.item_ids, found.sources, strict=True)
                if sources[0] != source
            }
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
    found = fused(fusion, lists)
    assert found.scores == sorted(filter(None, sums.values()), reverse=True)[:k]
    assert found.scores == [sums[item_id] for item_id in found.item_ids]


@given(
    st.lists(st.tuples(item_lists, item_lists, item_lists), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.05, 1 / 3]),
)
def test_a_list_does_not_depend_on_the_batch(batch: list[tuple[list[str], ...]], min_share: float) -> None:
    fusion = blend(k=6, min_share=min_share)
    together = fusion.fuse(
        {source: of_lists([each[n] for each in batch]) for n, source in enumerate(WEIGHTS)}
    )
    assert together == [fused(fusion, dict(zip(WEIGHTS, each, strict=True))) for each in batch]
