"""Metrics against hand arithmetic; ranks against a slow, obvious ranking of everything."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_models import Published, ring_sessions

from streamrec.contracts import FloatArray, IntArray, Session
from streamrec.evaluation import FloatRanks, mrr_at_k, ndcg_at_k, recall_at_k, session_ranks
from streamrec.scorer import load_scorer, load_step

Metric = Callable[[FloatRanks, int], float]

RANKS = np.array([1.0, 2.0, 4.0, math.inf])
metrics = pytest.mark.parametrize("metric", [recall_at_k, mrr_at_k, ndcg_at_k])
ranks_of_clicks = st.lists(st.one_of(st.integers(1, 30).map(float), st.just(math.inf)), min_size=1)


def test_recall_is_the_share_within_k() -> None:
    assert [recall_at_k(RANKS, k) for k in (1, 2, 3, 4, 99)] == [0.25, 0.5, 0.5, 0.75, 0.75]


def test_reciprocal_ranks_count_only_within_k() -> None:
    assert mrr_at_k(RANKS, 3) == (1 + 1 / 2) / 4
    assert mrr_at_k(RANKS, 4) == (1 + 1 / 2 + 1 / 4) / 4


def test_gain_is_discounted_by_the_logarithm_of_the_rank() -> None:
    assert ndcg_at_k(RANKS, 4) == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(5)) / 4)


@metrics
def test_without_clicks_there_is_no_figure(metric: Metric) -> None:
    assert math.isnan(metric(np.empty(0), 20))


@metrics
def test_k_is_one_or_more(metric: Metric) -> None:
    with pytest.raises(ValueError, match="k is 0"):
        metric(RANKS, 0)


@metrics
@given(ranks=ranks_of_clicks, k=st.integers(1, 40))
def test_figures_are_shares_that_grow_with_k(metric: Metric, ranks: list[float], k: int) -> None:
    found = [metric(np.array(ranks), each) for each in (k, k + 1)]
    assert 0 <= found[0] <= found[1] <= 1


@given(ranks=ranks_of_clicks, k=st.integers(1, 40))
def test_the_metrics_keep_their_order(ranks: list[float], k: int) -> None:
    values = np.array(ranks)
    assert mrr_at_k(values, k) <= ndcg_at_k(values, k) + 1e-12
    assert ndcg_at_k(values, k) <= recall_at_k(values, k) + 1e-12


class Counting:
    """A model whose hidden state is the list of its items' indices, and whose scores follow from it."""

    version = "v1"
    hidden_size = 6
    items: Sequence[str] = "abcdef"

    def item_index(self, item_id: str) -> int:
        return self.items.index(item_id) if item_id in self.items else -1

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        return np.concatenate([items[:, None].astype(np.float32) + 1, hidden[:, :-1]], axis=1)

    def scores(self, hidden: FloatArray) -> FloatArray:
        # Coarse, so that many are equal.
        return (np.outer(hidden @ np.array([3, 1, 4, 1, 5, 9]), [1, 2, 3, 4, 5, 6]) % 4).astype(np.float32)

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        scores = self.scores(hidden)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        return order, np.take_along_axis(scores, order, axis=1)


def obvious_ranks(model: Counting, sequences: list[str]) -> tuple[list[float], list[bool]]:
    ranks, known = [], []
    for sequence in sequences:
        for place in range(1, len(sequence)):
            seen = [item for item in sequence[:place] if item in model.items]
            target = model.item_index(sequence[place])
            known.append(target >= 0)
            rank = math.inf
            if seen and target >= 0:
                hidden = np.zeros((1, model.hidden_size), np.float32)
                for item in seen:
                    hidden = model.step(np.array([model.item_index(item)]), hidden)
                scores = model.scores(hidden)[0]
                others = [other for other in range(len(model.items)) if other != target]
                rank = 1.0 + sum(scores[other] >= scores[target] for other in others)
            ranks.append(rank)
    return ranks, known


@given(st.lists(st.text(alphabet="abcdefxy", max_size=9), max_size=12))
def test_every_next_click_has_the_rank_of_the_obvious_way(sequences: list[str]) -> None:
    model = Counting()
    found = session_ranks(model, model, map(Session, sequences))
    assert (found.ranks.tolist(), found.known.tolist()) == obvious_ranks(model, sequences)


def test_many_sessions_fill_many_batches_and_keep_their_order() -> None:
    model = Counting()
    sequences = ["abc", "xay", "f", "fedcbafedcba", "yx", "cc"] * 40
    found = session_ranks(model, model, map(Session, sequences))
    assert found.ranks.tolist() == obvious_ranks(model, sequences)[0]


def test_ties_count_against_the_model() -> None:
    class Equal(Counting):
        def scores(self, hidden: FloatArray) -> FloatArray:
            return np.zeros((len(hidden), 6), np.float32)

    assert session_ranks(Equal(), Equal(), [Session("ab")]).ranks.tolist() == [6]


def test_below_the_depth_looked_at_there_is_no_rank() -> None:
    class Falling(Counting):
        def scores(self, hidden: FloatArray) -> FloatArray:
            return np.tile(np.arange(6, 0, -1, dtype=np.float32), (len(hidden), 1))

    assert session_ranks(Falling(), Falling(), map(Session, ["ab", "ac", "ad"]), n=2).ranks.tolist() == [
        2,
        math.inf,
        math.inf,
    ]


def test_a_model_of_a_ring_finds_the_next_item_first(published: Published) -> None:
    step = load_step(published.registry, published.version)
    score = load_scorer(published.registry, published.version)
    found = session_ranks(step, score, ring_sessions(50, seed=9))
    assert recall_at_k(found.ranks, 1) > 0.95
    assert found.known.all()
