"""When a worker is said to stand still."""

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from streamrec.config import KafkaSettings
from streamrec.engine import watchdog
from streamrec.engine.watchdog import StallClock

AT_5 = {0: 5}


def test_time_counts_from_the_first_look_that_finds_work_and_no_step() -> None:
    clock = StallClock()
    assert [clock.look(now, AT_5, {}, working=True) for now in (100.0, 110.0, 125.0)] == [0, 10, 25]


def test_a_batch_that_is_done_begins_anew() -> None:
    clock = StallClock()
    clock.look(100.0, AT_5, {}, working=True)
    assert clock.look(110.0, {0: 6}, {}, working=True) == 0
    assert clock.look(120.0, {0: 6}, {}, working=True) == 10


def test_what_gets_on_begins_anew() -> None:
    clock = StallClock()
    clock.look(100.0, AT_5, {"recovered": -50}, working=True)
    assert clock.look(110.0, AT_5, {"recovered": -40}, working=True) == 0


def test_what_goes_to_and_fro_does_not_get_on() -> None:
    clock = StallClock()
    looks = [
        clock.look(100.0 + 10 * n, AT_5, {"fetched": 20 * (n % 2), "recovered": -50 * (n % 3)}, working=True)
        for n in range(12)
    ]
    assert looks[0] == 0
    assert looks[-1] >= 90


def test_after_a_batch_the_same_way_counts_again() -> None:
    clock = StallClock()
    clock.look(100.0, AT_5, {"recovered": 0}, working=True)
    clock.look(110.0, {0: 6}, {"recovered": -50}, working=True)
    assert clock.look(120.0, {0: 6}, {"recovered": -40}, working=True) == 0


def test_without_work_no_time_counts() -> None:
    clock = StallClock()
    clock.look(100.0, AT_5, {}, working=True)
    assert clock.look(200.0, AT_5, {}, working=False) == 0
    assert clock.look(300.0, AT_5, {}, working=True) == 0
    assert clock.look(301.0, AT_5, {}, working=True) == 1


def test_time_in_which_nothing_was_known_does_not_count() -> None:
    clock = StallClock()
    clock.look(100.0, AT_5, {}, working=True)
    clock.forget()
    assert clock.look(500.0, AT_5, {}, working=True) == 0


@pytest.mark.parametrize("stops", [True, False])
async def test_a_look_that_a_stop_cuts_off_is_no_fault(stops: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def nobody(*_: Any) -> Any:
        yield None

    async def cut_off(*_: Any) -> Any:
        raise RuntimeError("Event loop is closed")

    monkeypatch.setattr(watchdog, "open_consumer", nobody)
    monkeypatch.setattr(watchdog, "_work", cut_off)
    kafka = KafkaSettings().model_copy(update={"stall_timeout_s": 0.1})
    app: Any = SimpleNamespace(should_stop=stops)
    if stops:
        await watchdog.watch(app, kafka, "interactions", {})
    else:
        with pytest.raises(RuntimeError, match="loop is closed"):
            await watchdog.watch(app, kafka, "interactions", {})
