"""Hybrids: scores by hand, faults told at their nodes, streams, reasons, and hybrids in hybrids."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recommender_answers import bytes_kept, learn, ratings, ratings_knowledge

from streamrec.contracts import TrainOptions
from streamrec.errors import ArtifactError, ConfigError, DatasetError
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge, make_feedback
from streamrec.models import recommender, recommender_of
from streamrec.models._hybrid import Hybrid, merged
from streamrec.models._scales import by_place, places, ranks, z_scores
from streamrec.models.cascade_hybrid import CascadeHybrid
from streamrec.models.feature_augmentation import FeatureAugmentation
from streamrec.models.mixed_hybrid import MixedHybrid
from streamrec.models.switching_hybrid import SwitchingHybrid
from streamrec.models.weighted_hybrid import WeightedHybrid
from streamrec.recommender import Reason, Recommender, Visitor

NAN = float("nan")
POPULAR: dict[str, Any] = {"model": "item_popularity"}
CONTENT: dict[str, Any] = {"model": "tfidf_content"}
STREAMING: list[dict[str, Any]] = [
    {
        "model": "weighted_hybrid",
        "parts": [{"weight": 2, "node": {"model": "user_based_cf"}}, {"node": {"model": "slope_one"}}],
    },
    {"model": "weighted_hybrid", "task": "top-n", "parts": [{"node": POPULAR}, {"node": CONTENT}]},
    {"model": "mixed_hybrid", "parts": [{"node": POPULAR}, {"node": CONTENT}]},
    {"model": "mixed_hybrid", "merge": "round robin", "parts": [{"node": POPULAR}, {"node": CONTENT}]},
    {"model": "switching_hybrid", "task": "top-n", "few": POPULAR, "many": CONTENT},
    {"model": "cascade_hybrid", "first": POPULAR, "then": CONTENT, "band": 5},
]


def letters() -> Feedback:
    """`a` is had by four, `b` by three, `c` by two, `d` by one, who is not the one who asks."""
    rows = [
        (f"u{n}", item) for item, n_users in (("a", 4), ("b", 3), ("c", 2), ("d", 1)) for n in range(n_users)
    ]
    return make_feedback(*zip(*rows, strict=True))


def trained(node: dict[str, Any], feedback: Feedback, knowledge: Knowledge | None = None) -> Recommender:
    model = recommender_of(node)
    model.train(feedback, knowledge or Knowledge(), TrainOptions(seed=3))
    return model


def over(hybrid: type[Hybrid], n_items: int, **parameters: Any) -> Any:
    """A hybrid that knows so many items, to be given what its parts say of them."""
    model = hybrid(hybrid.Config.model_validate(parameters))
    model._know([f"i{n}" for n in range(n_items)], {})
    return model


def had(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


# -- scales -------------------------------------------------------------------------------------


def test_ranks_are_those_among_what_is_new_and_equals_share_them() -> None:
    scores = np.array([0.9, 0.5, 0.5, NAN, 0.1, 0.7])
    np.testing.assert_array_equal(ranks(scores, np.ones(6, bool)), [1, 3.5, 3.5, NAN, 5, 2])
    # Without the first, which the visitor had, all others move up, and it has the place it would take.
    np.testing.assert_array_equal(ranks(scores, np.arange(6) > 0), [1, 2.5, 2.5, NAN, 4, 1])
    np.testing.assert_array_equal(ranks(scores, np.zeros(6, bool)), [1, 3.5, 3.5, NAN, 5, 2])


def test_z_scores_have_mean_0_and_deviation_1_among_what_is_new() -> None:
    scores = np.array([9.0, 1.0, 3.0, NAN])
    np.testing.assert_allclose(z_scores(scores, np.array([False, True, True, True])), [7, -1, 1, NAN])
    np.testing.assert_array_equal(z_scores(np.full(3, 0.1), np.ones(3, bool)), [0, 0, 0])
    np.testing.assert_array_equal(z_scores(np.array([NAN, NAN]), np.ones(2, bool)), [NAN, NAN])


def test_places_go_by_the_first_key_then_by_the_next_and_equals_share_one() -> None:
    np.testing.assert_array_equal(places(np.array([2.0, 1, 1, 1]), np.array([0.0, 5, 4, 5])), [3, 2, 1, 2])
    assert places(np.empty(0)).shape == (0,)
    np.testing.assert_allclose(by_place(np.array([1.0, 40])), [1 / 61, 1 / 100])


# -- weighted -----------------------------------------------------------------------------------


def test_a_weighted_rating_is_the_mean_of_the_parts_that_can_tell() -> None:
    parts = [{"weight": 3, "node": {"model": "pmf"}}, {"node": {"model": "nmf"}}]
    model = over(WeightedHybrid, 4, parts=parts)
    table = np.array([[4.0, 5.0, NAN, NAN], [2.0, NAN, 1.0, NAN]])
    np.testing.assert_array_equal(model._together(table, had()), [3.5, 5, 1, NAN])
    np.testing.assert_array_equal(model._shares(table, had(), 0), [0.75, 0.25])
    np.testing.assert_array_equal(model._shares(table, had(), 1), [1, 0])


def test_a_weighted_list_is_the_mean_of_z_scores_or_of_ranks() -> None:
    parts = [{"weight": 3, "node": POPULAR}, {"node": CONTENT}]
    # Both have mean and deviation by hand: 20 and 10, 0 and 1.
    table = np.array([[30.0, 10.0, 10.0, 30.0], [-1.0, 1.0, NAN, NAN]])
    by_z = over(WeightedHybrid, 4, task="top-n", parts=parts)
    np.testing.assert_allclose(by_z._together(table, had()), [(3 - 1) / 4, (-3 + 1) / 4, -1, 1])
    np.testing.assert_allclose(by_z._shares(table, had(), 0), [3 / 4, -1 / 4])
    by_rank = over(WeightedHybrid, 4, task="top-n", scale="rank", parts=parts)
    # Ranks 1.5, 3.5, 3.5, 1.5 of four, and 2, 1 of two: what share of the items stands below.
    np.testing.assert_allclose(
        by_rank._together(table, had()),
        [(3 * 0.625 + 0) / 4, (3 * 0.125 + 0.5) / 4, 0.125, 0.625],
    )


def test_what_parts_foretell_is_weighed_as_they_foretell_it() -> None:
    node = {
        "model": "weighted_hybrid",
        "parts": [
            {"weight": 2, "node": {"model": "baseline_predictor"}},
            {"weight": 1, "node": {"model": "slope_one"}},
        ],
    }
    model = trained(node, ratings())
    one, other = (trained({"model": name}, ratings()) for name in ("baseline_predictor", "slope_one"))
    for visitor in (Visitor("u03"), Visitor("nobody", ["i01", "i02"], [5.0, 4.0])):
        expected = (2 * one.score(visitor).astype(float) + other.score(visitor)) / 3
        np.testing.assert_allclose(model.score(visitor), expected, rtol=1e-6)
    reasons = model.explain(Visitor("u03"), "i07")
    assert sum(each.weight for each in reasons) == pytest.approx(
        float(model.score(Visitor("u03"), ["i07"])[0])
    )


# -- mixed --------------------------------------------------------------------------------------


def test_reciprocal_ranks_add_up() -> None:
    parts = [{"weight": 2, "node": POPULAR}, {"node": CONTENT}]
    model = over(MixedHybrid, 4, parts=parts)
    table = np.array([[9.0, 8.0, 7.0, NAN], [0.1, NAN, 0.2, NAN]])
    np.testing.assert_allclose(model._together(table, had()), [2 / 61 + 1 / 62, 2 / 62, 2 / 63 + 1 / 61, NAN])
    # What the visitor had first leaves its place to the others.
    np.testing.assert_allclose(model._together(table, had(0))[1:3], [2 / 61, 2 / 62 + 1 / 61])
    np.testing.assert_allclose(model._shares(table, had(), 1), [2 / 62, 0])


def test_by_round_robin_parts_take_turns_as_often_as_they_weigh() -> None:
    parts = [{"weight": 2, "node": POPULAR}, {"weight": 1, "node": CONTENT}]
    model = over(MixedHybrid, 6, merge="round robin", parts=parts)
    # The first says 0, 1, 2, 3; the second 5, 0, 4. Turns: first at ½, 1, 1½, 2; second at 1, 2, 3.
    table = np.array([[9.0, 8.0, 7.0, 6.0, NAN, NAN], [0.5, NAN, NAN, NAN, 0.4, 0.9]])
    found = model._together(table, had())
    assert np.argsort(-found).tolist() == [0, 1, 5, 2, 3, 4]
    np.testing.assert_array_equal(model._shares(table, had(), 0), [1, 0])
    np.testing.assert_array_equal(model._shares(table, had(), 5), [0, 1])


# -- switching ----------------------------------------------------------------------------------


def test_few_answers_until_a_visitor_has_enough_and_what_it_cannot_the_other_does() -> None:
    model = over(SwitchingHybrid, 3, interactions=2)
    table = np.array([[4.0, NAN, NAN], [2.0, 3.0, NAN]])
    np.testing.assert_array_equal(model._together(table, had(0)), [4, 3, NAN])
    np.testing.assert_array_equal(model._together(table, had(0, 1)), [2, 3, NAN])
    np.testing.assert_array_equal(model._shares(table, had(0), 0), [1, 0])
    np.testing.assert_array_equal(model._shares(table, had(0), 1), [0, 1])


def test_in_lists_what_the_chosen_one_cannot_score_stands_behind() -> None:
    model = over(SwitchingHybrid, 5, task="top-n", interactions=2, few=CONTENT, many=POPULAR)
    table = np.array([[-0.2, NAN, -0.1, NAN, NAN], [1.0, 9.0, 2.0, 11.0, NAN]])
    np.testing.assert_allclose(model._together(table, had(0)), [1 / 62, 1 / 64, 1 / 61, 1 / 63, NAN])


def test_who_asks_is_counted_by_what_it_comes_with_or_had() -> None:
    node = {"model": "switching_hybrid", "task": "top-n", "interactions": 3, "few": POPULAR, "many": CONTENT}
    known = Knowledge({each: Item(item_id=each, tags=["x" if each in "ad" else "y"]) for each in "abcd"})
    model = trained(node, letters(), known)
    # u0 had all four; u2 a and b; so a stranger with two, whose third item is unknown.
    assert model.explain(Visitor("u0"), "d")[0].kind == "item"
    assert model.explain(Visitor("u2"), "d")[0].kind == "popularity"
    assert model.explain(Visitor("", ["a", "b", "z"]), "d")[0].kind == "popularity"
    assert model.explain(Visitor("", ["a", "b", "c"]), "d")[0].kind == "item"


# -- cascade ------------------------------------------------------------------------------------


def test_the_next_decides_within_a_band_alone() -> None:
    model = over(CascadeHybrid, 6, first=POPULAR, then=CONTENT, band=3)
    # Bands of the first: 0, 1, 2, then 3, 4. In the first one the next knows 2 and 1, and not 0.
    table = np.array([[9.0, 8.0, 7.0, 6.0, 5.0, NAN], [NAN, 0.1, 0.2, 0.3, 0.9, 1.0]])
    found = model._together(table, had())
    np.testing.assert_allclose(found, [1 / 63, 1 / 62, 1 / 61, 1 / 65, 1 / 64, NAN])
    np.testing.assert_array_equal(model._shares(table, had(), 0), [1, 0])
    np.testing.assert_array_equal(model._shares(table, had(), 1), [0.5, 0.5])
    # With the best of the first no longer new, the fourth comes into the band, and is its best.
    assert np.argsort(-model._together(table, had(0))).tolist() == [3, 2, 1, 0, 4, 5]


def test_a_width_makes_bands_of_scores() -> None:
    model = over(CascadeHybrid, 4, first=POPULAR, then=CONTENT, width=0.5)
    table = np.array([[4.9, 4.6, 4.4, 4.0], [0.1, 0.2, 0.3, 0.4]])
    np.testing.assert_allclose(model._together(table, had()), [1 / 62, 1 / 61, 1 / 64, 1 / 63])


def test_a_third_stage_is_a_cascade_in_first() -> None:
    known = Knowledge({each: Item(item_id=each, tags=["x" if each in "bd" else "y"]) for each in "abcd"})
    inner = {"model": "cascade_hybrid", "first": POPULAR, "then": CONTENT, "band": 2}
    model = trained({"model": "cascade_hybrid", "first": inner, "then": POPULAR, "band": 1}, letters(), known)
    alone = trained(inner, letters(), known)
    for each in (model, alone):
        order = [each.items[n] for n in np.argsort(-each.score(Visitor("", ["d"])))]
        assert [item_id for item_id in order if item_id != "d"] == ["b", "a", "c"]


# -- feature augmentation -----------------------------------------------------------------------


def test_pseudo_ratings_are_what_the_first_expects_of_what_is_rated_most() -> None:
    rows = [("u", "a", 5.0), ("v", "a", 3.0), ("v", "b", 1.0), ("w", "b", 2.0), ("w", "c", 4.0)]
    given = make_feedback(*zip(*rows, strict=True))
    node = {
        "model": "feature_augmentation",
        "first": {"model": "baseline_predictor"},
        "then": {"model": "slope_one"},
        "pseudo_ratings": 2,
    }
    model = trained(node, given)
    # a and b are rated twice: u has no rating of b, and w none of a.
    first = trained({"model": "baseline_predictor"}, given)
    of_b = float(first.score(Visitor("u"), ["b"])[0])
    of_a = float(first.score(Visitor("w"), ["a"])[0])
    then = trained(
        {"model": "slope_one"}, make_feedback(*zip(*rows, ("u", "b", of_b), ("w", "a", of_a), strict=True))
    )
    for user_id in "uvw":
        items = ["a", "b", "c"]
        np.testing.assert_allclose(
            model.score(Visitor(user_id), items), then.score(Visitor(user_id), items), rtol=1e-6
        )
    # A stranger is given those it lacks as well.
    stranger = Visitor("", ["c", "a"], [4.0, 5.0])
    boosted = Visitor("", ["c", "a", "b"], [4.0, 5.0, float(first.score(stranger, ["b"])[0])])
    np.testing.assert_allclose(model.score(stranger, ["b", "c"]), then.score(boosted, ["b", "c"]), rtol=1e-6)
    np.testing.assert_array_equal(
        model.score(Visitor("", ["c"])), then.score(Visitor("", ["c"]), model.items)
    )


# -- feature combination ------------------------------------------------------------------------


def test_without_records_a_combination_of_features_is_matrix_factorisation() -> None:
    one, other = (trained({"model": name}, ratings()) for name in ("feature_combination", "biased_mf"))
    for user_id in ("u01", "u20"):
        np.testing.assert_allclose(one.score(Visitor(user_id)), other.score(Visitor(user_id)), atol=1e-5)


def test_features_are_those_of_the_ridge_regression_of_items_on_them() -> None:
    model: Any = trained({"model": "feature_combination", "epochs": 3}, ratings(), ratings_knowledge())
    learned = model._learned
    content = model._content.toarray()
    kinds = np.array([term[0] for term in model._terms])
    for kind in "wtc":
        np.testing.assert_allclose((content[:, kinds == kind] ** 2).sum(axis=1), 1)
    counts = np.bincount(ratings().items)
    penalty = np.diag(model.config.damping * counts**0.5)
    squares = content.T @ penalty @ content + model.config.feature_damping * np.eye(len(kinds))
    expected = np.linalg.solve(squares, content.T @ penalty @ learned.design[:, :-1])
    np.testing.assert_allclose(learned.more["features"][:, :-1], expected, atol=1e-8)
    levels = np.linalg.solve(
        content.T @ content * model.config.level_damping + model.config.feature_damping * np.eye(len(kinds)),
        content.T @ learned.levels * model.config.level_damping,
    )
    np.testing.assert_allclose(learned.more["features"][:, -1], levels, atol=1e-8)


def test_an_item_that_nobody_rated_is_what_its_features_are() -> None:
    rows = [
        (f"u{user}", f"{kind}{n}", 5.0 if kind == "good" else 1.0)
        for user in range(8)
        for kind in ("good", "bad")
        for n in range(6)
    ]
    known = Knowledge(
        {f"{kind}{n}": Item(item_id=f"{kind}{n}", tags=[kind]) for kind in ("good", "bad") for n in range(7)}
    )
    model = trained(
        {"model": "feature_combination", "feature_damping": 0.1},
        make_feedback(*zip(*rows, strict=True)),
        known,
    )
    good, bad = model.score(Visitor("u1"), ["good6", "bad6"]).tolist()
    assert good > 4.5 > 1.5 > bad
    reasons = model.explain(Visitor("u1"), "good6")
    assert ("tag", "good") in {(each.kind, each.of) for each in reasons}
    assert sum(each.weight for each in reasons) == pytest.approx(good, rel=1e-5)


# -- reasons ------------------------------------------------------------------------------------


def test_reasons_told_twice_are_one() -> None:
    told = [Reason("item", "a", 1.0), Reason("user", "a", 0.5), Reason("item", "a", -2.0)]
    assert merged(told) == [Reason("item", "a", -1.0), Reason("user", "a", 0.5)]


def test_reasons_of_a_list_are_those_of_its_parts_as_much_as_they_add() -> None:
    known = Knowledge({each: Item(item_id=each, tags=["x"]) for each in "abcd"})
    node = {"model": "mixed_hybrid", "parts": [{"weight": 3, "node": POPULAR}, {"node": CONTENT}]}
    reasons = trained(node, letters(), known).explain(Visitor("", ["a"]), "b")
    assert [each.kind for each in reasons] == ["popularity", "item"]
    # To who had `a`, `b` is the most popular; of content the three are all alike, and share ranks 1 to 3.
    np.testing.assert_allclose([each.weight for each in reasons], [3 / 61, 1 / 62])


# -- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        ({"model": "weighted_hybrid", "parts": []}, "parts: at least one part is needed$"),
        (
            {"model": "weighted_hybrid", "parts": [{"weight": 0, "node": POPULAR}]},
            r"parts\.0\.weight: .*greater than 0",
        ),
        (
            {"model": "weighted_hybrid", "parts": [{"wait": 1, "node": {"model": "pmf"}}]},
            r"parts\.0\.wait: there is no such parameter$",
        ),
        (
            {"model": "mixed_hybrid", "parts": [{"weight": 2, "model": "wals"}]},
            r"parts\.0: a part has its recommender under `node`, and `weight` beside it$",
        ),
        ({"model": "weighted_hybrid", "parts": [{"node": POPULAR}]}, "item_popularity foretells no ratings"),
        ({"model": "switching_hybrid", "few": CONTENT}, "tfidf_content foretells no ratings"),
        (
            {"model": "feature_augmentation", "then": {"model": "item_based_cf", "task": "top-n"}},
            "item_based_cf foretells no ratings",
        ),
        (
            {
                "model": "feature_augmentation",
                "first": {"model": "group_recommender", "base": {"model": "bpr"}},
            },
            "group_recommender foretells no ratings",
        ),
        ({"model": "cascade_hybrid", "first": {"model": "no"}}, "first: there is no model 'no'; known are"),
        ({"model": "cascade_hybrid", "first": "no"}, "first: there is no model .no.; known are"),
        ({"model": "cascade_hybrid", "first": ["wals"]}, "first: .*valid dictionary"),
        ({"model": "cascade_hybrid", "then": {"k": 3}}, "then: a node names its recommender under `model`$"),
        (
            {"model": "cascade_hybrid", "then": {"model": "wals", "factor": 3}},
            "then.factor: there is no such parameter; known are liked_from, factors",
        ),
        (
            {
                "model": "mixed_hybrid",
                "parts": [
                    {"node": POPULAR},
                    {
                        "node": {
                            "model": "cascade_hybrid",
                            "first": {"model": "group_recommender", "base": {"model": "wals", "epochs": 0}},
                        }
                    },
                ],
            },
            r"^mixed_hybrid cannot be .*\n  parts\.1\.node\.first\.base\.epochs: .*greater than 0, not 0$",
        ),
    ],
)
def test_a_fault_is_told_at_its_node(node: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        recommender_of(node)


def test_all_faults_are_told_at_once() -> None:
    parts = [{"node": {"model": "pmf", "factors": -1}}, {"node": {"model": "slop_two"}}]
    with pytest.raises(ConfigError) as raised:
        recommender("weighted_hybrid", {"parts": parts})
    assert [line.split(":")[0].strip() for line in str(raised.value).splitlines()[1:]] == [
        "parts.0.node.factors",
        "parts.1.node",
    ]


def test_names_and_values_in_nodes_are_understood_as_at_the_top() -> None:
    model: Any = recommender(
        "cascade_hybrid", {"first": {"model": "Item-Based-CF", "task": "top-n", "k": "7"}}
    )
    assert model.config.first == {"model": "item_based_cf", "task": "top-n", "k": 7}


# -- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", STREAMING, ids=lambda node: node["model"] + node.get("merge", ""))
def test_a_hybrid_of_parts_that_stream_streams(node: dict[str, Any], tmp_path: Path) -> None:
    everything = ratings()
    first: Any = trained(node, everything.take(np.arange(len(everything)) < 300), ratings_knowledge())
    learn(first, everything, 300)
    whole = trained(node, everything, ratings_knowledge())
    assert sorted(first.items) == sorted(whole.items)
    first.save(tmp_path / "saved")
    loaded = type(first).load(tmp_path / "saved")
    for user_id in everything.user_ids:
        found = first.score(Visitor(user_id), whole.items)
        np.testing.assert_allclose(found, whole.score(Visitor(user_id)), atol=1e-6)
        np.testing.assert_array_equal(loaded.score(Visitor(user_id), whole.items), found)


@pytest.mark.parametrize("node", STREAMING, ids=lambda node: node["model"] + node.get("merge", ""))
def test_what_comes_again_takes_no_more_memory(node: dict[str, Any]) -> None:
    rounds = 5
    kept = bytes_kept(trained(node, ratings(), ratings_knowledge()), ratings(), rounds)
    assert kept < rounds * len(ratings())


def test_what_comes_again_makes_no_visitor_better_known() -> None:
    node = {"model": "switching_hybrid", "task": "top-n", "few": POPULAR, "many": POPULAR}
    model: Any = trained(node, make_feedback([*"uuuuv"], [*"abaab"]))
    model.learn_one("u", "a")
    for visitor in (Visitor("u"), Visitor("nobody", ["a", "b", "a"])):
        assert model._history(visitor).tolist() == [0, 1]


def test_a_new_item_and_a_new_visitor_are_learned() -> None:
    node = {"model": "mixed_hybrid", "parts": [{"node": POPULAR}, {"node": {"model": "item_popularity"}}]}
    model: Any = trained(node, letters())
    model.learn_one("new", "e")
    assert list(model.items) == ["a", "b", "c", "d", "e"]
    assert np.isfinite(model.score(Visitor("new"))).all()
    # To the new visitor, who had it, it is the last: as it is to all others.
    assert np.argsort(-model.score(Visitor("u9"), ["e", "a"])).tolist() == [1, 0]


def test_a_hybrid_with_a_part_that_does_not_stream_does_not() -> None:
    assert not hasattr(recommender("weighted_hybrid"), "learn_one")
    node = {"model": "mixed_hybrid", "parts": [{"node": POPULAR}, {"node": {"model": "mixed_hybrid"}}]}
    assert not hasattr(recommender_of(node), "learn_one")
    node = {"model": "mixed_hybrid", "parts": [{"node": POPULAR}, {"node": STREAMING[2]}]}
    assert hasattr(recommender_of(node), "learn_one")


@pytest.mark.parametrize("name", ["user_based_cf", "item_based_cf", "combined_cf"])
def test_nor_one_with_a_part_that_does_not_as_it_is_set(name: str) -> None:
    for centre, streams in (("mean", True), ("baseline", False)):
        parts = [{"node": {"model": "slope_one"}}, {"node": {"model": name, "centre": centre}}]
        made = recommender_of({"model": "weighted_hybrid", "parts": parts})
        assert hasattr(made, "learn_one") == streams


def test_no_part_learns_what_is_no_number() -> None:
    node = {
        "model": "weighted_hybrid",
        "task": "top-n",
        "parts": [{"node": {"model": "item_popularity"}}, {"node": {"model": "slope_one"}}],
    }
    model: Any = trained(node, ratings())
    with pytest.raises(DatasetError, match="ratings are finite numbers"):
        model.learn_one("u01", "new", float("inf"))
    assert not any("new" in part.items for part in model._parts)


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weighted_hybrid", "cascade_hybrid", "feature_augmentation"])
def test_a_part_that_is_missing_or_of_another_model_is_refused(name: str, tmp_path: Path) -> None:
    model = trained({"model": name}, ratings(), ratings_knowledge())
    model.save(tmp_path)
    told = (tmp_path / "part1" / "model.json").read_text()
    (tmp_path / "part1" / "model.json").write_text(told.replace('{"model": "', '{"model": "Not'))
    with pytest.raises(ArtifactError, match="part1 holds a Not"):
        type(model).load(tmp_path)
    (tmp_path / "part1" / "model.json").unlink()
    with pytest.raises(ArtifactError, match="part1 is no"):
        type(model).load(tmp_path)


def test_a_hybrid_in_a_hybrid_is_made_of_what_both_say() -> None:
    inner = {
        "model": "weighted_hybrid",
        "parts": [{"node": {"model": "baseline_predictor"}}, {"node": {"model": "slope_one"}}],
    }
    node = {
        "model": "weighted_hybrid",
        "parts": [{"weight": 1, "node": {"model": "biased_mf"}}, {"weight": 3, "node": inner}],
    }
    model, one, other = (trained(each, ratings()) for each in (node, {"model": "biased_mf"}, inner))
    visitor = Visitor("u11")
    expected = (one.score(visitor).astype(float) + 3 * other.score(visitor)) / 4
    np.testing.assert_allclose(model.score(visitor), expected, rtol=1e-6)
    assert isinstance(model, WeightedHybrid)
    assert not isinstance(recommender("feature_augmentation"), Hybrid)
    assert isinstance(recommender("feature_augmentation"), FeatureAugmentation)


def test_what_one_part_refuses_none_has_learned() -> None:
    strict = {"model": "naive_bayes_cf", "most_classes": 2}
    inner = {"model": "weighted_hybrid", "parts": [{"node": strict}]}
    node = {"model": "weighted_hybrid", "parts": [{"node": {"model": "slope_one"}}, {"node": inner}]}
    feedback = make_feedback(["u", "u", "v", "v"], ["a", "b", "a", "b"], [1.0, 5.0, 5.0, 1.0])
    model, untouched = trained(node, feedback), trained(node, feedback)
    with pytest.raises(DatasetError, match="3 different ratings"):
        model.learn_one("u", "new", 3.0)  # type: ignore[attr-defined]
    assert model.items == untouched.items
    np.testing.assert_array_equal(model.score(Visitor("u")), untouched.score(Visitor("u")))
