"""The guard acts by the roles as they are, and outlives a models topic that cannot be written to."""

import asyncio
from typing import Any

import pytest

from streamrec import metrics
from streamrec.agents import version_guard
from streamrec.agents.version_guard import VersionGuard
from streamrec.config import load_settings
from streamrec.errors import BrokerError, ReleaseError, StreamrecError, TopicError
from streamrec.evaluation.guard import Action

ROLL_BACK = Action("live", "v2", "live_hit_rate", "fewer hits")
END = Action("canary", "v3", "canary_hit_rate", "fewer hits")


def acted(action: Action) -> float:
    return float(metrics.guard_actions.labels(action.label)._value.get())


def test_what_is_taken_back_is_named_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(version_guard, "rollback", lambda *of, **how: calls.append((*of[1:], how)))
    monkeypatch.setattr(version_guard, "end_canary", lambda *of, **how: calls.append((*of[1:], how)))
    guard, before = VersionGuard(load_settings(), "gru4rec"), acted(ROLL_BACK) + acted(END)
    asyncio.run(guard.act(ROLL_BACK))
    asyncio.run(guard.act(END))
    assert calls == [
        ("gru4rec", "fewer hits", {"only": "v2", "automatic": True}),
        ("gru4rec", {"reason": "fewer hits", "only": "v3"}),
    ]
    assert acted(ROLL_BACK) + acted(END) == before + 2


@pytest.mark.parametrize("error", [ReleaseError("v3 is live"), BrokerError("away"), TopicError("gone")])
def test_what_cannot_be_taken_back_stays_and_the_guard_goes_on(
    error: StreamrecError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*of: Any, **how: Any) -> None:
        raise error

    monkeypatch.setattr(version_guard, "rollback", refuse)
    before = acted(ROLL_BACK)
    asyncio.run(VersionGuard(load_settings(), "gru4rec").act(ROLL_BACK))
    assert acted(ROLL_BACK) == before
