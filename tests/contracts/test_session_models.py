"""Every session model keeps what contracts.SessionModel promises."""

import copy
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from typing import Any

import model_answers
import numpy as np
import pytest
from model_answers import answers, digest, quick_model, visits
from numpy.testing import assert_array_equal
from pydantic import ValidationError
from session_models import RING, ring_sessions

from streamrec.contracts import Session, SessionModel, TrainOptions, TrainReport
from streamrec.errors import ConfigError, DatasetError
from streamrec.models import SESSION_MODELS, session_model, session_model_class

ROOT = Path(__file__).parents[2]

POPULARITY = ["popularity", "decayed_popularity"]
LEARN_ORDER = ["gru4rec", "markov"]
LEARN_TOGETHERNESS = [name for name in SESSION_MODELS if name not in POPULARITY]

every_model = pytest.mark.parametrize("name", SESSION_MODELS)


@cache
def trained(name: str) -> SessionModel:
    """A model trained on `visits`, shared by the tests that only read."""
    return fresh(name, visits())


def fresh(name: str, sessions: list[Session], seed: int = 0) -> SessionModel:
    model = quick_model(name)
    model.train(sessions, TrainOptions(seed=seed))
    return model


def last_scores(model: SessionModel, items: list[str]) -> dict[str, float]:
    """Scores after the last click, by item."""
    *_, row = model.scores(Session(items))
    return dict(zip(model.items, row.tolist(), strict=True))


def without_times(sessions: list[Session]) -> list[Session]:
    return [session._replace(times_ms=()) for session in sessions]


# -- no model goes unchecked --------------------------------------------------------------------


def _session_models(file: str) -> Iterator[tuple[str, str]]:
    """File and class of each session model that a file of models/ defines."""
    module = import_module(f"streamrec.models.{file}")
    for name, found in vars(module).items():
        here = isinstance(found, type) and found.__module__ == module.__name__ and not isabstract(found)
        if here and all(hasattr(found, each) for each in ("Config", "train", "scores")):
            yield file, name


def test_every_session_model_is_listed() -> None:
    files = sorted(path.stem for path in (ROOT / "models").glob("*.py") if path.stem != "__init__")
    found = [pair for file in files for pair in _session_models(file)]
    assert sorted(found) == sorted(SESSION_MODELS.items())


def test_every_model_has_a_known_answer_and_meets_every_check() -> None:
    met = dict.fromkeys(SESSION_MODELS, 0)
    for function in list(globals().values()):
        for mark in getattr(function, "pytestmark", []):
            if mark.args[0] == "name":
                for name in mark.args[1]:
                    met[name] += 1
    assert min(met.values()) > 15
    assert {*POPULARITY, *LEARN_TOGETHERNESS} == set(SESSION_MODELS)


# -- known answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARN_ORDER)
def test_the_next_item_of_a_ring_comes_first(name: str) -> None:
    model = fresh(name, ring_sessions())
    after = [last_scores(model, [RING[n - 1], item]) for n, item in enumerate(RING)]
    best = [max(scores, key=lambda item: np.nan_to_num(scores[item], nan=-np.inf)) for scores in after]
    right = [item == RING[(n + 1) % len(RING)] for n, item in enumerate(best)]
    assert np.mean(right) > 0.97


@pytest.mark.parametrize("name", LEARN_TOGETHERNESS)
def test_on_a_checkerboard_the_withheld_item_stands_before_all_of_the_other_colour(name: str) -> None:
    # Two kinds of visitor, each clicking on the items of one colour in any order; one pair is
    # never seen in one session.
    colours = [[f"{colour}{n}" for n in range(6)] for colour in ("black", "white")]
    rng = random.Random(2)
    sessions = [rng.sample(rng.choice(colours), 4) for _ in range(600)]
    model = fresh(name, [Session(items) for items in sessions if not {"black0", "black1"} <= set(items)])
    scores = last_scores(model, ["black0", "black2", "black3", "black4", "black5"])
    assert np.isfinite(scores["black1"])
    assert not any(scores[white] >= scores["black1"] for white in colours[1])


