"""Exported models give what they gave in training, row by row, or they are refused."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from session_models import Published, edit_manifest, rewrite

from streamrec import scorer
from streamrec.contracts import FloatArray, IntArray
from streamrec.errors import ArtifactError, RegistryError
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.scorer import (
    SessionScorer,
    SessionStep,
    check_artifact,
    load_scorer,
    load_step,
    open_scorer,
    open_step,
)

NONE = np.empty(0, np.int64)
N_ITEMS = 40
Load = Callable[[Path], Any]
both = pytest.mark.parametrize("load", [open_step, open_scorer], ids=["step", "scorer"])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact as wide as a real one: kernels differ with the width."""
    model = GRU4Rec(GRU4RecConfig(epochs=1, n_sample=8))
    rng = np.random.default_rng(3)
    model.train([[f"i{item}" for item in rng.integers(0, 700, 5)] for _ in range(300)])
    directory = tmp_path_factory.mktemp("wide")
    model.export(directory)
    return directory


def hidden_states(n: int, width: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, width)).astype(np.float32)


# -- one row is one row -------------------------------------------------------------------------


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_step_is_the_same_bits_in_every_batch_and_at_every_place(
    wide: Path, one_by_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if one_by_one:  # as on a processor whose kernels depend on the batch
        monkeypatch.setattr(SessionStep, "_is_row_by_row", lambda *_: False)
    step = open_step(wide)
    rng = np.random.default_rng(2)
    items, hidden = rng.integers(0, 600, 130), hidden_states(130, step.hidden_size)
    alone = np.concatenate([step.step(items[n : n + 1], hidden[n : n + 1]) for n in range(130)])
    for size in range(1, 131):
        np.testing.assert_array_equal(step.step(items[:size], hidden[:size]), alone[:size])
        np.testing.assert_array_equal(step.step(items[-size:], hidden[-size:]), alone[-size:])


def test_loading_finds_out_whether_rows_depend_on_their_batch(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LeakyGraph(scorer._Graph):
        def run(self, inputs: dict[str, Any]) -> list[Any]:
            outputs = super().run(inputs)
            rows = len(inputs["items"])
            return [np.nextafter(outputs[0], np.float32(2))] if rows == 7 else outputs

    monkeypatch.setattr(scorer, "_Graph", LeakyGraph)
    step = open_step(wide)
    items, hidden = np.arange(7), hidden_states(7, step.hidden_size)
    alone = np.concatenate([step.step(items[n : n + 1], hidden[n : n + 1]) for n in range(7)])
    np.testing.assert_array_equal(step.step(items, hidden), alone)


@pytest.mark.parametrize("threads", [1, 2])
def test_lists_do_not_depend_on_batch_or_threads(wide: Path, threads: int) -> None:
    reference, model = open_scorer(wide), open_scorer(wide, threads=threads)
    hidden, excluded = hidden_states(64, 100), np.array([3, 5])
    alone = [reference.top(hidden[n : n + 1], 20, excluded) for n in range(64)]
    for size in (1, 7, 64):
        indices, scores = model.top(hidden[:size], 20, excluded)
        for row in range(size):
            np.testing.assert_array_equal(indices[row], alone[row][0][0])
            np.testing.assert_array_equal(scores[row], alone[row][1][0])


def test_no_rows_give_no_rows(artifact: Path) -> None:
    step, model = open_step(artifact), open_scorer(artifact)
    nothing = np.empty((0, 16), np.float32)
    assert step.step(NONE, nothing).shape == (0, 16)
    assert model.top(nothing, 5, NONE)[0].shape == (0, 5)


# -- what a list holds --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(published: Published) -> SessionScorer:
    return load_scorer(published.registry, published.version)


@given(
    n=st.integers(0, 2 * N_ITEMS),
    excluded=st.lists(st.integers(0, N_ITEMS - 1), max_size=60),
    seed=st.integers(0, 1000),
)
def test_excluded_items_never_appear_and_the_rest_comes_best_first(
    tiny: SessionScorer, published: Published, n: int, excluded: list[int], seed: int
) -> None:
    hidden = hidden_states(3, 16, seed)
    indices, scores = tiny.top(hidden, n, np.array(excluded, np.int64))
    left = sorted(set(range(N_ITEMS)) - set(excluded))
    assert indices.shape == scores.shape == (3, min(n, len(left)))
    network = published.model.network
    assert network is not None
    everything = hidden @ network.items.detach().numpy().T + network.bias.detach().numpy()
    for row in range(3):
        assert set(indices[row]) <= set(left)
        assert len(set(indices[row])) == len(indices[row])
        assert (np.diff(scores[row]) <= 0).all()
        np.testing.assert_allclose(scores[row], everything[row, indices[row]], atol=1e-5)
        if 0 < len(indices[row]) < len(left):
            rest = np.setdiff1d(left, indices[row])
            assert everything[row, rest].max() <= scores[row, -1] + 1e-5


@pytest.mark.parametrize("n", [1, 5, 20, N_ITEMS])
def test_equal_scores_go_by_lower_index(artifact: Path, n: int) -> None:
    model = onnx.load(artifact / "score.onnx")
    weights = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros_like(weights), "items"))
    rewrite(artifact, "score.onnx", model.SerializeToString())
    bias = np.array([index % 3 for index in range(N_ITEMS)], np.float32)
    rewrite_bias(artifact, bias)
    order = np.argsort(-bias, kind="stable")
    edit_manifest(artifact, lambda manifest: set_scores(manifest, order, bias))
    indices, _ = open_scorer(artifact).top(hidden_states(2, 16), n, NONE)
    assert indices.tolist() == [order[:n].tolist()] * 2


