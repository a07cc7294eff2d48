"""Running apps tell nothing of visitors but their pseudonyms, whatever they are sent."""

import time
from pathlib import Path

import pytest
from app_processes import click, publish, read, running
from pydantic import SecretStr

from streamrec.config import Settings
from streamrec.privacy import Pseudonyms

KEY = "the key of pseudonyms"
# Long and odd, so that they are nowhere by chance.
VISITOR, SESSION, ITEM, EVENT = "visitor-zqxj-1", "session-zqxj-2", "item-zqxj-3", "event-zqxj-4"


@pytest.mark.parametrize(
    "settings", [{"log_level": "DEBUG", "privacy": {"pseudonym_key": KEY}}], indirect=True
)
def test_logs_and_metrics_name_no_visitor_at_any_level(settings: Settings, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    key, good = click(VISITOR, ITEM, EVENT, now)
    good = good.replace(b'"session_id":"%s"' % VISITOR.encode(), b'"session_id":"%s"' % SESSION.encode())
    bad = {
        "undecodable": (key, good[:-1]),
        "invalid": (key, good.replace(b'"time"', b'"when"')),
        "wrong_key": (key, good.replace(VISITOR.encode(), b"somebody else")),
        "unknown_type": (key, good.replace(b'"click"', b'"stare"')),
        "late": (key, good.replace(str(now).encode(), b"1")),
        "null_value": (key, None),
        "oversized": (key, good + b" " * settings.state.max_event_bytes),
    }
    with running("state", settings, tmp_path) as state, running("scoring", settings, tmp_path) as scoring:
        publish(settings, "interactions", [*bad.values(), (key, good)])
        assert len(read(settings, "recommendations", n=1)) == 1
        assert len(read(settings, "dead-letters", n=len(bad))) == len(bad)
        state.wait(lambda: 'streamrec_dlq_total{reason="oversized"} 1.0' in state.page("metrics")[1])
        pages = [app.page("metrics")[1] for app in (state, scoring)]
        assert (state.stop(), scoring.stop()) == (0, 0)
    pseudonym = Pseudonyms(SecretStr(KEY)).of(key)
    for reason in bad:
        assert f"is refused: {reason}, visitor {pseudonym}" in state.log
    for text in (state.log, scoring.log, *pages):
        assert text
        assert not [told for told in (VISITOR, SESSION, EVENT, ITEM, KEY) if told in text]
