"""The whole road on a real broker: real clicks in, recommendations out."""

import itertools
import json
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest
from app_processes import click, publish, read, running

from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.events import Recommendation, recommendation_id
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce

_CLICKS = 1500
_BACKLOG = 30_000


@pytest.fixture
def model(settings: Settings) -> str:
    """A small model of the first sessions, live."""
    gru4rec = GRU4Rec(GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64))
    gru4rec.train(itertools.islice(click_sessions(bundled_clicks()), 500))
    version = gru4rec.publish(Registry.of(settings))
    announce(settings, "gru4rec", version)
    return version


def _real_clicks(n_clicks: int = _CLICKS, apart_ms: int = 1) -> list[tuple[bytes, bytes]]:
    clicks = bundled_clicks()
    start = time.time_ns() // 1_000_000 - n_clicks * apart_ms
    return [
        click(clicks.session_ids[n], clicks.item_ids[n], f"event-{n}", start + n * apart_ms)
        for n in range(n_clicks)
    ]


def test_every_click_has_exactly_one_list_in_order(settings: Settings, model: str, tmp_path: Path) -> None:
    clicks = _real_clicks()
    with running("state", settings, tmp_path) as state, running("scoring", settings, tmp_path) as scoring:
        places = publish(settings, "interactions", clicks)
        records = read(settings, "recommendations", n=_CLICKS)
        scoring.wait(lambda: f"streamrec_recommendations_total {_CLICKS}.0" in scoring.page("metrics")[1])
        assert state.stop() == 0
        assert scoring.stop() == 0
    assert len(read(settings, "recommendations")) == _CLICKS

    lists = [msgspec.json.decode(record.value, type=Recommendation) for record in records]
    topic = settings.kafka.topic("interactions")
    assert {(each.input_partition, each.input_offset) for each in lists} == set(places)
    assert len({each.rec_id for each in lists}) == _CLICKS
    offsets = defaultdict(list)
    for record, each in zip(records, lists, strict=True):
        assert record.partition == each.input_partition
        assert record.key.decode() == each.visitor_id
        assert each.rec_id == recommendation_id(topic, each.input_partition, each.input_offset)
        offsets[each.visitor_id].append(each.input_offset)
    assert all(found == sorted(found) for found in offsets.values())

    asked = {place: json.loads(value) for place, (_, value) in zip(places, clicks, strict=True)}
    for each in lists:
        cause = asked[each.input_partition, each.input_offset]
        assert (each.event_id, each.session_id) == (cause["event_id"], cause["session_id"])
        ids = [item.item_id for item in each.items]
        assert len(ids) == settings.scoring.k == len(set(ids))
        assert all(item.reason and item.sources for item in each.items)
    leads = Counter(item.sources[0] for each in lists for item in each.items)
    assert set(leads) >= {"gru4rec", "online_mf", "popularity"}
    assert {each.release for each in lists} <= {model, ""}


def test_a_worker_that_is_stopped_at_work_leaves_nothing_to_be_done_twice(
    settings: Settings, model: str, tmp_path: Path
) -> None:
    clicks = _real_clicks(_BACKLOG)
    with running("state", settings, tmp_path):
        publish(settings, "interactions", clicks)
        for _ in range(4):
            with running("scoring", settings, tmp_path) as scoring:
                scoring.wait(lambda: "streamrec_recommendations_total 0.0" not in scoring.page("metrics")[1])
                assert scoring.stop() == 0
        assert len(read(settings, "recommendations")) < _BACKLOG  # it was at work
        with running("scoring", settings, tmp_path):
            found = read(settings, "recommendations", n=_BACKLOG)
    assert len({json.loads(record.value)["rec_id"] for record in found}) == len(found) == _BACKLOG


def test_an_unavailable_item_is_gone_within_a_second(settings: Settings, model: str, tmp_path: Path) -> None:
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path):
        clicks = _real_clicks(40)
        publish(settings, "interactions", clicks)
        lists = [json.loads(record.value) for record in read(settings, "recommendations", n=40)]
        hidden = lists[-1]["items"][0]["item_id"]
        item = json.dumps({"item_id": hidden, "available": False}).encode()
        publish(settings, "items", [(hidden.encode(), item)])
        known_since = time.monotonic()
        n = 40
        while True:  # one click after the other, until the item is gone
            asked = time.monotonic()
            now = time.time_ns() // 1_000_000
            publish(
                settings,
                "interactions",
                [click("late", json.loads(clicks[-1][1])["item_id"], f"late-{n}", now)],
            )
            n += 1
            answer = max(
                (json.loads(record.value) for record in read(settings, "recommendations", n=n)),
                key=lambda each: (
                    int(each["event_id"].removeprefix("late-")) if "late" in each["event_id"] else 0
                ),
            )
            if hidden not in [item["item_id"] for item in answer["items"]]:
                break
            assert asked - known_since < 1.0, f"{hidden} is still recommended"


def test_without_a_model_lists_come_from_the_other_sources(settings: Settings, tmp_path: Path) -> None:
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path):
        publish(settings, "interactions", _real_clicks(200, apart_ms=100))
        lists = [json.loads(record.value) for record in read(settings, "recommendations", n=200)]
    assert {item["sources"][0] for each in lists for item in each["items"]} == {"online_mf", "popularity"}
    assert max(len(each["items"]) for each in lists) == settings.scoring.k


def test_clicks_compressed_by_any_codec_are_read(settings: Settings, tmp_path: Path) -> None:
    codecs = ["gzip", "snappy", "lz4", "zstd"]
    clicks = _real_clicks(len(codecs))
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path):
        for codec, record in zip(codecs, clicks, strict=True):
            publish(settings, "interactions", [record], compression_type=codec)
        assert len(read(settings, "recommendations", n=len(codecs))) == len(codecs)
