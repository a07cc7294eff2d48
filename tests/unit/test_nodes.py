"""Nodes made for a task: everyone in them is told, those by default too, unless the node says otherwise."""

from typing import Any

import numpy as np
import pytest

from streamrec.errors import ConfigError
from streamrec.feedback import Feedback, make_feedback
from streamrec.models import RECOMMENDERS, recommender_of
from streamrec.nodes import asked_for, foretelling, goes_by, nodes_in, possible_tasks, require_ratings
from streamrec.recommender import Visitor

WALS = {"model": "wals"}
NEAR = {"model": "item_based_cf"}
RATES = {"model": "biased_mf"}


def weighted(*nodes: Any, **more: Any) -> dict[str, Any]:
    return {"model": "weighted_hybrid", **more, "parts": [{"node": node} for node in nodes]}


def likes() -> Feedback:
    return make_feedback(["u", "u", "v", "v"], ["a", "b", "b", "c"])


@pytest.mark.parametrize(
    ("node", "asked"),
    [
        (WALS, WALS),
        (NEAR, {**NEAR, "task": "top-n"}),
        ({**NEAR, "task": "rating"}, {**NEAR, "task": "rating"}),
        (weighted(WALS, NEAR, task="top-n"), weighted(WALS, {**NEAR, "task": "top-n"}, task="top-n")),
        (weighted(NEAR, task="rating"), weighted({**NEAR, "task": "rating"}, task="rating")),
        (
            {"model": "mixed_hybrid", "parts": [{"weight": 3, "node": weighted(NEAR)}]},
            {
                "model": "mixed_hybrid",
                "parts": [{"weight": 3, "node": weighted({**NEAR, "task": "top-n"}, task="top-n")}],
            },
        ),
        (
            {"model": "weighted_hybrid"},
            {
                "model": "weighted_hybrid",
                "task": "top-n",
                "parts": ({"node": RATES}, {"node": {**NEAR, "task": "top-n"}}),
            },
        ),
        (
            {"model": "group_recommender", "base": "item_based_cf"},
            {"model": "group_recommender", "base": {**NEAR, "task": "top-n"}},
        ),
        (
            {"model": "context_postfilter", "base": NEAR},
            {"model": "context_postfilter", "base": {**NEAR, "task": "rating"}},
        ),
        ({"model": "cascade_hybrid"}, {"model": "cascade_hybrid"}),
    ],
)
def test_who_makes_lists_has_parts_that_make_lists(node: dict[str, Any], asked: dict[str, Any]) -> None:
    assert asked_for(node, "top-n") == asked
    recommender_of(asked)


