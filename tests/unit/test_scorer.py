"""Exported models give what they gave in training, row by row, or they are refused."""

import contextlib
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from session_models import Published, edit_manifest, make_slow, rewrite

from streamrec import scorer
from streamrec.artifact import MANIFEST
from streamrec.contracts import FloatArray, IntArray, Session
from streamrec.errors import ArtifactError, Refusal, RegistryError
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
    model.train(Session([f"i{item}" for item in rng.integers(0, 700, 5)]) for _ in range(300))
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
    class LeakyGraph(scorer.Graph):
        def run(self, inputs: dict[str, Any]) -> list[Any]:
            outputs = super().run(inputs)
            rows = len(inputs["items"])
            return [np.nextafter(outputs[0], np.float32(2))] if rows == 7 else outputs

    monkeypatch.setattr(scorer, "Graph", LeakyGraph)
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
    vocabulary = published.model.items
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
        (open_step, "step.onnx", "gru.0.weight_hh"),
        (open_step, "step.onnx", "gru.0.bias_hh"),
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
        (np.zeros((N_ITEMS, 1), np.float32), r"float32 \(40, 1\)"),
        (np.zeros(N_ITEMS, ">f4"), ">f4"),
        (np.array([{}] * N_ITEMS), "bias.npy is object"),
    ],
    ids=["short", "float64", "nan", "a column", "big endian", "pickle"],
)
def test_a_bias_that_does_not_fit_is_refused(artifact: Path, bias: Any, named: str) -> None:
    rewrite_bias(artifact, bias)
    with pytest.raises(ArtifactError, match=named):
        open_scorer(artifact)


def bias_header(shape: str, descr: str = "<f4") -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def npz() -> bytes:
    value = io.BytesIO()
    np.savez(value, bias=np.zeros(N_ITEMS, np.float32))
    return value.getvalue()


GOOD_BIAS = bytes(4 * N_ITEMS)
BAD_BIAS_FILES = {
    "empty": (b"", "cannot be read"),
    "no numpy file": (b"bias" * 100, "cannot be read"),
    "an archive": (npz(), "cannot be read"),
    "a header alone": (bias_header("(40,)"), "holds 0 bytes for 40 numbers"),
    "cut off": (bias_header("(40,)") + GOOD_BIAS[:-1], "holds 159 bytes for 40 numbers"),
    "something after it": (bias_header("(40,)") + GOOD_BIAS + b"x", "holds 161 bytes for 40 numbers"),
    "a header that promises terabytes": (bias_header(f"({10**12},)") + GOOD_BIAS, "wanted is float32"),
    "a shape that is no shape": (bias_header("'(40,)'") + GOOD_BIAS, "cannot be read"),
    "a header that calls": (bias_header("__import__('os').getpid()") + GOOD_BIAS, "cannot be read"),
    "a header too deep": (bias_header("(" * 60) + GOOD_BIAS, "cannot be read"),
    "pickled objects": (bias_header("(40,)", "|O") + GOOD_BIAS, "bias.npy is object"),
}


@pytest.mark.parametrize(("value", "named"), BAD_BIAS_FILES.values(), ids=BAD_BIAS_FILES.keys())
def test_a_bias_file_is_not_taken_at_its_word(artifact: Path, value: bytes, named: str) -> None:
    rewrite(artifact, "bias.npy", value)
    with pytest.raises(ArtifactError, match=named):
        open_scorer(artifact)


BAD_VOCABULARY_FILES = {
    "empty": b"",
    "not JSON": b"i00",
    "not UTF-8": b'["\xff"]',
    "nested too deep": b"[" * 10_000,
    "an empty id": json.dumps(["", *(f"i{n}" for n in range(N_ITEMS - 1))]).encode(),
    "an id too long": json.dumps(["i" * 257, *(f"i{n}" for n in range(N_ITEMS - 1))]).encode(),
    "far too large": b'["' + b"i" * 50_000 + b'"]',
    "far too many": json.dumps([""] * 20_000).encode(),
}


