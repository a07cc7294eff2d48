"""A version is made again to the last bit, or it is said what differs."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click_files import TINY, ring_clicks, write_tsv
from hypothesis import given
from hypothesis import strategies as st
from verbs import Run, runner

from streamrec import lineage
from streamrec.artifact import MANIFEST, read_artifact
from streamrec.contracts import Artifact, TrainOptions
from streamrec.datasets import Clicks, click_sessions, make_clicks, split_by_time
from streamrec.errors import DatasetError, RegistryError
from streamrec.lineage import compare, reproduce, trained_on
from streamrec.models._gru4rec.environment import environment
from streamrec.models.gru4rec import GRU4Rec
from streamrec.registry import Registry
from streamrec.topic_clicks import TopicClicks
from streamrec.training import _described, gru4rec_config, train_gru4rec

PARAMETERS = dict(each.split("=") for each in TINY)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("STREAMREC_REGISTRY__PATH", str(tmp_path / "registry"))
    monkeypatch.setenv("STREAMREC_REGISTRY__REQUIRE_SIGNATURE", "false")
    return Registry(tmp_path / "registry", trusted=None)


@pytest.fixture
def run(registry: Registry, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb on the registry."""
    return runner(capsys)


def train(registry: Registry, clicks: Clicks, **options: Any) -> str:
    return train_gru4rec(clicks, registry, config=gru4rec_config(PARAMETERS), **options).version


def artifact(registry: Registry, version: str) -> Artifact:
    return Artifact(*registry.read("gru4rec", version))


def test_the_manifest_says_what_decides_about_the_bits(registry: Registry) -> None:
    clicks = ring_clicks()
    manifest = registry.manifest("gru4rec", train(registry, clicks, seed=7))
    assert manifest.data["sha256"] == clicks.digest()
    assert manifest.seed == 7
    assert manifest.parent is None
    assert manifest.environment.keys() >= {
        "torch",
        "cpu",
        "processor",
        "threads",
        "device",
        "trainer",
        "python",
    }
    assert (manifest.environment["device"], manifest.environment["threads"]) == ("cpu", 1)


def test_the_card_says_the_same_to_people(registry: Registry) -> None:
    first = train(registry, ring_clicks(100))
    second = train(registry, ring_clicks(), start=first, held_out=ring_clicks(40, seed=5))
    cards = [(registry.directory("gru4rec", each) / "MODEL_CARD.md").read_text() for each in (first, second)]
    for card in cards:
        for named in (
            "Data: sha256",
            "Parameter: epochs",
            "Environment: torch",
            "Seed",
            "Limits:",
            "Intended use",
        ):
            assert named in card
    assert "Nothing was held out" in cards[0]
    assert "| Went on from | nothing |" in cards[0]
    assert "Measured: recall_at_20" in cards[1]
    assert "sessions held out" in cards[1]
    assert f"| Went on from | {first} |" in cards[1]


def test_a_manifest_of_before_is_read(registry: Registry) -> None:
    version = train(registry, ring_clicks())
    path = registry.directory("gru4rec", version) / MANIFEST
    old = json.loads(path.read_text())
    del old["environment"], old["parent"], old["data"]["sha256"]
    path.write_text(json.dumps(old))
    manifest, _ = registry.read("gru4rec", version)
    assert (manifest.parent, manifest.environment) == (None, {})
    again = reproduce(registry, version, trained_on(ring_clicks(), manifest))
    assert again.equal
    assert not again.clicks_known
    assert again.environment["torch"][0] == "not recorded"


def test_a_version_is_made_again_to_the_last_bit(registry: Registry) -> None:
    clicks = ring_clicks()
    version = train(registry, clicks, seed=3)
    again = reproduce(registry, version, clicks)
    assert again.equal
    assert again.clicks_known
    assert (again.files, again.weights, again.scores, again.environment) == ({}, {}, 0.0, {})
    assert registry.versions("gru4rec") == [version], "nothing is published"


