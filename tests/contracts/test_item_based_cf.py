"""Item-based collaborative filtering: the textbook's example, and what only this model promises."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from recommender_answers import answers, ratings

from streamrec.feedback import Feedback, make_feedback
from streamrec.models._similarity import Similarity
from streamrec.models.item_based_cf import ItemBasedCF, ItemBasedCFConfig
from streamrec.recommender import Visitor

# Jannach et al., "Recommender Systems: An Introduction", 2010, section 2.1.
ALICE = {"Alice": "5344", "User1": "31233", "User2": "43435", "User3": "33154", "User4": "15521"}
# Of item 5 with items 1 and 4, the only ones that are alike: sums over users 1 to 4 of deviations from
# their means.
ONE, FOUR = 3.68 / np.sqrt(3.68 * 5.68), 2.28 / np.sqrt(4.88 * 5.68)


def alice() -> Feedback:
    rows = [(user, f"Item{n}", float(r)) for user, given in ALICE.items() for n, r in enumerate(given, 1)]
    return make_feedback(*zip(*rows, strict=True))


def trained(feedback: Feedback, **parameters: Any) -> ItemBasedCF:
    model = ItemBasedCF(ItemBasedCFConfig(**parameters))
    model.train(feedback)
    return model


def test_alices_rating_by_adjusted_cosine() -> None:
    model = trained(alice(), similarity="adjusted_cosine", significance=0, centre="none")
    expected = (ONE * 5 + FOUR * 4) / (ONE + FOUR)
    assert_allclose(model.score(Visitor("Alice"), ["Item5"]), expected, rtol=1e-6)
    reasons = model.explain(Visitor("Alice"), "Item5")
    assert [(each.kind, each.of) for each in reasons] == [("item", "Item1"), ("item", "Item4")]
    assert_allclose(sum(each.weight for each in reasons), expected)


def test_alices_rating_by_what_she_deviates_from_the_items_means() -> None:
    model = trained(alice(), similarity="adjusted_cosine", significance=0)
    expected = 13 / 4 + (ONE * (5 - 16 / 5) + FOUR * (4 - 17 / 5)) / (ONE + FOUR)
    assert_allclose(model.score(Visitor("Alice"), ["Item5"]), expected, rtol=1e-6)


def test_an_item_is_explained_by_the_visitors_own() -> None:
    model = trained(ratings())
    visitor = "u05"
    own = {
        ratings().item_ids[item]
        for user, item in zip(ratings().users, ratings().items, strict=True)
        if ratings().user_ids[user] == visitor
    }
    reasons = model.explain(Visitor(visitor), "i03")
    assert {each.of for each in reasons if each.kind == "item"} <= own
    assert_allclose(
        sum(each.weight for each in reasons), model.score(Visitor(visitor), ["i03"])[0], atol=1e-6
    )


def test_clicks_without_ratings_make_lists() -> None:
    rows = ["a x", "a y", "b x", "b y", "b z", "c z", "c w"]
    model = trained(
        make_feedback(*zip(*(row.split() for row in rows), strict=True)),
        task="top-n",
        similarity="cosine",
        significance=0,
    )
    # Of z with x and with y: one of two visitors each. w has no visitor in common with either.
    assert_allclose(model.score(Visitor("a"), ["z", "w"]), [0.5 + 0.5, np.nan])
    assert_allclose(model.score(Visitor("", ["x"]), ["y", "z"]), [1.0, 0.5])


def test_in_lists_an_item_votes_for_the_k_most_similar_to_it() -> None:
    # Of the visitors of x, a to c, three had y and nobody else; a and b had z, b and c and d w, c and d v.
    rows = ["a x", "a y", "b x", "b y", "c x", "c y", "a z", "b z", "b w", "c w", "d w", "d v", "c v"]
    feedback = make_feedback(*zip(*(row.split() for row in rows), strict=True))
    z, w, v = 2 / np.sqrt(3 * 2), 2 / np.sqrt(3 * 3), 1 / np.sqrt(3 * 2)
    asked = ["y", "z", "w", "v"]
    for k, expected in {1: [1.0], 2: [1.0, z], 3: [1.0, z, w], 40: [1.0, z, w, v]}.items():
        model = trained(feedback, task="top-n", similarity="cosine", significance=0, k=k)
        expected = expected + [np.nan] * (4 - len(expected))
        assert_allclose(model.score(Visitor("", ["x"]), asked), expected, rtol=1e-6)
        assert [bool(model.explain(Visitor("", ["x"]), each)) for each in asked] == [e == e for e in expected]


def test_a_rating_learned_after_a_list_counts_in_the_next() -> None:
    everything = ratings(20, 15, 160)
    *earlier, last = zip(everything.users.tolist(), everything.items.tolist(), everything.values, strict=True)
    model = ItemBasedCF(ItemBasedCFConfig(task="top-n"))
    for user, item, value in earlier:
        model.learn_one(everything.user_ids[user], everything.item_ids[item], float(value))
    before = answers(model, everything)
    model.learn_one(everything.user_ids[last[0]], everything.item_ids[last[1]], float(last[2]))
    assert answers(model, everything) != before
    whole = trained(everything, task="top-n")
    for user_id in everything.user_ids:
        assert_allclose(model.score(Visitor(user_id)), whole.score(Visitor(user_id)), rtol=1e-6)


def test_a_stranger_that_rates_as_one_who_is_known_is_answered_alike() -> None:
    model = trained(ratings())
    user = ratings().user_ids.index("u05")
    mine = ratings().users == user
    had = [ratings().item_ids[item] for item in ratings().items[mine]]
    stranger = Visitor("?", had, ratings().values[mine].tolist())
    assert_allclose(model.score(stranger), model.score(Visitor("u05")), rtol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"centre": "baseline"}, {"task": "top-n", "k": 3}])
def test_a_single_item_is_scored_bit_for_bit_as_among_all(settings: dict[str, Any]) -> None:
    model = trained(ratings(), **settings)
    everything = model.score(Visitor("u05"))
    for place, item_id in enumerate(model.items):
        assert_array_equal(model.score(Visitor("u05"), [item_id])[0], everything[place])


@pytest.mark.parametrize("task", ["rating", "top-n"])
@pytest.mark.parametrize("similarity", get_args(Similarity))
def test_from_the_first_rating_on_one_by_one_is_what_training_gives(
    similarity: Similarity, task: str, tmp_path: Path
) -> None:
    everything = ratings(20, 15, 160)
    model = ItemBasedCF(ItemBasedCFConfig(similarity=similarity, task=task))  # type: ignore[arg-type]
    for user, item, value in zip(everything.users, everything.items, everything.values, strict=True):
        model.learn_one(everything.user_ids[user], everything.item_ids[item], float(value))
    whole = trained(everything, similarity=similarity, task=task)
    for user_id in everything.user_ids:
        assert_allclose(model.score(Visitor(user_id)), whole.score(Visitor(user_id)), rtol=1e-6)
    model.save(tmp_path / "saved")
    assert answers(ItemBasedCF.load(tmp_path / "saved"), everything) == answers(model, everything)
