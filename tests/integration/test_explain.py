"""An answer explained is the answer that was sent, byte for byte; where history ends, that is said."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from app_processes import App, publish, read, running
from fresh import fresh_topics
from kafka import TopicPartition
from verbs import under

from streamrec.cli import main
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.events import recommendation_id
from streamrec.history import history_coverage
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.signing import SigningKey
from streamrec.topics import connect

_SMALL = GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64)
_PART = 300


class Live(NamedTuple):
    """What the apps made of four parts of the clicks: from the start, after a release, after kills, and after
    interactions that ask for nothing."""

    settings: Settings
    versions: list[str]
    lists: list[Any]
    """Records of recommendations, in the order of the interactions in each partition."""
    ends: list[dict[int, int]]
    """By part, the offset after its last interaction in each partition."""
    silent: list[tuple[int, int]]
    """Where the interactions went that ask for nothing."""


def _records(start: int, n: int) -> list[tuple[bytes, bytes]]:
    """Clicks, each at the present time: sessions go across the parts."""
    clicks = bundled_clicks().first(start + n)
    now = time.time_ns() // 1_000_000
    return [
        (
            session.encode(),
            _event(f"e{start + place}", "click", session, item, now + place),
        )
        for place, (session, item) in enumerate(
            zip(clicks.session_ids[start:], clicks.item_ids[start:], strict=True)
        )
    ]


def _event(event_id: str, kind: str, visitor: str, item: str, time_ms: int) -> bytes:
    event = {"event_id": event_id, "type": kind, "visitor_id": visitor, "item_id": item, "time": time_ms}
    return json.dumps({**event, "session_id": visitor}).encode()


def _serves(app: App, version: str) -> bool:
    return f'version="{version}"}} 1.0' in app.page("metrics")[1]


@pytest.fixture(scope="module")
def live(broker: Any, signing_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    keys = {"signing_key": signing_key, "trusted_keys": [SigningKey.load(signing_key).public]}
    history = {"url": str(folder / "nothing"), "roll_s": 0.5}
    with fresh_topics(broker.bootstrap, folder, {"registry": keys, "history": history}) as settings:
        versions = []
        for n in (400, 200):
            gru4rec = GRU4Rec(_SMALL)
            gru4rec.train(itertools.islice(click_sessions(bundled_clicks()), n))
            versions.append(gru4rec.publish(Registry.of(settings)))
        announce(settings, "gru4rec", versions[0])
        yield _run(settings, versions, folder)


def _run(settings: Settings, versions: list[str], folder: Path) -> Live:
    ends: list[dict[int, int]] = []
    places: list[tuple[int, int]] = []
    silent: list[tuple[int, int]] = []

    def send(records: list[tuple[bytes, bytes]], asking: int) -> None:
        places.extend(publish(settings, "interactions", records))
        nonlocal wanted
        wanted += asking
        read(settings, "recommendations", n=wanted)
        ends.append({n: 1 + max(offset for p, offset in places if p == n) for n, _ in places})

    wanted = 0
    with running("state", settings, folder) as state, running("scoring", settings, folder) as scoring:
        send(_records(0, _PART), _PART)
        announce(settings, "gru4rec", versions[1])
        for app in (state, scoring):
            app.wait(lambda app=app: _serves(app, versions[1]))
        send(_records(_PART, _PART), _PART)
    with running("state", settings, folder), running("scoring", settings, folder):
        send(_records(2 * _PART, _PART), _PART)
        visitors = [key for key, _ in _records(2 * _PART, _PART)][-20:]
        now = time.time_ns() // 1_000_000
        nothing = [
            (key, _event(f"n{n}", kind, key.decode(), "1", now + n))
            for n, (key, kind) in enumerate(zip(visitors, itertools.cycle(["impression", "dislike"])))
        ]
        silent = publish(settings, "interactions", nothing)
        after = [
            (key, _event(f"r{n}", "rating", key.decode(), "2", now + 100 + n))
            for n, key in enumerate(visitors)
        ]
        send(after, len(after))
        found = read(settings, "recommendations", n=wanted)
    found.sort(key=lambda record: (record.partition, json.loads(record.value)["input_offset"]))
    return Live(settings, versions, found, ends, silent)


@pytest.fixture
def explain(live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the verb; returns exit code, output and errors."""

    def run(rec_id: str, *arguments: str, settings: Settings = live.settings) -> tuple[int, str, str]:
        under(settings, monkeypatch)
        with pytest.raises(SystemExit) as caught:
            main(["explain", "--rec-id", rec_id, *arguments])
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


