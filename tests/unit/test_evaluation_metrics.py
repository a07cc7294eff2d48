"""Metrics against hand arithmetic, against trec_eval, and by what has to hold of them."""

import math
from collections.abc import Callable

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG
from scipy.stats import mannwhitneyu

from streamrec.evaluation.metrics import (
    auc,
    f1_at_k,
    hit_rate_at_k,
    mae,
    map_at_k,
    mar_at_k,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    rmse,
)
from streamrec.evaluation.ranks import FloatRanks, rank

Metric = Callable[..., np.ndarray]

INF = math.inf
ALL = [
    recall_at_k,
    precision_at_k,
    f1_at_k,
    hit_rate_at_k,
    mrr_at_k,
    ndcg_at_k,
    map_at_k,
    mar_at_k,
]
metrics = pytest.mark.parametrize("metric", ALL)
COUNTING = (recall_at_k, f1_at_k, ndcg_at_k, map_at_k, mar_at_k)
counting = pytest.mark.parametrize("metric", COUNTING)

NEXT = np.array([1.0, 2.0, 4.0, INF])
"""Queries with one relevant item."""
SEVERAL = np.array([[3.0, 1.0, INF], [2.0, INF, INF], [9.0, 5.0, 6.0]])
"""Queries with 3, 1 and 5 relevant items."""
RELEVANT = np.array([3, 1, 5])
LOG3, LOG4, LOG5 = math.log2(3), math.log2(4), math.log2(5)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (recall_at_k, [1, 1, 0, 0]),
        (precision_at_k, [1 / 3, 1 / 3, 0, 0]),
        (f1_at_k, [1 / 2, 1 / 2, 0, 0]),
        (hit_rate_at_k, [1, 1, 0, 0]),
        (mrr_at_k, [1, 1 / 2, 0, 0]),
        (ndcg_at_k, [1, 1 / LOG3, 0, 0]),
        (map_at_k, [1, 1 / 2, 0, 0]),
        (mar_at_k, [1, 2 / 3, 0, 0]),
    ],
)
def test_with_one_relevant_item_within_three(metric: Metric, wanted: list[float]) -> None:
    assert metric(NEXT, 3) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (recall_at_k, [2 / 3, 1, 1 / 5]),
        (f1_at_k, [2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3), 2 * (1 / 5) / (6 / 5), 1 / 5]),
        (ndcg_at_k, [(1 + 1 / LOG4) / (1 + 1 / LOG3 + 1 / LOG4), 1 / LOG3, None]),
        (map_at_k, [(1 + 2 / 3) / 3, 1 / 2, (1 / 5) / 5]),
        (mar_at_k, [(1 / 3 + 1 / 3 + 2 / 3 + 2 / 3 + 2 / 3) / 5, 4 / 5, (1 / 5) / 5]),
    ],
)
def test_with_several_relevant_items_within_five(metric: Metric, wanted: list[float | None]) -> None:
    if metric is ndcg_at_k:
        ideal = 1 + 1 / LOG3 + 1 / LOG4 + 1 / LOG5 + 1 / math.log2(6)
        wanted[2] = (1 / math.log2(6)) / ideal
    assert metric(SEVERAL, 5, RELEVANT) == pytest.approx(wanted)


def test_metrics_that_need_not_know_how_many_are_relevant() -> None:
    assert precision_at_k(SEVERAL, 5) == pytest.approx([2 / 5, 1 / 5, 1 / 5])
    assert hit_rate_at_k(SEVERAL, 1).tolist() == [1, 0, 0]
    assert mrr_at_k(SEVERAL, 5) == pytest.approx([1, 1 / 2, 1 / 5])


def test_a_mean_rank_between_two_places_is_within_the_lower_one_only() -> None:
    assert recall_at_k(np.array([2.5]), 2).tolist() == [0]
    assert mar_at_k(np.array([2.5]), 4) == pytest.approx([(0 + 0 + 1 + 1) / 4])


