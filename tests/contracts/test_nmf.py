"""Non-negative matrix factorisation of ratings."""

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.errors import DatasetError
from streamrec.feedback import make_feedback
from streamrec.models.nmf import NMF, NMFConfig
from streamrec.recommender import Visitor


def test_factors_are_not_below_zero() -> None:
    model = NMF()
    model.train(ratings())
    assert (model._learned.design >= 0).all()
    assert (model._learned.places >= 0).all()


def test_one_step_is_what_is_computed_by_hand() -> None:
    model = NMF(NMFConfig(factors=1, epochs=1, damping=0.5))
    model.train(make_feedback(["a", "a"], ["x", "y"], [4.0, 2.0]))
    rng = np.random.default_rng(0)
    (a,), (x, y) = rng.uniform(0.5, 1.5, 1) * np.sqrt(3), rng.uniform(0.5, 1.5, 2) * np.sqrt(3)
    a *= (4 * x + 2 * y) / (a * x * x + a * y * y + 0.5 * 2 * a)
    x *= 4 * a / (a * x * a + 0.5 * x)
    y *= 2 * a / (a * y * a + 0.5 * y)
    learned = model._learned
    assert learned.places.ravel().tolist() == pytest.approx([a])
    assert learned.design.ravel().tolist() == pytest.approx([x, y])


def test_what_is_a_sum_of_parts_is_found_without_the_ratings_held_out() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.uniform(0.1, 1, (30, 2)) @ rng.uniform(0.1, 1, (2, 20)) * 3
    users, items = np.divmod(rng.permutation(matrix.size), 20)
    told = slice(0, 500)
    model = NMF(NMFConfig(factors=2, damping=1e-6, epochs=2000))
    model.train(
        make_feedback(
            [f"u{n}" for n in users[told]], [f"i{n}" for n in items[told]], matrix[users, items][told]
        )
    )
    errors = [
        model.score(Visitor(f"u{u}"), [f"i{i}"])[0] - matrix[u, i]
        for u, i in zip(users[500:], items[500:], strict=True)
    ]
    assert np.sqrt(np.mean(np.square(errors))) < 0.05 * matrix.std()


def test_a_stranger_gets_the_place_that_the_steps_come_to() -> None:
    model, given = NMF(NMFConfig(factors=3, epochs=2000)), ratings()
    model.train(given)
    for user in (0, 7):
        of = given.users == user
        stranger = Visitor("", [given.item_ids[n] for n in given.items[of]], given.values[of].tolist())
        known = model.score(Visitor(given.user_ids[user]))
        np.testing.assert_allclose(model.score(stranger), known, atol=0.02)
        told = model._shares(model._had(stranger), model._learned).sum(0)
        assert (told > -1e-9).all()


def test_ratings_below_zero_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"a rating of -1: .*shift the ratings to 0 or above"):
        NMF().train(make_feedback(["u"], ["i"], [-1.0]))


def test_ratings_that_are_all_0_are_expected_to_be() -> None:
    model = NMF()
    model.train(make_feedback(["a", "a", "b"], ["x", "y", "x"], [0.0, 0.0, 0.0]))
    assert model.score(Visitor("b"), ["y"])[0] == 0.0
