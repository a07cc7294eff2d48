"""What GRU4Rec promises (contracts.DeepModel): it learns, it exports what it learned, by seed."""

import itertools
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from session_models import RING, TINY, Published, ring_sessions

from streamrec import __version__
from streamrec.artifact import MANIFEST, read_artifact
from streamrec.contracts import Session, TrainOptions
from streamrec.errors import ArtifactError, ConfigError, DatasetError, RegistryError
from streamrec.evaluation.exported import ExportedModel
from streamrec.evaluation.metrics import recall_at_k
from streamrec.evaluation.next_items import next_items
from streamrec.models._gru4rec.export import MOST_PROJECTED_BYTES
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.scorer import check_artifact, open_scorer, open_step

NONE = np.empty(0, np.int64)


def trained(sessions: Iterable[Session], seed: int = 0, **fields: Any) -> GRU4Rec:
    model = GRU4Rec(TINY.model_copy(update=fields))
    model.train(sessions, TrainOptions(seed=seed))
    return model


def exported(directory: Path) -> ExportedModel:
    return ExportedModel(open_step(directory), open_scorer(directory))


def weights(model: GRU4Rec) -> dict[str, bytes]:
    assert model.network is not None
    return {name: value.numpy().tobytes() for name, value in model.network.state_dict().items()}


# -- learning -----------------------------------------------------------------------------------


@pytest.mark.parametrize("embedding", ["shared", "separate"])
@pytest.mark.parametrize(
    ("fields", "recall"),
    [
        ({"loss": "cross-entropy"}, 0.97),
        ({"loss": "bpr-max", "epochs": 6}, 0.97),
        # TOP1 asks of the next item only to be above the mean of the others.
        ({"loss": "top1", "epochs": 10, "learning_rate": 0.05}, 0.75),
        ({"loss": "cross-entropy", "n_sample": 0}, 0.97),
        ({"loss": "bpr-max", "momentum": 0.3, "dropout_hidden": 0.1, "dropout_embed": 0.1, "epochs": 6}, 0.9),
    ],
    ids=str,
)
def test_the_next_item_of_the_ring_is_learned(
    fields: dict[str, Any], recall: float, embedding: str, tmp_path: Path
) -> None:
    model = trained(ring_sessions(), **fields, embedding=embedding)
    model.export(tmp_path)
    found = next_items(exported(tmp_path), ring_sessions(60, seed=7))
    assert recall_at_k(found.ranks, 1).mean() > recall
    assert recall_at_k(found.ranks, 2).mean() > 0.95


def test_what_came_before_the_last_item_counts(tmp_path: Path) -> None:
    # After `m` comes what the session began with: the last item alone says nothing.
    rng = random.Random(1)
    sessions = [Session([start, "m", f"end of {start}"]) for start in rng.choices("abcd", k=400)]
    model = trained(sessions, epochs=15, embedding="separate", learning_rate=0.05)
    model.export(tmp_path)
    step, score = open_step(tmp_path), open_scorer(tmp_path)
    for start in "abcd":
        hidden = np.zeros((1, 16), np.float32)
        for item_id in (start, "m"):
            hidden = step.step(np.array([step.item_index(item_id)]), hidden)
        best = score.top(hidden, 1, NONE)[0][0, 0]
        assert score.items[best] == f"end of {start}"


def test_on_a_checkerboard_the_withheld_item_comes_first(tmp_path: Path) -> None:
    # Two kinds of visitor, who see the items of their colour in any order; one pair of items
    # is never seen in one session.
    colours = [[f"{colour}{n}" for n in range(6)] for colour in ("black", "white")]
    rng = random.Random(2)
    sessions = [rng.sample(rng.choice(colours), 4) for _ in range(600)]
    kept = [Session(items) for items in sessions if not {"black0", "black1"} <= set(items)]
    model = trained(kept, epochs=8)
    model.export(tmp_path)
    step, score = open_step(tmp_path), open_scorer(tmp_path)
    hidden = np.zeros((1, 16), np.float32)
    seen = ["black0", "black2", "black3", "black4", "black5"]
    for item_id in seen:
        hidden = step.step(np.array([step.item_index(item_id)]), hidden)
    excluded = np.array([step.item_index(item_id) for item_id in seen])
    assert score.items[score.top(hidden, 1, excluded)[0][0, 0]] == "black1"


