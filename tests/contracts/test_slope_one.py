"""Slope one: the paper's own example, each form against deviations counted one by one, and streams."""

from collections.abc import Callable

import numpy as np
import pytest
from recommender_answers import WITHHELD, checkerboard, ratings

from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, make_feedback
from streamrec.models import recommender
from streamrec.models.slope_one import SlopeOne, SlopeOneConfig
from streamrec.recommender import Visitor

Given = dict[str, dict[str, float]]
FORMS = ("plain", "weighted", "bi-polar")

each_form = pytest.mark.parametrize("form", FORMS)


def trained(form: str, feedback: Feedback) -> SlopeOne:
    model = SlopeOne(SlopeOneConfig.model_validate({"form": form}))
    model.train(feedback)
    return model


def given(feedback: Feedback) -> Given:
    """Ratings by visitor and item; of each pair the last."""
    found: Given = {user_id: {} for user_id in feedback.user_ids}
    for user, item, value in zip(feedback.users, feedback.items, feedback.values, strict=True):
        found[feedback.user_ids[user]][feedback.item_ids[item]] = float(value)
    return found


def by_hand(everyone: Given, mine: dict[str, float], target: str, form: str) -> float:
    """The paper's formulas, pair by pair."""

    def pairs(liked: Callable[[float], bool]) -> list[tuple[str, float, int]]:
        found = []
        for other in mine:
            if other == target or not liked(mine[other] - mean(mine)):
                continue
            deviations = [
                theirs[target] - theirs[other]
                for theirs in everyone.values()
                if target in theirs
                and other in theirs
                and liked(theirs[target] - mean(theirs))
                and liked(theirs[other] - mean(theirs))
            ]
            if deviations:
                found.append((other, sum(deviations) / len(deviations), len(deviations)))
        return found

    everything = pairs(lambda _: True)
    if form == "bi-polar":
        everything = pairs(lambda above: above > 0) + pairs(lambda above: above < 0) or everything
    if not everything:
        return mean(mine)
    if form == "plain":
        return mean(mine) + sum(deviation for _, deviation, _ in everything) / len(everything)
    weights = sum(count for _, _, count in everything)
    return sum((mine[other] + deviation) * count for other, deviation, count in everything) / weights


def mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)


def test_the_example_of_the_paper() -> None:
    """A gave I 1 and J 1.5; B gave I 2: B is expected to give J 2.5."""
    feedback = make_feedback(["A", "A", "B", "C"], ["I", "J", "I", "K"], [1.0, 1.5, 2.0, 5.0])
    for form in FORMS:
        assert trained(form, feedback).score(Visitor("B"), ["J"]).tolist() == [2.5]


@each_form
def test_scores_are_those_of_the_formula_pair_by_pair(form: str) -> None:
    feedback = ratings(15, 10, 70, seed=1)
    model, everyone = trained(form, feedback), given(feedback)
    for user_id, mine in everyone.items():
        expected = np.clip([by_hand(everyone, mine, item, form) for item in model.items], 1, 5)
        np.testing.assert_allclose(model.score(Visitor(user_id)), expected, rtol=1e-6)


@each_form
def test_an_unknown_visitor_is_answered_by_the_ratings_it_comes_with(form: str) -> None:
    feedback = ratings(15, 10, 70, seed=1)
    model, everyone = trained(form, feedback), given(feedback)
    mine = {"i01": 5.0, "i04": 2.0, "i07": 4.0}
    expected = np.clip([by_hand(everyone, mine, item, form) for item in model.items], 1, 5)
    scores = model.score(Visitor("nobody", [*mine, "unknown"], [*mine.values(), 1.0]))
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


@each_form
def test_reasons_add_up_to_the_score(form: str) -> None:
    feedback = ratings(15, 10, 90, seed=2)
    model = trained(form, feedback)
    for user_id in feedback.user_ids:
        for item_id in model.items:
            total = sum(reason.weight for reason in model.explain(Visitor(user_id), item_id))
            score = model.score(Visitor(user_id), [item_id])[0]
            assert np.clip(total, 1, 5) == pytest.approx(score, rel=1e-6)


def test_many_items_of_a_visitor_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = ratings()
    whole = trained("plain", feedback).score(Visitor("u03"))
    monkeypatch.setattr("streamrec.models.slope_one._CHUNK", 3)
    np.testing.assert_allclose(trained("plain", feedback).score(Visitor("u03")), whole, rtol=1e-6)


def test_of_two_kinds_of_visitors_bi_polar_knows_which_one_asks() -> None:
    scores = trained("bi-polar", checkerboard()).score(
        Visitor(WITHHELD[0]), [WITHHELD[1], *(f"white{n}" for n in range(8))]
    )
    assert (scores[0] > scores[1:]).all()


@each_form
def test_a_stream_is_learned_from_nothing_and_a_later_rating_of_a_pair_replaces_the_first(form: str) -> None:
    feedback = ratings()
    streamed = SlopeOne(SlopeOneConfig.model_validate({"form": form}))
    first = feedback.item_ids[feedback.items[0]]
    assert streamed.score(Visitor("u")).shape == (0,)
    streamed.learn_one(feedback.user_ids[feedback.users[0]], first, 1.0)
    for user, item, value in zip(feedback.users, feedback.items, feedback.values, strict=True):
        streamed.learn_one(feedback.user_ids[user], feedback.item_ids[item], float(value))
    whole = trained(form, feedback)
    for user_id in feedback.user_ids:
        np.testing.assert_allclose(
            streamed.score(Visitor(user_id), whole.items), whole.score(Visitor(user_id)), rtol=1e-9
        )


def test_what_is_no_number_is_refused_and_leaves_no_trace() -> None:
    model = trained("weighted", ratings())
    for value in (float("nan"), 1e39):
        with pytest.raises(DatasetError, match="ratings are finite numbers"):
            model.learn_one("new", "new", value)
    assert "new" not in model.items


def test_it_is_the_weighted_form_unless_told() -> None:
    assert recommender("slope-one").config == SlopeOneConfig(form="weighted")  # type: ignore[attr-defined]
