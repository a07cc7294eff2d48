"""Versions in an object store serve on a real broker; are made again from the topic; and go when nothing
names them."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_processes import click, publish, read, running
from click_files import TINY
from kafka import TopicPartition
from object_store import object_store
from session_models import Published, ring_sessions
from verbs import under

from streamrec.cli import main
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.pruning import named_versions
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.topics import connect

Run = Callable[..., Any]
_CLICKS = 200


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb with these settings; returns what it prints as JSON, or its errors if it fails."""
    under(settings, monkeypatch)

    def run(*arguments: str, code: int = 0) -> Any:
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert caught.value.code == code, err
        return json.loads(out) if out else err

    return run


def real_clicks() -> list[tuple[bytes, bytes]]:
    clicks = bundled_clicks()
    start = time.time_ns() // 1_000_000 - _CLICKS
    return [click(clicks.session_ids[n], clicks.item_ids[n], f"event-{n}", start + n) for n in range(_CLICKS)]


@pytest.fixture
def in_objects(settings: Settings) -> Iterator[Settings]:
    """The settings, with the registry in an object store."""
    with object_store() as store:
        registry = settings.registry.model_copy(update={"path": store.url})
        yield settings.model_copy(update={"registry": registry, "storage": store.storage})


def test_state_and_scoring_serve_a_version_out_of_an_object_store(
    in_objects: Settings, tmp_path: Path
) -> None:
    registry = Registry.of(in_objects)
    gru4rec = GRU4Rec(GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64))
    gru4rec.train(itertools.islice(click_sessions(bundled_clicks()), 500))
    version = gru4rec.publish(registry)
    assert registry.location("gru4rec", version) == f"{in_objects.registry.path}/gru4rec/{version}"
    announce(in_objects, "gru4rec", version)
    with running("state", in_objects, tmp_path), running("scoring", in_objects, tmp_path):
        publish(in_objects, "interactions", real_clicks())
        lists = [json.loads(record.value) for record in read(in_objects, "recommendations", n=_CLICKS)]
    assert {each["release"] for each in lists} <= {version, ""}
    led = [item for each in lists for item in each["items"] if "gru4rec" in item["sources"]]
    assert led, "no item was proposed by the model"


def ring_interactions(n: int = 60) -> list[tuple[bytes, bytes]]:
    now = time.time_ns() // 1_000_000
    return [
        click(f"v{visitor}", item, f"{visitor}-{place}", now + 1000 * place)
        for visitor, session in enumerate(ring_sessions(n))
        for place, item in enumerate(session.items)
    ]


def test_a_version_is_made_again_from_the_topic_however_long_it_has_become(
    settings: Settings, run: Run
) -> None:
    publish(settings, "interactions", ring_interactions())
    parameters = [each for value in TINY for each in ("--param", value)]
    made = run("train", "gru4rec", "--from-topic", "--seed", "7", *parameters)
    publish(settings, "interactions", [click("late", "i00", "late-0", time.time_ns() // 1_000_000)])
    again = run("models", "reproduce", made["version"])
    assert (again["equal"], again["version"]) == (True, made["version"])
    # What retention takes cannot be made up for, and that is said.
    place = TopicPartition(settings.kafka.topic("interactions"), 0)
    with connect(settings.kafka) as admin:
        admin.delete_records({place: 5})
    error = run("models", "reproduce", made["version"], code=1)
    assert "was trained on offsets 0 to" in error
    assert "retention has taken the others" in error


def test_what_a_slot_or_a_waiting_row_names_is_not_pruned(
    settings: Settings, run: Run, published: Published, tmp_path: Path
) -> None:
    registry = Registry.of(settings)
    for name in ("v1", "v2", "v3", "v4", "v5"):
        registry.publish(
            "gru4rec", name, lambda place, name=name: published.model.export(place, version=name)
        )
    announce(settings, "gru4rec", "v1")
    with running("state", settings, tmp_path) as state:  # without scoring, its rows wait
        publish(settings, "interactions", ring_interactions(3))
        state.wait(lambda: named_versions(settings, "gru4rec").rows == {"v1"})
    for name in ("v2", "v3"):
        announce(settings, "gru4rec", name)
    named = named_versions(settings, "gru4rec")
    assert (dict(named.slots), named.rows) == ({"live": "v3", "previous": "v2"}, {"v1"})
    prune = ("models", "prune", "--keep", "1", "--older-than", "0")
    would = {row["version"]: row["kept"] for row in run(*prune, "--dry-run")}
    assert would == {
        "v1": "named by rows without a list yet",
        "v2": "previous",
        "v3": "live",
        "v4": None,
        "v5": "one of the newest 1",
    }
    assert registry.versions("gru4rec") == ["v1", "v2", "v3", "v4", "v5"]
    run(*prune)
    assert registry.versions("gru4rec") == ["v1", "v2", "v3", "v5"]
    # Once scoring has made their lists the rows need it no longer.
    with running("scoring", settings, tmp_path) as scoring:
        scoring.wait(lambda: named_versions(settings, "gru4rec").rows == set())
    run(*prune)
    assert registry.versions("gru4rec") == ["v2", "v3", "v5"]