@both
@pytest.mark.parametrize("value", BAD_VOCABULARY_FILES.values(), ids=BAD_VOCABULARY_FILES.keys())
def test_a_vocabulary_file_is_checked_before_it_is_used(artifact: Path, load: Load, value: bytes) -> None:
    rewrite(artifact, "vocabulary.json", value)
    with pytest.raises(ArtifactError, match=r"vocabulary\.json"):
        load(artifact)


@both
@pytest.mark.parametrize("size", [8, 15, 17, 32])
def test_a_hidden_state_of_another_size_than_the_manifest_says_is_refused(
    artifact: Path, load: Load, size: int
) -> None:
    edit_manifest(artifact, lambda manifest: manifest.update(hidden_size=size))
    with pytest.raises(ArtifactError, match=f"16 numbers for a hidden state of {size}"):
        load(artifact)

    def of_that_size(manifest: dict[str, Any]) -> None:
        for probe in manifest["probes"]:
            probe["hidden"] = (probe["hidden"] * 2)[:size]

    edit_manifest(artifact, of_that_size)
    with pytest.raises(ArtifactError, match="cannot be run"):
        load(artifact)


def rename_input(model: Any) -> None:
    model.graph.input[0].name = "other"
    for node in model.graph.node:
        node.input[:] = ["other" if name in ("items", "hidden") else name for name in node.input]


def one_input_more(model: Any) -> None:
    model.graph.input.add().CopyFrom(model.graph.input[0])
    model.graph.input[-1].name = "more"


def rename_output(model: Any) -> None:
    last = model.graph.node[-1]
    last.output[0] = "other"
    for output in model.graph.output:
        output.name = "other" if output.name in ("hidden_after", "scores") else output.name


def double_output(model: Any) -> None:
    name = model.graph.output[-1].name
    for node in model.graph.node:
        node.output[:] = ["single" if each == name else each for each in node.output]
    model.graph.node.append(onnx.helper.make_node("Cast", ["single"], [name], to=onnx.TensorProto.DOUBLE))
    model.graph.output[-1].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


@pytest.mark.parametrize(
    "change", [rename_input, one_input_more, rename_output, double_output], ids=lambda change: change.__name__
)
@pytest.mark.parametrize(("load", "graph"), [(open_step, "step.onnx"), (open_scorer, "score.onnx")])
def test_a_graph_with_other_inputs_or_outputs_is_refused(
    artifact: Path, load: Load, graph: str, change: Callable[[Any], None]
) -> None:
    model = onnx.load(artifact / graph)
    change(model)
    rewrite(artifact, graph, model.SerializeToString())
    with pytest.raises(ArtifactError, match=rf"{graph}( takes| cannot be loaded|: the operator b'Cast')"):
        load(artifact)


@pytest.mark.parametrize("place", ["/etc/passwd", "../../secret", "vocabulary.json", "link"])
@pytest.mark.parametrize(("load", "graph"), [(open_step, "step.onnx"), (open_scorer, "score.onnx")])
def test_weights_are_not_looked_for_in_other_files(
    artifact: Path, load: Load, graph: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (artifact / "link").symlink_to("/etc/passwd")
    monkeypatch.chdir(artifact)
    model = onnx.load(artifact / graph)
    external(model, place)
    rewrite(artifact, graph, model.SerializeToString())
    with pytest.raises(ArtifactError, match=r"weights, which have to be in the file itself"):
        load(artifact)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_the_files_hold_is_loaded_or_refused(artifact: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["bias.npy", "score.onnx", "step.onnx", "vocabulary.json"]))
    good, manifest = (artifact / name).read_bytes(), (artifact / MANIFEST).read_bytes()
    # The structure is at both ends; in between are weights.
    near = st.integers(0, min(400, len(good) - 1))
    place = data.draw(near | near.map(lambda back: len(good) - 1 - back))
    damaged = bytearray(good)
    damaged[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[place:]
    try:
        rewrite(artifact, name, bytes(damaged))
        with contextlib.suppress(ArtifactError):
            open_step(artifact)
            open_scorer(artifact)
    finally:
        (artifact / name).write_bytes(good)
        (artifact / MANIFEST).write_bytes(manifest)


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


def external(model: Any, place: str = "vocabulary.json") -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=place)


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
    with pytest.raises(ArtifactError, match=f"{other} takes .* wanted are"):
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
    registry = Registry(tmp_path / "registry", trusted=None)
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


