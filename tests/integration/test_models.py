"""From the interactions topic to a live version, and back to an older one, as an operator does it."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app_processes import App, publish, running
from kafka import KafkaProducer, TopicPartition
from session_models import Published, edit_manifest, ring_sessions
from state_parts import click
from verbs import under

from streamrec.artifact import MANIFEST, SIGNATURE, artifact_digest, read_artifact
from streamrec.cli import main
from streamrec.config import Settings
from streamrec.errors import ArtifactError, DatasetError, RegistryError, SignatureError
from streamrec.events import ModelRelease, encode
from streamrec.registry import Registry
from streamrec.releases import announce, released
from streamrec.scorer import load_step
from streamrec.topic_clicks import read_clicks
from streamrec.topics import connect, read_topic

Run = Callable[..., Any]
SMALL = ["embedding_size=16", "hidden_size=16", "epochs=2", "batch_size=8", "n_sample=16"]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb with these settings; returns what it prints as JSON."""
    under(settings, monkeypatch)

    def run(*arguments: str, code: int = 0) -> Any:
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert caught.value.code == code, err
        return json.loads(out) if code == 0 else err

    return run


@pytest.fixture
def registry(settings: Settings, published: Published) -> Registry:
    """The settings' registry, with three versions of the same model."""
    registry = Registry.of(settings)
    for name in ("v1", "v2", "v3"):
        registry.publish(
            "gru4rec", name, lambda place, name=name: published.model.export(place, version=name)
        )
    return registry


def ring_clicks(n: int = 60) -> list[tuple[bytes, bytes]]:
    """Sessions round the ring as interactions: key and value."""
    found = []
    now = time.time_ns() // 1_000_000
    for visitor, session in enumerate(ring_sessions(n)):
        for place, item in enumerate(session.items):
            record = click(0, f"v{visitor}", item, now + 1000 * place, event_id=f"{visitor}-{place}")
            found.append((record.key or b"", record.value or b""))
    return found


# -- releases -----------------------------------------------------------------------------------


def test_the_live_release_moves_to_previous_and_sequence_numbers_rise(
    settings: Settings, registry: Registry
) -> None:
    assert released(settings) == {}
    first = announce(settings, "gru4rec", "v1")
    assert released(settings) == {"gru4rec/live": first}
    second = announce(settings, "gru4rec", "v2")
    back = announce(settings, "gru4rec", "v1")
    assert [each.sequence for each in (first, second, back)] == [1, 2, 3]
    slots = released(settings)
    assert slots["gru4rec/live"] == back
    assert (slots["gru4rec/previous"].version, slots["gru4rec/previous"].sequence) == ("v2", 2)
    assert back.digest == artifact_digest(registry.directory("gru4rec", "v1"))


def test_the_same_version_again_leaves_the_previous_one(settings: Settings, registry: Registry) -> None:
    for version in ("v1", "v2", "v2"):
        announce(settings, "gru4rec", version)
    slots = released(settings)
    assert (slots["gru4rec/live"].sequence, slots["gru4rec/previous"].version) == (3, "v1")


def test_what_does_not_exist_or_is_damaged_is_not_announced(settings: Settings, registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no version v9"):
        announce(settings, "gru4rec", "v9")
    (registry.directory("gru4rec", "v1") / "step.onnx").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"step\.onnx"):
        announce(settings, "gru4rec", "v1")
    (registry.directory("gru4rec", "v3") / SIGNATURE).unlink()
    with pytest.raises(SignatureError, match="`streamrec models sign v3`"):
        announce(settings, "gru4rec", "v3")
    (registry.directory("gru4rec", "v2") / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=MANIFEST):
        announce(settings, "gru4rec", "v2")
    assert released(settings) == {}


def test_records_that_are_no_releases_keep_nobody_from_announcing(
    settings: Settings, registry: Registry
) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap.split(","))
    topic = settings.kafka.topic("models")
    for key, value in (
        (b"gru4rec/live", b"{"),
        (b"gru4rec/verdict:v1", b"another record"),
        (None, b"{}"),
        (b"gru4rec/canary", None),
    ):
        producer.send(topic, key=key, value=value)
    producer.flush()
    producer.close()
    assert announce(settings, "gru4rec", "v1").sequence == 1
    assert released(settings)["gru4rec/live"].version == "v1"


