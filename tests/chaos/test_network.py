"""A network between workers and broker that is slow, breaks connections, or lets nothing through."""

from collections import Counter

import pytest
from app_processes import last
from bench import FarBench
from proxy import CLEAR, DEAF, HALF_OPEN, RESETTING, SLOW, Network
from system import System

pytestmark = pytest.mark.chaos

WRITTEN = ("visitor-states", "recommendations")
"""By the state worker and the scoring worker."""


@pytest.mark.parametrize(
    ("network", "count", "least"),
    [(SLOW, "delayed", 100), (RESETTING, "reset", 5), (HALF_OPEN, "held", 5), (DEAF, "held", 5)],
    ids=["slow", "resetting", "half open", "deaf"],
)
def test_spoiled_for_longer_than_the_session_timeout(
    far_bench: FarBench, network: Network, count: str, least: int
) -> None:
    bench, proxy = far_bench.bench, far_bench.proxy
    with bench.system() as system:
        for role in ("state", "scoring"):
            system.start(role, settings=far_bench.settings)
        with system.traffic(per_s=50):
            system.wait_until_flowing()
            before = proxy.counts[count]
            system.fault()
            proxy.network = network
            system.pause(20, 30)
            proxy.network = CLEAR
            assert proxy.counts[count] - before >= least
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits == [0, 0]
    assert verdict.repeats == 0


def test_lost_acknowledgements(far_bench: FarBench) -> None:
    bench, proxy = far_bench.bench, far_bench.proxy
    lost = Counter[str]()
    with bench.system() as system:
        for role in ("state", "scoring"):
            system.start(role, settings=far_bench.settings)
        with system.traffic(per_s=50):
            for _ in range(20):
                system.wait_until_flowing()
                if min(lost[topic] for topic in WRITTEN) >= 2:
                    break
                system.fault()
                # What goes out now arrives when no answer passes any more.
                proxy.network = Network(delay_s=1)
                system.pause(0.4, 0.9)
                proxy.network = Network(delay_s=1, answers_pass=False)
                before = _ends(system)
                system.pause(1.5, 2)
                # Written since then: nobody can have heard of it.
                lost.update(topic for topic, ends in _ends(system).items() if ends != before[topic])
                proxy.reset()
                proxy.network = CLEAR
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert min(lost[topic] for topic in WRITTEN) >= 2
    assert verdict.exits == [0, 0]
    assert verdict.repeats == 0


def _ends(system: System) -> dict[str, dict[int, int]]:
    """The last offset of each partition, by topic."""
    return {
        topic: {partition: each.offset for partition, each in last(system.settings, topic).items()}
        for topic in WRITTEN
    }


def test_appends_that_arrive_after_another_worker_has_taken_over(far_bench: FarBench) -> None:
    bench, proxy = far_bench.bench, far_bench.proxy
    with bench.system() as system:
        # Nearly always about to append, so that appends are under way when the network goes.
        far = system.start("state", ["slow-write"], settings=far_bench.settings)
        system.start("scoring")
        with system.traffic(per_s=50):
            system.wait_until_flowing()
            near = system.start("state")
            system.wait(lambda: near.ready, what="a second state worker")
            system.wait_until_flowing()
            system.fault()
            proxy.network = HALF_OPEN
            system.pause(bench.settings.kafka.session_timeout_s, bench.settings.kafka.session_timeout_s + 1)
            system.wait_until_flowing()
            proxy.network = CLEAR
            system.wait(lambda: bool(far.exits), what="the end of the worker that was cut off")
            assert "another worker has taken the partition over" in far.log
            assert "Traceback" not in far.log
            system.wait(lambda: far.ready, what="its next start")
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert sorted(verdict.exits) == [0, 0, 0, 1]
    assert verdict.repeats == 0
