"""GRU4Rec going on from a version that was exported: what it knew is carried over, to the bit."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from session_models import RING, TINY, ring_sessions

from streamrec.artifact import read_artifact
from streamrec.contracts import Artifact, Session, TrainOptions
from streamrec.datasets import Clicks, make_clicks
from streamrec.errors import ArtifactError, ConfigError
from streamrec.models._gru4rec.network import Network
from streamrec.models._gru4rec.warm import carry_over, read_items, read_weights
from streamrec.models.gru4rec import GRU4Rec
from streamrec.registry import Registry
from streamrec.training import train_gru4rec

SHARED = {"embedding": "shared"}
SEPARATE = {"embedding": "separate", "embedding_size": 12, "layers": 2}


def exported(folder: Path, **config: Any) -> tuple[GRU4Rec, Artifact]:
    model = GRU4Rec(TINY.model_copy(update=config))
    model.train(ring_sessions(100), TrainOptions(seed=3))
    model.export(folder)
    return model, Artifact(*read_artifact(folder))


def scores(network: Network, items: list[str], session: list[str]) -> dict[str, float]:
    """Of every item after a session."""
    hidden = torch.zeros(1, network.gru[0].hidden_size * len(network.gru))
    with torch.no_grad():
        for item_id in session:
            hidden, found = network(torch.tensor([items.index(item_id)]), hidden)
    return dict(zip(items, found[0].tolist(), strict=True))


@pytest.mark.parametrize("most_projected", [0, 256 << 20])
@pytest.mark.parametrize("config", [SHARED, SEPARATE], ids=["shared", "separate"])
def test_the_weights_that_are_read_back_are_those_that_were_exported(
    config: dict[str, Any], most_projected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrec.models._gru4rec.export.MOST_PROJECTED_BYTES", most_projected)
    model, start = exported(tmp_path, **config)
    assert model.network is not None
    found = read_weights(start)
    for name, value in model.network.named_parameters():
        np.testing.assert_array_equal(found[name], value.detach().numpy(), strict=True)
    assert read_items(start) == model.items


@pytest.mark.parametrize("config", [SHARED, SEPARATE], ids=["shared", "separate"])
def test_before_it_learns_a_grown_vocabulary_is_scored_as_before(
    config: dict[str, Any], tmp_path: Path
) -> None:
    model, start = exported(tmp_path, **config)
    assert model.network is not None
    items = ["new-a", *reversed(RING[:30]), "new-b"]  # ten fell out, two came in, another order
    torch.manual_seed(0)
    network = Network(len(items), model.config)
    fresh = network.items.detach().clone()
    assert carry_over(network, items, read_weights(start), read_items(start)) == 30
    for session in ([RING[4]], RING[7:12]):
        before = scores(model.network, list(model.items), session)
        now = scores(network, items, session)
        # As many rows are multiplied in another order of blocks: equal up to single precision's last bits.
        assert {each: now[each] for each in RING[:30]} == pytest.approx(
            {each: before[each] for each in RING[:30]}, abs=1e-6
        )
    for place in (0, 31):
        assert torch.equal(network.items[place], fresh[place])


def test_training_goes_on_where_the_start_ended(tmp_path: Path) -> None:
    _, start = exported(tmp_path)
    slow = TINY.model_copy(update={"epochs": 1, "learning_rate": 1e-6})
    cold, warm = GRU4Rec(slow), GRU4Rec(slow)
    first = cold.train(ring_sessions(50, seed=9)).losses[0]
    assert warm.train(ring_sessions(50, seed=9), TrainOptions(start=start)).losses[0] < first / 2


def test_a_new_item_is_learned_beside_the_known(tmp_path: Path) -> None:
    _, start = exported(tmp_path)
    new = [Session([RING[n], "new"]) for n in range(len(RING))] * 3
    model = GRU4Rec(TINY)
    model.train([*ring_sessions(100, seed=1), *new], TrainOptions(start=start))
    ranked = sorted(scores(model.network, list(model.items), [RING[5]]).items(), key=lambda each: -each[1])  # type: ignore[arg-type]
    assert {item_id for item_id, _ in ranked[:2]} == {"new", RING[6]}


def test_the_same_start_and_seed_give_the_same_bits(tmp_path: Path) -> None:
    _, start = exported(tmp_path)
    weights = []
    for _ in range(2):
        model = GRU4Rec(TINY)
        model.train(ring_sessions(50, seed=1), TrainOptions(seed=4, start=start))
        assert model.network is not None
        weights.append([value.detach().numpy().tobytes() for value in model.network.parameters()])
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"embedding_size": 24, "hidden_size": 24}, "hidden_size 16, now 24"),
        ({"layers": 2}, "layers 1, now 2"),
        ({"embedding": "separate"}, "embedding shared, now separate"),
    ],
)
def test_another_shape_is_no_start(config: dict[str, Any], reason: str, tmp_path: Path) -> None:
    _, start = exported(tmp_path)
    model = GRU4Rec(TINY.model_copy(update=config))
    assert reason in (model.unlike(start) or "")
    with pytest.raises(ConfigError, match=reason):
        model.train(ring_sessions(10), TrainOptions(start=start))


def test_an_artifact_without_the_first_layer_is_no_start(tmp_path: Path) -> None:
    model, start = exported(tmp_path)
    files = {name: value for name, value in start.files.items() if name != "first_layer.npz"}
    assert "exported by an older streamrec" in (model.unlike(Artifact(start.manifest, files)) or "")


@pytest.mark.parametrize(
    "name", ["step.onnx", "score.onnx", "bias.npy", "first_layer.npz", "vocabulary.json"]
)
@pytest.mark.parametrize("value", [b"", b"\x93NUMPY", b"PK\x03\x04"])
def test_files_that_hold_no_weights_are_named(name: str, value: bytes, tmp_path: Path) -> None:
    _, start = exported(tmp_path)
    damaged = Artifact(start.manifest, {**start.files, name: value})
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        GRU4Rec(TINY).train(ring_sessions(10), TrainOptions(start=damaged))


def clicks(n: int, seed: int) -> Clicks:
    rows = [
        (f"s{number}", item, 60_000 * number + 1000 * place)
        for number, session in enumerate(ring_sessions(n, seed))
        for place, item in enumerate(session.items)
    ]
    return make_clicks(*zip(*rows, strict=True))


def test_the_manifest_names_the_parent_or_why_there_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(tmp_path, trusted=None)
    first = train_gru4rec(clicks(50, 0), registry, config=TINY)
    second = train_gru4rec(clicks(50, 1), registry, config=TINY, start=first.version)
    assert registry.read("gru4rec", second.version)[0].data["parent"] == first.version
    assert second.losses[0] < first.losses[0] / 2

    wide = TINY.model_copy(update={"embedding_size": 24, "hidden_size": 24})
    with caplog.at_level(logging.WARNING):
        third = train_gru4rec(clicks(50, 1), registry, config=wide, start=second.version)
    data = registry.read("gru4rec", third.version)[0].data
    assert "parent" not in data
    assert data["cold_start"] == f"{second.version} has embedding_size 16, now 24, hidden_size 16, now 24"
    assert data["cold_start"] in caplog.text


def test_a_checkpoint_belongs_to_its_start(tmp_path: Path) -> None:
    _, start = exported(tmp_path)
    checkpoint = tmp_path / "training.npz"
    GRU4Rec(TINY).train(ring_sessions(30), TrainOptions(checkpoint=checkpoint, start=start))
    with pytest.raises(ConfigError, match=f"start '{start.manifest.version}', now None"):
        GRU4Rec(TINY).train(ring_sessions(30), TrainOptions(checkpoint=checkpoint))