# -- why ----------------------------------------------------------------------------------------


REASONS: dict[str, tuple[Callable[[Path], Any], Refusal]] = {
    "cut short": (lambda artifact: rewrite(artifact, "score.onnx", b"\x08"), "damaged"),
    "a flipped bit": (
        lambda artifact: (artifact / "bias.npy").write_bytes(
            (artifact / "bias.npy").read_bytes()[:-1] + b"x"
        ),
        "damaged",
    ),
    "a file less": (lambda artifact: (artifact / "bias.npy").unlink(), "damaged"),
    "no JSON": (lambda artifact: (artifact / MANIFEST).write_text("{"), "damaged"),
    "other weights": (
        lambda artifact: edit_weights(artifact, "score.onnx", "items", lambda weights: -weights),
        "damaged",
    ),
    "another format": (
        lambda artifact: edit_manifest(artifact, lambda made: made.update(format=99)),
        "wrong_shape",
    ),
    "another width": (
        lambda artifact: edit_manifest(artifact, lambda made: made.update(hidden_size=32)),
        "wrong_shape",
    ),
    "the wrong graph": (
        lambda artifact: rewrite(artifact, "score.onnx", (artifact / "step.onnx").read_bytes()),
        "wrong_shape",
    ),
    "an item less": (
        lambda artifact: edit_weights(artifact, "score.onnx", "items", lambda weights: weights[:-1]),
        "wrong_shape",
    ),
    "a short bias": (lambda artifact: rewrite_bias(artifact, np.zeros(7, np.float32)), "wrong_shape"),
    "a foreign operator": (
        lambda artifact: change_graph(artifact, "score.onnx", foreign),
        "wrong_shape",
    ),
    "a weight that is no number": (
        lambda artifact: edit_weights(artifact, "score.onnx", "items", put((3, 3), np.nan)),
        "not_finite",
    ),
    "a bias that is infinite": (
        lambda artifact: rewrite_bias(artifact, np.full(N_ITEMS, np.inf, np.float32)),
        "not_finite",
    ),
}


def change_graph(artifact: Path, graph: str, change: Callable[[Any], None]) -> None:
    model = onnx.load(artifact / graph)
    change(model)
    rewrite(artifact, graph, model.SerializeToString())


@pytest.mark.parametrize(("damage", "reason"), REASONS.values(), ids=REASONS.keys())
def test_a_refusal_says_by_a_label_why(
    artifact: Path, damage: Callable[[Path], Any], reason: Refusal
) -> None:
    damage(artifact)
    with pytest.raises(ArtifactError) as refused:
        open_scorer(artifact)
    assert refused.value.reason == reason


def test_state_knows_what_both_graphs_cost(published: Published) -> None:
    step = load_step(published.registry, published.version)
    model = load_scorer(published.registry, published.version)
    assert set(step.costs_s) == {"step.onnx", "score.onnx"}
    assert set(model.costs_s) == {"score.onnx"}
    assert all(0 < cost_s < 0.1 for cost_s in step.costs_s.values())


def test_a_graph_that_does_more_costs_more_and_gives_the_same(artifact: Path) -> None:
    before = open_scorer(artifact)
    make_slow(artifact)
    after = open_scorer(artifact)
    hidden = hidden_states(5, 16)
    np.testing.assert_array_equal(before.top(hidden, 9, NONE)[0], after.top(hidden, 9, NONE)[0])
    assert after.costs_s["score.onnx"] > 10 * before.costs_s["score.onnx"]
