"""Co-clustering: the formula on one block, blocks that are found again, the best of several beginnings."""

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.contracts import TrainOptions
from streamrec.feedback import Feedback, make_feedback
from streamrec.models.co_clustering import CoClustering, CoClusteringConfig
from streamrec.recommender import Visitor


def blocks() -> Feedback:
    """Three kinds of visitors, two of items; the rating is the block's, but of every 37 one is not there."""
    of_block = np.array([[5.0, 1.0], [1.0, 5.0], [3.0, 4.0]])
    rows = [
        (f"u{user:02d}", f"i{item:02d}", of_block[user % 3, item % 2])
        for user in range(30)
        for item in range(16)
        if (user * 16 + item) % 37
    ]
    users, items, values = zip(*rows, strict=True)
    return make_feedback(users, items, values)


def trained(feedback: Feedback, seed: int = 0, **parameters: float) -> CoClustering:
    model = CoClustering(CoClusteringConfig.model_validate(parameters))
    model.train(feedback, options=TrainOptions(seed=seed))
    return model


def test_of_one_cluster_each_the_means_of_visitor_and_item_are_left() -> None:
    """A 1 2, B 3 -: means 1.5 and 3, of items 2 and 2, of all 2."""
    feedback = make_feedback(["A", "A", "B"], ["x", "y", "x"], [1.0, 2.0, 3.0])
    model = trained(feedback, user_clusters=1, item_clusters=1, damping=0.0)
    np.testing.assert_allclose(model.score(Visitor("A"), ["x", "y"]), [1.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(model.score(Visitor("B"), ["y"]), [3.0], rtol=1e-6)


def test_blocks_are_found_again_also_where_nothing_was_rated() -> None:
    model = trained(blocks(), user_clusters=3, item_clusters=2, damping=0.0, beginnings=10)
    of_block = np.array([[5.0, 1.0], [1.0, 5.0], [3.0, 4.0]])
    for user in range(30):
        scores = model.score(Visitor(f"u{user:02d}"), [f"i{item:02d}" for item in range(16)])
        np.testing.assert_allclose(scores, of_block[user % 3, np.arange(16) % 2], atol=0.35)


def test_the_error_falls_from_first_to_last_turn_and_the_best_beginning_is_kept() -> None:
    told: list[float] = []
    model = CoClustering(CoClusteringConfig(beginnings=4, epochs=10))
    options = TrainOptions(on_step=lambda _done, _of, loss: told.append(loss))
    report = model.train(ratings(), options=options)
    beginnings = np.array(told).reshape(4, 10)
    # Not with every turn: means are shrunk, and those of visitors and items are not fitted with the blocks'.
    assert (beginnings[:, -1] < beginnings[:, 0]).all()
    assert report.losses == beginnings[beginnings[:, -1].argmin()].tolist()


def test_an_unknown_visitor_gets_the_cluster_of_the_ratings_it_comes_with() -> None:
    model = trained(blocks(), user_clusters=3, item_clusters=2, damping=0.0, beginnings=10)
    scores = model.score(Visitor("nobody", ["i00", "i01", "i02", "i03"], [5.0, 1.0, 5.0, 1.0]))
    by_item = dict(zip(model.items, scores.tolist(), strict=True))
    assert all(by_item[f"i{item:02d}"] > 4 for item in range(4, 16, 2))
    assert all(by_item[f"i{item:02d}"] < 2 for item in range(5, 16, 2))
    np.testing.assert_allclose(
        model.score(Visitor("nobody"), ["i00"]), model._of_items[model.items.index("i00")]
    )


def test_reasons_add_up_to_the_score() -> None:
    model = trained(ratings())
    for visitor in (Visitor("u03"), Visitor("nobody"), Visitor("nobody", ["i01", "i02"], [5.0, 2.0])):
        for item_id in model.items:
            total = sum(reason.weight for reason in model.explain(visitor, item_id))
            assert np.clip(total, 1, 5) == pytest.approx(model.score(visitor, [item_id])[0], rel=1e-6)
