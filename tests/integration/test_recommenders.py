"""A recommender from the command line into live lists, on a real broker."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_processes import click, publish, read, running
from verbs import Run, runner, under

from streamrec.config import Settings
from streamrec.datasets import bundled_clicks
from streamrec.events import Item, encode

_CLICKS = 300


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a verb with the settings of the test."""
    under(settings, monkeypatch)
    return runner(capsys)


def _chosen(settings: Settings, trained: dict[str, Any], weight: float = 1.0) -> Settings:
    recommenders = {trained["model"]: {"version": trained["version"], "weight": weight}}
    scoring = {**settings.scoring.model_dump(), "recommenders": recommenders, "trace": True}
    return Settings.model_validate({**settings.model_dump(), "scoring": scoring})


def _records(n: int) -> Iterator[tuple[bytes, bytes]]:
    clicks, start = bundled_clicks(), time.time_ns() // 1_000_000 - n
    for place in range(n):
        yield click(clicks.session_ids[place], clicks.item_ids[place], f"e{place}", start + place)


def test_what_visitors_did_becomes_a_source_of_their_lists_and_is_explained(
    settings: Settings, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, "interactions", list(_records(_CLICKS)))
    code, out, err = run(
        "train", "recommender", "item_based_cf", "--from-topic", "--json", "--param", "task=top-n"
    )
    assert code == 0, err
    trained = json.loads(out)
    assert trained["interactions"] == _CLICKS
    chosen = _chosen(settings, trained)
    clicks = bundled_clicks().first(_CLICKS)
    ((visitor, _),) = Counter(clicks.session_ids).most_common(1)
    item = clicks.item_ids[clicks.session_ids.index(visitor)]
    with running("state", chosen, tmp_path), running("scoring", chosen, tmp_path):
        now = time.time_ns() // 1_000_000
        (place,) = publish(chosen, "interactions", [click(visitor, item, "now", now)])
        found = [json.loads(record.value) for record in read(chosen, "recommendations", n=_CLICKS + 1)]
    (made,) = [each for each in found if (each["input_partition"], each["input_offset"]) == place]
    assert made["candidates"]["item_based_cf"]
    assert "item_based_cf" in {source for each in made["items"] for source in each["sources"]}
    under(chosen, monkeypatch)
    code, out, err = run("explain", "--rec-id", made["rec_id"], "--visitor", visitor, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["equal"] is True
    proposed = [each["voices"]["item_based_cf"] for each in told["items"]]
    assert any(voice["rank"] and voice["because"] for voice in proposed)


def test_an_item_without_a_click_is_recommended_one_second_after_its_record(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    clicks = bundled_clicks().first(_CLICKS)
    items = [Item(item_id=each, tags=[f"tag{int(each) % 50}"]) for each in dict.fromkeys(clicks.item_ids)]
    publish(settings, "items", [(each.item_id.encode(), encode(each)) for each in items])
    publish(settings, "interactions", list(_records(_CLICKS)))
    code, out, err = run("train", "recommender", "tag_profile", "--from-topic", "--json")
    assert code == 0, err
    chosen = _chosen(settings, json.loads(out))
    with running("state", chosen, tmp_path), running("scoring", chosen, tmp_path):
        read(chosen, "recommendations", n=_CLICKS)
        liked = items[0]
        new = Item(item_id="new", title="Nobody had it", tags=liked.tags)
        publish(chosen, "items", [(b"new", encode(new))])
        time.sleep(1.0)
        now = time.time_ns() // 1_000_000
        (place,) = publish(chosen, "interactions", [click("stranger", liked.item_id, "now", now)])
        found = [json.loads(record.value) for record in read(chosen, "recommendations", n=_CLICKS + 1)]
    (made,) = [each for each in found if (each["input_partition"], each["input_offset"]) == place]
    assert "new" in made["candidates"]["tag_profile"]
    assert "new" in [each["item_id"] for each in made["items"]]


def test_a_version_that_is_not_there_stops_scoring_with_what_to_do(
    settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = _chosen(settings, {"model": "wals", "version": "v0"})
    under(chosen, monkeypatch)
    code, _, err = run("scoring")
    assert code != 0
    assert "wals has no version v0" in err
