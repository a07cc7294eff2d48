"""All figures of a model under their names, and two models compared."""

import json
import math
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from scored import NAN, Scored

from streamrec.contracts import Session
from streamrec.errors import DatasetError
from streamrec.evaluation.metrics import mrr_at_k, recall_at_k
from streamrec.evaluation.summary import Evaluation, Groups, compare, evaluate, values_at_k

TRAIN = [Session(items) for items in ("abc", "ab", "abd", "adz", "ca", "ab")]
TEST = [Session(items, (), items) for items in ("abd", "az", "ca", "bbq")]

GOOD = Scored("abcd", {"a": [0, 9, 1, 2], "b": [1, 5, 2, 9], "c": [9, 0, 0, 0]})
BAD = Scored("abcd", {"a": [9, 0, 1, 2], "b": [9, 0, 3, 1], "c": [0, 0, 0, 0]})
NOTHING = Scored("abcd", {item: [NAN] * 4 for item in "abcd"})


def evaluated(model: Scored = GOOD, **options: Any) -> Evaluation:
    return evaluate(model, "some", TRAIN, TEST, **{"k": (1, 2), **options})


def test_every_figure_has_the_name_of_its_metric_and_length() -> None:
    at_k = ("recall", "precision", "f1", "hit_rate", "mrr", "ndcg", "map", "mar")
    of_lists = ("coverage", "gini", "intra_list_diversity", "novelty", "average_popularity", "long_tail")
    wanted = {f"{name}@{k}" for name in at_k for k in (1, 2)} | {f"{name}@2" for name in of_lists} | {"auc"}
    assert set(evaluated().metrics) == wanted


def test_figures_are_means_over_the_clicks_judged() -> None:
    found = evaluated()
    # Ranks: b after a 1, d after b 1; z is known to training alone; a after c 1; b after b 2.
    assert found.next_items.ranks.tolist() == [1, 1, math.inf, 1, 2]
    assert found.metrics["recall@1"] == 3 / 5
    assert found.metrics["mrr@2"] == pytest.approx((1 + 1 + 0 + 1 + 1 / 2) / 5)
    assert found.metrics["auc"] == pytest.approx((1 + 1 + 0 + 1 + 3 / 4) / 5)  # of five items, z one of them
    assert (found.test_sessions, found.next_clicks, found.unseen_clicks, found.items) == (4, 5, 1, 4)


def test_what_lists_are_like_is_measured_at_the_largest_k() -> None:
    found = evaluated(k=(2, 1))
    # After a: b and d; after b: d and b; after c: a and b. Clicks: a 6, b 4, c 2, d 2, z 1.
    assert found.next_items.tops.tolist() == [[1, 3], [3, 1], [1, 3], [0, 1], [3, 1]]
    assert found.metrics["coverage@2"] == 3 / 5
    assert found.metrics["average_popularity@2"] == pytest.approx((4 * 3 + 5) / 5)
    assert found.metrics["long_tail@2"] == pytest.approx(4 / 5 / 2)
    information = [-math.log2(clicks / 15) for clicks in (6, 4, 2)]
    wanted = (4 * (information[1] + information[2]) + information[0] + information[1]) / 10
    assert found.metrics["novelty@2"] == pytest.approx(wanted)


def test_main_figures_have_intervals_around_them() -> None:
    found = evaluated()
    assert set(found.intervals) == {f"{name}@{k}" for name in ("recall", "mrr", "ndcg") for k in (1, 2)}
    for name, each in found.intervals.items():
        assert each.mean == pytest.approx(found.metrics[name])
        assert each.low < each.mean < each.high
    drawn = [evaluate(GOOD, "some", TRAIN, TEST * 10, seed=seed).intervals for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_rules_are_passed_on_and_told() -> None:
    missed = evaluated(unseen="miss", ties="optimistic", judged="last click", seed=7)
    assert missed.next_items.ranks.tolist() == [1, math.inf, 1, math.inf]
    assert (missed.unseen, missed.ties, missed.judged, missed.seed) == ("miss", "optimistic", "last click", 7)
    assert missed.unseen_clicks == 1
    undecided = Scored("abcd", {item: [0] * 4 for item in "abcd"})
    assert evaluated(undecided).metrics["mrr@2"] == 0
    assert evaluated(undecided, ties="optimistic").metrics["mrr@2"] == 4 / 5
    # An equal score counts one half whatever the rule, and z, which the model does not know, stands behind.
    for ties in ("conservative", "optimistic", "mean"):
        assert evaluated(undecided, ties=ties).metrics["auc"] == pytest.approx(4 / 5 * (1 - 1.5 / 4))


def test_empty_lists_are_left_out_of_what_lists_are_like() -> None:
    found = evaluated(Scored("abcd", {"a": [NAN, 1, NAN, NAN]}))
    assert found.next_items.tops.tolist() == [[1, -1], [1, -1], [1, -1], [-1, -1], [-1, -1]]
    assert found.metrics["average_popularity@2"] == 4
    assert math.isnan(found.metrics["intra_list_diversity@2"])


def test_groups_are_told_apart() -> None:
    groups = Groups(
        {"a": "letters", "b": "letters", "c": "letters"}, {"abd": "good", "az": "bad", "ca": "good"}
    )
    found = evaluated(groups=groups)
    # d has no group: it is second in two lists of five, and first in two.
    first, second = 1, 1 / math.log2(3)
    without = (2 * first + 2 * second) / (5 * (first + second))
    assert found.item_groups == pytest.approx({"letters": 1 - without, "(none)": without})
    assert found.session_groups["recall@2"] == {"(none)": 1, "bad": 0, "good": 1}
    assert found.session_group_gaps == {"recall@2": 1, "mrr@2": 1, "ndcg@2": 1}


def test_json_has_the_figures_on_top_and_no_nan() -> None:
    class Config(BaseModel):
        window: int = 5

    model = Scored(NOTHING.items, {})
    model.config = Config()  # type: ignore[attr-defined]
    found = evaluated(model, events_per_s=12.5, train_s=2.0).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["model"], found["recall@2"], found["events_per_s"]) == ("some", 0, 12.5)
    assert (found["novelty@2"], found["gini@2"], found["coverage@2"]) == (None, None, 0)
    assert found["config"] == {"window": 5}
    assert found["intervals"]["mrr@1"] == [0, 0]
    assert (found["item_groups"], found["session_groups"], found["session_group_gaps"]) == ({}, {}, {})
    assert evaluated().to_json()["config"] == {}


