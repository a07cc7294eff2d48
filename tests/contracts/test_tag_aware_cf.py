"""Collaborative filtering that knows tags: known answers."""

import numpy as np
import pytest

from streamrec.errors import DatasetError
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge, Tagging, make_feedback
from streamrec.models._tags import TagRows, unit_rows
from streamrec.models.tag_aware_cf import TagAwareCF, TagAwareCFConfig
from streamrec.recommender import Visitor


def had() -> Feedback:
    """u and v share a; w has only what nobody else has."""
    return make_feedback(["u", "v", "v", "w"], ["a", "a", "b", "c"])


def trained(knowledge: Knowledge, **parameters: float) -> TagAwareCF:
    model = TagAwareCF(TagAwareCFConfig.model_validate(parameters))
    model.train(had(), knowledge)
    return model


def tagged(*pairs: tuple[str, str]) -> Knowledge:
    return Knowledge({item_id: Item(item_id=item_id, tags=[tag]) for item_id, tag in pairs})


def test_without_tags_votes_are_cosines_each_side_as_shares_of_its_sum() -> None:
    model = trained(Knowledge(), tags=0.0)
    # By users: v alone, for a and b alike. By items: a is like b alone.
    np.testing.assert_allclose(model.score(Visitor("u"), ["a", "b", "c"]), [0.25, 0.75, 0.0], rtol=1e-6)
    # By users: u for a alone. By items: b is like a as a is like b.
    np.testing.assert_allclose(model.score(Visitor("v"), ["a", "b", "c"]), [0.75, 0.25, 0.0], rtol=1e-6)
    # Who is like nobody and has what is like nothing cannot be answered.
    assert np.isnan(model.score(Visitor("w"))).all()


def test_items_that_no_visitor_shares_are_alike_by_a_tag() -> None:
    model = trained(tagged(("b", "noir"), ("c", "noir")), tags=0.4, user_based=0.0)
    index = {item_id: place for place, item_id in enumerate(model.items)}
    # One tag in common is a cosine of 1 of the tags, which weigh 0.4; a and b share one visitor of two.
    assert model._alike[index["b"], index["c"]] == pytest.approx(0.4)
    assert model._alike[index["b"], index["a"]] == pytest.approx(0.6 / np.sqrt(2))
    assert model.score(Visitor("w"), ["b"])[0] == pytest.approx(1.0)


def test_visitors_are_alike_by_tags_that_they_gave_even_with_nothing_had() -> None:
    model = trained(Knowledge(tags=[Tagging("x", "z", "Noir"), Tagging("w", "z", "noir")]), user_based=1.0)
    np.testing.assert_allclose(model.score(Visitor("x"), ["a", "b", "c"]), [0.0, 0.0, 1.0], rtol=1e-6)
    assert [(each.kind, each.of) for each in model.explain(Visitor("x"), "c")] == [("user", "w")]


def test_tags_that_weigh_nothing_change_nothing() -> None:
    known = tagged(("a", "noir"), ("c", "noir"))
    for visitor in (Visitor("u"), Visitor("v"), Visitor("w"), Visitor("", ["c"])):
        np.testing.assert_array_equal(
            trained(known, tags=0.0).score(visitor), trained(Knowledge(), tags=0.0).score(visitor)
        )


def test_a_stranger_is_answered_as_one_who_had_the_same() -> None:
    known = tagged(("a", "noir"), ("b", "noir"), ("c", "western"))
    asked = trained(known, user_based=0.0)
    np.testing.assert_allclose(asked.score(Visitor("", ["a", "b"])), asked.score(Visitor("v")), rtol=1e-6)
    assert np.isfinite(trained(known).score(Visitor("", ["c"]))).all()


def test_reasons_add_up_to_the_score() -> None:
    model = trained(tagged(("a", "noir"), ("b", "noir"), ("c", "noir")))
    reasons = model.explain(Visitor("v"), "c")
    assert {(each.kind, each.of) for each in reasons} == {("user", "w"), ("item", "a"), ("item", "b")}
    assert sum(each.weight for each in reasons) == pytest.approx(model.score(Visitor("v"), ["c"])[0])


def test_rare_tags_weigh_more() -> None:
    records = {n: Item(item_id=n, tags=["film", "noir"] if n == "a" else ["film"]) for n in "abc"}
    rows = TagRows(Knowledge(records), {}, {"a": 0, "b": 1, "c": 2}).of_items.toarray()
    assert rows[0, 1] / rows[0, 0] == pytest.approx(1 + np.log(4 / 2))
    np.testing.assert_allclose(rows[1:], [[1, 0], [1, 0]])


def test_rows_of_nothing_stay_nothing() -> None:
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).toarray(), [[0.6, 0.8], [0, 0]])


def test_values_too_low_to_be_likes_are_an_error() -> None:
    with pytest.raises(DatasetError, match="lower liked_from"):
        TagAwareCF(TagAwareCFConfig(liked_from=2)).train(had())
