"""More workers, fewer workers: the same rows and lists as of one of each."""

import signal

import pytest
from bench import Bench
from system import System, Worker

EIGHT = {"kafka": {"partitions": 8}}


def pair(system: System) -> list[Worker]:
    return [system.start(role) for role in ("state", "scoring")]


@pytest.mark.parametrize("bench", [EIGHT], indirect=True)
def test_two_of_each_over_eight_partitions_survive_the_loss_of_one(bench: Bench) -> None:
    """The second pair joins under load, then the first is killed for good."""
    with bench.system() as system:
        first = pair(system)
        with system.traffic():
            system.wait_until_flowing()
            second = pair(system)
            for each in second:
                system.wait(lambda each=each: each.handles)
            system.wait_until_flowing()
            system.fault()
            for each in first:
                each.end()
            system.wait_until_flowing()
        system.settle()
        for each in second:
            assert each.stop()[0] == 0
        verdict = bench.judge(system)
    verdict.check()
    assert sorted(verdict.exits) == [-signal.SIGKILL, -signal.SIGKILL, 0, 0]


@pytest.mark.chaos
@pytest.mark.parametrize("bench", [EIGHT], indirect=True)
def test_rolling_restarts(bench: Bench) -> None:
    """Two of each; each is stopped in order and replaced, three times over. No list is sent twice."""
    with bench.system() as system:
        workers = [*pair(system), *pair(system)]
        with system.traffic():
            system.wait_until_flowing()
            system.fault()
            for _ in range(3):
                for place, each in enumerate(workers):
                    code, _ = each.stop()
                    assert code == 0
                    workers[place] = system.start(each.role)
                    system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert set(verdict.exits) == {0}
    assert verdict.repeats == 0


@pytest.mark.chaos
@pytest.mark.parametrize("bench", [{"kafka": {"partitions": 8, "standbys": 1}}], indirect=True)
def test_a_standby_takes_over(bench: Bench) -> None:
    """Of two state workers each keeps the other's rows; the first is killed for good, and comes back."""
    with bench.system() as system:
        first = system.start("state")
        system.start("scoring")
        with system.traffic():
            system.wait_until_flowing()
            second = system.start("state")
            system.wait(lambda: second.handles)
            system.wait_until_flowing()
            system.fault()
            first.end()
            system.wait_until_flowing()
            third = system.start("state")
            system.wait(lambda: third.handles)
            system.wait_until_flowing()
        system.settle()
        for each in system.workers[1:]:
            assert each.stop()[0] == 0
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.repeats == 0
