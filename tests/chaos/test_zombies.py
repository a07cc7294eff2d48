"""Workers that are stopped past their session timeout and wake up: what they write late does not stick."""

import signal

import pytest
from bench import Bench


@pytest.mark.parametrize("bench", [{"kafka": {"stall_timeout_s": 60}}], indirect=True)
def test_a_state_worker_that_wakes_up_in_the_middle_of_an_append(bench: Bench) -> None:
    """It sleeps right before its appends, so that it is stopped and woken with one still to be made."""
    with bench.system() as system:
        zombie = system.start("state", ["slow-write"])
        system.start("scoring")
        with system.traffic(100):  # half of what the slow one does: a second for each 50 of a partition
            system.wait_until_flowing()
            system.fault()
            zombie.signal(signal.SIGSTOP)
            successor = system.start("state")
            system.wait_until_flowing()
            zombie.signal(signal.SIGCONT)
            system.wait(lambda: "another worker has taken the partition over" in zombie.log)
            system.wait(lambda: zombie.ready)
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert zombie.exits == [1, 0]
    assert successor.exits == [0]
    assert verdict.repeats == 0


@pytest.mark.chaos
@pytest.mark.parametrize("bench", [{"kafka": {"stall_timeout_s": 60}}], indirect=True)
def test_a_scoring_worker_that_wakes_up(bench: Bench) -> None:
    """Its late lists, sent once it is awake, are repeats: the same rec_ids with the same items."""
    with bench.system() as system:
        system.start("state")
        zombie = system.start("scoring", ["slow-write"])
        with system.traffic(20):  # a second for each 50 rows is all that the slow one does
            system.wait_until_flowing()
            system.fault()
            zombie.signal(signal.SIGSTOP)
            system.start("scoring")
            system.wait_until_flowing()
            zombie.signal(signal.SIGCONT)
            system.wait(lambda: zombie.ready)
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.repeats > 0
