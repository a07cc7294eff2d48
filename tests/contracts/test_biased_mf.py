"""Biased matrix factorisation: the optimum that it promises."""

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.contracts import TrainOptions
from streamrec.feedback import make_feedback
from streamrec.models.baseline_predictor import BaselinePredictor, BaselinePredictorConfig
from streamrec.models.biased_mf import BiasedMF, BiasedMFConfig
from streamrec.recommender import Visitor


def test_with_factors_damped_away_it_is_the_baseline_predictor() -> None:
    model = BiasedMF(BiasedMFConfig(damping=1e9, level_damping=7, epochs=30))
    levels = BaselinePredictor(BaselinePredictorConfig(user_damping=7, item_damping=7, epochs=100))
    model.train(ratings())
    levels.train(ratings())
    for user_id in ("u00", "u31"):
        wanted = np.clip(levels.score(Visitor(user_id)), 1, 5)
        np.testing.assert_allclose(model.score(Visitor(user_id)), wanted, atol=1e-5)


def test_of_all_ratings_of_all_pairs_it_keeps_what_exceeds_the_damping() -> None:
    # Least squares with λ(|P|² + |Q|²) shrinks singular values by λ: Srebro et al., NIPS 2004.
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(12, 3)) @ rng.normal(size=(3, 9))
    users, items = np.divmod(np.arange(matrix.size), 9)
    config = BiasedMFConfig(factors=5, damping=2.0, damping_growth=0, level_damping=1e12, epochs=600)
    model = BiasedMF(config)
    model.train(
        make_feedback([f"u{n:02d}" for n in users], [f"i{n}" for n in items], matrix.ravel()),
        options=TrainOptions(seed=1),
    )
    left, values, right = np.linalg.svd(matrix - matrix.mean())
    shrunk = left[:, :9] * np.maximum(values - 2.0, 0) @ right + matrix.mean()
    found = np.array([model.score(Visitor(f"u{n:02d}"), [f"i{i}" for i in range(9)]) for n in range(12)])
    np.testing.assert_allclose(found, np.clip(shrunk, matrix.min(), matrix.max()), atol=1e-3)


def test_the_loss_never_rises_and_training_tells_it_for_each_epoch() -> None:
    report = BiasedMF(BiasedMFConfig(epochs=6, damping=0.1)).train(ratings())
    assert len(report.losses) == 6
    assert report.losses[-1] < report.losses[0]


def test_scores_stay_in_the_range_of_the_ratings_seen() -> None:
    model = BiasedMF(BiasedMFConfig(level_damping=0.01))
    rows = [(f"u{u}", f"i{i}", float(min(5, 1 + 2 * u + i))) for u in range(3) for i in range(3) if u + i < 4]
    model.train(make_feedback(*zip(*rows, strict=True)))
    assert model.score(Visitor("u2"), ["i2"])[0] == pytest.approx(5.0)