def test_an_app_refuses_a_release_that_nobody_trusted_has_signed_and_serves_on(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    announce(settings, "gru4rec", "v1")
    # Whoever can write to the folder and to the topic, without the key.
    forged = registry.directory("gru4rec", "v2")
    edit_manifest(forged, lambda manifest: manifest["metrics"].update(recall_at_20=1.0))
    digest = artifact_digest(forged)
    with running("state", settings, tmp_path) as app:
        release = ModelRelease(model="gru4rec", slot="live", version="v2", sequence=2, digest=digest, time=0)
        publish(settings, "models", [(release.key, encode(release))] * 3)
        app.wait(lambda: _swaps(app, "untrusted") >= 1)
        announce(settings, "gru4rec", "v3")
        app.wait(lambda: _swaps(app, "swapped") == 2)
        assert _swaps(app, "untrusted") == 1
        assert "'v2' is refused, the old one goes on serving" in app.log
        assert "is not what was signed" in app.log


def _swaps(app: App, result: str) -> float:
    [value] = re.findall(rf'model_swaps_total{{result="{result}"}} (.*)', app.page("metrics")[1])
    return float(value)


# -- the topic ----------------------------------------------------------------------------------


def test_a_topic_is_read_whole_in_the_order_of_each_partition(settings: Settings) -> None:
    clicks = ring_clicks()
    publish(settings, "interactions", clicks)
    found: dict[int, list[tuple[int, bytes]]] = {}

    def take(records: list[Any]) -> None:
        found.setdefault(records[0].partition, []).extend((each.offset, each.value) for each in records)

    offsets = read_topic(settings, "interactions", take)
    assert sorted(value for each in found.values() for _, value in each) == sorted(
        value for _, value in clicks
    )
    for partition, (first, end) in offsets.items():
        assert [offset for offset, _ in found[partition]] == list(range(first, end))


def test_an_empty_topic_has_no_clicks_to_train_on(settings: Settings) -> None:
    with pytest.raises(DatasetError, match="no click to train on"):
        read_clicks(settings)


def test_records_deleted_from_the_front_are_not_waited_for(settings: Settings) -> None:
    publish(settings, "interactions", ring_clicks())
    before = read_clicks(settings)
    place = next(iter(before.data["offsets"]))
    with connect(settings.kafka) as admin:
        admin.delete_records({TopicPartition(settings.kafka.topic("interactions"), int(place)): 5})
    after = read_clicks(settings)
    assert after.data["offsets"][place] == [5, before.data["offsets"][place][1]]
    assert len(after.clicks) == len(before.clicks) - 5


# -- the verbs ----------------------------------------------------------------------------------


def test_train_from_the_topic_and_release(settings: Settings, run: Run) -> None:
    clicks = ring_clicks()
    publish(settings, "interactions", [*clicks, (b"v1", b"{")])
    parameters = [each for value in SMALL for each in ("--param", value)]
    made = run("train", "gru4rec", "--from-topic", "--release", "--seed", "7", *parameters)
    manifest, _ = read_artifact(Path(made["directory"]))
    assert manifest.data["source"] == settings.kafka.topic("interactions")
    assert manifest.data["clicks"] == len(clicks)
    assert manifest.data["left_out"] == 1
    assert sum(end - first for first, end in manifest.data["offsets"].values()) == len(clicks) + 1
    assert (manifest.seed, manifest.config["epochs"]) == (7, 2)
    live = released(settings)["gru4rec/live"]
    assert (live.version, live.sequence) == (made["version"], made["release"]["sequence"])
    assert load_step(Registry.of(settings), live.version, live.digest).version == made["version"]


def test_the_list_of_versions_tells_which_is_live_and_which_was(
    settings: Settings, registry: Registry, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("v1", "v3"):
        announce(settings, "gru4rec", version)
    slots = {row["version"]: row["slots"] for row in run("models", "list")}
    assert slots == {"v1": ["previous"], "v2": [], "v3": ["live"]}
    with pytest.raises(SystemExit):
        main(["models", "list"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["gru4rec", "v3", "live"] in [row[:3] for row in rows]


def test_a_version_that_has_a_role_and_no_files_is_listed_and_warned_of(
    settings: Settings, registry: Registry, capsys: pytest.CaptureFixture[str], run: Run
) -> None:
    for version in ("v1", "v2", "v3"):
        announce(settings, "gru4rec", version)
    for gone in ("v2", "v3"):
        shutil.rmtree(registry.directory("gru4rec", gone))
    faults = {row["version"]: (row["slots"], row.get("fault")) for row in run("models", "list")}
    absent = "not in the registry"
    assert faults == {"v1": ([], None), "v2": (["previous"], absent), "v3": (["live"], absent)}
    with pytest.raises(SystemExit) as caught:
        main(["models", "rollback"])
    assert caught.value.code == 0
    assert "workers that start from now on cannot load v2" in capsys.readouterr().err
    # What was taken back is, once it is not the previous one either, the mark of a name, and needs no files.
    announce(settings, "gru4rec", "v1")
    assert [row["version"] for row in run("models", "list")] == ["v1", "v2"]


def test_release_checks_a_version_before_it_makes_it_live(
    settings: Settings, registry: Registry, run: Run
) -> None:
    assert run("models", "release", "v2")["version"] == "v2"
    assert run("models", "release")["version"] == "v3"
    (registry.directory("gru4rec", "v1") / "score.onnx").write_bytes(b"")
    assert "score.onnx" in run("models", "release", "v1", code=1)
    assert released(settings)["gru4rec/live"].version == "v3"