def _asked(live: Live) -> dict[str, Any]:
    """Answers worth asking for, by what they came after."""
    of_one = [each for each in live.lists if each.partition == 0]
    offset_of = {each.offset: json.loads(each.value)["input_offset"] for each in of_one}
    first_of = [
        min(each.offset for each in of_one if offset_of[each.offset] >= end[0]) for end in live.ends[:3]
    ]
    by_offset = {each.offset: each for each in of_one}
    release = {each.offset: json.loads(each.value)["release"] for each in of_one}
    swapped = [
        each
        for before, each in itertools.combinations(of_one, 2)
        if before.key == each.key and release[before.offset] != release[each.offset]
    ]
    return {
        "first": of_one[0],
        "swap": by_offset[first_of[0]],
        "swap within a session": swapped[0],
        "restart": by_offset[first_of[1]],
        "interactions without a list": by_offset[first_of[2]],
        "last": of_one[-1],
    }


@pytest.mark.parametrize(
    "what",
    ["first", "swap", "swap within a session", "restart", "interactions without a list", "last"],
)
def test_an_answer_is_made_again_byte_for_byte(live: Live, explain: Any, what: str) -> None:
    record = _asked(live)[what]
    sent = json.loads(record.value)
    code, out, err = explain(sent["rec_id"], "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["equal"], found["faults"], found["release_from"]) == (True, [], "list")
    assert (found["partition"], found["offset"]) == (sent["input_partition"], sent["input_offset"])
    assert found["release"] == sent["release"] == live.versions[0 if what == "first" else 1]
    for item, place in zip(sent["items"], found["items"], strict=True):
        assert {name: place[name] for name in item} == item
        points = sum(voice["points"] for voice in place["voices"].values())
        assert points == pytest.approx(item["score"])
        assert {source for source, voice in place["voices"].items() if voice["points"]} == set(
            item["sources"]
        )


def test_a_table_says_the_same(live: Live, explain: Any) -> None:
    sent = json.loads(live.lists[-1].value)
    code, out, err = explain(sent["rec_id"], "--visitor", sent["visitor_id"])
    assert (code, err) == (0, "")
    assert "yes, byte for byte" in out
    for item in sent["items"]:
        assert item["item_id"] in out


def test_an_id_of_no_list_is_told(live: Live, explain: Any) -> None:
    topic = live.settings.kafka.topic("interactions")
    code, _, err = explain(recommendation_id(topic, 0, 10**6))
    assert code == 1
    assert "asks for list" in err
    code, _, err = explain("no-id")
    assert code == 1
    assert "'no-id' is no rec_id" in err
    partition, offset = live.silent[0]
    code, _, err = explain(recommendation_id(topic, partition, offset))
    assert code == 1
    assert "of type impression asks for no list" in err


def test_other_settings_make_another_list_and_that_is_said(live: Live, explain: Any) -> None:
    scoring = live.settings.scoring.model_copy(update={"weights": {"popularity": 1.0}})
    other = live.settings.model_copy(update={"scoring": scoring})
    code, out, err = explain(json.loads(live.lists[-1].value)["rec_id"], settings=other)
    assert code == 1
    assert "it is not what was sent: " in err
    assert "the same" in out


# The last one: it takes away what the others read.
def test_history_goes_on_where_the_topic_ends_and_where_it_ends_is_said(
    live: Live, explain: Any, tmp_path: Path
) -> None:
    settings, of_one = live.settings, [each for each in live.lists if each.partition == 0]
    last = json.loads(of_one[-1].value)
    topics = [settings.kafka.topic(each) for each in ("interactions", "recommendations")]
    n_records = sum(max(end) for end in [[each[n] for each in live.ends] for n in live.ends[0]])

    history = settings.history.model_copy(update={"url": str(tmp_path / "history")})
    archived = settings.model_copy(update={"history": history})
    with running("archive", archived, tmp_path) as app:
        app.wait(lambda: sum(each.end for each in history_coverage(archived).values()) >= n_records)
        assert app.stop() == 0
    cut = last["input_offset"] - 20
    with connect(settings.kafka) as admin:
        admin.delete_records({TopicPartition(topics[0], 0): cut})
    code, out, err = explain(last["rec_id"], "--json", settings=archived)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["equal"], found["lost"], found["records"]) == (True, [], last["input_offset"] + 1)
    first = json.loads(of_one[0].value)
    assert explain(first["rec_id"], "--json", settings=archived)[0] == 0

    with connect(settings.kafka) as admin:
        admin.delete_records({TopicPartition(topics[1], 0): of_one[-1].offset + 1})
    code, out, err = explain(last["rec_id"], "--json", settings=archived)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["equal"], found["release_from"], found["release"]) == (None, "announced", last["release"])
    assert [each["item_id"] for each in found["items"]] == [each["item_id"] for each in last["items"]]

    code, out, err = explain(last["rec_id"], "--json")
    assert code == 1
    found = json.loads(out)
    assert (found["lost"], found["records"]) == ([[0, cut]], 21)
    assert f"history begins at offset {cut:,} of {topics[0]}[0]" in err
    code, _, err = explain(first["rec_id"])
    assert code == 1
    assert f"which the list answers, is gone: the topic begins at offset {cut:,}" in err
