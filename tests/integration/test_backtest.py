"""Live lists and those of a backtest are the same bytes, but for the time of emission."""

import itertools
import json
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from app_processes import App, publish, read, running
from verbs import under

from streamrec.backtest import Configuration, Plan, Wishes, make_plans, run_backtest
from streamrec.backtest.history import ClicksHistory
from streamrec.cli import main
from streamrec.config import Settings
from streamrec.datasets import Clicks, bundled_clicks, click_sessions, load_clicks, write_clicks
from streamrec.events import encode
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.replay import event_times, interactions
from streamrec.state.rows import VISITOR, decode_visitor_row

_CLICKS = 3000
_SPEED_UP = 1000.0
_SMALL = GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64)


@pytest.fixture
def versions(settings: Settings) -> list[str]:
    """Two small models of the first sessions, trained on more and on less of them; the first is live."""
    made = []
    for n in (500, 200):
        gru4rec = GRU4Rec(_SMALL)
        gru4rec.train(itertools.islice(click_sessions(bundled_clicks()), n))
        made.append(gru4rec.publish(Registry.of(settings)))
    announce(settings, "gru4rec", made[0])
    return made


def _file_of_clicks(folder: Path) -> Path:
    """The first of the bundled clicks, as if the last of them had been made now."""
    clicks = bundled_clicks().first(_CLICKS)
    start_ms = time.time_ns() // 1_000_000 - round((clicks.last_ms - clicks.first_ms) / _SPEED_UP)
    path = folder / "clicks.tsv.gz"
    times_ms = event_times(clicks, _SPEED_UP, start_ms)
    write_clicks(path, Clicks(clicks.session_ids, clicks.item_ids, times_ms))
    return path


def _records(clicks: Clicks) -> list[tuple[bytes, bytes]]:
    events = interactions(clicks, clicks.time_ms, run=0)
    return [(event.visitor_id.encode(), encode(event)) for event in events]


def _serves(app: App, version: str) -> bool:
    return f'version="{version}"}} 1.0' in app.page("metrics")[1]


def _without_emission(values: Iterable[bytes]) -> list[bytes]:
    return [re.sub(rb'"emit_time":\d+', b"", value) for value in values]


@pytest.mark.parametrize("settings", [{"kafka": {"partitions": 3}}], indirect=True)
def test_live_lists_are_those_of_the_backtest(
    settings: Settings, versions: list[str], tmp_path: Path
) -> None:
    path = _file_of_clicks(tmp_path)
    records = _records(load_clicks(path))
    half = len(records) // 2
    with running("state", settings, tmp_path) as state, running("scoring", settings, tmp_path) as scoring:
        publish(settings, "interactions", records[:half])
        read(settings, "recommendations", n=half)
        announce(settings, "gru4rec", versions[1])
        for app in (state, scoring):
            app.wait(lambda app=app: _serves(app, versions[1]))
        publish(settings, "interactions", records[half:])
        live = read(settings, "recommendations", n=len(records))
    live.sort(key=lambda record: (record.partition, record.offset))
    expected = _without_emission(record.value for record in live)

    lists = tmp_path / "lists.jsonl"
    (plan,) = make_plans([Configuration("live", settings)], Wishes())
    tally = run_backtest(plan, lists=lists)
    made = lists.read_bytes().splitlines()
    assert _without_emission(made) == expected
    assert tally.lists.keys() == set(versions)
    assert len({json.loads(value)["input_partition"] for value in made}) == 3
    recorded = {(each.partition, each.offset): each.timestamp for each in read(settings, "interactions")}
    assert plan.from_ms == min(recorded.values())
    place = max(recorded)
    assert plan.history.recorded_ms(*place) == recorded[place]
    assert plan.history.recorded_ms(place[0], place[1] + 1) is None
    for each in map(json.loads, made):
        assert each["emit_time"] == recorded[each["input_partition"], each["input_offset"]]

    # The releases that the lists name are those of the visitors' rows.
    rows = [
        (each.partition, decode_visitor_row(each.value))
        for each in read(settings, "visitor-states")
        if each.key.startswith(VISITOR) and each.value is not None
    ]
    assert {(partition, row.offset): row.model_version for partition, row in rows} == {
        (each["input_partition"], each["input_offset"]): each["release"] for each in map(json.loads, made)
    }

    # The file that was replayed gives the lists of the topic.
    history = ClicksHistory(load_clicks(path), 3)
    run_backtest(Plan("file", settings, history, plan.releases, plan.catalogue), lists=lists)
    assert _without_emission(lists.read_bytes().splitlines()) == expected


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the verb on the interactions topic; returns what it printed."""
    under(settings, monkeypatch)

    def run(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as caught:
            main(["backtest", "--from-topic", "--json", *arguments])
        out, err = capsys.readouterr()
        assert (caught.value.code, err) == (0, "")
        return json.loads(out)

    return run


def test_the_topic_is_read_up_to_the_time_given_under_the_releases_announced(
    settings: Settings, versions: list[str], tmp_path: Path, run: Any
) -> None:
    records = _records(load_clicks(_file_of_clicks(tmp_path)))[:600]
    now_ms = time.time_ns() // 1_000_000
    for n, ahead_ms in enumerate((0, 1000, 2000)):
        publish(settings, "interactions", records[200 * n :][:200], timestamp_ms=now_ms + ahead_ms)

    (whole,) = run("--releases", "models")["runs"]
    assert (whole["events"], whole["lists"], whole["releases"]) == (600, 600, {versions[0]: 600})
    start, end = (datetime.fromtimestamp((now_ms + ms) / 1000, UTC).isoformat() for ms in (1000, 2000))
    (part,) = run("--releases", versions[1], "--from", start, "--to", end)["runs"]
    assert (part["events"], part["lists"], part["releases"]) == (400, 200, {versions[1]: 200})
    (idle,) = run("--releases", "none")["runs"]
    assert idle["releases"] == {"": 600}
