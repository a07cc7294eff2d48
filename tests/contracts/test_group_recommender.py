"""Strategies for groups, against sums by hand."""

from pathlib import Path

import numpy as np
import pytest

from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, Knowledge, make_feedback
from streamrec.models._nodes import foretells
from streamrec.models.group_recommender import GroupRecommender, GroupRecommenderConfig, Strategy, _points
from streamrec.offline.naming import Named
from streamrec.offline.recommenders import contenders
from streamrec.recommender import Visitor

GROUPS = Knowledge(groups={"both": ["a", "b"], "with a stranger": ["a", "nobody"], "strangers": ["nobody"]})
OF_A = [5.0, 4.0, 1.0, 3.0]
OF_B = [1.0, 4.0, 2.0, 3.0]


class Known:
    """Scores as given, in place of the recommender underneath."""

    items = ("w", "x", "y", "z")

    def score(self, visitor: Visitor, items: object = None) -> np.ndarray:
        of = {"a": OF_A, "b": OF_B}.get(visitor.visitor_id, [np.nan] * 4)
        chosen = self.items if items is None else items
        return np.array([of[self.items.index(each)] for each in chosen], np.float32)  # type: ignore[attr-defined]


def grouped(strategy: Strategy) -> GroupRecommender:
    model = GroupRecommender(GroupRecommenderConfig(strategy=strategy))
    model._base = Known()  # type: ignore[assignment]
    model._groups = GROUPS.groups
    return model


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("average", [3, 4, 1.5, 3]),
        ("least misery", [1, 4, 1, 3]),
        ("most pleasure", [5, 4, 2, 3]),
        ("average without misery", [np.nan, 4, np.nan, 3]),
        # a: z is third of four, y last; b: w last, y third. Shares of three points.
        ("borda", [(3 + 0) / 6, (2 + 3) / 6, (0 + 1) / 6, (1 + 2) / 6]),
    ],
)
def test_strategies_by_hand(strategy: Strategy, expected: list[float]) -> None:
    model = grouped(strategy)
    np.testing.assert_allclose(model.score(Visitor("both")), expected, rtol=1e-6)
    np.testing.assert_allclose(
        model.score(Visitor("both"), ["z", "w"]), [expected[3], expected[0]], rtol=1e-6
    )


@pytest.mark.parametrize("strategy", ["average", "least misery", "most pleasure"])
def test_members_of_whom_nothing_is_known_are_left_out(strategy: Strategy) -> None:
    model = grouped(strategy)
    np.testing.assert_allclose(model.score(Visitor("with a stranger")), OF_A)
    assert np.isnan(model.score(Visitor("strangers"))).all()
    assert [reason.of for reason in model.explain(Visitor("with a stranger"), "x")] == ["a"]
    assert model.explain(Visitor("strangers"), "x") == []


def test_a_visitor_who_is_no_group_is_answered_as_underneath() -> None:
    np.testing.assert_allclose(grouped("least misery").score(Visitor("a")), OF_A)


def test_ties_share_their_points() -> None:
    np.testing.assert_allclose(_points(np.array([2, 2, 5, np.nan, 1], np.float32)), [0.5, 0.5, 1, np.nan, 0])


def rated() -> Feedback:
    return make_feedback(["a", "a", "b", "c"], ["w", "x", "x", "w"], [5.0, 4.0, 2.0, 1.0])


def test_merged_profiles_are_means_answered_as_one_visitor(tmp_path: Path) -> None:
    model = GroupRecommender(GroupRecommenderConfig(strategy="merged profiles"))
    model.train(rated(), GROUPS)
    expected = model._base.score(Visitor("", ["w", "x"], [5.0, 3.0]))
    np.testing.assert_array_equal(model.score(Visitor("both")), expected)
    model.save(tmp_path / "saved")
    loaded = GroupRecommender.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.score(Visitor("both")), expected)


def test_a_group_without_members_is_refused() -> None:
    with pytest.raises(DatasetError, match="'empty' has no members"):
        GroupRecommender().train(rated(), Knowledge(groups={"empty": []}))


def test_what_a_group_is_foretold_are_ratings_where_those_underneath_are_and_points_never() -> None:
    assert foretells({"model": "group_recommender"})
    assert not foretells({"model": "group_recommender", "base": {"model": "wals"}})
    assert not foretells({"model": "group_recommender", "strategy": "borda"})
    judged = contenders(
        [
            Named("ratings", "group_recommender", {"strategy": "least misery"}, 0),
            Named("scores", "group_recommender", {"base": "wals"}, 0),
            Named("points", "group_recommender", {"strategy": "borda"}, 0),
        ]
    )
    assert [sorted(each.tasks) for each in judged] == [["rating", "top-n"], ["top-n"], ["top-n"]]


def test_a_members_last_rating_counts_in_a_merged_profile() -> None:
    model = GroupRecommender(GroupRecommenderConfig(strategy="merged profiles"))
    model.train(make_feedback(["a", "a", "b"], ["x", "x", "x"], [1.0, 4.0, 2.0]), GROUPS)
    assert model._profiles["both"] == (["x"], [3.0])
