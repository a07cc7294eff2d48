"""Recommenders judged offline: cross-validation of ratings, and lists against what visitors did last."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.feedback_summary import summarise_lists
from streamrec.evaluation.folds import fold_places, folds, foretell, predict
from streamrec.evaluation.held_out import Parts, last_of_each, make_lists, recommended, unaware
from streamrec.feedback import Feedback, Knowledge, Tagging, Trust, make_feedback
from streamrec.recommender import Visitor

FEEDBACK = make_feedback([*"uuuuuvvvvvw"], [*"abcdeabfghc"], [4, 5, 3, 4, 5, 1, 2, 3, 2, 1, 5], [*range(11)])


class Told:
    """Gives scores that it is told; a Recommender as far as evaluation needs one."""

    def __init__(self, scores: dict[str, dict[str, float]], items: Sequence[str] = "abcdefgh") -> None:
        self.items = list(items)
        self._scores = scores

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> Any:
        found = self._scores.get(visitor.visitor_id, {})
        mood = visitor.context.get("mood", "")
        return np.array(
            [found.get(mood + each, np.nan) for each in (self.items if items is None else items)], np.float32
        )


@given(st.integers(2, 7), st.integers(7, 40), st.integers(0, 3))
def test_each_rating_is_held_out_once(n_folds: int, n: int, seed: int) -> None:
    folds = [each.tolist() for each in fold_places(n, n_folds, seed)]
    assert sorted(place for each in folds for place in each) == list(range(n))
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert folds == [each.tolist() for each in fold_places(n, n_folds, seed)]


@pytest.mark.parametrize(("n", "n_folds", "error"), [(10, 1, ConfigError), (3, 4, DatasetError)])
def test_folds_that_cannot_be_are_refused(n: int, n_folds: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(fold_places(n, n_folds, 0))


def test_predictions_stand_at_the_place_of_their_rating() -> None:
    scores = {"u": dict(zip("abcde", (1, 2, 3, 4, 5), strict=True)), "w": {"c": 9}, "v": {"h": 7}}
    expected = [1, 2, 3, 4, 5, np.nan, np.nan, np.nan, np.nan, 7, 9]
    np.testing.assert_array_equal(predict(Told(scores), FEEDBACK), expected)  # type: ignore[arg-type]


def test_a_model_sees_the_context_of_each_rating() -> None:
    feedback = make_feedback("uu", "aa", [1, 2], [0, 1], {"mood": ["sad ", "glad "]})
    scores = {"u": {"sad a": 1.5, "glad a": 2.5}}
    assert predict(Told(scores), feedback).tolist() == [1.5, 2.5]  # type: ignore[arg-type]


def test_what_cannot_be_foretold_counts_as_the_mean_and_is_told() -> None:
    model = Told({"u": {"a": 1.5, "d": 2.5}})
    for (train, test), held_out in zip(folds(FEEDBACK, 2, seed=0), fold_places(11, 2, 0), strict=True):
        np.testing.assert_array_equal(test.values, FEEDBACK.values[np.sort(held_out)])
        expected, unscored = foretell(model, train, test)  # type: ignore[arg-type]
        told = [{("u", "a"): 1.5, ("u", "d"): 2.5}.get(pair) for pair in rows(test)]
        assert unscored.tolist() == [each is None for each in told]
        mean = np.delete(FEEDBACK.values, held_out).mean()
        np.testing.assert_allclose(expected, [mean if each is None else each for each in told], rtol=1e-6)


def test_the_last_of_each_visitor_is_held_out() -> None:
    parts = last_of_each(FEEDBACK, 0.4)
    assert rows(parts.test) == [("u", "d"), ("u", "e"), ("v", "g"), ("v", "h")]  # of w's one, none
    assert len(parts.train) == 7
    with pytest.raises(DatasetError, match="no visitor has the 10 interactions"):
        last_of_each(FEEDBACK, 0.1)
    with pytest.raises(ConfigError):
        last_of_each(FEEDBACK, 1.0)


def rows(feedback: Feedback) -> list[tuple[str, str]]:
    return [
        (feedback.user_ids[user], feedback.item_ids[item])
        for user, item in zip(feedback.users, feedback.items, strict=True)
    ]


def test_lists_leave_out_what_was_seen_and_what_has_no_score() -> None:
    scores = np.array([3.0, np.nan, 5.0, 5.0, 1.0, -2.0], np.float32)
    assert recommended(scores, np.array([2]), 3).tolist() == [3, 0, 4]
    assert recommended(scores, np.array([0, 2, 3, 4, 5]), 3).tolist() == []
    assert scores[2] == 5.0  # they are the caller's


def test_lists_are_measured_against_what_came_last() -> None:
    parts = last_of_each(FEEDBACK, 0.4)
    # u had a, b, c and then d, e; v had a, b, f and then g, h.
    model = Told({"u": dict(zip("abcdefg", (9, 9, 9, 2, 4, 3, 1), strict=True)), "v": {"c": 1, "g": 0.5}})
    made = make_lists(model, parts)  # type: ignore[arg-type]
    found = summarise_lists(
        made, (10, 20), label="", model="told", task="top-n", config={}, train_s=0, evaluate_s=0
    )
    gain = [1.0, 1 / np.log2(3), 0.5]
    ideal = gain[0] + gain[1]
    # u: e, f, d, g. v: c, g; h has no score.
    assert found.metrics["ndcg@10"] == pytest.approx(((gain[0] + gain[2]) / ideal + gain[1] / ideal) / 2)
    assert found.metrics["recall@20"] == pytest.approx((1.0 + 0.5) / 2)
    assert found.metrics["coverage@20"] == pytest.approx(5 / 8)
    assert (found.visitors, found.judged) == (2, 4)


def test_a_wanted_item_that_the_model_does_not_know_is_missed() -> None:
    parts = last_of_each(FEEDBACK, 0.4)
    model = Told({"u": {"d": 1.0}, "v": {}}, items="abcd")
    made = make_lists(model, parts)  # type: ignore[arg-type]
    assert made.ranks.tolist() == [[1.0, np.inf], [np.inf, np.inf]]
    assert made.relevant.tolist() == [2, 2]


def test_what_a_visitor_had_before_is_not_looked_for() -> None:
    train = make_feedback("uuvw", "abac", time_ms=[0, 1, 2, 3])
    test = make_feedback("uuvv", "acab", time_ms=[4, 5, 6, 7])
    model = Told({"u": {"c": 2, "d": 1}, "v": {"c": 2, "b": 1}}, items="abcd")
    made = make_lists(model, Parts(train, test), 2)  # type: ignore[arg-type]
    # u comes back to a and has c anew, v comes back to a and has b anew; the catalogue is a, b, c, d.
    assert made.visitor_ids == ["u", "v"]
    assert made.relevant.tolist() == [1, 1]
    assert made.ranks.tolist() == [[1.0], [2.0]]
    assert made.tops.tolist() == [[2, 3], [2, 1]]
    assert made.clicks.tolist() == [2, 1, 1, 0]
    with pytest.raises(DatasetError, match="had all its held-out items before"):
        make_lists(model, Parts(train, train))  # type: ignore[arg-type]


def test_lists_of_models_that_know_other_items_stand_in_one_catalogue() -> None:
    train = make_feedback("uvw", "abc", time_ms=[0, 1, 2])
    test = make_feedback("uv", "bz", time_ms=[3, 4])
    model = Told({"u": {"c": 3, "b": 2}, "v": {"z": 1}}, items="zcb")
    made = make_lists(model, Parts(train, test), 3)  # type: ignore[arg-type]
    assert made.tops.tolist() == [[2, 1, -1], [3, -1, -1]]  # a, b, c of training, then z
    assert made.ranks.tolist() == [[2.0], [1.0]]
    assert made.clicks.tolist() == [1, 1, 1, 0]


def test_tags_that_visitors_gave_what_is_held_out_are_not_known() -> None:
    parts = last_of_each(FEEDBACK)
    held_out = parts.test.user_ids[0], parts.test.item_ids[0]
    had = parts.train.user_ids[0], parts.train.item_ids[0]
    tags = [Tagging(*held_out, "noir"), Tagging(*had, "noir"), Tagging("somebody", held_out[1], "noir")]
    known = unaware(Knowledge(tags=tags, trust=[Trust("u", "v")]), parts.test)
    assert known == Knowledge(tags=tags[1:], trust=[Trust("u", "v")])
