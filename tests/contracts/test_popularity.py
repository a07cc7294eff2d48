"""Popularity: clicks in training, whatever the session. Its contract: test_session_models.py."""

from collections import Counter
from itertools import chain
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.errors import DatasetError
from streamrec.models.popularity import Popularity

ITEMS = st.lists(st.sampled_from("abcdef"), max_size=8)


def trained(*sessions: list[str]) -> Popularity:
    model = Popularity()
    model.train(map(Session, sessions))
    return model


def scored(model: Popularity) -> dict[str, float]:
    return dict(zip(model.items, next(model.scores(Session(["a"]))).tolist(), strict=True))


def test_scores_are_clicks_by_hand() -> None:
    model = trained(["a", "b", "a"], ["c", "a"], ["b"])
    assert scored(model) == {"a": 3.0, "b": 2.0, "c": 1.0}


def test_items_stand_by_clicks_then_by_id() -> None:
    assert trained(["d", "b"], ["c", "d", "a"]).items == ["d", "a", "b", "c"]


@given(st.lists(ITEMS, max_size=10).filter(any))
def test_scores_are_the_counts_of_a_counter(sessions: list[list[str]]) -> None:
    model = trained(*sessions)
    assert scored(model) == Counter(chain.from_iterable(sessions))


@given(st.lists(ITEMS, max_size=10).filter(any), st.randoms())
def test_the_order_of_sessions_plays_no_part(sessions: list[list[str]], random: Random) -> None:
    before = trained(*sessions)
    random.shuffle(sessions)
    after = trained(*sessions)
    assert before.items == after.items
    assert scored(before) == scored(after)


def test_every_click_of_every_session_gets_the_same_scores() -> None:
    model = trained(["a", "b", "a"], ["c", "a"])
    for row in model.scores(Session(["c", "nobody", "a"])):
        np.testing.assert_array_equal(row, np.array([3, 1, 1], np.float32))


def test_sessions_without_a_click_are_no_training() -> None:
    with pytest.raises(DatasetError, match="not one click to count; give at least one session"):
        trained([], [])


def test_the_most_clicked_of_the_bundled_clicks_come_first() -> None:
    clicks = bundled_clicks()
    model = Popularity()
    report = model.train(click_sessions(clicks))
    assert report.events == len(clicks)
    counts = Counter(clicks.item_ids)
    assert [counts[item] for item in model.items] == sorted(counts.values(), reverse=True)