def test_where_values_are_weights_every_interaction_is_a_like_to_who_asks() -> None:
    told = asked_for({"model": "mixed_hybrid"}, "top-n", weights=True)
    assert [each["node"] for each in told["parts"]] == [
        {"model": "wals", "liked_from": 0.0},
        {"model": "tfidf_content"},
    ]
    assert asked_for({**WALS, "liked_from": 2}, "top-n", weights=True) == {**WALS, "liked_from": 2}
    asked = {name: asked_for({"model": name}, "top-n", weights=True) for name in RECOMMENDERS}
    asking = {name for name, each in asked.items() if "liked_from" in each}
    assert asking == {"bpr", "content_classifier", "tag_aware_cf", "truncated_svd", "wals"}


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        (weighted({"model": "walls"}), r"parts\.0\.node: there is no model 'walls'"),
        (weighted("walls"), r"parts\.0\.node: there is no model 'walls'"),
        (weighted({"k": 3}), r"parts\.0\.node: a node names its recommender"),
        ({"model": "weighted_hybrid", "parts": [WALS]}, r"parts\.0: a part has its recommender under `node`"),
        ({"model": "weighted_hybrid", "parts": 3}, "parts: .*tuple"),
        ({"model": "cascade_hybrid", "first": ["wals"]}, "first: .*valid dictionary"),
        (
            weighted(weighted({**WALS, "factor": 3})),
            r"parts\.0\.node\.parts\.0\.node\.factor: there is no such",
        ),
        ({**NEAR, "task": "lists"}, "task: .*'rating' or 'top-n', not 'lists'"),
        ({**WALS, "task": "top-n"}, "task: there is no such parameter"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(node: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        recommender_of(asked_for(node, "top-n"))
    with pytest.raises(ConfigError, match=fault):
        possible_tasks(node)


@pytest.mark.parametrize(
    ("node", "tasks"),
    [
        (WALS, {"top-n"}),
        (RATES, {"rating"}),
        (NEAR, {"rating", "top-n"}),
        ({**NEAR, "task": "top-n"}, {"top-n"}),
        (weighted(RATES, NEAR), {"rating", "top-n"}),
        (weighted(RATES, WALS), {"top-n"}),
        (weighted(weighted(WALS)), {"top-n"}),
        (weighted(weighted(WALS), task="top-n"), {"top-n"}),
    ],
)
def test_a_hybrid_can_be_made_for_what_its_parts_can(node: dict[str, Any], tasks: set[str]) -> None:
    assert possible_tasks(node) == tasks


def test_who_is_set_to_ratings_of_parts_that_make_lists_is_told_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"wals foretells no ratings as it is set.* set task: top-n to"):
        possible_tasks(weighted(WALS, task="rating"))
    with pytest.raises(ConfigError, match="rank by: take one that does"):
        possible_tasks({"model": "feature_augmentation", "first": WALS})


def test_all_nodes_are_found_those_by_default_too() -> None:
    node = weighted({"model": "cascade_hybrid", "then": "bpr"}, {"model": "group_recommender"})
    assert [each["model"] for each in nodes_in(node)] == [
        "weighted_hybrid",
        "cascade_hybrid",
        "wals",
        "bpr",
        "group_recommender",
        "factorisation_machine",
    ]


@pytest.mark.parametrize(
    ("node", "names"),
    [
        (WALS, []),
        (NEAR, []),
        ({**NEAR, "task": "rating"}, ["item_based_cf"]),
        ({"model": "weighted_hybrid"}, ["biased_mf"]),
        ({"model": "group_recommender"}, ["factorisation_machine"]),
        ({"model": "group_recommender", "base": WALS}, []),
        ({"model": "feature_augmentation", "first": NEAR, "then": RATES}, ["feature_augmentation"]),
    ],
)
def test_ratings_that_do_not_differ_are_nothing_to_foretell(node: dict[str, Any], names: list[str]) -> None:
    asked = asked_for(node, "top-n")
    assert foretelling(asked)[: len(names) or None] == names
    require_ratings(asked, make_feedback(["u", "v"], ["a", "a"], [1, 2]))
    if not names:
        require_ratings(asked, likes())
        return
    with pytest.raises(ConfigError, match=f"{names[0]}.* foretells ratings, and this feedback has none that"):
        require_ratings(asked, likes())


def test_a_hybrid_goes_by_what_its_parts_go_by() -> None:
    assert goes_by(weighted(WALS, NEAR)) == []
    found = goes_by(weighted(WALS, {"model": "tag_profile"}, {"model": "mole_trust"}))
    assert found == [{"items", "tags"}, {"trust"}]


def test_of_views_and_a_purchase_views_are_likes() -> None:
    rows = [(f"u{n % 9}", f"i{(n * n + n) % 7}", 1.0) for n in range(60)] + [("u0", "i0", 3.0)]
    feedback = make_feedback(*zip(*rows, strict=True))
    viewers = [f"u{n}" for n in range(1, 9)]
    for node in (WALS, {"model": "truncated_svd", "factors": 1}, {"model": "tag_aware_cf"}):
        left_alone, asked = (recommender_of(each) for each in (node, asked_for(node, "top-n", weights=True)))
        left_alone.train(feedback)
        asked.train(feedback)
        assert all(np.isnan(left_alone.score(Visitor(each))).all() for each in viewers)
        assert all(np.isfinite(asked.score(Visitor(each))).all() for each in viewers)