def test_every_k_is_looked_at_before_the_work() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        evaluate(GOOD, "some", TRAIN, [], k=(5, 0))


def test_a_model_beside_itself_does_not_differ() -> None:
    found = compare(evaluated(), evaluated())
    assert (found.first, found.second) == ("some", "some")
    assert {each.p for each in found.differences.values()} == {1}


def test_a_better_model_is_told_from_a_worse_one() -> None:
    test = [Session("ab"), Session("bd"), Session("ca")] * 20
    good, bad = (evaluate(model, name, TRAIN, test) for model, name in ((GOOD, "good"), (BAD, "bad")))
    found = compare(good, bad).differences["mrr@5"]
    assert found.p < 0.01
    assert found.difference == pytest.approx(good.metrics["mrr@5"] - bad.metrics["mrr@5"])
    assert 0 < found.low < found.difference < found.high
    assert json.loads(json.dumps(compare(bad, good).to_json()))["differences"]["mrr@5"]["p"] == found.p


@pytest.mark.parametrize(
    ("rule", "named"),
    [({"unseen": "miss"}, "6 with conservative"), ({"ties": "mean"}, "5 with mean")],
)
def test_models_judged_by_other_clicks_or_rules_cannot_be_compared(rule: dict[str, Any], named: str) -> None:
    with pytest.raises(DatasetError, match=f"by 5 clicks with conservative ties, some by .*{named}"):
        compare(evaluated(), evaluated(**rule))


def test_models_that_know_fewer_items_are_judged_by_the_same_clicks() -> None:
    smaller = evaluated(Scored("ab", {"a": [0, 1], "b": [0, 1]}))
    assert smaller.next_items.ranks.tolist() == [1, math.inf, math.inf, math.inf, 1]
    assert compare(evaluated(), smaller).differences["recall@1"].difference == pytest.approx(1 / 5)


def test_figures_do_not_depend_on_items_that_a_model_knows_in_vain() -> None:
    lists = {"a": [0, 9, 1], "b": [1, 5, 2], "c": [9, 0, NAN]}
    few = Scored("abd", lists)
    many = Scored("zabdc", {item: [NAN, *row, NAN] for item, row in lists.items()})
    one, other = (evaluated(model, groups=Groups({"z": "last"})) for model in (few, many))
    assert one.metrics == pytest.approx(other.metrics, nan_ok=True)
    assert one.item_groups == other.item_groups
    assert np.array_equal(one.next_items.tops, other.next_items.tops)
    assert (one.items, other.items) == (3, 5)
    assert one.to_json()["catalogue"] == other.to_json()["catalogue"] == 5


def test_what_a_model_knows_beyond_its_training_is_in_the_catalogue() -> None:
    found = evaluated(Scored("abcdy", {"a": [0, 9, 1, 2, 5], "b": [1, 5, 2, 9, 0], "c": [9, 0, 0, 0, 0]}))
    assert found.clicks.tolist() == [6, 4, 2, 2, 1, 0]
    assert found.next_items.tops[0].tolist() == [1, 5]


def test_values_by_click_are_those_of_the_metrics() -> None:
    ranks = np.array([1, 4, 9, math.inf])
    found = values_at_k(ranks, (3, 5), ("recall", "mrr"))
    assert list(found) == ["recall@3", "mrr@3", "recall@5", "mrr@5"]
    assert np.array_equal(found["recall@5"], recall_at_k(ranks, 5))
    assert np.array_equal(found["mrr@3"], mrr_at_k(ranks, 3))
