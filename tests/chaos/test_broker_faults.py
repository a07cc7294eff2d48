"""A broker that is killed, stopped, or away for long."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from bench import Bench
from system import System

from streamrec.engine.broker import Broker

_MOST_LINES = 100
"""What a worker may print in a run, two minutes without a broker included: somebody has to read it."""


@contextmanager
def _traffic(bench: Bench) -> Iterator[System]:
    """Workers under traffic. They have to live through what the block does, and nobody is to notice."""
    with bench.system() as system:
        workers = [system.start(role) for role in ("state", "scoring")]
        with system.traffic(per_s=50):
            system.wait_until_flowing()
            system.pause(0.1, 1)
            system.fault()
            yield system
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits == [0, 0]
    assert verdict.repeats == 0
    for each in workers:
        assert "Traceback" not in each.log, each.log
        assert each.log.count("\n") < _MOST_LINES, each.log


def test_killed_and_back_ten_seconds_later(own_bench: Bench, own_broker: Broker) -> None:
    with _traffic(own_bench) as system:
        own_broker.kill()
        system.pause(10, 10)
        own_broker.restart()


@pytest.mark.chaos
def test_stopped_in_order_and_restarted(own_bench: Bench, own_broker: Broker) -> None:
    with _traffic(own_bench) as system:
        for _ in range(3):
            own_broker.stop()
            own_broker.restart()
            system.wait_until_flowing()


@pytest.mark.chaos
def test_stopped_in_order_and_away_for_longer_than_a_request_may_take(
    own_bench: Bench, own_broker: Broker
) -> None:
    # A broker that goes in order tells before that its partitions have no leader.
    with _traffic(own_bench) as system:
        own_broker.stop()
        system.pause(45, 45)
        own_broker.restart()


@pytest.mark.chaos
def test_away_for_two_minutes(own_bench: Bench, own_broker: Broker) -> None:
    with _traffic(own_bench) as system:
        own_broker.kill()
        system.pause(120, 120)
        own_broker.restart()


@pytest.mark.chaos
def test_workers_that_start_while_the_broker_is_away(own_bench: Bench, own_broker: Broker) -> None:
    with own_bench.system() as system:
        workers = [system.start(role) for role in ("state", "scoring")]
        with system.traffic(per_s=50):
            system.wait_until_flowing()
            system.fault()
            own_broker.kill()
            for each in workers:
                each.kill()
            system.wait(lambda: all(each.exits.count(1) >= 2 for each in workers), what="failing starts")
            own_broker.restart()
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = own_bench.judge(system)
    verdict.check()
    for each in workers:
        assert set(each.exits) == {-signal.SIGKILL, 1, 0}
        assert f"no Kafka broker at {own_broker.bootstrap}" in each.log
        assert "Traceback" not in each.log, each.log


@pytest.mark.chaos
def test_workers_that_are_stopped_while_the_broker_is_away(own_bench: Bench, own_broker: Broker) -> None:
    with own_bench.system() as system:
        workers = [system.start(role) for role in ("state", "scoring")]
        with system.traffic(per_s=50):
            system.wait_until_flowing()
            system.fault()
            own_broker.kill()
            ends = [each.stop() for each in workers]
            own_broker.restart()
            for role in ("state", "scoring"):
                system.start(role)
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = own_bench.judge(system)
    verdict.check()
    for each, (code, seconds) in zip(workers, ends, strict=True):
        assert "Traceback" not in each.log, each.log
        assert code in (0, 1)
        assert seconds < 10, f"{each.role} took {seconds:.1f} s to stop:\n{each.log}"