@pytest.mark.parametrize("name", POPULARITY)
def test_what_was_clicked_more_scores_higher(name: str) -> None:
    clicks = {"often": 9, "sometimes": 4, "seldom": 1}
    day = [(item, hour) for item, n in clicks.items() for hour in range(n)]
    sessions = [Session([item], [hour * 3_600_000]) for item, hour in day]
    for given in (sessions, without_times(sessions)):
        scores = last_scores(fresh(name, given), ["seldom"])
        assert sorted(scores, key=scores.__getitem__, reverse=True) == list(clicks)


# -- scores -------------------------------------------------------------------------------------


@every_model
def test_there_is_one_row_of_float32_for_each_click(name: str) -> None:
    model = trained(name)
    for session in visits(10, seed=1):
        rows = list(model.scores(session))
        assert len(rows) == len(session.items)
        assert all(row.shape == (len(model.items),) and row.dtype == np.float32 for row in rows)
        assert not any(np.isinf(row).any() for row in rows)


@every_model
def test_items_are_those_of_training_each_once(name: str) -> None:
    assert not list(quick_model(name).items)
    model = trained(name)
    assert sorted(model.items) == sorted({item for session in visits() for item in session.items})


@every_model
def test_an_empty_session_has_no_scores(name: str) -> None:
    assert list(trained(name).scores(Session([]))) == []


@every_model
def test_one_click_is_enough_for_scores(name: str) -> None:
    model = trained(name)
    rows = [next(model.scores(Session([item]))) for item in model.items]
    assert np.mean([np.isfinite(row).any() for row in rows]) > 0.9


@every_model
def test_unknown_items_are_passed_over(name: str) -> None:
    model = trained(name)
    known, unknown = model.items[0], "nobody has seen this"
    (alone,) = model.scores(Session([known]))
    first, second, third = model.scores(Session([unknown, known, unknown]))
    assert_array_equal(second, alone)
    assert_array_equal(third, alone)
    if name not in POPULARITY:
        assert np.isnan(first).all()


@every_model
def test_scores_see_only_the_clicks_so_far(name: str) -> None:
    model = trained(name)
    for items, times_ms, session_id in visits(10, seed=1, days=12):
        whole = list(model.scores(Session(items, times_ms, session_id)))
        for n in range(1, len(items)):
            prefix = list(model.scores(Session(items[:n], times_ms[:n], session_id)))
            assert_array_equal(prefix, whole[:n])


@every_model
def test_an_item_may_come_again(name: str) -> None:
    model = trained(name)
    items = [model.items[2]] * 5 + [model.items[3], model.items[2]]
    rows = list(model.scores(Session(items)))
    assert len(rows) == len(items)
    assert np.isfinite(rows[-1]).any()


@every_model
def test_scoring_changes_nothing(name: str) -> None:
    model = fresh(name, visits())
    sessions = visits(10, seed=1, days=12)
    before = answers(model, sessions)
    strangers = [Session(["nobody", *session.items]) for session in visits(5, n_items=60, seed=2)]
    answers(model, strangers)
    assert answers(model, sessions) == before


@every_model
def test_sessions_may_be_scored_side_by_side(name: str) -> None:
    model = trained(name)
    first, second = [session for session in visits(40, seed=1) if len(session.items) == 5][:2]
    together = list(zip(model.scores(first), model.scores(second), strict=True))
    assert_array_equal([one for one, _ in together], list(model.scores(first)))
    assert_array_equal([other for _, other in together], list(model.scores(second)))


@every_model
def test_scores_belong_to_the_caller(name: str) -> None:
    model = trained(name)
    session = Session([model.items[0], "nobody has seen this", model.items[1]])
    expected = [row.copy() for row in model.scores(session)]
    for row, same in zip(model.scores(session), expected, strict=True):
        assert_array_equal(row, same)
        row[:] = -1.0