def set_scores(manifest: dict[str, Any], order: IntArray, bias: FloatArray) -> None:
    for probe in manifest["probes"]:
        probe.update(top=order[:20].tolist(), scores=bias[order[:20]].tolist())


def test_items_are_known_by_index_and_strangers_by_minus_one(published: Published) -> None:
    step = load_step(published.registry, published.version)
    model = load_scorer(published.registry, published.version)
    vocabulary = published.model.vocabulary
    assert list(model.items) == vocabulary
    assert [step.item_index(item_id) for item_id in vocabulary] == list(range(N_ITEMS))
    assert step.item_index("stranger") == -1
    assert (step.version, model.version, step.hidden_size) == (published.version, published.version, 16)


# -- what is refused ----------------------------------------------------------------------------


def rewrite_bias(artifact: Path, bias: Any) -> None:
    value = io.BytesIO()
    np.save(value, bias, allow_pickle=True)
    rewrite(artifact, "bias.npy", value.getvalue())


def edit_weights(artifact: Path, graph: str, name: str, edit: Callable[[Any], Any]) -> None:
    model = onnx.load(artifact / graph)
    (place,) = [each for each in model.graph.initializer if each.name == name]
    weights = numpy_helper.to_array(place).copy()
    changed = edit(weights)
    place.CopyFrom(numpy_helper.from_array(weights if changed is None else changed, name))
    rewrite(artifact, graph, model.SerializeToString())


def put(place: tuple[int, ...], value: float) -> Callable[[Any], None]:
    def edit(weights: Any) -> None:
        weights[place] = value

    return edit


@pytest.mark.parametrize("row", [0, N_ITEMS - 1])
@pytest.mark.parametrize(
    ("load", "graph", "name", "value"),
    [
        (open_step, "step.onnx", "inputs", np.nan),
        (open_scorer, "score.onnx", "items", np.nan),
        (open_scorer, "score.onnx", "items", np.inf),
    ],
)
def test_weights_that_are_no_numbers_are_found_wherever_they_are(
    artifact: Path, load: Load, graph: str, name: str, row: int, value: float
) -> None:
    edit_weights(artifact, graph, name, put((row, 3), value))
    with pytest.raises(ArtifactError, match=graph):
        load(artifact)


@pytest.mark.parametrize(
    ("load", "graph", "name"),
    [
        (open_step, "step.onnx", "inputs"),
        (open_step, "step.onnx", "gru.weight_hh"),
        (open_step, "step.onnx", "gru.bias_hh"),
        (open_scorer, "score.onnx", "items"),
    ],
)
def test_other_weights_than_trained_do_not_pass_the_probes(
    artifact: Path, load: Load, graph: str, name: str
) -> None:
    edit_weights(artifact, graph, name, lambda weights: -weights)
    edit_weights(artifact, graph, name, lambda weights: weights + np.float32(0.05))
    with pytest.raises(ArtifactError, match=f"{graph} .*; export the model again"):
        load(artifact)


def test_another_bias_does_not_pass_the_probes(artifact: Path) -> None:
    rewrite_bias(artifact, np.linspace(0, 1, N_ITEMS, dtype=np.float32))
    with pytest.raises(ArtifactError, match=r"score\.onnx is off by"):
        open_scorer(artifact)


@pytest.mark.parametrize(
    ("bias", "named"),
    [
        (np.zeros(N_ITEMS - 1, np.float32), r"float32 \(39,\)"),
        (np.zeros(N_ITEMS, np.float64), "float64"),
        (np.full(N_ITEMS, np.nan, np.float32), "not finite"),
        (np.array([{}] * N_ITEMS), "cannot be read"),
    ],
    ids=["short", "float64", "nan", "pickle"],
)
def test_a_bias_that_does_not_fit_is_refused(artifact: Path, bias: Any, named: str) -> None:
    rewrite_bias(artifact, bias)
    with pytest.raises(ArtifactError, match=named):
        open_scorer(artifact)


