"""Naive Bayes: probabilities counted rating by rating, which ratings it takes, and streams."""

import math

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, make_feedback
from streamrec.models.naive_bayes_cf import NaiveBayesCF, NaiveBayesCFConfig
from streamrec.recommender import Visitor

CONFIG = NaiveBayesCFConfig(prior_damping=3.0, likelihood_damping=1.5, tempering=0.5)


def trained(feedback: Feedback, config: NaiveBayesCFConfig = CONFIG) -> NaiveBayesCF:
    model = NaiveBayesCF(config)
    model.train(feedback)
    return model


def by_hand(feedback: Feedback, mine: dict[str, float], own: str, target: str) -> float:
    """The docstring's formula, rater by rater."""
    levels = sorted(set(feedback.values.tolist()))
    rows = [
        (feedback.user_ids[user], feedback.item_ids[item], float(value))
        for user, item, value in zip(feedback.users, feedback.items, feedback.values, strict=True)
    ]

    def shares(values: list[float]) -> dict[float, float]:
        damping = CONFIG.prior_damping
        overall = {y: sum(row[2] == y for row in rows) / len(rows) for y in levels}
        return {y: (values.count(y) + damping * overall[y]) / (len(values) + damping) for y in levels}

    of_user, of_item = shares(list(mine.values())), shares([row[2] for row in rows if row[1] == target])
    overall = shares([row[2] for row in rows])
    raters = [row for row in rows if row[1] == target]
    logs = []
    for y in levels:
        evidence = 0.0
        for rater, _, value in raters:
            if rater == own:
                continue
            theirs = {row[1]: row[2] for row in rows if row[0] == rater}
            usual = shares(list(theirs.values()))[value]
            when = [theirs[item] for item in theirs if mine.get(item) == y]
            damping = CONFIG.likelihood_damping
            chance = (when.count(value) + damping * usual) / (len(when) + damping)
            evidence += math.log(chance / usual)
        prior = math.log(of_user[y] * of_item[y] / overall[y])
        logs.append(prior + evidence * (1 + len(raters)) ** -CONFIG.tempering)
    weights = [math.exp(log) for log in logs]
    return sum(weight * y for weight, y in zip(weights, levels, strict=True)) / sum(weights)


def test_scores_are_those_of_the_formula_rater_by_rater() -> None:
    feedback = ratings(12, 9, 60, seed=1)
    model = trained(feedback)
    for user, user_id in enumerate(feedback.user_ids):
        places = np.flatnonzero(feedback.users == user)
        mine = {feedback.item_ids[feedback.items[place]]: float(feedback.values[place]) for place in places}
        expected = [by_hand(feedback, mine, user_id, item) for item in model.items]
        np.testing.assert_allclose(model.score(Visitor(user_id)), expected, rtol=1e-6)


def test_an_unknown_visitor_is_answered_by_the_ratings_it_comes_with() -> None:
    feedback = ratings(12, 9, 60, seed=1)
    model = trained(feedback)
    mine = {"i01": 5.0, "i04": 2.0}
    expected = [by_hand(feedback, mine, "nobody", item) for item in model.items]
    np.testing.assert_allclose(
        model.score(Visitor("nobody", list(mine), list(mine.values()))), expected, rtol=1e-6
    )
    assert np.isfinite(model.score(Visitor("nobody", ["i01"], [3.7]))).all()


def test_who_speaks_against_an_item_lowers_it() -> None:
    """Twin rates as the visitor does, and disliked `x`; opposite rates the other way, and liked it."""
    mine = {f"i{n}": float(1 + 4 * (n % 2)) for n in range(8)}
    rows = [("me", item, value) for item, value in mine.items()]
    rows += [("twin", item, value) for item, value in mine.items()] + [("twin", "x", 1.0)]
    rows += [("opposite", item, 6.0 - value) for item, value in mine.items()] + [("opposite", "x", 5.0)]
    users, items, values = zip(*rows, strict=True)
    model = trained(make_feedback(users, items, values))
    assert model.score(Visitor("me"), ["x"])[0] < 2.0
    reasons = {
        reason.of: reason.weight for reason in model.explain(Visitor("me"), "x") if reason.kind == "user"
    }
    assert reasons["twin"] < 0
    assert reasons["opposite"] < 0


def test_ratings_of_too_fine_a_scale_are_refused_and_the_way_out_is_told() -> None:
    feedback = make_feedback(["u"] * 30, [f"i{n}" for n in range(30)], np.linspace(0, 1, 30))
    with pytest.raises(DatasetError, match=r"30 different ratings.*20 are taken; round them"):
        trained(feedback)
    trained(feedback, NaiveBayesCFConfig(most_classes=30))


def test_a_stream_is_learned_from_nothing() -> None:
    feedback = ratings()
    streamed, whole = NaiveBayesCF(CONFIG), trained(feedback)
    assert streamed.score(Visitor("u"), ["i"]).shape == (1,)
    for user, item, value in zip(feedback.users, feedback.items, feedback.values, strict=True):
        streamed.learn_one(feedback.user_ids[user], feedback.item_ids[item], float(value))
    for user_id in feedback.user_ids:
        np.testing.assert_allclose(
            streamed.score(Visitor(user_id), whole.items), whole.score(Visitor(user_id)), rtol=1e-9
        )


def test_a_stream_is_refused_what_training_is_and_nothing_changes() -> None:
    model = trained(make_feedback(["u"] * 3, ["a", "b", "c"], [1, 2, 3]), NaiveBayesCFConfig(most_classes=3))
    before = model.score(Visitor("u"))
    for value, fault in ((4.0, "4 different ratings.*3 are taken"), (1e39, "ratings are finite numbers")):
        with pytest.raises(DatasetError, match=fault):
            model.learn_one("new", "new", value)
    assert list(model.items) == ["a", "b", "c"]
    np.testing.assert_array_equal(model.score(Visitor("u")), before)
    # A class goes with its last rating, and another may come.
    model.learn_one("u", "a", 3.0)
    model.learn_one("u", "d", 4.0)
    whole = trained(
        make_feedback(["u"] * 4, ["a", "b", "c", "d"], [3, 2, 3, 4]), NaiveBayesCFConfig(most_classes=3)
    )
    np.testing.assert_allclose(model.score(Visitor("u")), whole.score(Visitor("u")), rtol=1e-9)
