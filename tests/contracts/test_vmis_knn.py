"""VMIS-kNN gives what its formulas say, stated here plainly, and looks no further than it must."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbour_sessions import clicks, histories, known, listed, recent_sharing

from streamrec.models import session_model
from streamrec.models._neighbours import DECAYS, matches
from streamrec.models.vmis_knn import VMISKNN, VMISKNNConfig
from streamrec.session_index import IndexedSession, SessionIndex

HISTORY = [
    IndexedSession(1, "n1", ("a", "b", "x")),
    IndexedSession(2, "n2", ("b", "y")),
    IndexedSession(3, "n3", ("a", "x", "z")),
    IndexedSession(4, "n4", ("u", "v")),
]


class CountingIndex(SessionIndex):
    """Counts the sessions that are looked at."""

    looked_at = 0

    def holding(self, item: str) -> Iterator[IndexedSession]:
        for session in super().holding(item):
            self.looked_at += 1
            yield session


def scores(
    items: Sequence[str], history: Sequence[IndexedSession] = HISTORY, **fields: Any
) -> dict[str, float]:
    config = VMISKNNConfig(repeat_share=False, **fields)
    return VMISKNN(config).item_scores(SessionIndex(history), items)


def stated(
    history: Sequence[IndexedSession], items: Sequence[str], config: VMISKNNConfig, own: str
) -> dict[str, float]:
    """The formulas of the module, one after the other."""
    s = known(history, items, config.last_items)
    omega = {item: max(n for n, each in enumerate(s, start=1) if each == item) for item in s}
    latest_first = sorted(omega, key=lambda item: omega[item], reverse=True)

    def r(n: IndexedSession) -> float:
        pi, length = DECAYS[config.decay], len(s)
        return sum(pi(length - omega[item], length) for item in latest_first if item in n.items)

    def lam(n: IndexedSession) -> float:
        latest = max(omega[item] for item in omega if item in n.items)
        return DECAYS[config.match_weight](len(s) - latest, len(s))

    def idf(item: str) -> float:
        if not config.idf:
            return 1.0
        return log(len(listed(history)) / sum(item in n.items for n in listed(history)))

    sample = recent_sharing(history, s, config.sample_size, own)
    neighbours = sorted(sample, key=lambda n: (r(n), n.time_ms, n.key))[-config.k :]
    return {
        item: sum(lam(n) * r(n) for n in neighbours if item in n.items) * idf(item)
        for item in {item for n in neighbours for item in n.items}
    }


configs = st.builds(
    VMISKNNConfig,
    k=st.integers(1, 6),
    sample_size=st.integers(1, 8),
    last_items=st.integers(1, 6),
    decay=st.sampled_from(sorted(DECAYS)),
    match_weight=st.sampled_from(sorted(DECAYS)),
    idf=st.booleans(),
    repeat_share=st.just(False),
)


@given(histories(), clicks, configs, st.sampled_from(["", "s0", "s1"]))
def test_scores_are_those_of_the_formulas(
    history: list[IndexedSession], items: list[str], config: VMISKNNConfig, own: str
) -> None:
    found = VMISKNN(config).item_scores(SessionIndex(history), items, own)
    assert found == pytest.approx(stated(history, items, config, own), rel=1e-12)


@given(histories(), clicks, st.integers(1, 8), st.sampled_from(["", "s0", "s1"]))
def test_stopping_early_misses_none_of_the_most_recent(
    history: list[IndexedSession], items: list[str], m: int, own: str
) -> None:
    found = matches(SessionIndex(history), dict.fromkeys(reversed(items), 1.0), m, own)
    assert sorted(session for _, session, _ in found) == recent_sharing(history, items, m, own)
    for shared, session, latest in found:
        assert shared == len(set(items) & set(session.items))
        assert latest == next(item for item in reversed(items) if item in session.items)


def test_no_more_sessions_are_looked_at_than_can_matter() -> None:
    history = [IndexedSession(time, f"{time:05}", ("a", "b")) for time in range(1000)]
    history += [IndexedSession(time, f"{time:05}", ("c", "d")) for time in range(1000, 2000)]
    index = CountingIndex(history)
    found = matches(index, {"c": 1.0, "a": 0.5}, 10, "")
    assert [session.time_ms for _, session, _ in sorted(found)] == list(range(1990, 2000))
    # Ten of c and an eleventh too old, one of a too old.
    assert index.looked_at == 12


def test_weights_by_hand() -> None:
    # In [a, b] the click on a weighs 1/2, that on b 1: r(n1) = 1.5, r(n2) = 1, r(n3) = 0.5, and n3,
    # whose latest shared item is a, counts a tenth less.
    expected = {"a": 1.5 + 0.45, "b": 2.5, "x": 1.5 + 0.45, "y": 1.0, "z": 0.45}
    assert scores(["a", "b"], idf=False) == pytest.approx(expected)
    holding = {"a": 2, "b": 2, "x": 2, "y": 1, "z": 1}
    assert scores(["a", "b"]) == pytest.approx(
        {item: score * log(4 / holding[item]) for item, score in expected.items()}
    )


def test_a_neighbour_of_ten_clicks_ago_counts_nothing_but_has_its_items() -> None:
    history = [*HISTORY, IndexedSession(5, "n5", tuple("bcdefghijk"))]
    found = scores(["u", *"bcdefghijk"], history, idf=False)
    assert found["v"] == 0.0
    assert scores(["u", *"bcdefghijk"], history, match_weight="div")["v"] > 0.0


def test_only_the_last_items_count() -> None:
    assert scores(["u", "a", "b"], last_items=2) == scores(["a", "b"])


def test_it_is_made_by_name_and_parameters() -> None:
    model = session_model("VMIS-kNN", {"sample_size": "250", "idf": "false"})
    assert isinstance(model, VMISKNN)
    assert model.config == VMISKNNConfig(sample_size=250, idf=False)
