"""Item-kNN: similarities by hand and by formula.

Its contract: test_session_models.py; counting and taking away: test_counting.py.
"""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from streamrec.contracts import Session
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.models.item_knn import ItemKNN, ItemKNNConfig


def trained(*sessions: str, **fields: Any) -> ItemKNN:
    """A model of sessions whose items are single letters."""
    model = ItemKNN(ItemKNNConfig(**fields))
    model.train([Session(list(items)) for items in sessions])
    return model


def after(model: ItemKNN, items: str) -> dict[str, float]:
    return model.proposals(Session(list(items)))


def similarities(sessions: list[Session], items: list[str], damping: float) -> NDArray[np.float64]:
    """The formula on the sparse incidence of sessions and items, shape (N, N); 0 with itself."""
    index = {item: n for n, item in enumerate(items)}
    places = [(n, index[item]) for n, session in enumerate(sessions) for item in set(session.items)]
    rows, columns = zip(*places, strict=True)
    incidence = csr_array((np.ones(len(places)), (rows, columns)), shape=(len(sessions), len(items)))
    shared = (incidence.T @ incidence).toarray()
    sizes = np.sqrt(shared.diagonal() + damping)
    np.fill_diagonal(shared, 0.0)
    similar: NDArray[np.float64] = shared / np.outer(sizes, sizes)
    return similar


def test_similarities_by_hand() -> None:
    # a is in 3 sessions, b in 2 of them and in one more, c in one with a; a click again adds nothing.
    sessions = ["aba", "ab", "ac", "b"]
    assert after(trained(*sessions, damping=0), "a") == {"b": 2 / 3, "c": pytest.approx(1 / math.sqrt(3))}
    damped = after(trained(*sessions, damping=1), "a")
    assert damped == {"b": 2 / 4, "c": pytest.approx(1 / math.sqrt(4 * 2))}


def test_damping_puts_what_is_rare_behind() -> None:
    sessions = ["ax", *["ab"] * 8, *["a"] * 11, *["b"] * 4]
    plain, damped = trained(*sessions, damping=0), trained(*sessions, damping=20)
    assert after(plain, "b")["a"] == pytest.approx(8 / math.sqrt(20 * 12))
    assert after(plain, "x")["a"] > 0.2
    assert after(damped, "x")["a"] < after(damped, "b")["a"] / 5


@pytest.mark.parametrize("damping", [0.0, 20.0])
def test_on_the_bundled_clicks_they_are_those_of_the_sparse_product(damping: float) -> None:
    sessions = list(click_sessions(bundled_clicks().first(4_000)))
    model = ItemKNN(ItemKNNConfig(k=10_000, damping=damping))
    model.train(sessions)
    items = list(model.items)
    expected = similarities(sessions, items, damping)
    for place in [*range(40), *range(40, len(items), 97)]:
        (row,) = model.scores(Session([items[place]]))
        np.testing.assert_allclose(np.nan_to_num(row), expected[place], rtol=1e-6)


def test_only_the_k_most_similar_are_neighbours_and_ties_go_by_id() -> None:
    model = trained("ad", "ac", "ab", "ab", k=2, damping=3)
    assert list(model.neighbours("a")) == ["b", "c"]
    assert list(trained("ad", "ac", "ab", k=3).neighbours("a")) == ["b", "c", "d"]


def test_without_decay_the_last_item_alone_counts() -> None:
    model = trained("ab", "cd", "ad", decay=0)
    assert after(model, "abc") == after(model, "c")


def test_with_decay_earlier_items_count_less_by_hand() -> None:
    model = trained("ab", "cb", "cd", damping=0, decay=0.5)
    a_b, c_b, c_d = 1 / math.sqrt(2), 1 / 2, 1 / math.sqrt(2)
    assert after(model, "ac") == pytest.approx({"b": 0.5 * a_b + c_b, "d": c_d})
    assert after(model, "cxa") == pytest.approx({"b": 0.5 * c_b + a_b, "d": 0.5 * c_d})


def test_only_the_last_items_count() -> None:
    model = trained("ab", "cd", "ef", decay=0.5, last_items=2)
    assert after(model, "acxe") == after(model, "ce")
    assert "b" not in after(model, "ace")


def test_an_item_without_neighbours_is_passed_over() -> None:
    model = trained("ab", "z", decay=0.5)
    assert after(model, "z") == {}
    assert after(model, "azz") == after(model, "a")
