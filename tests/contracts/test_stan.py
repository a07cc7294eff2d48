"""STAN gives what its formulas say, stated here as plainly as they can be."""

from collections.abc import Sequence
from math import exp, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbour_sessions import HOUR_MS, clicks, histories, known, recent_sharing

from streamrec.models.stan import STAN, STANConfig
from streamrec.session_index import IndexedSession, SessionIndex

DAY_MS = 24 * HOUR_MS
NOW_MS = 10 * DAY_MS
SHARP = STANConfig(lambda_spw=1.0, lambda_snh=1.0, lambda_inh=1.0, repeat_share=False)


def scores(items: Sequence[str], history: Sequence[IndexedSession], **fields: Any) -> dict[str, float]:
    return STAN(SHARP.model_copy(update=fields)).item_scores(SessionIndex(history), items)


def stated(
    history: Sequence[IndexedSession], items: Sequence[str], config: STANConfig, own: str, now_ms: int
) -> dict[str, float]:
    """The paper's formulas, one after the other, for a session whose last click is at `now_ms`."""
    s = known(history, items, config.last_items)

    def p(item: str, session: Sequence[str]) -> int:
        return max(n for n, each in enumerate(session, start=1) if each == item)

    latest_first = sorted(set(s), key=lambda item: p(item, s), reverse=True)

    def w1(item: str) -> float:
        return exp((p(item, s) - len(s)) / config.lambda_spw)

    def w2(n: IndexedSession) -> float:
        return exp(-(now_ms - n.time_ms) / DAY_MS / config.lambda_snh)

    def sim(n: IndexedSession) -> float:
        dot = sum(w1(item) for item in latest_first if item in n.items)
        return dot / sqrt(len(s) * len(n.items)) * w2(n)

    def w3(item: str, n: IndexedSession) -> float:
        shared = next(each for each in latest_first if each in n.items)
        return exp(-abs(p(item, n.items) - p(shared, n.items)) / config.lambda_inh)

    sample = recent_sharing(history, s, config.sample_size, own)
    neighbours = sorted(sample, key=lambda n: (round(sim(n), 12), n.time_ms, n.key))[-config.k :]
    return {
        item: sum(sim(n) * w3(item, n) for n in neighbours if item in n.items)
        for item in {item for n in neighbours for item in n.items}
    }


configs = st.builds(
    STANConfig,
    k=st.integers(1, 6),
    sample_size=st.integers(1, 8),
    last_items=st.integers(1, 6),
    lambda_spw=st.sampled_from([0.9, 1.8, 7.0]),
    lambda_snh=st.sampled_from([0.1, 2.5, 80.0]),
    lambda_inh=st.sampled_from([0.45, 1.8, 7.0]),
    repeat_share=st.just(False),
)


@given(histories(), clicks, configs, st.sampled_from(["", "s0", "s1"]))
def test_scores_are_those_of_the_paper_but_for_what_all_have_in_common(
    history: list[IndexedSession], items: list[str], config: STANConfig, own: str
) -> None:
    found = STAN(config).item_scores(SessionIndex(history), items, own)
    s = known(history, items, config.last_items)
    sample = recent_sharing(history, s, config.sample_size, own)
    now_ms = max((n.time_ms for n in sample), default=0) + HOUR_MS
    common = exp(-1 / 24 / config.lambda_snh) / sqrt(len(s) or 1)
    assert {item: common * score for item, score in found.items()} == pytest.approx(
        stated(history, items, config, own, now_ms), rel=1e-9
    )


def test_weights_by_hand() -> None:
    # n2 is a day older, and shares b, the last click, and a, the one before; n1 shares b alone.
    history = [IndexedSession(DAY_MS, "n1", ("b", "x")), IndexedSession(0, "n2", ("a", "b", "y", "z"))]
    n1, n2 = 1 / sqrt(2), (1 + exp(-1)) / sqrt(4) * exp(-1)
    assert scores(["a", "b"], history) == pytest.approx(
        {"b": n1 + n2, "x": n1 * exp(-1), "a": n2 * exp(-1), "y": n2 * exp(-1), "z": n2 * exp(-2)}
    )


def test_recent_sessions_are_nearer() -> None:
    history = [IndexedSession(0, "n1", ("a", "x")), IndexedSession(DAY_MS, "n2", ("a", "y"))]
    found = scores(["a"], history)
    assert found["y"] / found["x"] == pytest.approx(exp(1))


def test_items_near_the_latest_shared_one_are_nearer() -> None:
    found = scores(["a"], [IndexedSession(0, "n1", ("w", "v", "a", "x", "y"))])
    assert found["v"] == pytest.approx(found["x"])
    assert found["w"] == pytest.approx(found["y"])
    assert found["x"] / found["y"] == pytest.approx(exp(1))


def test_late_clicks_count_more() -> None:
    history = [IndexedSession(0, "n1", ("a", "x")), IndexedSession(0, "n2", ("b", "y"))]
    found = scores(["a", "b"], history)
    assert found["y"] / found["x"] == pytest.approx(exp(1))


def test_neighbours_of_long_ago_are_scored_as_those_of_yesterday() -> None:
    bodies = [("a", "x"), ("b", "a", "x"), ("a", "y", "z")]
    young = [IndexedSession(NOW_MS + n * HOUR_MS, f"n{n}", items) for n, items in enumerate(bodies)]
    ancient = [session._replace(time_ms=session.time_ms - 10_000 * DAY_MS) for session in young]
    # A hundred half-lives of a session that shares nothing push nobody to zero.
    stranger = IndexedSession(NOW_MS + 10_000 * DAY_MS, "stranger", ("u", "v"))
    assert scores(["a"], [*ancient, stranger]) == pytest.approx(scores(["a"], young))
    assert min(scores(["a"], ancient).values()) > 0
