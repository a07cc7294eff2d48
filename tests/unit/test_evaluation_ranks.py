"""Ranks and lists against a slow, obvious ranking of everything."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.evaluation.ranks import Ties, rank, rank_bounds, settled, top

# Coarse, so that many are equal.
some_scores = st.lists(
    st.one_of(st.integers(-2, 2).map(float), st.sampled_from([math.nan, math.inf, -math.inf])), min_size=1
)


def array(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("ties", "ranks"),
    [("conservative", [4, 1, 4, 4, math.inf, 5]), ("optimistic", [2, 1, 2, 2, math.inf, 5])],
)
def test_ties_count_as_the_rule_says(ties: Ties, ranks: list[float]) -> None:
    scores = array([3, 5, 3, 3, math.nan, -1])
    assert [rank(scores, target, ties) for target in range(6)] == ranks


def test_the_mean_rule_is_the_middle_of_the_two() -> None:
    scores = array([3, 5, 3, 3, 0, 0])
    assert [rank(scores, target, "mean") for target in range(6)] == [3, 1, 3, 3, 5.5, 5.5]


def test_bounds_are_the_ranks_of_the_two_extremes() -> None:
    scores = array([3, 5, 3, 3, math.nan, -1])
    bounds = np.array([rank_bounds(scores, target) for target in range(6)])
    rules: list[Ties] = ["optimistic", "conservative", "mean"]
    for ties in rules:
        assert settled(*bounds.T, ties).tolist() == [rank(scores, target, ties) for target in range(6)]
    assert bounds[0].tolist() == [2, 4]


def test_ties_count_against_the_model_unless_said_otherwise() -> None:
    assert rank(array([0, 0, 0]), 1) == 3


def test_an_item_the_model_does_not_know_has_no_rank() -> None:
    assert rank(array([1, 2]), -1) == math.inf


@given(some_scores, st.data())
def test_a_rank_counts_the_items_before(values: list[float], data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(values) - 1))
    others = [value for place, value in enumerate(values) if place != target]
    wanted = math.inf if math.isnan(values[target]) else 1 + sum(each >= values[target] for each in others)
    assert rank(array(values), target) == wanted


@given(some_scores, st.integers(1, 60))
def test_the_top_is_the_head_of_everything_sorted(values: list[float], k: int) -> None:
    scored = [place for place, value in enumerate(values) if not math.isnan(value)]
    wanted = sorted(scored, key=lambda place: (-values[place], place))[:k]
    assert top(array(values), k).tolist() == wanted + [-1] * (k - len(wanted))


@given(some_scores, st.integers(1, 10))
def test_the_item_at_a_place_of_the_top_has_at_least_that_rank(values: list[float], k: int) -> None:
    scores = array(values)
    for place, item in enumerate(top(scores, k).tolist(), start=1):
        if item >= 0:
            assert rank(scores, item, "optimistic") <= place <= rank(scores, item, "conservative")
