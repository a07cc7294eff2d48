"""VS-kNN by hand. Its formulas: test_votes.py; what all neighbours promise: test_neighbours.py."""

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

import pytest
from neighbour_sessions import HISTORY

from streamrec.models.vs_knn import VSKNN, VSKNNConfig
from streamrec.session_index import IndexedSession, SessionIndex

PLAIN = VSKNNConfig(
    similarity="dot", weighting="linear", weighting_score="linear", idf_weighting=0.0, repeat_share=False
)


def scores(
    items: Sequence[str], history: Sequence[IndexedSession] = HISTORY, **fields: Any
) -> dict[str, float]:
    config = PLAIN.model_copy(update=fields)
    return VSKNN(config).item_scores(SessionIndex(history), items)


def test_linear_weights_by_hand() -> None:
    # In [a, b] the click on a weighs 1/2, that on b 1: sim(n1) = 1.5, sim(n2) = 1, sim(n3) = 0.5, and n3,
    # which shares only a, counts half of that.
    assert scores(["a", "b"]) == pytest.approx({"a": 1.75, "b": 2.5, "x": 1.75, "y": 1.0, "z": 0.25})


def test_the_sample_is_the_most_recent_and_the_neighbours_are_the_most_similar() -> None:
    assert set(scores(["a", "b"], sample_size=2)) == {"a", "b", "x", "y", "z"}  # n2 and n3
    assert set(scores(["a", "b"], sample_size=2, k=1)) == {"b", "y"}  # n2
    assert set(scores(["a", "b"], k=1)) == {"a", "b", "x"}  # n1


def test_of_equally_similar_sessions_the_recent_one_is_the_neighbour() -> None:
    assert set(scores(["a"], k=1)) == {"a", "x", "z"}


def test_cosine_prefers_short_sessions() -> None:
    long = IndexedSession(9, "long", ("b", *"cdefghi"))
    assert scores(["b"], [*HISTORY, long], k=1).keys() == set("bcdefghi")
    assert scores(["b"], [*HISTORY, long], k=1, similarity="cosine") == pytest.approx(
        {"b": 1 / sqrt(2), "y": 1 / sqrt(2)}
    )


def test_idf_prefers_rare_items() -> None:
    without, with_idf = scores(["a", "b"]), scores(["a", "b"], idf_weighting=2)
    assert with_idf["y"] == pytest.approx(without["y"] * (1 + 2 * log(4 / 1)))
    assert with_idf["x"] == pytest.approx(without["x"] * (1 + 2 * log(4 / 2)))