# -- training -----------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("sessions", [[], [Session([])]], ids=["no session", "no click"])
def test_nothing_to_learn_from_is_an_error_that_says_so(name: str, sessions: list[Session]) -> None:
    with pytest.raises(DatasetError, match=r"click|item"):
        quick_model(name).train(sessions)


@every_model
def test_one_session_is_enough(name: str) -> None:
    model = fresh(name, [Session(["a", "b", "c"], [1_000, 2_000, 3_000])])
    assert sorted(model.items) == ["a", "b", "c"]
    assert np.isfinite(last_scores(model, ["a"])["b"])


@every_model
def test_sessions_that_are_all_the_same_teach_what_they_have(name: str) -> None:
    model = fresh(name, [Session(["a", "b", "b", "c"], [1_000, 2_000, 2_000, 3_000])] * 40)
    assert sorted(model.items) == ["a", "b", "c"]
    assert np.isfinite(last_scores(model, ["a"])["b"])


@every_model
def test_sessions_need_no_times(name: str) -> None:
    model = fresh(name, without_times(visits()))
    for session in visits(5, seed=1):
        for given in (session, session._replace(times_ms=())):
            assert np.isfinite(list(model.scores(given))).any()
    assert np.isfinite(list(trained(name).scores(visits(1, seed=1)[0]._replace(times_ms=())))).any()


@every_model
def test_training_again_forgets_the_first(name: str) -> None:
    sessions = visits(40, n_items=20, seed=4)
    model = quick_model(name)
    model.train(visits())
    model.train(sessions)
    assert answers(model, visits(10, seed=1)) == answers(fresh(name, sessions), visits(10, seed=1))


@every_model
def test_sessions_stay_as_they_were(name: str) -> None:
    sessions = visits()
    before = copy.deepcopy(sessions)
    model = fresh(name, sessions)
    list(model.scores(sessions[0]))
    assert sessions == before


@every_model
def test_sessions_may_come_from_an_iterator_and_be_tuples(name: str) -> None:
    model = quick_model(name)
    model.train(Session(tuple(items), tuple(times_ms), key) for items, times_ms, key in visits())
    assert answers(model, visits(10, seed=1)) == answers(trained(name), visits(10, seed=1))


@every_model
def test_the_report_counts_events_and_progress_gets_to_its_end(name: str) -> None:
    told: list[tuple[int, int]] = []
    model = quick_model(name)
    options = TrainOptions(on_step=lambda done, total, _: told.append((done, total)))
    report = model.train(visits(), options)
    assert isinstance(report, TrainReport)
    pairs = sum(len(session.items) - 1 for session in visits())
    assert report.events >= pairs
    assert told
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


# -- the same again -----------------------------------------------------------------------------


@every_model
def test_the_same_sessions_and_seed_give_the_same_bits(name: str) -> None:
    assert digest(name) == digest(name)


@cache
def digests_elsewhere() -> dict[str, str]:
    """Of every model, from another process with another order of hashes."""
    done = subprocess.run(
        [sys.executable, model_answers.__file__],
        env={**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@every_model
def test_another_process_with_another_order_of_hashes_gives_the_same_bits(name: str) -> None:
    assert digests_elsewhere()[name] == digest(name)


# -- configuration ------------------------------------------------------------------------------


@every_model
def test_unknown_parameters_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} cannot be .*\n  neighbors: there is no such parameter"):
        session_model(name, {"neighbors": 3})


@every_model
def test_a_configuration_is_frozen_documented_and_kept(name: str) -> None:
    made = session_model_class(name)
    config: Any = made.Config()
    assert made.Config.__doc__
    assert made(config).config == config == made().config
    assert made.Config.model_validate(config.model_dump()) == config
    with pytest.raises(ValidationError):
        config.anything = 1
