"""Models that count: what comes and goes leaves nothing behind. Their contract: test_session_models.py."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from counting import CountingModel, answers, histories, learn, live_through, share_of_memory_kept
from hypothesis import example, given
from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.errors import ConfigError, DatasetError
from streamrec.models import session_model
from streamrec.models.item_knn import ItemKNN, ItemKNNConfig
from streamrec.models.markov import Markov, MarkovConfig

CONFIGS: list[Any] = [
    ItemKNNConfig(damping=0),
    ItemKNNConfig(k=2, decay=0.5),
    ItemKNNConfig(damping=3, decay=0.9),
    ItemKNNConfig(decay=0),
    MarkovConfig(window=1),
    MarkovConfig(window=3, decay="reciprocal"),
    MarkovConfig(window=4, decay="linear"),
    MarkovConfig(window=50, decay="none"),
]
MODELS = {ItemKNNConfig: ItemKNN, MarkovConfig: Markov}

each_model = pytest.mark.parametrize("make", MODELS.values(), ids=lambda made: made.__name__)
each_config = pytest.mark.parametrize("config", CONFIGS, ids=repr)


def made(config: Any) -> CountingModel:
    return MODELS[type(config)](config)


def trained(model: CountingModel, sessions: Sequence[str]) -> CountingModel:
    """A model of sessions whose items are single letters."""
    model.train([Session(list(items)) for items in sessions])
    return model


@each_config
@given(items=st.text("abcdxz", min_size=1, max_size=6))
def test_scores_are_the_proposals_and_nothing_else(config: Any, items: str) -> None:
    model = trained(made(config), ["abab", "acdb", "cb", "bz", "z"])
    *_, row = model.scores(Session(list(items)))
    scored = {item: score for item, score in zip(model.items, row.tolist(), strict=True) if score == score}
    proposed = model.proposals(Session(list(items)))
    assert scored == {item: np.float32(score) for item, score in proposed.items()}


@each_config
@given(history=histories)
@example(history=[("add", ["a", "b"]), ("extend", 0, "a"), ("extend", 0, "c"), ("remove", 0)])
@example(history=[("add", ["a", "b"]), ("extend", 0, "a"), ("extend", 0, "a"), ("remove", 0)])
def test_any_history_leaves_the_model_of_what_is_left(config: Any, history: list[Any]) -> None:
    model = made(config)
    left = live_through(model, history)
    at_once = made(config)
    learn(at_once, left)
    assert answers(model) == answers(at_once)


@each_model
def test_memory_goes_back_with_the_sessions(make: Callable[[], CountingModel]) -> None:
    sessions = list(click_sessions(bundled_clicks().first(12_000)))
    model = make()
    model.train(sessions[:100])
    n_pairs = model.n_pairs
    assert share_of_memory_kept(model, sessions[100:]) < 0.25
    assert model.n_pairs == n_pairs


@pytest.mark.parametrize(
    ("config", "sessions", "others"),
    [
        (ItemKNNConfig(), ["abc", "bd"], ["abe", "acd"]),
        (MarkovConfig(window=1), ["abc"], ["abd", "ac", "abcabc"]),
    ],
    ids=repr,
)
def test_a_session_that_was_never_added_cannot_be_removed(
    config: Any, sessions: list[str], others: list[str]
) -> None:
    model = trained(made(config), sessions)
    before = answers(model)
    for items in others:
        with pytest.raises(ValueError, match=r"session 's1' was never added: .+ is missing"):
            model.remove(Session(list(items), (), "s1"))
    assert answers(model) == before


@pytest.mark.parametrize(
    ("make", "sessions", "message"),
    [
        (ItemKNN, ["a", "bb"], "no session has two different items"),
        (Markov, ["a", "b"], "no session has two clicks or more"),
    ],
)
def test_a_training_with_nothing_to_learn_leaves_the_model_as_it_was(
    make: Callable[[], CountingModel], sessions: list[str], message: str
) -> None:
    model = trained(make(), ["abc"])
    before = answers(model)
    with pytest.raises(DatasetError, match=message):
        trained(model, sessions)
    assert answers(model) == before


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("item_knn", "k", "0"),
        ("item_knn", "damping", "-1"),
        ("item_knn", "decay", "1"),
        ("markov", "window", "0"),
        ("markov", "window", "51"),
        ("markov", "decay", "steep"),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, parameter: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{parameter}: Input should be"):
        session_model(name, {parameter: value})
