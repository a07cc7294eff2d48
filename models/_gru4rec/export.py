"""GRU4Rec as ONNX: the graphs are written node by node, so that they hold nothing else."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from streamrec.artifact import FileEntry, Manifest, Probe, write_manifest
from streamrec.contracts import OnStep
from streamrec.errors import ArtifactError
from streamrec.models._gru4rec.onnx_model import onnx_model, single
from streamrec.models._gru4rec.score_export import checked_score
from streamrec.scorer import open_scorer, open_step

__all__ = ["FIRST_LAYER", "MOST_PROJECTED_BYTES", "write_artifact"]

FIRST_LAYER: Final = "first_layer.npz"
"""What the graphs may hold multiplied out only; for a training that goes on from here, not for serving."""

# Above it, what every item gives the gates is computed at each step instead of being kept.
MOST_PROJECTED_BYTES: Final = 256 << 20


Array = NDArray[Any]


def write_artifact(
    directory: Path,
    weights: Mapping[str, Array],
    vocabulary: list[str],
    probes: Callable[[], list[Probe]],
    manifest: Callable[[dict[str, FileEntry], list[Probe]], Manifest],
    on_step: OnStep | None = None,
) -> None:
    """Write graphs, bias, vocabulary, manifest and model card; then load and probe them.

    weights: items (N, H), inputs (N, D), bias (N,), and of every layer, as gru.0.weight_ih and so on,
    weight_ih (3H, D), weight_hh (3H, H), bias_ih, bias_hh (3H,); gates in the order reset, update, new.
    probes: give what the network gives, by which the graphs are checked. on_step: told how many items of a
    very large catalogue are in clusters, which takes a while.
    Raises ArtifactError if a weight is no finite number, or if what was written does not give
    what the probes say.
    """
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise ArtifactError(
                f"{name} has weights that are not finite; train with a smaller learning_rate or momentum"
            )
    score, found = checked_score(weights["items"], weights["bias"], _layers(weights), probes(), on_step)
    bias = io.BytesIO()
    np.save(bias, weights["bias"].astype(np.float32), allow_pickle=False)
    files = {
        "step.onnx": _step(weights).SerializeToString(),
        "score.onnx": score,
        "bias.npy": bias.getvalue(),
        FIRST_LAYER: _first_layer(weights),
        "vocabulary.json": json.dumps(vocabulary, ensure_ascii=False).encode(),
    }
    for name, value in files.items():
        (directory / name).write_bytes(value)
    made = manifest(
        {
            name: FileEntry(size_bytes=len(value), sha256=hashlib.sha256(value).hexdigest())
            for name, value in files.items()
        },
        found,
    )
    digest = write_manifest(directory, made)
    (directory / "MODEL_CARD.md").write_text(_card(made), encoding="utf-8")
    open_step(directory, digest)
    open_scorer(directory, digest)


def _first_layer(weights: Mapping[str, Array]) -> bytes:
    """The first layer's weights by the input, and the input embedding where it is one of its own."""
    names = ["gru.0.weight_ih", "gru.0.bias_ih"]
    if not np.array_equal(weights["inputs"], weights["items"]):
        names.append("inputs")
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{name: single(weights[name]) for name in names})
    return file.getvalue()


def _step(weights: Mapping[str, Array]) -> Any:
    """items (B,) int64, hidden (B, L·H) -> hidden after one more item each. Layers as in cell.py."""
    node = helper.make_node
    layers = _layers(weights)
    width = weights["gru.0.weight_hh"].shape[1]
    nodes, initializers = _inputs(weights)
    before, after = ["hidden"], ["hidden_after"]
    if layers > 1:
        before, after = ([f"{name}.{layer}" for layer in range(layers)] for name in ("hidden", "after"))
        nodes.append(node("Split", ["hidden"], before, axis=1, num_outputs=layers))
    for layer in range(layers):
        if layer:
            names = [after[layer - 1], f"gru.{layer}.weight_ih", f"gru.{layer}.bias_ih"]
            nodes.append(node("Gemm", names, [f"{layer}.by_input"], transB=1))
        nodes += _layer(layer, before[layer], after[layer])
    if layers > 1:
        nodes.append(node("Concat", after, ["hidden_after"], axis=1))
    kept = [name for name in weights if name.startswith("gru.") and not name.startswith("gru.0.")]
    kept += ["gru.0.weight_hh", "gru.0.bias_hh"]
    return onnx_model(
        "step",
        nodes,
        inputs=[("items", TensorProto.INT64, ["B"]), ("hidden", TensorProto.FLOAT, ["B", layers * width])],
        outputs=[("hidden_after", TensorProto.FLOAT, ["B", layers * width])],
        initializers={
            **initializers,
            **{name: weights[name] for name in kept},
            "gates": np.array([2 * width, width]),
        },
    )


