"""VS-kNN and VMIS-kNN give what their formulas say, stated here as plainly as they can be."""

from collections.abc import Callable, Sequence
from math import log, sqrt
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbour_sessions import clicks, histories, known, listed, recent_sharing

from streamrec.models._neighbours import DECAYS
from streamrec.models.vmis_knn import VMISKNN, VMISKNNConfig
from streamrec.models.vs_knn import VSKNN, VSKNNConfig
from streamrec.session_index import IndexedSession, SessionIndex


class Parts(NamedTuple):
    """What differs in the formulas of the two."""

    pi: Callable[[int, int], float]
    lam: Callable[[int, int], float]
    length: Callable[[IndexedSession], float]
    """By which the similarity of a neighbour is divided."""
    rarity: Callable[[float], float]
    """Factor of an item, by its idf."""


def of_vs_knn(config: VSKNNConfig) -> Parts:
    return Parts(
        DECAYS[config.weighting],
        DECAYS[config.weighting_score],
        lambda n: sqrt(len(set(n.items))) if config.similarity == "cosine" else 1.0,
        lambda idf: 1 + config.idf_weighting * idf,
    )


def of_vmis_knn(config: VMISKNNConfig) -> Parts:
    return Parts(
        DECAYS[config.decay],
        DECAYS[config.match_weight],
        lambda _: 1.0,
        lambda idf: idf if config.idf else 1.0,
    )


def stated(
    history: Sequence[IndexedSession], items: Sequence[str], config: Any, own: str, parts: Parts
) -> dict[str, float]:
    """The formulas of the modules, one after the other."""
    s = known(history, items, config.last_items)
    place = {item: max(n for n, each in enumerate(s, start=1) if each == item) for item in s}
    latest_first = sorted(place, key=lambda item: place[item], reverse=True)

    def sim(n: IndexedSession) -> float:
        shared = [item for item in latest_first if item in n.items]
        return sum(parts.pi(len(s) - place[item], len(s)) for item in shared) / parts.length(n)

    def lam(n: IndexedSession) -> float:
        latest = max(place[item] for item in place if item in n.items)
        return parts.lam(len(s) - latest, len(s))

    def idf(item: str) -> float:
        return log(len(listed(history)) / sum(item in n.items for n in listed(history)))

    sample = recent_sharing(history, s, config.sample_size, own)
    neighbours = sorted(sample, key=lambda n: (sim(n), n.time_ms, n.key))[-config.k :]
    return {
        item: sum(lam(n) * sim(n) for n in neighbours if item in n.items) * parts.rarity(idf(item))
        for item in {item for n in neighbours for item in n.items}
    }


bounds = {"k": st.integers(1, 6), "sample_size": st.integers(1, 8), "last_items": st.integers(1, 6)}
decays = st.sampled_from(sorted(DECAYS))
vs_configs = st.builds(
    VSKNNConfig,
    **bounds,
    similarity=st.sampled_from(["dot", "cosine"]),
    weighting=decays,
    weighting_score=decays,
    idf_weighting=st.sampled_from([0.0, 1.0, 5.0]),
    repeat_share=st.just(False),
)
vmis_configs = st.builds(
    VMISKNNConfig, **bounds, decay=decays, match_weight=decays, idf=st.booleans(), repeat_share=st.just(False)
)


@pytest.mark.parametrize(
    ("make", "configs", "parts_of"),
    [(VSKNN, vs_configs, of_vs_knn), (VMISKNN, vmis_configs, of_vmis_knn)],
    ids=["VSKNN", "VMISKNN"],
)
@given(data=st.data(), history=histories(), items=clicks, own=st.sampled_from(["", "s0", "s1"]))
def test_scores_are_those_of_the_formulas(
    make: Callable[[Any], Any],
    configs: st.SearchStrategy[Any],
    parts_of: Callable[[Any], Parts],
    data: st.DataObject,
    history: list[IndexedSession],
    items: list[str],
    own: str,
) -> None:
    config = data.draw(configs)
    found = make(config).item_scores(SessionIndex(history), items, own)
    assert found == pytest.approx(stated(history, items, config, own, parts_of(config)), rel=1e-12)
