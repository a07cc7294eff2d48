"""Truncated singular value decomposition: beside numpy's."""

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
