"""Weighted alternating least squares: the optimum of Hu, Koren and Volinsky."""

import numpy as np
import pytest
from recommender_answers import ratings
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from streamrec.feedback import Feedback, make_feedback
from streamrec.models.wals import WALS, WALSConfig
from streamrec.recommender import Visitor


def likes() -> Feedback:
    given = ratings()
    return make_feedback([given.user_ids[n] for n in given.users], [given.item_ids[n] for n in given.items])


def test_factors_are_the_optimum_for_each_other() -> None:
    config = WALSConfig(factors=4, confidence=3.0, damping=0.5, epochs=300)
    model, given = WALS(config), likes()
    model.train(given)
    preferred = np.zeros((len(given.user_ids), len(given.item_ids)))
    preferred[given.users, given.items] = 1.0
    confidences = 1 + 3.0 * preferred
    visitors, items = model._learned.places, model._learned.design
    penalty = 0.5 * np.sqrt(len(given) / len(given.user_ids))
    for mine, others, wanted, weights in (
        (visitors, items, preferred, confidences),
        (items, visitors, preferred.T, confidences.T),
    ):
        for row in range(0, len(mine), 5):
            squares = others.T @ (others * weights[row][:, None]) + penalty * np.eye(4)
            best = np.linalg.solve(squares, others.T @ (weights[row] * wanted[row]))
            np.testing.assert_allclose(mine[row], best, atol=2e-3)


def test_the_library_gives_the_same_visitor() -> None:
    als = pytest.importorskip("implicit.cpu.als")
    model, given = WALS(WALSConfig(factors=4, confidence=3.0, damping=0.5)), likes()
    model.train(given)
    penalty = 0.5 * np.sqrt(len(given) / len(given.user_ids))
    with threadpool_limits(1, "blas"):
        peer = als.AlternatingLeastSquares(factors=4, regularization=penalty, num_threads=1)
    peer.item_factors = model._learned.design.astype(np.float32)
    had = csr_matrix((np.full(len(given), 4.0), (given.users, given.items)), dtype=np.float32)
    np.testing.assert_allclose(peer.recalculate_user([3], had[[3]])[0], model._learned.places[3], atol=1e-4)


def test_what_is_liked_more_often_or_rated_higher_counts_more() -> None:
    model = WALS()
    model.train(ratings())
    low, high = (model.score(Visitor("", ["i01", "i02"], [5.0, value]), ["i02"])[0] for value in (3.5, 5.0))
    assert high > low
    reasons = model.explain(Visitor("", ["i01", "i02"], [5.0, 5.0]), "i02")
    assert reasons[0].of == "i02"
