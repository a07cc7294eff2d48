"""Workers that are killed: rows and lists are those of an undisturbed run."""

import signal

import pytest
from bench import Bench


@pytest.mark.parametrize("role", ["state", "scoring"])
def test_killed_at_random_moments(bench: Bench, role: str) -> None:
    with bench.system() as system:
        workers = {each: system.start(each) for each in ("state", "scoring")}
        with system.traffic():
            system.wait_until_flowing()
            for _ in range(3):
                system.pause(0.1, 2)
                system.fault()
                workers[role].kill()
                system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits.count(-signal.SIGKILL) == 3
    if role == "state":
        assert verdict.repeats == 0