def test_the_loss_falls_and_progress_is_told(published: Published) -> None:
    told: list[tuple[int, int]] = []
    sessions = ring_sessions()
    model = GRU4Rec(TINY)
    options = TrainOptions(on_step=lambda done, total, _: told.append((done, total)))
    report = model.train(sessions, options)
    events = sum(len(session.items) - 1 for session in sessions)
    assert report.events == TINY.epochs * events
    assert told == [(epoch * events, report.events) for epoch in range(1, TINY.epochs + 1)]
    assert len(report.losses) == TINY.epochs
    assert report.losses[0] > 1.5 * max(report.losses[1:])  # there is little to learn after one epoch


# -- by seed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"dropout_hidden": 0.3, "dropout_embed": 0.2}], ids=str)
def test_the_same_sessions_and_seed_give_the_same_bits(fields: dict[str, Any]) -> None:
    sessions = ring_sessions(60)
    torch.manual_seed(1)
    first = trained(sessions, seed=3, **fields)
    torch.manual_seed(2)  # of no concern: training has its own generators
    state = torch.get_rng_state()
    second = trained(sessions, seed=3, **fields)
    assert weights(first) == weights(second)
    assert torch.equal(torch.get_rng_state(), state)
    assert weights(trained(sessions, seed=4, **fields)) != weights(first)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA on this machine")
