"""Funk SVD: one factor after the other."""

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.contracts import TrainOptions
from streamrec.feedback import make_feedback
from streamrec.models.funk_svd import FunkSVD, FunkSVDConfig
from streamrec.recommender import Visitor


def test_of_all_ratings_of_all_pairs_the_factors_are_the_singular_vectors_in_order() -> None:
    # A factor of least squares with λ(|p|² + |q|²) has the largest singular value less λ.
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(12, 3)) @ rng.normal(size=(3, 9))
    users, items = np.divmod(np.arange(matrix.size), 9)
    config = FunkSVDConfig(factors=2, damping=1.0, damping_growth=0, level_damping=1e12, turns=600)
    model = FunkSVD(config)
    model.train(
        make_feedback([f"u{n:02d}" for n in users], [f"i{n}" for n in items], matrix.ravel()),
        options=TrainOptions(seed=1),
    )
    left, values, right = np.linalg.svd(matrix - matrix.mean())
    shrunk = left[:, :2] * (values[:2] - 1.0) @ right[:2] + matrix.mean()
    found = np.array([model.score(Visitor(f"u{n:02d}"), [f"i{i}" for i in range(9)]) for n in range(12)])
    np.testing.assert_allclose(found, np.clip(shrunk, matrix.min(), matrix.max()), atol=1e-3)


def test_a_single_turn_is_what_is_computed_by_hand() -> None:
    rows = [("a", "x", 5.0), ("a", "y", 1.0), ("b", "x", 3.0)]
    config = FunkSVDConfig(factors=1, turns=1, damping=2.0, damping_growth=1, level_damping=1e12)
    model = FunkSVD(config)
    model.train(make_feedback(*zip(*rows, strict=True)), options=TrainOptions(seed=5))
    a, b = np.random.default_rng(5).normal(0, 0.1, 2)
    # The mean is 3: what is left is 2, -2 and 0. x has two ratings, y one; a two, b one.
    x, y = 2 * a / (a * a + b * b + 4), -2 * a / (a * a + 2)
    a = (2 * x - 2 * y) / (x * x + y * y + 4)
    assert model.score(Visitor("a"), ["x", "y"]).tolist() == pytest.approx([3 + a * x, 3 + a * y])
    assert model.score(Visitor("b"), ["y"])[0] == pytest.approx(3.0)


def test_each_factor_lowers_the_error() -> None:
    losses = FunkSVD(FunkSVDConfig(factors=8, damping=0.2)).train(ratings()).losses
    assert len(losses) == 8
    assert losses == sorted(losses, reverse=True)
