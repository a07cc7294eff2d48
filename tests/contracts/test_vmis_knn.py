"""VMIS-kNN by hand; it looks no further than it must.

Its formulas: test_votes.py; what all neighbours promise: test_neighbours.py.
"""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbour_sessions import HISTORY, clicks, histories, recent_sharing

from streamrec.models._neighbours import matches
from streamrec.models.vmis_knn import VMISKNN, VMISKNNConfig
from streamrec.session_index import IndexedSession, SessionIndex


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
    items = ["u", *"bcdefghijk"]
    assert scores(items, history, last_items=11, match_weight="tenths", idf=False)["v"] == 0.0
    assert scores(items, history, last_items=11, match_weight="div", idf=False)["v"] > 0.0


def test_only_the_last_items_count() -> None:
    assert scores(["u", "a", "b"], last_items=2) == scores(["a", "b"])
