"""The baseline predictor against regression, and by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from streamrec.contracts import TrainOptions
from streamrec.feedback import Feedback, make_feedback
from streamrec.models.baseline_predictor import BaselinePredictor, BaselinePredictorConfig
from streamrec.recommender import Reason, Visitor

FEEDBACK = make_feedback([*"uuuuuvvvvvw"], [*"abcdeabfghc"], [4, 5, 3, 4, 5, 1, 2, 3, 2, 1, 5])
MEAN = float(FEEDBACK.values.mean(dtype=np.float64))
CONVERGED = BaselinePredictorConfig(user_damping=2.0, item_damping=1.0, epochs=500)


def trained(config: BaselinePredictorConfig, feedback: Feedback = FEEDBACK) -> BaselinePredictor:
    model = BaselinePredictor(config)
    model.train(feedback)
    return model


def regression() -> tuple[np.ndarray, np.ndarray]:
    """Deviations of users and items by ridge regression on their indicators: the problem, solved at once."""
    users, items = len(FEEDBACK.user_ids), len(FEEDBACK.item_ids)
    design = np.zeros((len(FEEDBACK), users + items))
    design[np.arange(len(FEEDBACK)), FEEDBACK.users] = 1
    design[np.arange(len(FEEDBACK)), users + FEEDBACK.items] = 1
    damping = np.diag([2.0] * users + [1.0] * items)
    solved = np.linalg.solve(design.T @ design + damping, design.T @ (FEEDBACK.values - MEAN))
    return solved[:users], solved[users:]


def test_turns_end_at_the_deviations_of_a_regression() -> None:
    of_users, of_items = regression()
    model = trained(CONVERGED)
    for user, deviation in zip(FEEDBACK.user_ids, of_users, strict=True):
        assert_allclose(model.score(Visitor(user)), MEAN + deviation + of_items, atol=1e-6)


def test_a_stranger_deviates_as_the_ratings_that_it_comes_with() -> None:
    _, of_items = regression()
    model = trained(CONVERGED)
    folded = (5 - MEAN - of_items[0] + 1 - MEAN - of_items[1]) / (2 + 2)
    stranger = Visitor("", ["a", "nowhere", "b"], [5.0, 3.0, 1.0])
    assert_allclose(model.score(stranger, ["c"]), [MEAN + folded + of_items[2]], atol=1e-6)


def test_of_a_stranger_without_ratings_items_are_rated_as_by_all() -> None:
    _, of_items = regression()
    for stranger in (Visitor(), Visitor("x", ["a", "b"]), Visitor("x", ["nowhere"], [1.0])):
        assert_allclose(trained(CONVERGED).score(stranger), MEAN + of_items, atol=1e-6)


def test_one_turn_by_hand() -> None:
    model = trained(
        BaselinePredictorConfig(user_damping=1.0, item_damping=1.0, epochs=1),
        make_feedback(["u", "u", "v"], ["a", "b", "a"], [5.0, 3.0, 1.0]),
    )
    # Mean 3. Items: a (2 - 2) / 3 = 0, b 0 / 2 = 0. Users: u (2 + 0) / 3, v -2 / 2.
    assert_allclose(model.score(Visitor("u"), ["a", "b"]), [3 + 2 / 3, 3 + 2 / 3], rtol=1e-6)
    assert_allclose(model.score(Visitor("v"), ["a", "b"]), [2.0, 2.0], rtol=1e-6)


def test_the_parts_of_a_score_are_its_reasons() -> None:
    model = trained(CONVERGED)
    reasons = model.explain(Visitor("u"), "a")
    assert sum(each.weight for each in reasons) == pytest.approx(float(model.score(Visitor("u"), ["a"])[0]))
    assert Reason("rating", "", MEAN) in reasons
    assert {each.kind: each.of for each in reasons} == {"rating": "", "item": "a", "user": "u"}


def test_every_turn_tells_its_loss_and_more_damping_keeps_nearer_to_the_mean() -> None:
    losses = BaselinePredictor(CONVERGED).train(FEEDBACK, options=TrainOptions()).losses
    assert len(losses) == 500
    assert losses[-1] < losses[0] < float(np.var(FEEDBACK.values))
    wide, narrow = (
        np.ptp(trained(BaselinePredictorConfig(user_damping=d, item_damping=d)).score(Visitor("u")))
        for d in (1, 50)
    )
    assert narrow < wide / 5
