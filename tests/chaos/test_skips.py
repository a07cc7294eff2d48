"""Records that the engine fetched and dropped, with nothing committed to go back to."""

import pytest
from bench import Bench


@pytest.mark.chaos
@pytest.mark.parametrize("role", ["state", "scoring"])
def test_what_the_engine_skips_is_read_again(bench: Bench, role: str) -> None:
    """A rebalance that begins while the first records of a new group are on their way has this effect."""
    with bench.system() as system:
        if role == "scoring":
            system.start("state")
        with system.traffic(per_s=200):
            system.pause(2, 3)
        if role == "scoring":
            system.settle_state()
        worker = system.start(role, faults=["skip"])
        if role == "state":
            system.start("scoring")
        with system.traffic(per_s=40):
            system.wait_until_flowing()
        system.settle()
        figures = worker.page("metrics")
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.repeats == 0
    assert "streamrec_reread_records_total 0.0" not in figures
