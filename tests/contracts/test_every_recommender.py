"""Every recommender keeps what recommender.Recommender promises."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recommender_answers
from numpy.testing import assert_array_equal
from pydantic import ValidationError
from recommender_answers import (
    GROUP,
    VARIANTS,
    WITHHELD,
    answers,
    bytes_kept,
    checkerboard,
    checkerboard_knowledge,
    digest,
    learn,
    quick,
    ratings,
    ratings_in_moods,
    ratings_knowledge,
    with_repeats,
)

from streamrec.contracts import TrainOptions, TrainReport
from streamrec.errors import ArtifactError, ConfigError, DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge, make_feedback
from streamrec.models import RECOMMENDERS, recommender, recommender_class
from streamrec.recommender import Recommender, Visitor

ROOT = Path(__file__).parents[2]

LEVELS_ONLY = ["baseline_predictor", "decision_tree_cf", "slope_one"]
"""They know how high visitors and items are rated, and of the checkerboard nothing of who likes what.
Slope one's deviations between items are alike for both kinds, and cancel (its bi-polar form is tested by
itself). A tree for the withheld item asks of what all its raters rated, none of which its visitor did."""
POPULARITY = ["category_popularity", "item_popularity", "trending_items"]
"""They know what is had most, and nothing of who likes what, unless they are told categories."""
RATING = [name for name in RECOMMENDERS if "rating" in recommender_class(name).tasks]
TASTE = [name for name in RECOMMENDERS if name not in {*LEVELS_ONLY, *POPULARITY}]
STREAMS = [name for name in RECOMMENDERS if hasattr(recommender_class(name), "learn_one")]
GROUPS = [name for name in (*RECOMMENDERS, *VARIANTS) if name.startswith("group_recommender")]
GLAD = {"mood": "glad"}

every_model = pytest.mark.parametrize("name", RECOMMENDERS)
every_variant = pytest.mark.parametrize("name", [*RECOMMENDERS, *VARIANTS])


@cache
def trained(name: str) -> Recommender:
    """Trained on `ratings_in_moods`, shared by the tests that only read."""
    return fresh(name, ratings_in_moods(), ratings_knowledge())


def fresh(name: str, feedback: Feedback, knowledge: Knowledge = NOTHING, seed: int = 0) -> Recommender:
    model = quick(name)
    model.train(feedback, knowledge, options=TrainOptions(seed=seed))
    return model


# -- no model goes unchecked --------------------------------------------------------------------


def _recommenders(file: str) -> Iterator[tuple[str, str]]:
    """File and class of each recommender that a file of models/ defines."""
    module = import_module(f"streamrec.models.{file}")
    for name, found in vars(module).items():
        here = isinstance(found, type) and found.__module__ == module.__name__ and not isabstract(found)
        if here and all(hasattr(found, each) for each in ("Config", "train", "score")):
            yield file, name


def test_every_recommender_is_listed() -> None:
    files = sorted(path.stem for path in (ROOT / "models").glob("*.py") if path.stem != "__init__")
    found = [pair for file in files for pair in _recommenders(file)]
    assert sorted(found) == sorted(RECOMMENDERS.items())


def test_every_recommender_meets_every_check_and_a_known_answer() -> None:
    met = dict.fromkeys(RECOMMENDERS, 0)
    for function in list(globals().values()):
        for mark in getattr(function, "pytestmark", []):
            if mark.args[0] == "name":
                for name in {*mark.args[1]} & {*met}:
                    met[name] += 1
    assert min(met.values()) > 15
    assert {*TASTE, *LEVELS_ONLY, *POPULARITY} == set(RECOMMENDERS)
    assert all(recommender_class(name).tasks <= {"rating", "top-n"} for name in RECOMMENDERS)
    assert all(recommender_class(name).tasks for name in RECOMMENDERS)


# -- known answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASTE)
def test_on_a_checkerboard_the_withheld_item_stands_before_all_of_the_other_colour(name: str) -> None:
    model = fresh(name, checkerboard(), checkerboard_knowledge())
    user, item = WITHHELD
    scores = dict(zip(model.items, model.score(Visitor(user)).tolist(), strict=True))
    assert all(scores[item] > scores[f"white{n}"] for n in range(8))


@pytest.mark.parametrize("name", LEVELS_ONLY)
def test_who_rates_higher_is_expected_to_and_so_is_what_is_rated_higher(name: str) -> None:
    rows = [
        (f"u{user}", f"i{item}", float(np.clip(1 + user + item, 1, 5)))
        for user in range(3)
        for item in range(3)
        if (user, item) != (1, 1)
    ]
    model = fresh(name, make_feedback(*zip(*rows, strict=True)))
    low, middle, high = (float(model.score(Visitor(f"u{n}"), ["i1"])[0]) for n in range(3))
    assert low < middle < high
    by_item = model.score(Visitor("u1"), ["i0", "i1", "i2"])
    assert (np.diff(by_item) > 0).all()


@pytest.mark.parametrize("name", POPULARITY)
def test_what_is_had_by_more_and_more_stands_first_for_everybody(name: str) -> None:
    day_ms = 86_400_000
    rows = [(f"u{n}", "steady", n * day_ms) for n in range(20)]
    rows += [(f"u{n}", "rising", n * day_ms + hour) for n in range(15, 20) for hour in range(6)]
    users, items, times = zip(*rows, strict=True)
    model = fresh(name, make_feedback(users, items, time_ms=times))
    for visitor in (Visitor("u3"), Visitor(), Visitor("nobody", ["steady"])):
        rising, steady = model.score(visitor, ["rising", "steady"])
        assert rising > steady


@pytest.mark.parametrize("name", RATING)
def test_ratings_that_are_all_the_same_are_what_is_expected(name: str) -> None:
    same = ratings()
    model = fresh(
        name,
        make_feedback(
            [same.user_ids[n] for n in same.users],
            [same.item_ids[n] for n in same.items],
            np.full(len(same), 4.0),
        ),
    )
    np.testing.assert_allclose(model.score(Visitor("u03")), 4.0, atol=0.3)


@pytest.mark.parametrize("name", RATING)
def test_ratings_are_foretold_better_than_by_their_mean(name: str) -> None:
    everything = ratings(n=800)
    held_out = np.arange(len(everything)) % 5 == 0
    train, test = everything.take(~held_out), everything.take(held_out)
    model = fresh(name, train, ratings_knowledge())
    pairs = zip(test.users.tolist(), test.items.tolist(), strict=True)
    found = np.array([model.score(Visitor(test.user_ids[u]), [test.item_ids[i]])[0] for u, i in pairs])
    told = np.isfinite(found)
    assert told.mean() > 0.9
    assert np.mean((found - test.values)[told] ** 2) < 0.8 * np.mean(
        (train.values.mean() - test.values)[told] ** 2
    )


# -- scores -------------------------------------------------------------------------------------


@every_model
def test_scores_are_float32_one_for_each_item(name: str) -> None:
    model = trained(name)
    for user_id in ratings().user_ids:
        scores = model.score(Visitor(user_id))
        assert scores.shape == (len(model.items),)
        assert scores.dtype == np.float32
        assert not np.isinf(scores).any()


@every_model
def test_items_are_those_of_training_each_once(name: str) -> None:
    assert not list(quick(name).items)
    assert sorted(trained(name).items) == sorted(ratings().item_ids)


@every_variant
def test_items_may_be_named_in_any_order_and_more_than_once(name: str) -> None:
    model, visitor = trained(name), Visitor("u05")
    everything = model.score(visitor)
    places = np.array([3, 0, 7, 3])
    named = model.score(visitor, [model.items[place] for place in places])
    np.testing.assert_allclose(named, everything[places], rtol=1e-6)
    assert model.score(visitor, []).shape == (0,)


@every_variant
def test_an_unknown_item_cannot_be_scored_and_changes_nothing_for_others(name: str) -> None:
    model, known = trained(name), ratings().item_ids[0]
    first, second = model.score(Visitor("u05"), ["nobody has seen this", known])
    assert np.isnan(first)
    assert second == model.score(Visitor("u05"), [known])[0]


@every_variant
def test_an_unknown_visitor_is_answered_without_an_error(name: str) -> None:
    model = trained(name)
    for visitor in (Visitor(), Visitor("nobody"), Visitor("nobody", ["nobody has seen this"], [3.0])):
        assert model.score(visitor).shape == (len(model.items),)
    assert_array_equal(model.score(Visitor()), model.score(Visitor("nobody")))


@every_variant
def test_what_an_unknown_visitor_had_may_come_without_ratings(name: str) -> None:
    model = trained(name)
    assert model.score(Visitor("nobody", list(model.items[:4]))).shape == (len(model.items),)


@every_variant
def test_scoring_and_explaining_change_nothing(name: str) -> None:
    model = fresh(name, ratings_in_moods(), ratings_knowledge())
    before = answers(model, ratings_in_moods())
    askers = [Visitor("nobody", ["i01"], [2.0]), Visitor("u01"), Visitor(), Visitor(GROUP)]
    for visitor in (*askers, *(each._replace(context=GLAD) for each in askers)):
        model.score(visitor, ["unseen", "i03"])
        model.explain(visitor, "i03")
        model.explain(visitor, "unseen")
    assert answers(model, ratings_in_moods()) == before


@every_variant
def test_scores_belong_to_the_caller(name: str) -> None:
    model = fresh(name, ratings_in_moods(), ratings_knowledge())
    for visitor in (Visitor("u01"), Visitor("u01", context=GLAD), Visitor(GROUP)):
        before = model.score(visitor).copy()
        model.score(visitor)[:] = -1.0
        assert_array_equal(model.score(visitor), before)


@every_variant
def test_reasons_are_given_weightiest_first_and_none_where_there_is_no_score(name: str) -> None:
    model = trained(name)
    assert model.explain(Visitor("u05"), "i03")
    for visitor in (Visitor("u05"), Visitor("u05", context=GLAD), Visitor(GROUP), Visitor("nobody", ["i01"])):
        for item_id, score in zip(model.items, model.score(visitor).tolist(), strict=True):
            weights = [abs(each.weight) for each in model.explain(visitor, item_id)]
            assert weights == sorted(weights, reverse=True)
            assert np.isfinite(weights).all()
            assert np.isfinite(score) or not weights
        assert model.explain(visitor, "nobody has seen this") == []


@pytest.mark.parametrize("name", ["context_postfilter", "context_prefilter", "factorisation_machine"])
def test_in_the_mood_of_high_ratings_more_is_expected(name: str) -> None:
    glad, sad = (
        np.array([trained(name).score(Visitor(each, context={"mood": mood})) for each in ratings().user_ids])
        for mood in ("glad", "sad")
    )
    assert (glad - sad).mean() > 0.1


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_is_told_what_a_stranger_is_not(name: str) -> None:
    of_group = trained(name).score(Visitor(GROUP))
    assert np.isfinite(of_group).any()
    assert not np.array_equal(of_group, trained(name).score(Visitor("nobody")), equal_nan=True)


# -- training -----------------------------------------------------------------------------------


@every_model
def test_nothing_to_learn_from_is_an_error_that_says_so(name: str) -> None:
    with pytest.raises(DatasetError, match=r"no "):
        quick(name).train(make_feedback([], []))


@every_model
def test_one_rating_is_enough(name: str) -> None:
    model = fresh(name, make_feedback(["u"], ["i"], [4.0]))
    assert list(model.items) == ["i"]
    assert model.score(Visitor("u")).shape == (1,)


@every_model
def test_training_again_forgets_the_first(name: str) -> None:
    other = ratings_in_moods(20, 12, 150, seed=5)
    model = quick(name)
    known = ratings_knowledge(20, 12)
    model.train(ratings_in_moods(), ratings_knowledge())
    model.train(other, known)
    assert answers(model, other) == answers(fresh(name, other, known), other)


@every_model
def test_feedback_and_knowledge_stay_as_they_were(name: str) -> None:
    given, known = ratings_in_moods(), ratings_knowledge()
    same, still_known = copy.deepcopy((given, known))
    fresh(name, given, known)
    for column in ("users", "items", "values", "time_ms", "user_ids", "item_ids"):
        assert_array_equal(getattr(given, column), getattr(same, column))
    assert given.contexts == same.contexts
    assert known == still_known


@every_model
def test_the_report_counts_ratings_and_progress_gets_to_its_end(name: str) -> None:
    told: list[tuple[int, int]] = []
    options = TrainOptions(on_step=lambda done, total, _: told.append((done, total)))
    report = quick(name).train(ratings_in_moods(), ratings_knowledge(), options)
    assert isinstance(report, TrainReport)
    assert report.events >= len(ratings())
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_learned_one_by_one_is_what_training_on_all_gives(name: str) -> None:
    everything = with_repeats(ratings())
    first = fresh(name, everything.take(np.arange(len(everything)) < 300), ratings_knowledge())
    learn(first, everything, 300)
    whole = fresh(name, everything, ratings_knowledge())
    assert sorted(first.items) == sorted(whole.items)
    for user_id in everything.user_ids:
        np.testing.assert_allclose(
            first.score(Visitor(user_id), whole.items), whole.score(Visitor(user_id)), atol=1e-6
        )


@pytest.mark.parametrize("name", STREAMS)
def test_what_comes_again_takes_no_more_memory(name: str) -> None:
    rounds = 5
    kept = bytes_kept(fresh(name, ratings(), ratings_knowledge()), ratings(), rounds)
    # Whoever keeps interactions needs bytes for each.
    assert kept < rounds * len(ratings())


# -- the same again -----------------------------------------------------------------------------


@every_variant
def test_the_same_feedback_and_seed_give_the_same_bits(name: str) -> None:
    assert digest(name) == digest(name)


@cache
def digests_elsewhere() -> dict[str, str]:
    """Of every recommender, from another process with another order of hashes."""
    done = subprocess.run(
        [sys.executable, recommender_answers.__file__],
        env={**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@every_variant
def test_another_process_with_another_order_of_hashes_gives_the_same_bits(name: str) -> None:
    assert digests_elsewhere()[name] == digest(name)


@every_variant
def test_saved_and_loaded_it_answers_the_same_bits(name: str, tmp_path: Path) -> None:
    model = fresh(name, ratings_in_moods(), ratings_knowledge())
    model.save(tmp_path / "saved")
    loaded = type(model).load(tmp_path / "saved")
    assert answers(loaded, ratings_in_moods()) == answers(model, ratings_in_moods())
    assert loaded.config == model.config  # type: ignore[attr-defined]
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".npz"}
    for path in files:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert not [array for array in arrays.values() if array.dtype.hasobject]


@every_model
def test_files_that_are_not_its_own_are_refused(name: str, tmp_path: Path) -> None:
    made = recommender_class(name)
    with pytest.raises(ArtifactError, match="that can be read"):
        made.load(tmp_path / "nothing")
    trained(name).save(tmp_path / "saved")
    told = json.loads((tmp_path / "saved" / "model.json").read_text())
    (tmp_path / "saved" / "model.json").write_text(json.dumps({**told, "model": "Another"}))
    with pytest.raises(ArtifactError, match="Another"):
        made.load(tmp_path / "saved")


# -- configuration ------------------------------------------------------------------------------


@every_model
def test_unknown_parameters_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} cannot be .*\n  neighbors: there is no such parameter"):
        recommender(name, {"neighbors": 3})


@every_model
def test_a_configuration_is_frozen_documented_and_kept(name: str) -> None:
    made = recommender_class(name)
    config: Any = made.Config()
    assert made.Config.__doc__
    assert made(config).config == config == made().config
    assert made.Config.model_validate(config.model_dump()) == config
    with pytest.raises(ValidationError):
        config.anything = 1


# -- the last -----------------------------------------------------------------------------------


def test_no_check_was_left_out(left_out: list[str]) -> None:
    assert left_out == []
