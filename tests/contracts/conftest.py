"""Which checks ran to a good end, for the tests that say that none was left out."""

from collections.abc import Iterator

import pytest

_passed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.outcome == "passed":
        _passed.add(item.nodeid)
    return report


@pytest.fixture
def left_out(request: pytest.FixtureRequest) -> list[str]:
    """Checks of the same file that were asked for and were skipped, or failed, or are still to come."""
    here = [item for item in request.session.items if item.path == request.node.path]
    return [item.nodeid for item in here if item is not request.node and item.nodeid not in _passed]
