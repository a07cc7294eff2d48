"""SVD++: which items were rated at all says something, too."""

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.contracts import TrainOptions
from streamrec.feedback import make_feedback
from streamrec.models.biased_mf import BiasedMF, BiasedMFConfig
from streamrec.models.svdpp import SVDpp, SVDppConfig
from streamrec.recommender import Visitor


def test_with_what_was_rated_damped_away_it_is_biased_mf() -> None:
    model = SVDpp(SVDppConfig(factors=6, implicit_damping=1e12, epochs=9))
    plain = BiasedMF(BiasedMFConfig(factors=6, epochs=9))
    for each in (model, plain):
        each.train(ratings(), options=TrainOptions(seed=2))
    for user_id in ("u00", "u31"):
        np.testing.assert_allclose(model.score(Visitor(user_id)), plain.score(Visitor(user_id)), atol=1e-5)


def kinds() -> tuple[list[str], list[str], list[float]]:
    """Two kinds of visitors rate items of their own all the same; x is good for one, bad for the other."""
    rows = [
        (f"{kind}{user}", f"{kind}-item{item}", 3.0)
        for kind in "ab"
        for user in range(30)
        for item in range(6)
    ]
    rows += [(f"{kind}{user}", "x", 5.0 if kind == "a" else 1.0) for kind in "ab" for user in range(29)]
    users, items, values = zip(*rows, strict=True)
    return list(users), list(items), list(values)


def test_who_rated_the_same_items_is_expected_to_rate_alike_even_if_the_ratings_say_nothing() -> None:
    model = SVDpp(SVDppConfig(factors=3, damping=0.5, implicit_damping=0.5))
    model.train(make_feedback(*kinds()))
    assert model.score(Visitor("a29"), ["x"])[0] > 4
    assert model.score(Visitor("b29"), ["x"])[0] < 2
    assert model.score(Visitor("", ["a-item0", "a-item3"]), ["x"])[0] > 3.3
    assert model.score(Visitor("", ["b-item0", "b-item3"]), ["x"])[0] < 2.7
    reasons = model.explain(Visitor("", ["a-item0", "a-item3"]), "x")
    assert {reason.of for reason in reasons if reason.weight > 0.1} >= {"a-item0", "a-item3"}


def test_all_steps_together_find_the_optimum() -> None:
    model = SVDpp(SVDppConfig(factors=2, epochs=400, steps=20))
    model.train(ratings(12, 8, 60))
    losses = model.train(ratings(12, 8, 60)).losses
    assert losses[-1] == pytest.approx(losses[-2], abs=1e-6)