def test_on_cuda_the_same_is_learned(tmp_path: Path) -> None:
    # Initial weights, samples and dropout are drawn on the CPU: only the order of sums differs.
    short, model = TINY.model_copy(update={"epochs": 1}), GRU4Rec(TINY)
    on_cuda, on_cpu = (
        GRU4Rec(short).train(ring_sessions(), TrainOptions(device=device)).losses
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(on_cuda, on_cpu, rtol=1e-3)
    model.train(ring_sessions(), TrainOptions(device="cuda"))
    model.export(tmp_path)
    found = next_items(exported(tmp_path), ring_sessions(60, seed=7))
    assert recall_at_k(found.ranks, 1).mean() > 0.97


def test_training_leaves_torchs_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    trained(ring_sessions(20), epochs=1)
    assert torch.get_num_threads() == before


def test_a_version_is_named_after_time_and_weights(published: Published) -> None:
    names = {published.model.version().split("-")[1] for _ in range(2)}
    assert len(names) == 1
    assert trained(ring_sessions(20), epochs=1).version().split("-")[1] not in names


def test_the_vocabulary_goes_from_the_most_to_the_least_popular() -> None:
    model = trained([Session(items) for items in (["b", "c", "c"], ["a", "c"], ["alone"])], epochs=1)
    assert model.items == ["c", "a", "b"]


# -- what is exported ---------------------------------------------------------------------------


@pytest.mark.parametrize("most_projected", [0, MOST_PROJECTED_BYTES])
@pytest.mark.parametrize("embedding", ["shared", "separate"])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_graphs_give_what_torch_gives(
    layers: int, embedding: str, most_projected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrec.models._gru4rec.export.MOST_PROJECTED_BYTES", most_projected)
    size = 16 if embedding == "shared" else 12
    model = trained(ring_sessions(100), embedding=embedding, embedding_size=size, layers=layers, epochs=2)
    model.export(tmp_path)
    step, score = open_step(tmp_path), open_scorer(tmp_path)
    network = model.network
    assert network is not None
    rng = np.random.default_rng(0)
    hidden = torch.zeros(32, 16 * layers)
    onnx_hidden = np.zeros((32, 16 * layers), np.float32)
    for _ in range(20):
        items = rng.integers(0, len(RING), 32)
        with torch.no_grad():
            hidden, scores = network(torch.from_numpy(items), hidden)
        onnx_hidden = step.step(items, onnx_hidden)
        np.testing.assert_allclose(onnx_hidden, hidden.numpy(), atol=1e-5)
        indices, onnx_scores = score.top(onnx_hidden, len(RING), NONE)
        np.testing.assert_allclose(
            onnx_scores, np.take_along_axis(scores.numpy(), indices, axis=1), atol=1e-5
        )


def test_probes_are_sessions_with_what_torch_makes_of_them(published: Published) -> None:
    network = published.model.network
    assert network is not None
    manifest, _ = read_artifact(published.directory)
    assert [len(probe.items) for probe in manifest.probes] == [1, 2, 3, 4]
    for probe in manifest.probes:
        hidden = torch.zeros(1, 16)
        with torch.no_grad():
            for item in probe.items:
                hidden, scores = network(torch.tensor([item]), hidden)
        np.testing.assert_allclose(probe.hidden, hidden[0].numpy(), atol=1e-6)
        np.testing.assert_allclose(probe.scores, scores[0, probe.top].numpy(), atol=1e-6)
        assert probe.scores == sorted(probe.scores, reverse=True)


def test_the_manifest_and_the_card_say_where_the_model_comes_from(tmp_path: Path) -> None:
    model = trained(ring_sessions(20), seed=9, epochs=1)
    model.export(tmp_path, version="v1", data={"source": "a|b", "clicks": 7}, metrics={"recall_at_20": 0.5})
    manifest, _ = read_artifact(tmp_path)
    assert (manifest.version, manifest.seed, manifest.code_version) == ("v1", 9, __version__)
    assert (manifest.data, manifest.metrics) == ({"source": "a|b", "clicks": 7}, {"recall_at_20": 0.5})
    card = (tmp_path / "MODEL_CARD.md").read_text()
    for row in (
        "| Version | v1 |",
        "| Data: clicks | 7 |",
        "| Measured: recall_at_20 | 0.5000 |",
        "| Seed | 9 |",
    ):
        assert row in card
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {3}


def test_publishing_makes_a_version_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    model = trained(ring_sessions(20), epochs=1)
    registry = Registry(tmp_path)
    version = model.publish(registry, data={"clicks": 1})
    assert registry.versions("gru4rec") == [version]
    assert check_artifact(registry, version, signed=False).data == {"clicks": 1}
    with pytest.raises(RegistryError, match="never changed"):
        registry.publish("gru4rec", version, lambda _: None)


def test_weights_that_are_no_numbers_are_not_exported(tmp_path: Path) -> None:
    model = trained(ring_sessions(20), epochs=1)
    assert model.network is not None
    with torch.no_grad():
        model.network.items[5, 3] = torch.nan
    registry = Registry(tmp_path)
    with pytest.raises(ArtifactError, match="items has weights that are not finite"):
        model.publish(registry)
    assert registry.versions("gru4rec") == []


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("sessions", [[], [[]], [["a"], ["b"]]], ids=str)
def test_sessions_without_a_next_item_cannot_be_trained_on(sessions: list[list[str]]) -> None:
    with pytest.raises(DatasetError, match="no session has two clicks"):
        GRU4Rec(TINY).train(Session(items) for items in sessions)


def test_a_model_that_is_not_trained_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="call train first"):
        GRU4Rec(TINY).export(tmp_path)
    assert not (tmp_path / MANIFEST).exists()


def test_a_loss_that_grows_without_bounds_names_what_to_turn_down() -> None:
    with pytest.raises(ConfigError, match="learning_rate below 1e"):
        trained(ring_sessions(50), learning_rate=1e30, loss="bpr-max")


@pytest.mark.parametrize("device", ["cuda:99", "no such device"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ConfigError, match=device):
        GRU4Rec(TINY).train(ring_sessions(2), TrainOptions(device=device))


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "hinge"},
        {"embedding": "shared", "embedding_size": 8, "hidden_size": 16},
        {"batch_size": 1},
        {"epochs": 0},
        {"dropout_hidden": 1.0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"sample_alpha": 1.5},
        {"n_samples": 5},
    ],
    ids=str,
)
def test_hyperparameters_that_cannot_work_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        GRU4RecConfig(**fields)


def test_the_quick_preset_is_a_valid_configuration_with_less_to_do() -> None:
    assert GRU4RecConfig.model_validate(GRU4Rec.QUICK.model_dump()) == GRU4Rec.QUICK
    quick, default = GRU4Rec.QUICK, GRU4RecConfig()
    assert quick.batch_size * default.n_sample > default.batch_size * quick.n_sample


def test_training_takes_any_iterable_of_sessions() -> None:
    model = GRU4Rec(TINY)
    model.train(itertools.islice(iter(ring_sessions(20)), 10))
    assert model.network is not None
