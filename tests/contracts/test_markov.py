"""The Markov chain: transitions by hand and by formula.

Its contract: test_session_models.py; counting and taking away: test_counting.py.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.models.markov import Markov, MarkovConfig


def trained(*sessions: str, **fields: Any) -> Markov:
    """A model of sessions whose items are single letters."""
    model = Markov(MarkovConfig(**fields))
    model.train([Session(list(items)) for items in sessions])
    return model


def after(model: Markov, items: str) -> dict[str, float]:
    return model.proposals(Session(list(items)))


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
