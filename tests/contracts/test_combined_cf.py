"""The combination: a weighted mean of the two, each of which has its own tests."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from recommender_answers import ratings

from streamrec.feedback import make_feedback
from streamrec.models.combined_cf import CombinedCF, CombinedCFConfig
from streamrec.models.item_based_cf import ItemBasedCF
from streamrec.models.user_based_cf import UserBasedCF, UserBasedCFConfig
from streamrec.recommender import Visitor


@pytest.mark.parametrize("user_weight", [0.0, 0.25, 1.0])
def test_the_score_is_the_weighted_mean_of_both(user_weight: float) -> None:
    combined, by_users, by_items = (
        CombinedCF(CombinedCFConfig(user_weight=user_weight)),
        UserBasedCF(),
        ItemBasedCF(),
    )
    for model in (combined, by_users, by_items):
        model.train(ratings())
    visitor = Visitor("u05")
    expected = user_weight * by_users.score(visitor) + (1 - user_weight) * by_items.score(visitor)
    assert_allclose(combined.score(visitor), expected, rtol=1e-6)


def test_where_one_side_cannot_tell_the_other_does() -> None:
    # Nobody who has z has anything else, so that no item is like it; and v has z, so that u is like v.
    feedback = make_feedback(["u", "v", "v", "w"], ["x", "x", "y", "z"], [4.0, 4.0, 2.0, 1.0])
    settings = {"similarity": "cosine", "centre": "none", "significance": 0}
    combined = CombinedCF(
        CombinedCFConfig(user_similarity="cosine", item_similarity="pcc", centre="none", significance=0)
    )
    by_users = UserBasedCF(UserBasedCFConfig.model_validate(settings))
    for model in (combined, by_users):
        model.train(feedback)
    assert combined.score(Visitor("u"), ["y"])[0] == by_users.score(Visitor("u"), ["y"])[0] == 2
    assert np.isnan(combined.score(Visitor("u"), ["z"])[0])
    assert combined.explain(Visitor("u"), "y") == by_users.explain(Visitor("u"), "y")
    assert combined.explain(Visitor("u"), "z") == []


def test_reasons_of_both_sides_add_up_to_the_score() -> None:
    model = CombinedCF()
    model.train(ratings())
    for item_id in ("i03", "i07"):
        reasons = model.explain(Visitor("u05"), item_id)
        assert {"user", "item", "rating"} == {each.kind for each in reasons}
        assert_allclose(
            sum(each.weight for each in reasons), model.score(Visitor("u05"), [item_id])[0], rtol=1e-5
        )


def test_in_lists_who_has_no_vote_adds_nothing() -> None:
    feedback = make_feedback(*zip(*(row.split() for row in ["a x", "b x", "b y", "c y", "d z"]), strict=True))
    model = CombinedCF(CombinedCFConfig(task="top-n", user_weight=0.25, significance=0))
    by_users = UserBasedCF(UserBasedCFConfig(task="top-n", significance=0))
    for each in (model, by_users):
        each.train(feedback)
    # Of a stranger's y and x: one visitor in common, of two each. Nothing but y itself would vote for y.
    for item_id, by_items in (("x", 0.5), ("y", 0.0)):
        expected = 0.25 * by_users.score(Visitor("", ["y"]), [item_id])[0] + 0.75 * by_items
        assert_allclose(model.score(Visitor("", ["y"]), [item_id])[0], expected, rtol=1e-6)
        reasons = model.explain(Visitor("", ["y"]), item_id)
        assert_allclose(sum(each.weight for each in reasons), expected, rtol=1e-6)
    assert np.isnan(model.score(Visitor("", ["y"]), ["z"])[0])
