"""Lost state is noticed, named and made again from the input."""

from pathlib import Path

import pytest
from app_processes import App, click, forget, publish, read, running

from streamrec.config import Settings
from streamrec.errors import TopicError
from streamrec.state.rows import VISITOR
from streamrec.topics import connect, create_topics, forget_state

_NOW_MS = 1_800_000_000_000


def _rows(settings: Settings) -> dict[bytes, bytes]:
    """The newest row of every visitor."""
    return {
        record.key: record.value
        for record in read(settings, "visitor-states")
        if record.key.startswith(VISITOR)
    }


@pytest.fixture
def clicks(settings: Settings) -> None:
    publish(
        settings, "interactions", [click(f"v{n % 7}", f"i{n % 11}", f"e{n}", _NOW_MS + n) for n in range(200)]
    )


@pytest.mark.usefixtures("clicks")
@pytest.mark.parametrize(
    "settings", [{"state": {"max_future_s": 10**9}, "kafka": {"session_timeout_s": 6}}], indirect=True
)
def test_lost_rows_stop_the_worker_and_rebuild_makes_them_again(settings: Settings, tmp_path: Path) -> None:
    with running("state", settings, tmp_path) as state:
        state.wait(lambda: 'outcome="accepted",type="click"} 200.0' in state.page("metrics")[1])
        with pytest.raises(TopicError, match="1 running workers"):
            forget_state(settings)
        assert state.stop() == 0
    before = _rows(settings)
    assert len(before) == 7

    with connect(settings.kafka) as admin:
        admin.delete_topics([settings.kafka.topic("visitor-states")])
        while settings.kafka.topic("visitor-states") in admin.list_topics():
            pass
    create_topics(settings)
    publish(settings, "interactions", [click("v0", "i0", "another", _NOW_MS + 1000)] * 4)
    app = App("state", settings, tmp_path / "lost.log")
    try:
        assert app.process.wait(timeout=40) == 1
    finally:
        app.kill()
    assert "streamrec state rebuild" in app.log
    assert "Traceback" not in app.log

    forget(settings)
    with running("state", settings, tmp_path) as state:
        state.wait(lambda: 'outcome="accepted",type="click"} 201.0' in state.page("metrics")[1])
    after = _rows(settings)
    assert {key: value for key, value in after.items() if key != b"v:v0"} == {
        key: value for key, value in before.items() if key != b"v:v0"
    }
