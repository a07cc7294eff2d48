"""Probabilistic matrix factorisation: the most probable factors."""

import numpy as np
from recommender_answers import ratings

from streamrec.feedback import make_feedback
from streamrec.models.pmf import PMF, PMFConfig
from streamrec.recommender import Visitor


def test_of_all_ratings_of_all_pairs_it_keeps_what_exceeds_the_geometric_mean_of_dampings() -> None:
    # Singular values shrink by √(λ_p λ_q): Srebro et al., NIPS 2004.
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(12, 3)) @ rng.normal(size=(3, 9))
    users, items = np.divmod(np.arange(matrix.size), 9)
    model = PMF(PMFConfig(factors=4, user_damping=1.0, item_damping=4.0, epochs=600))
    model.train(make_feedback([f"u{n:02d}" for n in users], [f"i{n}" for n in items], matrix.ravel()))
    left, values, right = np.linalg.svd(matrix - matrix.mean())
    shrunk = left[:, :9] * np.maximum(values - 2.0, 0) @ right + matrix.mean()
    found = np.array([model.score(Visitor(f"u{n:02d}"), [f"i{i}" for i in range(9)]) for n in range(12)])
    np.testing.assert_allclose(found, np.clip(shrunk, matrix.min(), matrix.max()), atol=1e-3)


def test_strong_priors_leave_the_mean() -> None:
    model = PMF(PMFConfig(user_damping=1e9, item_damping=1e9))
    model.train(ratings())
    np.testing.assert_allclose(model.score(Visitor("u03")), ratings().values.mean(), atol=1e-6)


def test_items_without_ratings_of_a_stranger_say_nothing() -> None:
    model = PMF()
    model.train(ratings())
    assert np.isnan(model.score(Visitor("", ["i01", "i02"]))).all()
    assert np.isfinite(model.score(Visitor("", ["i01", "i02"], [4.0, 2.0]))).all()
