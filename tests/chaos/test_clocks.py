"""Clocks that are wrong: of workers, where nothing depends on them, and of producers."""

from collections import Counter

import msgspec
import pytest
from aiokafka.errors import InvalidTimestampError
from app_processes import click, publish, read
from bench import Bench
from traffic import real_clicks

from streamrec.events import Recommendation

# Beyond every age and lag that the topics are set up with, up to a day.
FAR_S = 25 * 3600


@pytest.mark.chaos
@pytest.mark.parametrize("ahead_s", [3600, -3600, FAR_S, -FAR_S])
def test_nothing_but_the_time_of_emission_depends_on_the_clocks_of_workers(
    bench: Bench, ahead_s: int
) -> None:
    with bench.system() as system:
        for role in ("state", "scoring"):
            system.start(role, faults=[f"clock {ahead_s}"])
        with system.traffic(per_s=40):
            system.wait_until_flowing()
            system.pause(3, 5)
        system.settle()
        records = read(system.settings, "recommendations")
        states = read(system.settings, "visitor-states")
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert set(verdict.exits) == {0}
    assert verdict.repeats == 0
    lists = [msgspec.json.decode(each.value, type=Recommendation) for each in records]
    off = [each.emit_time - record.timestamp for each, record in zip(lists, records, strict=True)]
    assert all(abs(each / 1000 - ahead_s) < 300 for each in off)
    newest = max(each.event_time for each in lists)
    assert all(abs(each.timestamp - newest) < 600_000 for each in states)


@pytest.mark.chaos
@pytest.mark.parametrize("ahead_s", [290, -3600, -FAR_S])
def test_clicks_by_a_clock_that_is_wrong_are_taken_as_they_are(bench: Bench, ahead_s: int) -> None:
    """Ahead up to the topic's bound, `max_future_s`; behind, to the age at which visitors are forgotten."""
    with bench.system() as system:
        for role in ("state", "scoring"):
            system.start(role)
        with system.traffic(40, real_clicks(bench.seed)):
            system.wait_until_flowing()
            system.fault()
            with system.traffic(40, real_clicks(bench.seed + 1), ahead_s):
                system.pause(3, 5)
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.repeats == 0


@pytest.mark.chaos
def test_what_comes_from_the_future_is_refused_by_the_broker_or_is_a_dead_letter(bench: Bench) -> None:
    with bench.system() as system:
        for role in ("state", "scoring"):
            system.start(role)
        settings = system.settings
        with system.traffic(per_s=40):
            system.wait_until_flowing()
        newest = max(each.timestamp for each in read(settings, "interactions"))
        ahead_ms = newest + 2000 * settings.state.max_future_s
        with pytest.raises(InvalidTimestampError):
            publish(settings, "interactions", [click("early", "i", "e0", ahead_ms)], timestamp_ms=ahead_ms)
        publish(settings, "interactions", [click("early", "i", f"e{n}", ahead_ms) for n in range(3)])
        with system.traffic(per_s=40):
            system.wait_until_flowing()
        system.settle()
        reasons = Counter(dict(each.headers)["reason"] for each in read(settings, "dead-letters"))
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert reasons == {b"future": 3}
