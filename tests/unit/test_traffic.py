"""Steady traffic of real sessions: who clicks when."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.traffic import Arrivals, due_times, woven


def test_woven_sessions_keep_their_order_and_overlap() -> None:
    sessions = [Session([f"{n}-{step}" for step in range(3)]) for n in range(5)]
    clicks = list(islice(woven(sessions, at_once=4), 60))
    by_visitor: dict[str, list[str]] = {}
    for name, item_id in clicks:
        by_visitor.setdefault(name, []).append(item_id)
    assert [item_id for _, item_id in clicks[:4]] == ["0-0", "1-0", "2-0", "3-0"]
    for name, items in by_visitor.items():
        assert items == list(sessions[int(name) % 5].items)[: len(items)]
    assert len(by_visitor) >= 20, "the sessions come again, as other visitors"


@given(st.floats(0.5, 5000), st.floats(0.5, 5), st.sampled_from(["even", "poisson"]))
def test_clicks_are_due_in_order_and_as_many_as_asked_for(
    per_s: float, seconds: float, arrivals: Arrivals
) -> None:
    due_s = due_times(per_s, seconds, arrivals)
    assert len(due_s) == round(per_s * seconds)
    assert (np.diff(due_s) >= 0).all()
    # Half a click more than the time has room for, where their number is rounded up.
    assert ((due_s >= 0) & (due_s < seconds + 1 / per_s)).all()


def test_even_arrivals_are_apart_alike_and_others_as_of_many_visitors() -> None:
    assert np.diff(due_times(400, 100)) == pytest.approx(1 / 400)
    apart = np.diff(due_times(400, 100, "poisson"))
    assert apart.mean() == pytest.approx(1 / 400, rel=0.01)
    assert apart.std() == pytest.approx(apart.mean(), rel=0.02)  # as an exponential distribution has it
    assert np.mean(apart > 2 / 400) == pytest.approx(np.exp(-2), abs=0.01)
    assert (due_times(400, 100, "poisson") == due_times(400, 100, "poisson")).all()
