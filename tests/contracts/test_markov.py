"""The Markov chain: transitions, counted and taken away. Its contract: test_session_models.py."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from counting import answers, histories, learn, live_through, share_of_memory_kept
from hypothesis import example, given
from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.errors import ConfigError, DatasetError
from streamrec.models import session_model
from streamrec.models.markov import Markov, MarkovConfig

CONFIGS = [
    MarkovConfig(window=1),
    MarkovConfig(window=3, decay="reciprocal"),
    MarkovConfig(window=4, decay="linear"),
    MarkovConfig(window=50, decay="none"),
]


def trained(*sessions: str, **fields: Any) -> Markov:
    """A model of sessions whose items are single letters."""
    model = Markov(MarkovConfig(**fields))
    model.train([Session(list(items)) for items in sessions])
    return model


def after(model: Markov, items: str) -> dict[str, float]:
    return model.proposals(Session(list(items)))


# -- known answers ------------------------------------------------------------------------------


def test_with_a_window_of_one_they_are_shares_of_transitions_by_hand() -> None:
    model = trained("abab", "ac", "bb", window=1)
    assert after(model, "a") == {"b": 2 / 3, "c": 1 / 3}
    assert after(model, "xb") == {"a": 1 / 2, "b": 1 / 2}


@pytest.mark.parametrize(
    ("decay", "weights"), [("reciprocal", [6, 3, 2]), ("linear", [3, 2, 1]), ("none", [1, 1, 1])]
)
def test_further_steps_weigh_less_by_hand(decay: str, weights: list[int]) -> None:
    model = trained("abcde", window=3, decay=decay)
    shares = [weight / sum(weights) for weight in weights]
    assert after(model, "a") == dict(zip("bcd", shares, strict=True))


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=2, max_size=9), min_size=1, max_size=8))
def test_the_plain_chain_is_a_counter_of_pairs(sessions: list[list[str]]) -> None:
    model = trained(*map("".join, sessions), window=1)
    pairs = Counter(pair for items in sessions for pair in pairwise(items))
    for first in "abcd":
        row = {second: n for (one, second), n in pairs.items() if one == first}
        if row:
            assert after(model, first) == {second: n / sum(row.values()) for second, n in row.items()}


@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=2, max_size=9), min_size=1, max_size=8),
    st.integers(1, 6),
)
def test_weights_are_those_of_the_formula(sessions: list[list[str]], window: int) -> None:
    formulas = {
        "reciprocal": lambda steps: 1 / steps,
        "linear": lambda steps: 1 - (steps - 1) / window,
        "none": lambda _: 1.0,
    }
    for decay, formula in formulas.items():
        model = trained(*map("".join, sessions), window=window, decay=decay)
        weights = np.zeros((4, 4))
        for items in sessions:
            for place, first in enumerate(items):
                for steps, second in enumerate(items[place + 1 :][:window], start=1):
                    weights["abcd".index(first), "abcd".index(second)] += formula(steps)
        for first, row in zip("abcd", weights, strict=True):
            if row.any():
                expected = {item: share for item, share in zip("abcd", row / row.sum(), strict=True) if share}
                assert after(model, first) == pytest.approx(expected)


def test_an_item_that_nothing_followed_is_passed_over() -> None:
    model = trained("abz", window=1)
    assert after(model, "z") == {}
    assert after(model, "az") == {"b": 1.0}
    alone, last = model.scores(Session(["z", "a"]))
    assert np.isnan(alone).all()
    assert dict(zip(model.items, last.tolist(), strict=True))["b"] == 1.0


@given(st.text("abcdx", min_size=1, max_size=6))
def test_scores_are_the_proposals_and_nothing_else(items: str) -> None:
    model = trained("abab", "acdb", "cbz", window=2)
    *_, row = model.scores(Session(list(items)))
    scored = {item: score for item, score in zip(model.items, row.tolist(), strict=True) if score == score}
    assert scored == {item: np.float32(share) for item, share in after(model, items).items()}


# -- sessions come and go -----------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@given(history=histories)
@example(history=[("add", ["a", "b"]), ("extend", 0, "a"), ("extend", 0, "a"), ("remove", 0)])
def test_any_history_leaves_the_model_of_what_is_left(config: MarkovConfig, history: list[Any]) -> None:
    model = Markov(config)
    left = live_through(model, history)
    at_once = Markov(config)
    learn(at_once, left)
    assert answers(model) == answers(at_once)


def test_memory_goes_back_with_the_sessions() -> None:
    sessions = list(click_sessions(bundled_clicks().first(12_000)))
    model = Markov()
    model.train(sessions[:100])
    n_pairs = model.n_pairs
    assert share_of_memory_kept(model, sessions[100:]) < 0.25
    assert model.n_pairs == n_pairs


def test_a_session_that_was_never_added_cannot_be_removed() -> None:
    model = trained("abc", window=1)
    before = answers(model)
    for items in ("abd", "ac", "abcabc"):
        with pytest.raises(ValueError, match=r"session 's1' was never added: .+ is missing"):
            model.remove(Session(list(items), (), "s1"))
    assert answers(model) == before


# -- bad input ----------------------------------------------------------------------------------


def test_sessions_of_one_click_teach_no_transition() -> None:
    with pytest.raises(DatasetError, match="no session has two clicks or more"):
        trained("a", "b")


def test_a_training_that_fails_leaves_the_model_as_it_was() -> None:
    model = trained("abc")
    before = answers(model)
    with pytest.raises(DatasetError):
        model.train([Session(["z"])])
    assert answers(model) == before


@pytest.mark.parametrize("parameters", [{"window": "0"}, {"window": "51"}, {"decay": "steep"}], ids=str)
def test_parameters_out_of_range_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(parameters))}: Input should be"):
        session_model("markov", parameters)
