"""Load tests of the real apps on a real broker."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from app_processes import read, running
from verbs import runner, under

from streamrec.config import Settings
from streamrec.contracts import Session
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.errors import TopicError
from streamrec.events import decode_interaction
from streamrec.loadtest import Load, load_test

SESSIONS: list[Session] = list(itertools.islice(click_sessions(bundled_clicks()), 200))


def test_every_click_is_answered_and_measured(settings: Settings, tmp_path: Path) -> None:
    load = Load(per_s=200, seconds=2, warm_up_s=1, arrivals="poisson", visitors=50)
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path):
        seen: list[int] = []
        first = load_test(settings, SESSIONS, load, lambda ledger: seen.append(ledger.answered)).report
        second = load_test(settings, SESSIONS, load).report
    for report in (first, second):
        assert (report.published, report.acknowledged, report.answered) == (600, 600, 600)
        assert (report.missing, report.doubled, report.stopped) == (0, 0, False)
        assert report.measured == pytest.approx(400, abs=60)
        assert report.reached_per_s == pytest.approx(200, rel=0.2)
        assert 0 < report.acknowledgement.p50_ms < report.freshness.p50_ms < report.freshness.max_ms
        assert report.faults(None) == []
    assert seen == sorted(seen)
    assert seen[-1] == 600
    events = [decode_interaction(record.value) for record in read(settings, "interactions")]
    runs = [[each for each in events if each.event_id.startswith(run)] for run in _runs(events)]
    assert [len(each) for each in runs] == [600, 600]
    # The second meets none of the first one's visitors.
    assert not {each.visitor_id for each in runs[0]} & {each.visitor_id for each in runs[1]}
    items = {item for session in SESSIONS for item in session.items}
    assert {each.item_id for each in events} <= items


def _runs(events: list[object]) -> list[str]:
    return sorted({each.event_id.rpartition("-")[0] for each in events})  # type: ignore[attr-defined]


def test_a_worker_that_stands_still_shows_although_clicks_go_on(settings: Settings, tmp_path: Path) -> None:
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path) as scoring:

        def stand_still() -> None:
            time.sleep(2.0)
            scoring.process.send_signal(signal.SIGSTOP)
            time.sleep(2.0)
            scoring.process.send_signal(signal.SIGCONT)

        pause = threading.Thread(target=stand_still)
        pause.start()
        report = load_test(settings, SESSIONS, Load(per_s=100, seconds=5, warm_up_s=1, visitors=20)).report
        pause.join()
    assert report.missing == 0
    assert report.reached_per_s == pytest.approx(100, rel=0.1)
    # Two of five seconds of clicks waited, the first of them for all of it.
    assert report.freshness.max_ms > 1800
    assert report.freshness.p90_ms > 1000
    assert report.acknowledgement.p90_ms < 1000


SHORT = ("loadtest", "--rate", "50", "--seconds", "1", "--warm-up-seconds", "0", "--patience-seconds", "0.5")


def test_without_workers_all_lists_are_missing(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    under(settings, monkeypatch)
    run = runner(capsys)
    code, out, err = run(*SHORT, "--out", str(tmp_path / "out"), "--max-p99-ms", "1000")
    assert code == 1
    assert "50 published, 50 acknowledged, 0 answered, 50 missing" in out
    assert "50 of 50 clicks have no list" in err
    assert "no list was measured" in err
    assert json.loads((tmp_path / "out" / "report.json").read_text())["missing"] == 50
    code, out, err = run(*SHORT, "--json")
    assert code == 1
    report = json.loads(out)
    assert (report["published"], report["answered"], report["missing"]) == (50, 0, 50)
    assert report["freshness"]["p99_ms"] is None
    assert report["acknowledgement"]["p99_ms"] > 0


def test_lists_of_others_are_not_counted(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    under(settings, monkeypatch)
    run = runner(capsys)
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path):
        replaying = subprocess.Popen(
            [
                sys.executable,
                *("-P", "-m", "streamrec.cli", "replay", "--clicks", "300", "--speed-up", "20000"),
            ],
            env={**os.environ},
        )
        try:
            code, out, err = run(*SHORT[:-2], "--json")
        finally:
            replaying.wait()
    assert code == 0, err
    report = json.loads(out)
    assert (report["answered"], report["missing"], report["doubled"]) == (50, 0, 0)


def test_ctrl_c_ends_it_with_what_was_measured(settings: Settings, tmp_path: Path) -> None:
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path):
        process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-P",
                    "-m",
                    "streamrec.cli",
                    "loadtest",
                    "--rate",
                    "50",
                    "--seconds",
                    "600",
                ),
                *("--warm-up-seconds", "0", "--json"),
            ],
            env={**os.environ, **settings.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        read(settings, "recommendations", n=50)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["stopped"] is True
    assert 0 < report["measured"] <= report["published"] < 30_000
    assert report["freshness"]["p50_ms"] > 0
    assert err.decode().splitlines()[-1] == "stopped"


def test_without_topics_it_says_how_to_make_them(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"prefix": "nothing-here."})
    elsewhere = settings.model_copy(update={"kafka": kafka})
    with pytest.raises(TopicError, match="streamrec topics create"):
        load_test(elsewhere, SESSIONS, Load(seconds=1))
