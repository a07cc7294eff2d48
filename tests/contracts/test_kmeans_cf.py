"""k-means: scikit-learn's clusters where nothing is missing, the error that only falls, and the formula."""

import numpy as np
import pytest
from recommender_answers import ratings
from sklearn.cluster import KMeans

from streamrec.contracts import TrainOptions
from streamrec.feedback import Feedback, make_feedback
from streamrec.models.baseline_predictor import BaselinePredictor
from streamrec.models.kmeans_cf import KMeansCF, KMeansCFConfig
from streamrec.recommender import Visitor


def trained(feedback: Feedback, **parameters: float) -> KMeansCF:
    model = KMeansCF(KMeansCFConfig.model_validate(parameters))
    model.train(feedback)
    return model


def complete() -> Feedback:
    """Three kinds of visitors, each with noise of its own; nothing is missing."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(3, 12))
    values = 3 + kinds[np.arange(30) % 3] + 0.2 * rng.normal(size=(30, 12))
    users, items = np.divmod(np.arange(360), 12)
    return make_feedback([f"u{n:02d}" for n in users], [f"i{n:02d}" for n in items], values.ravel())


def test_where_nothing_is_missing_clusters_and_centres_are_those_of_scikit_learn() -> None:
    feedback = complete()
    # Next to nothing is shrunk, and visitors have no level of their own.
    model = trained(
        feedback, clusters=3, user_damping=1e9, item_damping=0, cluster_damping=1e-9, beginnings=10
    )
    theirs = KMeans(3, n_init=10, random_state=0).fit(feedback.values.reshape(30, 12).astype(np.float64))
    for user in range(30):
        expected = theirs.cluster_centers_[theirs.labels_[user]]
        np.testing.assert_allclose(
            model.score(Visitor(f"u{user:02d}")), np.clip(expected, *model._range), atol=1e-5
        )


def test_one_cluster_is_the_baseline() -> None:
    baseline = BaselinePredictor()
    baseline.train(ratings())
    model = trained(ratings(), clusters=1, cluster_damping=1e9, user_damping=15, item_damping=10, epochs=30)
    for user_id in ratings().user_ids:
        expected = np.clip(baseline.score(Visitor(user_id)), 1, 5)
        np.testing.assert_allclose(model.score(Visitor(user_id)), expected, atol=0.01)


def test_the_best_beginning_is_kept() -> None:
    told: list[float] = []
    options = TrainOptions(on_step=lambda _done, _of, loss: told.append(loss))
    report = KMeansCF(KMeansCFConfig(beginnings=4, epochs=10)).train(ratings(), options=options)
    beginnings = np.array(told).reshape(4, 10)
    assert report.losses == beginnings[beginnings[:, -1].argmin()].tolist()
    assert report.losses[-1] < report.losses[0]


def test_an_unknown_visitor_that_comes_with_a_known_ones_ratings_is_answered_alike() -> None:
    feedback = ratings()
    model = trained(feedback, epochs=50)
    for user, user_id in enumerate(feedback.user_ids):
        mine = feedback.users == user
        items = [feedback.item_ids[item] for item in feedback.items[mine]]
        as_stranger = model.score(Visitor("nobody", items, feedback.values[mine].tolist()))
        np.testing.assert_allclose(as_stranger, model.score(Visitor(user_id)), atol=1e-3)


def test_reasons_add_up_to_the_score() -> None:
    model = trained(ratings())
    for visitor in (Visitor("u03"), Visitor("nobody"), Visitor("nobody", ["i01", "i02"], [5.0, 2.0])):
        for item_id in model.items:
            total = sum(reason.weight for reason in model.explain(visitor, item_id))
            assert np.clip(total, 1, 5) == pytest.approx(model.score(visitor, [item_id])[0], rel=1e-6)