@both
@pytest.mark.parametrize(
    "vocabulary",
    [
        [f"i{n}" for n in range(N_ITEMS - 1)],
        [f"i{n}" for n in range(N_ITEMS + 1)],
        ["same"] * N_ITEMS,
        list(range(N_ITEMS)),
        {f"i{n}": n for n in range(N_ITEMS)},
    ],
    ids=["short", "long", "twice the same", "numbers", "object"],
)
def test_a_vocabulary_that_does_not_fit_is_refused(artifact: Path, load: Load, vocabulary: Any) -> None:
    rewrite(artifact, "vocabulary.json", json.dumps(vocabulary).encode())
    with pytest.raises(ArtifactError, match="vocabulary"):
        load(artifact)


@both
def test_more_items_than_the_graphs_know_are_refused(artifact: Path, load: Load) -> None:
    rewrite(artifact, "vocabulary.json", json.dumps([f"i{n}" for n in range(N_ITEMS + 1)]).encode())
    rewrite_bias(artifact, np.zeros(N_ITEMS + 1, np.float32))
    edit_manifest(artifact, lambda manifest: manifest.update(n_items=N_ITEMS + 1))
    with pytest.raises(ArtifactError, match="cannot be run"):
        load(artifact)


def external(model: Any) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="vocabulary.json")


def foreign(model: Any) -> None:
    model.graph.node[0].domain = "com.microsoft"


def unknown(model: Any) -> None:
    model.graph.node[0].op_type = "Guess"


@pytest.mark.parametrize("change", [external, foreign, unknown], ids=lambda change: change.__name__)
@pytest.mark.parametrize(("load", "graph"), [(open_step, "step.onnx"), (open_scorer, "score.onnx")])
def test_a_graph_of_other_than_standard_parts_is_refused(
    artifact: Path, load: Load, graph: str, change: Callable[[Any], None]
) -> None:
    model = onnx.load(artifact / graph)
    change(model)
    rewrite(artifact, graph, model.SerializeToString())
    with pytest.raises(ArtifactError, match=graph):
        load(artifact)


@pytest.mark.parametrize(("load", "graph"), [(open_step, "score.onnx"), (open_scorer, "step.onnx")])
def test_the_wrong_graph_is_refused(artifact: Path, load: Load, graph: str) -> None:
    other = {"score.onnx": "step.onnx", "step.onnx": "score.onnx"}[graph]
    rewrite(artifact, other, (artifact / graph).read_bytes())
    with pytest.raises(ArtifactError, match=f"{other} cannot be run"):
        load(artifact)


@both
def test_a_file_that_the_manifest_does_not_list_is_not_used(artifact: Path, load: Load) -> None:
    edit_manifest(artifact, lambda manifest: manifest.update(files={}))
    with pytest.raises(ArtifactError, match=r"step\.onnx is not in|score\.onnx is not in|vocabulary\.json"):
        load(artifact)


@pytest.mark.parametrize(
    ("load", "change"),
    [
        (open_step, {"items": [10**9]}),
        (open_step, {"hidden": [0.0]}),
        (open_scorer, {"hidden": [0.0]}),
        (open_scorer, {"scores": [1.0]}),
        (open_scorer, {"top": [0] * 20}),
    ],
    ids=str,
)
def test_a_probe_that_the_model_does_not_answer_is_refused(
    artifact: Path, load: Load, change: dict[str, Any]
) -> None:
    edit_manifest(artifact, lambda manifest: manifest["probes"][0].update(change))
    with pytest.raises(ArtifactError, match="export the model again"):
        load(artifact)


def test_a_version_under_another_name_is_refused(
    published: Published, artifact: Path, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry")
    (registry.path / "gru4rec").mkdir(parents=True)
    artifact.rename(registry.path / "gru4rec" / "another")
    for load in (load_step, load_scorer, check_artifact):
        with pytest.raises(ArtifactError, match=f"holds gru4rec {published.version}"):
            load(registry, "another")
        with pytest.raises(RegistryError, match="no version unheard-of"):
            load(registry, "unheard-of")


def test_a_release_names_the_digest_it_means(published: Published) -> None:
    for load in (load_step, load_scorer):
        with pytest.raises(ArtifactError, match="the release says 0000"):
            load(published.registry, published.version, "0" * 64)
    assert check_artifact(published.registry, published.version).version == published.version


def test_onnx_runtime_reports_to_nobody_and_leaves_nothing_at_home(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment = {**kept, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "import streamrec.scorer"], env=environment, check=True)
    assert not list(tmp_path.iterdir())