def test_the_ideal_list_is_no_longer_than_k() -> None:
    # Three relevant items, a list of two that both are: it could not be better.
    assert ndcg_at_k(np.array([[1.0, 2.0, 3.0]]), 2, 3) == pytest.approx([1])


# -- trec_eval ----------------------------------------------------------------------------------

N_QUERIES, N_ITEMS = 60, 40


def graded() -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]], FloatRanks, np.ndarray]:
    """Judgements 0 to 3 and distinct scores for some of the items, with the ranks of those graded 2 or 3."""
    rng = np.random.default_rng(5)
    qrels, run = {}, {}
    ranks = np.full((N_QUERIES, N_ITEMS), INF)
    relevant = np.zeros(N_QUERIES, np.int64)
    for query in range(N_QUERIES):
        grades = rng.choice(4, N_ITEMS, p=[0.75, 0.2, 0.03, 0.02])
        grades[rng.integers(N_ITEMS)] = 3
        scores = rng.permutation(N_ITEMS).astype(np.float32)
        scores[rng.random(N_ITEMS) < 0.3] = np.nan
        qrels[str(query)] = {str(item): int(grade) for item, grade in enumerate(grades)}
        run[str(query)] = {str(n): float(score) for n, score in enumerate(scores) if not np.isnan(score)}
        wanted = np.flatnonzero(grades >= 2)
        relevant[query] = len(wanted)
        ranks[query, : len(wanted)] = [rank(scores, item) for item in wanted]
    return qrels, run, ranks, relevant


@pytest.mark.parametrize("k", [1, 3, 10, 20])
@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (recall_at_k, R(rel=2)),
        (precision_at_k, P(rel=2)),
        (hit_rate_at_k, Success(rel=2)),
        (mrr_at_k, RR(rel=2)),
        (ndcg_at_k, nDCG(gains={0: 0, 1: 0, 2: 1, 3: 1})),
        (map_at_k, AP(rel=2)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_figures_are_those_of_trec_eval(metric: Metric, theirs: ir_measures.Measure, k: int) -> None:
    qrels, run, ranks, relevant = graded()
    found = {each.query_id: each.value for each in ir_measures.iter_calc([theirs @ k], qrels, run)}
    ours = metric(ranks, k, relevant) if metric in COUNTING else metric(ranks, k)
    assert len(set(found.values())) > 1
    assert ours == pytest.approx([found[str(query)] for query in range(N_QUERIES)])


# -- what has to hold ---------------------------------------------------------------------------


@st.composite
def queries(draw: st.DrawFn) -> tuple[FloatRanks, int, int]:
    """One query: different ranks with or without misses, how many are relevant, and k."""
    relevant = draw(st.integers(1, 6))
    found = draw(st.lists(st.integers(1, 30).map(float), unique=True, max_size=relevant))
    ranks = draw(st.permutations(found + [INF] * (relevant - len(found))))
    return np.array([ranks]), relevant, draw(st.integers(1, 30))


def value(metric: Metric, ranks: FloatRanks, k: int, relevant: int) -> float:
    found = metric(ranks, k, relevant) if metric in COUNTING else metric(ranks, k)
    return float(found[0])


@metrics
@given(query=queries(), padding=st.integers(0, 3))
def test_figures_are_shares_and_padding_changes_nothing(
    metric: Metric, query: tuple[FloatRanks, int, int], padding: int
) -> None:
    ranks, relevant, k = query
    found = value(metric, ranks, k, relevant)
    assert 0 <= found <= 1 + 1e-12
    assert value(metric, np.pad(ranks, ((0, 0), (0, padding)), constant_values=INF), k, relevant) == found


@given(queries())
def test_f1_is_the_harmonic_mean_of_precision_and_recall(query: tuple[FloatRanks, int, int]) -> None:
    ranks, relevant, k = query
    parts = [value(metric, ranks, k, relevant) for metric in (precision_at_k, recall_at_k)]
    wanted = 2 * parts[0] * parts[1] / sum(parts) if sum(parts) else 0
    assert value(f1_at_k, ranks, k, relevant) == pytest.approx(wanted)


@given(queries())
def test_mar_is_the_mean_of_recall_over_the_lengths(query: tuple[FloatRanks, int, int]) -> None:
    ranks, relevant, k = query
    recalls = [value(recall_at_k, ranks, length, relevant) for length in range(1, k + 1)]
    assert value(mar_at_k, ranks, k, relevant) == pytest.approx(sum(recalls) / k)


@given(st.lists(st.one_of(st.integers(1, 30).map(float), st.just(INF)), min_size=1), st.integers(1, 40))
def test_with_one_relevant_item_some_are_the_same_and_the_others_in_order(ranks: list[float], k: int) -> None:
    values = np.array(ranks)
    assert np.array_equal(hit_rate_at_k(values, k), recall_at_k(values, k))
    assert np.array_equal(map_at_k(values, k), mrr_at_k(values, k))
    assert (mrr_at_k(values, k) <= ndcg_at_k(values, k)).all()
    assert (ndcg_at_k(values, k) <= recall_at_k(values, k)).all()


@metrics
def test_without_queries_there_are_no_values(metric: Metric) -> None:
    assert metric(np.empty(0), 20).shape == (0,)


@metrics
def test_k_is_one_or_more(metric: Metric) -> None:
    with pytest.raises(ValueError, match="k is 0"):
        metric(NEXT, 0)


@counting
def test_a_query_without_relevant_items_is_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match="no relevant item"):
        metric(NEXT, 5, np.array([1, 1, 0, 1]))


