"""The bench itself: faults that somebody might build in do not get past it."""

import pytest
from bench import Bench, skipped
from verdict import Verdict


def caught(bench: Bench, role: str, bug: str, *, kill: bool) -> Verdict:
    """The verdict on workers of which those of one role have a bug, after a kill or without one."""
    with bench.system() as system:
        for each in ("state", "scoring"):
            system.start(each, [bug] * 9 if each == role else ())
        with system.traffic():
            system.wait_until_flowing()
            if kill:
                next(each for each in system.workers if each.role == role).kill()
                system.wait_until_flowing()
        system.settle()
        system.stop()
        return bench.judge(system, report=False)


def test_a_commit_before_the_acknowledgement_loses_lists(bench: Bench) -> None:
    verdict = caught(bench, "scoring", "bug-early", kill=True)
    assert verdict.recommendations_found < verdict.recommendations_expected
    with pytest.raises(AssertionError, match="recommendations are missing"):
        verdict.check()


# Repeats are recognised by their event ids too, as long as the visitor's row remembers them.
@pytest.mark.parametrize(
    "bench", [{"kafka": {"commit_interval_s": 3}, "state": {"recent_events": 1}}], indirect=True
)
def test_replays_that_nobody_looks_for_count_twice(bench: Bench) -> None:
    verdict = caught(bench, "state", "bug-replay", kill=True)
    assert verdict.rows_differing > 0
    with pytest.raises(AssertionError, match="rows differ"):
        verdict.check()


def test_a_swallowed_error_loses_lists(bench: Bench) -> None:
    verdict = caught(bench, "scoring", "bug-swallow 20", kill=False)
    assert verdict.recommendations_found < verdict.recommendations_expected
    with pytest.raises(AssertionError, match="recommendations are missing"):
        verdict.check()


def test_a_fault_that_could_not_be_tried_is_not_reported_as_tried() -> None:
    where = ("test_disk.py", 29, "Skipped: a small file system cannot be mounted")
    report = pytest.TestReport(
        "tests/chaos/test_disk.py::test_disk_full[1]", ("", 0, ""), {}, "skipped", where, "setup"
    )
    assert skipped(report) == {"fault": "disk_full[1]", "skipped": "a small file system cannot be mounted"}
