"""Truncated singular value decomposition: beside numpy's."""

import tracemalloc

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.feedback import make_feedback
from streamrec.models.truncated_svd import TruncatedSVD, TruncatedSVDConfig
from streamrec.recommender import Visitor


@pytest.mark.parametrize("factors", [1, 4, 24, 25, 60])
def test_scores_are_the_closest_matrix_of_that_rank(factors: int) -> None:
    given = ratings()
    model = TruncatedSVD(TruncatedSVDConfig(factors=factors, liked_from=0.5))
    model.train(given)
    matrix = np.zeros((len(given.user_ids), len(given.item_ids)))
    matrix[given.users, given.items] = given.values / given.values.mean(dtype=np.float64)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    closest = left[:, :factors] * values[:factors] @ right[:factors]
    found = np.array([model.score(Visitor(user_id)) for user_id in given.user_ids])
    np.testing.assert_allclose(found, closest, atol=1e-5)


def test_a_score_is_computed_by_hand() -> None:
    # Of [[1, 1, 0], [1, 1, 0], [0, 0, 1]] the first right singular vector is (1, 1, 0) / √2.
    model = TruncatedSVD(TruncatedSVDConfig(factors=1))
    model.train(make_feedback(["a", "a", "b", "b", "c"], ["x", "y", "x", "y", "z"]))
    assert model.score(Visitor("", ["x"]), ["x", "y", "z"]).tolist() == pytest.approx([0.5, 0.5, 0], abs=1e-6)
    assert model.score(Visitor("c")).tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_of_few_visitors_and_many_items_known_and_unknown_are_projected_on_what_was_had_together() -> None:
    tall = ratings()
    given = make_feedback(
        [tall.item_ids[item] for item in tall.items], [tall.user_ids[user] for user in tall.users]
    )
    model = TruncatedSVD(TruncatedSVDConfig(factors=60))
    model.train(given)
    matrix = np.zeros((len(given.user_ids), len(given.item_ids)))
    matrix[given.users, given.items] = 1.0
    found = np.array([model.score(Visitor(user_id)) for user_id in given.user_ids])
    np.testing.assert_allclose(found, matrix, atol=1e-5)
    stranger = np.isin(given.item_ids, ["u03", "u07"])
    expected = stranger @ np.linalg.pinv(matrix) @ matrix
    np.testing.assert_allclose(model.score(Visitor("", ["u03", "u07"])), expected, atol=1e-5)


def test_two_visitors_of_one_taste_leave_one_vector() -> None:
    model = TruncatedSVD(TruncatedSVDConfig(factors=5))
    model.train(make_feedback(["a", "a", "a", "b", "b", "b"], ["x", "y", "z", "x", "y", "z"]))
    np.testing.assert_allclose(model.score(Visitor("", ["x"])), 1 / 3, rtol=1e-6)


def test_all_vectors_are_found_without_the_table_of_visitors_and_items_being_decomposed() -> None:
    users = np.repeat(np.arange(50_000), 2)
    items = (users * 7 + np.tile([0, 1], 50_000)) % 40
    feedback = make_feedback([f"u{n}" for n in users], [f"i{n}" for n in items])
    tracemalloc.start()
    TruncatedSVD(TruncatedSVDConfig(factors=40)).train(feedback)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Places take 15 MiB, the matrix as a table would take as much, and so would its left vectors.
    assert peak < 28 << 20
