"""User-based collaborative filtering: the textbook's Alice, and what only this model promises."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from recommender_answers import answers, ratings

from streamrec.errors import ConfigError, DatasetError
from streamrec.feedback import Feedback, make_feedback
from streamrec.models._similarity import Similarity
from streamrec.models.user_based_cf import UserBasedCF, UserBasedCFConfig
from streamrec.recommender import Visitor

# Jannach et al., "Recommender Systems: An Introduction", 2010, section 2.1.
ALICE = {"Alice": "5344", "User1": "31233", "User2": "43435", "User3": "33154", "User4": "15521"}


def alice() -> Feedback:
    rows = [(user, f"Item{n}", float(r)) for user, given in ALICE.items() for n, r in enumerate(given, 1)]
    return make_feedback(*zip(*rows, strict=True))


def trained(feedback: Feedback, **parameters: Any) -> UserBasedCF:
    model = UserBasedCF(UserBasedCFConfig(**parameters))
    model.train(feedback)
    return model


def test_alices_rating_is_that_of_the_textbook() -> None:
    model = trained(alice(), significance=0)
    one, two = 2 / np.sqrt(5.5), 1 / np.sqrt(2)
    expected = 4 + (one * (3 - 2.4) + two * (5 - 3.8)) / (one + two)
    assert_allclose(model.score(Visitor("Alice"), ["Item5"]), expected)
    assert round(expected, 2) == 4.87


def test_alices_reasons_are_her_level_and_her_neighbours_parts() -> None:
    model = trained(alice(), significance=0)
    reasons = model.explain(Visitor("Alice"), "Item5")
    assert [(each.kind, each.of) for each in reasons] == [
        ("rating", ""),
        ("user", "User2"),
        ("user", "User1"),
    ]
    assert_allclose(sum(each.weight for each in reasons), model.score(Visitor("Alice"), ["Item5"])[0])
    assert reasons[0].weight == 4


def test_the_nearest_k_vote() -> None:
    model = trained(alice(), significance=0, k=1)
    assert_allclose(model.score(Visitor("Alice"), ["Item5"]), 4 + 3 - 2.4)
    assert [each.of for each in model.explain(Visitor("Alice"), "Item5")] == ["", "User1"]


def test_without_centring_the_neighbours_ratings_are_averaged() -> None:
    model = trained(alice(), significance=0, centre="none", similarity="msd")
    weights = 1 / (1 + np.array([(4 + 4 + 4 + 1) / 4, (1 + 1) / 4, (4 + 9 + 1) / 4, (16 + 4 + 1 + 4) / 4]))
    assert_allclose(model.score(Visitor("Alice"), ["Item5"]), weights @ [3, 5, 4, 1] / weights.sum())


def test_votes_are_added_up_for_lists() -> None:
    model = trained(alice(), significance=0, task="top-n", similarity="jaccard", k=2)
    # All have four items of Alice's four and of five: ties are broken by index, User1 and User2.
    assert_allclose(model.score(Visitor("Alice"), ["Item5"]), 0.8 * 3 + 0.8 * 5)
    assert [each.of for each in model.explain(Visitor("Alice"), "Item5")] == ["User2", "User1"]


def test_a_stranger_with_alices_ratings_is_answered_as_alice() -> None:
    known = alice()
    model = trained(known, significance=0)
    others = trained(known.take(known.users != known.user_ids.index("Alice")), significance=0)
    stranger = Visitor("?", ["Item4", "Item1", "Item2", "Item3"], [4, 5, 3, 4])
    assert_allclose(others.score(stranger, ["Item5"]), model.score(Visitor("Alice"), ["Item5"]), rtol=1e-6)
    assert np.isnan(others.score(Visitor("?"))).all()


def test_ratings_expected_stay_within_those_there_are() -> None:
    rows = [
        (f"u{u}", f"i{i}", float(r)) for u, given in enumerate(["124", "1245"]) for i, r in enumerate(given)
    ]
    model = trained(make_feedback(*zip(*rows, strict=True)), significance=0)
    assert model.score(Visitor("u0"), ["i3"])[0] == np.float32(7 / 3 + 2)
    rows[2] = ("u0", "i2", 5.0)
    model = trained(make_feedback(*zip(*rows, strict=True)), significance=0)
    assert 4.5 < model.score(Visitor("u0"), ["i3"])[0] <= 5


def test_where_nobody_is_alike_the_level_is_expected_and_without_one_nothing() -> None:
    apart = make_feedback(["a", "a", "b", "b"], ["i", "j", "k", "l"], [1.0, 2.0, 4.0, 5.0])
    assert trained(apart).score(Visitor("a"), ["k"])[0] == 1.5
    assert np.isnan(trained(apart, centre="none").score(Visitor("a"), ["k"])[0])
    assert np.isnan(trained(apart, task="top-n").score(Visitor("a"), ["k"])[0])
    assert trained(apart, task="top-n").explain(Visitor("a"), "k") == []


def test_baselines_are_fitted_at_once_so_one_by_one_is_refused() -> None:
    model = trained(ratings(), centre="baseline")
    before = answers(model, ratings())
    with pytest.raises(ConfigError, match="centre=mean"):
        model.learn_one("u01", "i01", 3.0)
    assert answers(model, ratings()) == before


@pytest.mark.parametrize("value", [float("nan"), -float("inf"), 1e300])
def test_what_is_no_number_is_refused_and_changes_nothing(value: float) -> None:
    model = trained(ratings())
    before = answers(model, ratings())
    with pytest.raises(DatasetError, match="finite"):
        model.learn_one("new", "new", value)
    assert answers(model, ratings()) == before


def test_who_rates_again_is_taken_at_the_last_word() -> None:
    once = make_feedback(["a", "b", "a", "b"], ["i", "i", "j", "j"], [1.0, 2.0, 4.0, 5.0])
    twice = make_feedback(["a", "b", "a", "b", "a"], ["i", "i", "j", "j", "i"], [3.0, 2.0, 4.0, 5.0, 1.0])
    assert answers(trained(once, significance=0), once) == answers(trained(twice, significance=0), once)


@pytest.mark.parametrize("task", ["rating", "top-n"])
@pytest.mark.parametrize("similarity", get_args(Similarity))
def test_from_the_first_rating_on_one_by_one_is_what_training_gives(
    similarity: Similarity, task: str, tmp_path: Path
) -> None:
    everything = ratings(20, 15, 160)
    model = UserBasedCF(UserBasedCFConfig(similarity=similarity, task=task))  # type: ignore[arg-type]
    for user, item, value in zip(everything.users, everything.items, everything.values, strict=True):
        model.learn_one(everything.user_ids[user], everything.item_ids[item], float(value))
    whole = trained(everything, similarity=similarity, task=task)
    for user_id in everything.user_ids:
        assert_allclose(model.score(Visitor(user_id)), whole.score(Visitor(user_id)), rtol=1e-6)
    model.save(tmp_path / "saved")
    assert answers(UserBasedCF.load(tmp_path / "saved"), everything) == answers(model, everything)


@pytest.mark.parametrize("centre", ["none", "baseline"])
def test_saved_and_loaded_with_any_centre(centre: str, tmp_path: Path) -> None:
    model = trained(ratings(), centre=centre)
    model.save(tmp_path / "saved")
    loaded = UserBasedCF.load(tmp_path / "saved")
    assert answers(loaded, ratings()) == answers(model, ratings())
    UserBasedCF().save(tmp_path / "untrained")
    assert_array_equal(UserBasedCF.load(tmp_path / "untrained").score(Visitor("u")), [])


def test_a_rating_that_was_replaced_has_widened_the_scale_in_a_stream_and_in_training() -> None:
    rows = [("v", "a", 4.0), ("v", "b", 4.0), ("v", "c", 5.0), ("u", "a", 5.0), ("u", "b", 5.0)]
    rows += [("w", "d", 9.0), ("w", "d", 1.0)]
    feedback = make_feedback(*zip(*rows, strict=True))
    whole, streamed = (
        trained(part, similarity="cosine", significance=0)
        for part in (feedback, feedback.take(np.arange(len(rows)) < 3))
    )
    for row in rows[3:]:
        streamed.learn_one(*row)
    for model in (whole, streamed):
        # Two thirds above the mean of v: more than 5, the highest that is left.
        assert_allclose(model.score(Visitor("u"), ["c"]), 5 + 2 / 3)