def test_so_is_one_that_went_on_from_another(registry: Registry) -> None:
    first = train(registry, ring_clicks(100))
    clicks = ring_clicks(200, seed=1)
    second = train(registry, clicks, start=first)
    assert registry.manifest("gru4rec", second).parent == first
    assert reproduce(registry, second, clicks).equal
    cold = train(registry, clicks)
    assert compare(artifact(registry, second), artifact(registry, cold)).files, "the parent does matter"
    registry.remove("gru4rec", first)
    with pytest.raises(RegistryError, match=f"{second} went on from {first}, which is needed"):
        reproduce(registry, second, clicks)


def test_the_manifest_says_up_to_when_those_before_it_had_learned(registry: Registry) -> None:
    clicks = ring_clicks(200)
    early = clicks.take(clicks.time_ms <= clicks.first_ms + (clicks.last_ms - clicks.first_ms) // 2)
    first = train(registry, clicks)
    second = train(registry, early, start=first)
    third = train(registry, early, start=second)
    until = registry.manifest("gru4rec", first).data["last"]
    for each in (second, third):
        data = registry.manifest("gru4rec", each).data
        assert data["parent_last"] == until
        assert data["last"] < until


def test_another_seed_is_told_by_files_weights_and_scores(registry: Registry) -> None:
    clicks = ring_clicks()
    one, other = (artifact(registry, train(registry, clicks, seed=seed)) for seed in (0, 1))
    found = compare(one, other)
    assert not found.equal
    assert {"step.onnx", "score.onnx", "bias.npy"} <= found.files.keys()
    assert "vocabulary.json" not in found.files
    items = [
        np.load(registry.directory("gru4rec", each.manifest.version) / "bias.npy") for each in (one, other)
    ]
    assert found.weights["bias.npy"] == pytest.approx(np.abs(items[0] - items[1]).max())
    assert found.scores > 0


def test_other_threads_are_named_as_a_reason(registry: Registry) -> None:
    version = train(registry, ring_clicks())
    path = registry.directory("gru4rec", version) / MANIFEST
    changed = json.loads(path.read_text())
    changed["environment"] |= {"threads": 1, "cpu": "AVX-9", "torch": "1.0"}
    path.write_text(json.dumps(changed))
    again = reproduce(registry, version, ring_clicks())
    assert again.environment.keys() == {"cpu", "torch"}
    assert again.environment["cpu"][0] == "AVX-9"


def test_other_items_have_no_scores_to_compare(registry: Registry, tmp_path: Path) -> None:
    few = make_clicks(*zip(*[("s", "a", 0), ("s", "b", 1000), ("s", "a", 2000)], strict=True))
    one, other = (artifact(registry, train(registry, each)) for each in (ring_clicks(), few))
    found = compare(one, other)
    assert math.isnan(found.scores)
    assert math.isinf(found.weights["bias.npy"])


def test_training_on_a_part_by_time_is_found_again(registry: Registry) -> None:
    clicks = ring_clicks()
    middle = len(clicks) // 2
    while clicks.session_ids[middle] != clicks.session_ids[middle - 1]:
        middle += 1  # within a session, so that the two kinds of cuts differ
    cut_ms = int(clicks.time_ms[middle])
    parts = {
        "whole sessions before": split_by_time(clicks, cut_ms)[0],
        "whole sessions after": split_by_time(clicks, cut_ms)[1],
        "clicks before": clicks.take(clicks.time_ms < cut_ms),
        "clicks after": clicks.take(clicks.time_ms >= cut_ms),
        "all": clicks,
    }
    manifest = registry.manifest("gru4rec", train(registry, clicks))
    for name, part in parts.items():
        of_part = manifest.model_copy(update={"data": _described(part)})
        assert trained_on(clicks, of_part).digest() == part.digest(), name


def test_other_clicks_are_found_out_before_the_training(registry: Registry) -> None:
    clicks = ring_clicks()
    manifest = registry.manifest("gru4rec", train(registry, clicks))
    swapped = [*clicks.item_ids]
    swapped[0], swapped[-1] = swapped[-1], swapped[0]
    for wrong in (
        ring_clicks(seed=1),
        clicks.first(len(clicks) - 1),
        Clicks(clicks.session_ids, swapped, clicks.time_ms),
    ):
        with pytest.raises(DatasetError, match=f"no part by time of these {len(wrong):,} clicks is the same"):
            trained_on(wrong, manifest)


@given(st.lists(st.text(max_size=3), min_size=1, max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_the_digest_tells_columns_apart(items: list[str], others: list[str]) -> None:
    def digest(column: list[str]) -> str:
        return Clicks(["s"] * len(column), column, np.zeros(len(column), np.int64)).digest()

    assert (digest(items) == digest(others)) == (items == others)


def test_the_environment_says_what_it_runs_on() -> None:
    import torch

    found = environment(torch.device("cpu"), 2)
    assert found["cpu"] == torch.backends.cpu.get_cpu_capability()
    assert (found["threads"], found["processes"]) == (2, 1)
    assert len(str(found["trainer"])) == 16


def test_the_verb_says_that_it_is_equal(run: Run, registry: Registry, tmp_path: Path) -> None:
    clicks = ring_clicks()
    file = write_tsv(tmp_path / "clicks.tsv", clicks)
    version = train(registry, clicks, data={"source": "clicks.tsv"})
    code, out, _ = run("models", "reproduce", version, "--data", file)
    assert (code, out) == (0, f"{version} is made again to the last bit, from {len(clicks):,} clicks\n")
    code, out, _ = run("models", "reproduce", "--data", file, "--json")
    assert json.loads(out)["equal"] is True


def test_the_verb_says_what_differs(run: Run, registry: Registry, tmp_path: Path) -> None:
    clicks = ring_clicks()
    file = write_tsv(tmp_path / "clicks.tsv", clicks)
    version = train(registry, clicks)
    directory = registry.directory("gru4rec", version)
    # As if the release had been trained by other code: its weights are those of another seed.
    other = GRU4Rec(gru4rec_config(PARAMETERS))
    other.train(click_sessions(clicks), TrainOptions(seed=5))
    for path in directory.iterdir():
        path.unlink()
    other.export(directory, version=version, data=_described(clicks))
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["seed"] = 4
    manifest["environment"]["trainer"] = "0" * 16
    (directory / MANIFEST).write_text(json.dumps(manifest))
    assert read_artifact(directory)
    code, out, _ = run("models", "reproduce", version, "--data", file)
    assert code == 1
    assert f"{version} comes out otherwise" in out
    for named in (
        "score.onnx",
        "bias.npy",
        "largest difference",
        "scores after",
        "trainer",
        "0000000000000000",
    ):
        assert named in out
    code, out, _ = run("models", "reproduce", version, "--data", file, "--json")
    assert code == 1
    assert json.loads(out)["environment"].keys() == {"trainer"}


@pytest.mark.parametrize(
    ("earlier", "asked"), [({}, "topic_of"), ({"earlier": [{"id": "1", "digest": "2"}]}, "history_of")]
)
def test_without_a_source_it_is_the_place_that_has_all_of_the_clicks(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch, earlier: dict[str, Any], asked: str
) -> None:
    clicks = ring_clicks()
    version = train(registry, clicks, data={"offsets": {"0": [0, len(clicks)]}, **earlier})
    monkeypatch.setattr(lineage, asked, lambda *_: TopicClicks(clicks, {}))
    code, out, _ = run("models", "reproduce", version)
    assert (code, "to the last bit" in out) == (0, True)


def test_the_verb_asks_for_the_file_and_refuses_two_sources(run: Run, registry: Registry) -> None:
    version = train(registry, ring_clicks(), data={"source": "clicks.tsv"})
    code, _, err = run("models", "reproduce", version)
    assert code == 2
    assert f"{version} was trained on clicks.tsv; give --data FILE" in err
    code, _, err = run("models", "reproduce", version, "--bundled", "--from-topic")
    assert code == 2
    assert "give one of --bundled and --from-topic" in err
    code, _, err = run("models", "reproduce", version, "--from-topic")
    assert code == 1
    assert "not on the topic; give --data FILE or --bundled" in err
    code, _, err = run("models", "reproduce", version, "--bundled")
    assert code == 1
    assert "no part by time of these 113,601 clicks is the same" in err
