"""Recommenders that know contexts: ratings that depend on them, and known answers."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrec.errors import ConfigError
from streamrec.feedback import Feedback, make_feedback
from streamrec.models import recommender
from streamrec.models._machine import Machine, pairs
from streamrec.models.context_prefilter import ContextPrefilter, ContextPrefilterConfig
from streamrec.models.factorisation_machine import FactorisationMachine, FactorisationMachineConfig
from streamrec.recommender import Visitor

LIGHT: dict[str, Any] = {"regularisation": 0.1, "weight_regularisation": 0.1}
MODELS: dict[str, dict[str, Any]] = {
    "context_postfilter": {"damping": 0.1},
    "context_prefilter": {
        "split": "items",
        "whole": 0.0,
        "base": {"model": "factorisation_machine", **LIGHT},
    },
    "factorisation_machine": LIGHT,
}

every_model = pytest.mark.parametrize("name", MODELS)


def umbrellas() -> Feedback:
    """In rain the first item is rated 5 and else 1, the second the other way about, the third 3."""
    rows = [
        (f"u{user}", item, value, when)
        for user in range(10)
        for when in ("rain", "sun")
        for item, value in (
            ("umbrella", 5.0 if when == "rain" else 1.0),
            ("hat", 1.0 if when == "rain" else 5.0),
            ("book", 3.0),
        )
    ]
    users, items, values, weather = zip(*rows, strict=True)
    return make_feedback(users, items, values, contexts={"weather": weather})


@every_model
def test_the_same_item_is_worth_more_in_another_context(name: str) -> None:
    model = recommender(name, MODELS[name])
    model.train(umbrellas())
    in_rain = model.score(Visitor("u1", context={"weather": "rain"}), ["umbrella", "hat", "book"])
    in_sun = model.score(Visitor("u1", context={"weather": "sun"}), ["umbrella", "hat", "book"])
    assert in_rain[0] > 4.5 > 1.5 > in_sun[0]
    assert in_sun[1] > 4.5 > 1.5 > in_rain[1]
    np.testing.assert_allclose([in_rain[2], in_sun[2]], 3.0, atol=0.2)


@every_model
def test_a_context_not_told_or_unheard_of_is_none(name: str) -> None:
    model = recommender(name, MODELS[name])
    model.train(umbrellas())
    untold = model.score(Visitor("u1"))
    assert np.isfinite(untold).all()
    np.testing.assert_allclose(untold, 3.0, atol=0.3)
    np.testing.assert_array_equal(model.score(Visitor("u1", context={"mood": "good"})), untold)
    assert np.isfinite(model.score(Visitor("u1", context={"weather": "hail"}))).all()


@every_model
def test_reasons_in_a_context_are_given_under_ids_that_were_given(name: str) -> None:
    model = recommender(name, MODELS[name])
    model.train(umbrellas())
    reasons = model.explain(Visitor("u1", context={"weather": "rain"}), "umbrella")
    assert reasons
    assert all("\x1f" not in reason.of for reason in reasons)


def test_weights_of_a_machine_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    # Each in each context once.
    users, items, when = np.unravel_index(rng.permutation(6 * 5 * 3)[:80], (6, 5, 3))
    values = rng.normal(3, 1, 80)
    model = FactorisationMachine(
        FactorisationMachineConfig(factors=1, epochs=300, weight_regularisation=2, regularisation=1e9)
    )
    model.train(
        make_feedback(
            [f"u{n}" for n in users],
            [f"i{n}" for n in items],
            values,
            contexts={"when": [f"c{n}" for n in when]},
        )
    )
    # Factors are held at zero: what is left is ridge regression on all columns.
    ones = np.hstack([np.eye(6)[users], np.eye(5)[items], np.eye(3)[when]])
    weights = np.linalg.solve(ones.T @ ones + 2 * np.eye(14), ones.T @ (values - values.mean()))
    expected = values.mean() + weights[2] + weights[6 + 3] + weights[11 + 1]
    found = model.score(Visitor("u2", context={"when": "c1"}), ["i3"])[0]
    assert found == pytest.approx(expected, abs=1e-5)


def test_pairs_of_a_machine_are_products_of_all_pairs() -> None:
    model = FactorisationMachine(FactorisationMachineConfig(**LIGHT, factors=3, epochs=4))
    model.train(umbrellas())
    user, item, label = model._factors[0][4], model._factors[1][0], model._factors[2][1]
    expected = model._mean + sum(float(model._weights[n][at]) for n, at in ((0, 4), (1, 0), (2, 1)))
    expected += float(user @ item + user @ label + item @ label)
    visitor = Visitor("u4", context={"weather": "sun"})
    assert model.score(visitor, ["umbrella"])[0] == pytest.approx(expected, rel=1e-6)
    reasons = model.explain(visitor, "umbrella")
    assert sum(each.weight for each in reasons) == pytest.approx(expected)


def test_labels_weigh_nothing_on_average_and_ratings_stay_what_they_were() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, n, 100) for n in (7, 5, 3)]
    above = rng.normal(0, 1, 100)
    machine = Machine(columns, above, [rng.normal(0, 1, (n, 2)) for n in (7, 5, 3)], 1.0, 1.0)
    list(machine.epochs(3))

    def foretold() -> Any:
        weights = sum(table[column] for table, column in zip(machine.weights, columns, strict=True))
        return weights + pairs(
            [table[column] for table, column in zip(machine.factors, columns, strict=True)]
        )

    before = foretold()
    added = machine.centre(2)
    np.testing.assert_allclose(foretold() + added, before)
    assert machine.weights[2][columns[2]].mean() == pytest.approx(0)
    np.testing.assert_allclose(machine.factors[2][columns[2]].mean(axis=0), 0, atol=1e-12)


def test_what_holds_a_machine_back_is_found_from_what_its_numbers_say() -> None:
    rng = np.random.default_rng(0)
    users, labels = rng.integers(0, 50, 4000), rng.integers(0, 2, 4000)
    items = rng.integers(0, 50, 4000)
    above = np.where(labels == 0, 1.0, -1.0) + rng.normal(0, 0.5, 4000)
    start = [rng.normal(0, 0.1, (n, 2)) for n in (50, 50, 2)]
    machine = Machine([users, items, labels], above, start, None, None)
    list(machine.epochs(20))
    of_users, of_items, of_labels = (machine.held_back(place) for place in range(3))
    # Only labels say something: visitors and items weigh as good as nothing, and no pair does.
    assert of_labels[0] < 1 < 7 < min(of_users[0], of_items[0])
    np.testing.assert_allclose(machine.weights[2], [1.0, -1.0], atol=0.05)
    assert max(np.abs(machine.weights[place]).max() for place in (0, 1)) < 0.2


def test_only_what_differs_by_more_than_chance_is_split() -> None:
    model = ContextPrefilter(ContextPrefilterConfig(split="items", base={"model": "baseline_predictor"}))
    model.train(umbrellas())
    assert list(model._splits) == ["umbrella", "hat"]
    assert {split[:2] for split in model._splits.values()} == {("weather", "rain")}
    assert sorted(model.items) == ["book", "hat", "umbrella"]
    assert np.isnan(model.score(Visitor("u1"), ["umbrella\x1finside"])[0])


def test_the_whole_is_mixed_in_and_is_all_where_the_context_chooses_no_half() -> None:
    base = {"base": {"model": "baseline_predictor"}, "split": "items"}
    whole, halves, mixed = (
        recommender("context_prefilter", {**base, "whole": share}) for share in (1.0, 0.0, 0.25)
    )
    for model in (whole, halves, mixed):
        model.train(umbrellas())
    rain = Visitor("u1", context={"weather": "rain"})
    expected = 0.25 * whole.score(rain) + 0.75 * halves.score(rain)
    np.testing.assert_allclose(mixed.score(rain), expected, rtol=1e-6)
    for context in ({}, {"weather": "hail"}):
        asked = Visitor("u1", context=context)
        np.testing.assert_array_equal(halves.score(asked, ["hat"]), whole.score(asked, ["hat"]))
    reasons = mixed.explain(rain, "umbrella")
    assert sum(each.weight for each in reasons) == pytest.approx(mixed.score(rain, ["umbrella"])[0])


def test_visitors_who_rate_higher_in_a_context_are_split() -> None:
    rows = [(f"u{n}", f"i{item}", 4.0 + (n < 1) * up, when) for n in range(3) for item in range(8)
            for when, up in (("alone", 1), ("family", -1))]  # fmt: skip
    users, items, values, company = zip(*rows, strict=True)
    model = ContextPrefilter(ContextPrefilterConfig(split="users", base={"model": "baseline_predictor"}))
    model.train(make_feedback(users, items, values, contexts={"company": company}))
    assert list(model._user_splits) == ["u0"]
    alone, family = (
        float(model.score(Visitor("u0", context={"company": each}), ["i0"])[0])
        for each in ("alone", "family")
    )
    assert alone > 4 > family


def test_of_visitors_and_labels_only_those_take_memory_that_met() -> None:
    numbers = np.arange(6000)
    feedback = make_feedback(
        [f"u{n}" for n in numbers],
        [f"i{n % 10}" for n in numbers],
        numbers % 5 + 1.0,
        contexts={"day": [f"{n % 2000}" for n in numbers]},
    )
    model = recommender("context_postfilter", {"base": {"model": "baseline_predictor"}})
    tracemalloc.start()
    model.train(feedback)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A number for each of 6,000 visitors and 2,000 days: 92 MiB.
    assert peak < 20 << 20


@pytest.mark.parametrize("name", ["context_postfilter", "context_prefilter", "group_recommender"])
def test_a_recommender_underneath_that_there_is_not_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="base: there is no model 'nothing'"):
        recommender(name, {"base": {"model": "nothing"}})


class Blind:
    """Says what it is told, and nothing of some items."""

    def __init__(self, model: Any, blind: set[str]) -> None:
        self._model, self._blind, self.items = model, blind, model.items

    def score(self, visitor: Visitor, items: Any = None) -> Any:
        named = list(self.items if items is None else items)
        scores = self._model.score(visitor, named)
        scores[[each.removesuffix("\x1finside") in self._blind for each in named]] = np.nan
        return scores

    def explain(self, visitor: Visitor, item_id: str) -> Any:
        return [] if np.isnan(self.score(visitor, [item_id])[0]) else self._model.explain(visitor, item_id)


def test_where_one_of_half_and_whole_cannot_tell_the_other_says_it_alone() -> None:
    config = ContextPrefilterConfig(split="items", base={"model": "baseline_predictor"})
    model: Any = ContextPrefilter(config)
    model.train(umbrellas())
    rain = Visitor("u1", context={"weather": "rain"})
    whole, half = model._whole.score(rain, ["hat"])[0], model._halves.score(rain, ["umbrella\x1finside"])[0]
    model._whole, model._halves = Blind(model._whole, {"umbrella"}), Blind(model._halves, {"hat"})
    np.testing.assert_array_equal(model.score(rain, ["hat", "umbrella"]), [whole, half])
    for item_id, score in (("hat", whole), ("umbrella", half)):
        reasons = model.explain(rain, item_id)
        assert sum(each.weight for each in reasons) == pytest.approx(score)
    model._halves = Blind(model._halves, {"umbrella"})
    assert np.isnan(model.score(rain, ["umbrella"])[0])
    assert model.explain(rain, "umbrella") == []


def test_where_nothing_is_split_the_whole_is_all_and_is_kept_once(tmp_path: Path) -> None:
    config = ContextPrefilterConfig(base={"model": "baseline_predictor"}, t=1e9)
    model = ContextPrefilter(config)
    model.train(umbrellas())
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["part0"]
    rain = Visitor("u1", context={"weather": "rain"})
    for each in (model, ContextPrefilter.load(tmp_path)):
        assert each._halves is None
        np.testing.assert_array_equal(each.score(rain), model._whole.score(Visitor("u1")))


@pytest.mark.parametrize("name", ["context_postfilter", "context_prefilter"])
@pytest.mark.parametrize("base", [{"model": "wals"}, {"model": "group_recommender", "strategy": "borda"}])
def test_what_foretells_no_ratings_is_refused_underneath(name: str, base: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{base['model']} foretells no ratings"):
        recommender(name, {"base": base})


def test_reasons_of_a_machine_are_told_once_each() -> None:
    model = FactorisationMachine(FactorisationMachineConfig(**LIGHT))
    model.train(umbrellas())
    told = [reason[:2] for reason in model.explain(Visitor("u1", context={"weather": "rain"}), "umbrella")]
    assert len(set(told)) == len(told) == 3


@pytest.mark.parametrize("name", ["context_prefilter", "context_postfilter"])
def test_means_of_a_pairs_ratings_make_no_classes(name: str) -> None:
    """Each pair is rated in many contexts, so that its mean is a fraction of its own."""
    rng = np.random.default_rng(3)
    users, items = np.divmod(np.arange(11 * 180) % 180, 15)
    values = rng.integers(1, 6, len(users)).astype(np.float32)
    moods = [f"m{n // 180}" for n in range(len(users))]
    feedback = make_feedback(
        [f"u{n}" for n in users], [f"i{n}" for n in items], values, contexts={"mood": moods}
    )
    assert len(np.unique(feedback.with_means().values)) > 20
    model = recommender(name, {"base": {"model": "weighted_hybrid", "parts": [{"node": "naive_bayes_cf"}]}})
    model.train(feedback)
    assert np.isfinite(model.score(Visitor("u3"))).all()
