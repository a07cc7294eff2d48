"""What a worker lets into its log."""

import logging

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError, RequestTimedOutError

from streamrec.engine.runner import _NotYet


@pytest.mark.parametrize(
    ("patience_s", "error", "told"),
    [
        (30, GroupCoordinatorNotAvailableError(), False),
        (0, GroupCoordinatorNotAvailableError(), True),
        (30, RequestTimedOutError(), True),
    ],
    ids=["at the first start", "for long", "another fault"],
)
def test_a_coordinator_that_is_being_made_is_no_error(
    patience_s: float, error: Exception, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("streamrec.test_runner")
    quiet = _NotYet(patience_s)
    log.addFilter(quiet)
    log.error("Group Coordinator Request failed: %s", error)
    log.error("a line without arguments")
    log.removeFilter(quiet)
    assert [record.args for record in caplog.records] == [(error,), ()][not told :]