def _layers(weights: Mapping[str, Array]) -> int:
    return sum(name.endswith(".weight_hh") for name in weights)


def _layer(layer: int, before: str, after: str) -> list[Any]:
    """Nodes from what the input gives the gates, and the state before, to the state after."""
    node = helper.make_node

    def own(*names: str) -> list[str]:
        return [f"{layer}.{name}" for name in names]

    by_hidden = [before, f"gru.{layer}.weight_hh", f"gru.{layer}.bias_hh"]
    return [
        node("Gemm", by_hidden, own("by_hidden"), transB=1),
        node("Split", [*own("by_input"), "gates"], own("input_rz", "input_n"), axis=1),
        node("Split", [*own("by_hidden"), "gates"], own("hidden_rz", "hidden_n"), axis=1),
        node("Add", own("input_rz", "hidden_rz"), own("sum_rz")),
        node("Sigmoid", own("sum_rz"), own("rz")),
        node("Split", own("rz"), own("r", "z"), axis=1, num_outputs=2),
        node("Mul", own("r", "hidden_n"), own("gated")),
        node("Add", own("input_n", "gated"), own("sum_n")),
        node("Tanh", own("sum_n"), own("n")),
        node("Sub", [before, *own("n")], own("difference")),
        node("Mul", own("z", "difference"), own("kept")),
        node("Add", own("n", "kept"), [after]),
    ]


def _inputs(weights: Mapping[str, Array]) -> tuple[list[Any], dict[str, Array]]:
    """Nodes and initializers from `items` to `0.by_input`, W x + b of the first layer's gates.

    A gather from the products of all items, made here, saves a third of a step's time; they take
    3H numbers for an item instead of D.
    """
    node = helper.make_node
    inputs, weight, bias = weights["inputs"], weights["gru.0.weight_ih"], weights["gru.0.bias_ih"]
    if 4 * len(inputs) * len(weight) <= MOST_PROJECTED_BYTES:
        with np.errstate(over="ignore", invalid="ignore"):  # loading finds what is not finite
            projected = inputs @ weight.T + bias
        return [node("Gather", ["inputs", "items"], ["0.by_input"])], {"inputs": projected}
    return (
        [
            node("Gather", ["inputs", "items"], ["x"]),
            node("Gemm", ["x", "gru.0.weight_ih", "gru.0.bias_ih"], ["0.by_input"], transB=1),
        ],
        {"inputs": inputs, "gru.0.weight_ih": weight, "gru.0.bias_ih": bias},
    )


def _card(manifest: Manifest) -> str:
    rows = [
        ("Version", manifest.version),
        ("Made", manifest.created),
        ("Code", f"streamrec {manifest.code_version}"),
        ("Items", f"{manifest.n_items:,}"),
        ("Hidden size", str(manifest.hidden_size)),
        ("Seed", str(manifest.seed)),
        ("Went on from", manifest.parent or "nothing"),
        *[(f"Data: {name}", str(value)) for name, value in manifest.data.items()],
        *[(f"Measured: {name}", f"{value:.4f}") for name, value in manifest.metrics.items()],
        *[(f"Parameter: {name}", str(value)) for name, value in manifest.config.items()],
        *[(f"Environment: {name}", str(value)) for name, value in manifest.environment.items()],
    ]
    table = "\n".join(f"| {name} | {value.replace('|', '/')} |" for name, value in rows)
    measured = (
        "The figures are of the sessions held out, which come after those trained on; items unseen in "
        "training count as misses unless a figure ends in `_known`. "
        "They say how often what was clicked stands in the list, not what a list brings about."
        if manifest.metrics
        else "Nothing was held out: how good it is was not measured in training."
    )
    return f"""# {manifest.model} {manifest.version}

A session-based recommender (arXiv:1511.06939, arXiv:1706.03847): from the items of a visitor's
session, in order, to the items that may come next.

| | |
|---|---|
{table}

Intended use: next-item recommendations for visitors of the app whose clicks it was trained on.
It learns what was clicked, popularity and its biases included; it knows only items of its
vocabulary, and nothing about visitors beyond the session at hand.

{measured}

Limits: an item that is new since the training is not recommended by this model until the next; a session
counts as far back as the app keeps its items; what is popular for a season stays so until the model is
trained again. Where it comes from can be tried: `streamrec models reproduce {manifest.version}`.
"""
