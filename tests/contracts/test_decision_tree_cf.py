"""Decision trees: the same answers as scikit-learn's own trees give, and questions that can be told."""

import sys
from pathlib import Path

import numpy as np
import pytest
from recommender_answers import checkerboard, ratings
from sklearn.tree import DecisionTreeRegressor

from streamrec.contracts import TrainOptions
from streamrec.errors import ConfigError
from streamrec.feedback import make_feedback
from streamrec.models._rating_table import RatingTable
from streamrec.models.baseline_predictor import BaselinePredictor
from streamrec.models.decision_tree_cf import DecisionTreeCF, DecisionTreeCFConfig, _joined
from streamrec.recommender import Visitor

CONFIG = DecisionTreeCFConfig(questions=30, min_leaf=3, max_depth=3, leaf_damping=2.0)


def trained(config: DecisionTreeCFConfig = CONFIG) -> DecisionTreeCF:
    model = DecisionTreeCF(config)
    model.train(ratings())
    return model


def test_scores_are_the_baseline_and_what_scikit_learn_predicts_of_the_rest() -> None:
    table = RatingTable.of(ratings())
    model = trained(CONFIG.model_copy(update={"leaf_damping": 0.0}))
    of_users, of_items = table.levels(CONFIG.user_damping, CONFIG.item_damping)
    levels = table.values.mean() + of_users[:, None] + of_items
    above = np.full(levels.shape, np.nan)
    above[table.users, table.items] = table.values - levels[table.users, table.items]
    for item in (0, 7, 19):
        there = ~np.isnan(above[:, item])
        others = np.arange(levels.shape[1]) != item
        tree = DecisionTreeRegressor(max_depth=3, min_samples_leaf=3, random_state=0)
        tree.fit(above[there][:, others], above[there, item])
        # Of raters alone: of two questions that part these equally well either may be asked.
        expected = levels[there, item] + tree.predict(above[there][:, others])
        raters = [table.user_ids[user] for user in np.flatnonzero(there)]
        found = [model.score(Visitor(user_id), [model.items[item]])[0] for user_id in raters]
        np.testing.assert_allclose(found, np.clip(expected, 1, 5), atol=1e-4)


def test_walking_down_the_arrays_comes_to_the_leaves_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    answers = np.where(rng.random((200, 6)) < 0.5, np.nan, rng.normal(size=(200, 6)))
    asked = np.array([1, 2, 4, 5, 6, 7])
    grown = [
        DecisionTreeRegressor(max_depth=4, random_state=0).fit(answers[:150], rng.normal(size=150))
        for _ in range(2)
    ]
    trees = _joined([(grown[0].tree_, asked), None, None, (grown[1].tree_, asked), *[None] * 4], 0.0)
    for row, *expected in zip(answers, *(tree.predict(answers) for tree in grown), strict=True):
        of_items = np.full(8, np.nan, np.float32)
        of_items[asked] = row
        nodes = np.arange(8)
        for _ in range(4):
            nodes = trees.next(nodes, of_items)
        np.testing.assert_allclose(trees.values[nodes][[0, 3]], expected)
        assert not trees.values[nodes][[1, 2, 4, 5, 6, 7]].any()


def test_a_strong_damping_leaves_the_baseline() -> None:
    baseline = BaselinePredictor()
    baseline.train(ratings())
    model = trained(CONFIG.model_copy(update={"leaf_damping": 1e9}))
    for visitor in (Visitor("u07"), Visitor("nobody", ["i03", "i04"], [5.0, 4.0])):
        np.testing.assert_allclose(model.score(visitor), np.clip(baseline.score(visitor), 1, 5), atol=1e-5)


def test_of_two_kinds_of_visitors_each_is_expected_to_like_its_own() -> None:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((60, 20)) < 0.6)
    values = np.where((users + items) % 2, 1.0, 5.0)
    model = DecisionTreeCF(CONFIG)
    model.train(make_feedback([f"u{n}" for n in users], [f"i{n}" for n in items], values))
    names = [f"i{n}" for n in range(20)]
    for user in range(60):
        like = (user + np.arange(20)) % 2 == 0
        scores = model.score(Visitor(f"u{user}"), names)
        assert scores[like].mean() > scores[~like].mean() + 1.5


def test_items_with_few_ratings_have_no_tree() -> None:
    model = trained(CONFIG.model_copy(update={"min_leaf": 1000}))
    for item_id in model.items:
        assert {reason.kind for reason in model.explain(Visitor("u05"), item_id)} == {
            "rating",
            "user",
            "item",
        }
        assert [r.of for r in model.explain(Visitor("u05"), item_id) if r.kind == "item"] == [item_id]


def test_reasons_add_up_to_the_score() -> None:
    model = trained()
    for user_id in ratings().user_ids:
        for item_id in model.items:
            total = sum(reason.weight for reason in model.explain(Visitor(user_id), item_id))
            assert np.clip(total, 1, 5) == pytest.approx(
                model.score(Visitor(user_id), [item_id])[0], rel=1e-5
            )


def test_an_unknown_visitor_that_comes_with_a_known_ones_ratings_is_answered_alike() -> None:
    model = DecisionTreeCF(CONFIG)
    feedback = checkerboard()
    model.train(feedback)
    mine = feedback.users == 0
    items = [feedback.item_ids[item] for item in feedback.items[mine]]
    as_stranger = model.score(Visitor("nobody", items, feedback.values[mine].tolist()))
    np.testing.assert_array_equal(as_stranger, model.score(Visitor(feedback.user_ids[0])))


def test_what_is_loaded_needs_scikit_learn_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    model.save(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn.tree", None)
    with pytest.raises(ConfigError, match=r'not installed; pip install "streamrec\[train\]"'):
        DecisionTreeCF().train(ratings())
    np.testing.assert_array_equal(
        DecisionTreeCF.load(tmp_path).score(Visitor("u02")), model.score(Visitor("u02"))
    )


def test_a_seed_may_be_of_any_size() -> None:
    model = DecisionTreeCF(CONFIG)
    model.train(ratings(), options=TrainOptions(seed=2**32 + 3))
    assert np.isfinite(model.score(Visitor("u02"))).all()