@metrics
def test_ranks_of_another_shape_are_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 1, 4\)"):
        metric(NEXT[None, None], 5)


# -- AUC and ratings ----------------------------------------------------------------------------


def test_auc_is_the_share_of_the_others_that_stand_behind() -> None:
    assert auc(np.array([1.0, 3.0, 5.0, INF]), 5).tolist() == [1, 1 / 2, 0, 0]


@given(st.data(), st.lists(st.integers(0, 5).map(float), min_size=2, max_size=20))
def test_auc_is_the_statistic_of_mann_and_whitney(data: st.DataObject, values: list[float]) -> None:
    scores = np.array(values, np.float32)
    relevant = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1, max_size=len(values) - 1))
    ranks = np.array([[rank(scores, item, "mean") for item in relevant]])
    mask = np.isin(np.arange(len(values)), list(relevant))
    statistic = mannwhitneyu(scores[mask], scores[~mask]).statistic
    wanted = statistic / (mask.sum() * (~mask).sum())
    padded = np.pad(ranks, ((0, 0), (0, 2)), constant_values=INF)
    assert auc(padded, len(values), len(relevant)) == pytest.approx([wanted])


def test_relevant_items_without_a_rank_count_as_the_last() -> None:
    # Of 6 items, 3 are relevant: the first, and two that cannot be scored.
    assert auc(np.array([[INF, 1.0, INF]]), 6, 3) == pytest.approx([3 / 9])


def test_where_everything_is_relevant_there_is_no_auc() -> None:
    assert np.isnan(auc(np.array([[1.0, 2.0]]), 2, 2)).all()


def test_auc_wants_a_rank_for_each_relevant_item() -> None:
    with pytest.raises(ValueError, match="3 relevant items but ranks for 2"):
        auc(np.array([[1.0, 2.0]]), 9, 3)


def test_errors_of_ratings() -> None:
    assert rmse([1, 2, 3], [1, 4, 2]) == pytest.approx(math.sqrt(5 / 3))
    assert mae([1, 2, 3], [1, 4, 2]) == pytest.approx(1)
    assert math.isnan(rmse([], []))
    assert math.isnan(mae([], []))


@pytest.mark.parametrize("metric", [rmse, mae])
@pytest.mark.parametrize(("predicted", "actual"), [([1, 2], [1]), ([[1], [2]], [1, 2]), ([1, 2], 1)])
def test_every_rating_needs_a_prediction(metric: Metric, predicted: list[int], actual: list[int]) -> None:
    with pytest.raises(ValueError, match=r"predictions have the shape \(.*, ratings \("):
        metric(predicted, actual)
