"""A network between workers and broker that is slow, breaks connections, or lets nothing through."""

import time

import pytest
from app_processes import last
from bench import FarBench
from proxy import CLEAR, DEAF, HALF_OPEN, RESETTING, SLOW, Network

pytestmark = pytest.mark.chaos


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
    with bench.system() as system:
        for role in ("state", "scoring"):
            system.start(role, settings=far_bench.settings)
        with system.traffic(per_s=50):
            for topic in ("visitor-states", "recommendations") * 3:
                system.wait_until_flowing()
                system.fault()
                proxy.network = DEAF
                deaf_ms = time.time() * 1000
                system.wait(
                    lambda topic=topic, deaf_ms=deaf_ms: any(
                        each.timestamp > deaf_ms for each in last(system.settings, topic).values()
                    ),
                    what=f"a write to {topic} that its writer does not hear of",
                )
                proxy.reset()
                proxy.network = CLEAR
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits == [0, 0]
    assert verdict.repeats == 0


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
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert sorted(verdict.exits) == [0, 0, 0, 1]
    assert verdict.repeats == 0
