"""VS-kNN gives what its formulas say, stated here as plainly as they can be."""

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbour_sessions import clicks, histories, known, listed, recent_sharing

from streamrec.errors import ConfigError
from streamrec.models import session_model
from streamrec.models._neighbours import DECAYS
from streamrec.models.vs_knn import VSKNN, VSKNNConfig
from streamrec.session_index import IndexedSession, SessionIndex

HISTORY = [
    IndexedSession(1, "n1", ("a", "b", "x")),
    IndexedSession(2, "n2", ("b", "y")),
    IndexedSession(3, "n3", ("a", "x", "z")),
    IndexedSession(4, "n4", ("u", "v")),
]


def scores(
    items: Sequence[str], history: Sequence[IndexedSession] = HISTORY, **fields: Any
) -> dict[str, float]:
    config = VSKNNConfig(repeat_share=False, **fields)
    return VSKNN(config).item_scores(SessionIndex(history), items)


def stated(
    history: Sequence[IndexedSession], items: Sequence[str], config: VSKNNConfig, own: str
) -> dict[str, float]:
    """The formulas of the module, one after the other."""
    s = known(history, items, config.last_items)
    place = {item: max(n for n, each in enumerate(s, start=1) if each == item) for item in s}
    latest_first = sorted(place, key=lambda item: place[item], reverse=True)

    def pi(item: str) -> float:
        return DECAYS[config.weighting](len(s) - place[item], len(s))

    def sim(n: IndexedSession) -> float:
        dot = sum(pi(item) for item in latest_first if item in n.items)
        return dot / sqrt(len(set(n.items))) if config.similarity == "cosine" else dot

    def lam(n: IndexedSession) -> float:
        latest = max(place[item] for item in place if item in n.items)
        return DECAYS[config.weighting_score](len(s) - latest, len(s))

    def idf(item: str) -> float:
        return log(len(listed(history)) / sum(item in n.items for n in listed(history)))

    sample = recent_sharing(history, s, config.sample_size, own)
    neighbours = sorted(sample, key=lambda n: (sim(n), n.time_ms, n.key))[-config.k :]
    return {
        item: sum(lam(n) * sim(n) for n in neighbours if item in n.items)
        * (1 + config.idf_weighting * idf(item))
        for item in {item for n in neighbours for item in n.items}
    }


configs = st.builds(
    VSKNNConfig,
    k=st.integers(1, 6),
    sample_size=st.integers(1, 8),
    last_items=st.integers(1, 6),
    similarity=st.sampled_from(["dot", "cosine"]),
    weighting=st.sampled_from(sorted(DECAYS)),
    weighting_score=st.sampled_from(sorted(DECAYS)),
    idf_weighting=st.sampled_from([0.0, 1.0, 5.0]),
    repeat_share=st.just(False),
)


@given(histories(), clicks, configs, st.sampled_from(["", "s0", "s1"]))
def test_scores_are_those_of_the_formulas(
    history: list[IndexedSession], items: list[str], config: VSKNNConfig, own: str
) -> None:
    found = VSKNN(config).item_scores(SessionIndex(history), items, own)
    assert found == pytest.approx(stated(history, items, config, own), rel=1e-12)


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


def test_it_is_made_by_name_and_parameters() -> None:
    model = session_model("vs-knn", {"k": "7", "similarity": "cosine"})
    assert isinstance(model, VSKNN)
    assert model.config == VSKNNConfig(k=7, similarity="cosine")
    with pytest.raises(ConfigError, match="weighting: Input should be 'same', 'linear'"):
        session_model("vs_knn", {"weighting": "steep"})
