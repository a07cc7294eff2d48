"""The score graph as a file: how large it gets, and whether it finds what it should.

In: output weights and biases. Out: the bytes of score.onnx, and probes with the lists that it gives.
"""

import logging
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto

from streamrec.artifact import MAX_ARTIFACT_BYTES, Probe
from streamrec.contracts import OnStep
from streamrec.errors import ArtifactError, DatasetError
from streamrec.models._gru4rec.onnx_model import onnx_model, single
from streamrec.models._gru4rec.score_graph import CLUSTERED_FROM, PROBES, score_bytes, score_nodes

__all__ = ["checked_score", "found_by", "require_room", "score_model"]

# protobuf counts in 31 bits; a hundredth for all that is not weights.
_MOST_GRAPH_BYTES: Final = int(0.99 * (1 << 31))
# Of what comes best by the probes: with less, lists would be much worse than by all items.
_LEAST_FOUND: Final = 0.75
_TOLERANCE: Final = 1e-3

Array = NDArray[Any]
log = logging.getLogger(__name__)


def require_room(n_items: int, units: int, inputs: int, *, shared: bool) -> None:
    """Raises DatasetError if an artifact of so many items could not be loaded, before it is trained.

    units: width of the output weights. inputs: that of the input embedding. shared: whether both are one.
    """
    score, step = score_bytes(n_items, units), 4 * n_items * inputs
    together = score + step * (1 if shared else 2)
    if max(score, step) > _MOST_GRAPH_BYTES or together > MAX_ARTIFACT_BYTES:
        raise DatasetError(
            f"the clicks are on {n_items:,} items: with {units} units the graphs would have "
            f"{step / 2**30:.1f} and {score / 2**30:.1f} GiB, and all files {together / 2**30:.1f}; an ONNX "
            f"file may have 2.0, and all together {MAX_ARTIFACT_BYTES / 2**30:.1f}: leave out rare items, or "
            "take a smaller hidden_size"
        )


def checked_score(
    items: Array, bias: Array, layers: int, probes: list[Probe], on_step: OnStep | None = None
) -> tuple[bytes, list[Probe]]:
    """The score graph, and the probes with the lists that it finds.

    Where a search in clusters would find too little, it looks through all items. Raises ArtifactError if the
    best items have not the scores that they have in the probes.
    """
    if len(items) < CLUSTERED_FROM:
        return score_model(items, bias, layers).SerializeToString(), probes
    score: bytes = score_model(
        items, bias, layers, clustered_from=CLUSTERED_FROM, probes=PROBES, on_step=on_step
    ).SerializeToString()
    found = found_by(score, bias, probes)
    share = np.mean(
        [len({*one.top} & {*other.top}) / len(one.top) for one, other in zip(probes, found, strict=True)]
    )
    if share >= _LEAST_FOUND:
        return score, found
    log.warning(
        "only %.0f%% of the best items would be found in clusters: every list looks through all %d items",
        100 * share,
        len(items),
    )
    return score_model(items, bias, layers, clustered_from=len(items) + 1).SerializeToString(), probes


def found_by(score: bytes, bias: Array, probes: list[Probe]) -> list[Probe]:
    """The probes with what a search in clusters finds.

    Raises ArtifactError if the best items have not the scores that they have in the probes.
    """
    session = ort.InferenceSession(score, providers=["CPUExecutionProvider"])
    found = []
    for probe in probes:
        inputs = {"hidden": np.array([probe.hidden], np.float32), "bias": single(bias)}
        indices, scores = session.run(None, {**inputs, "n": np.array([len(bias)])})
        by_item = np.empty_like(scores[0])
        by_item[indices[0]] = scores[0]
        if not np.allclose(by_item[probe.top], probe.scores, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise ArtifactError("the score graph does not give the scores of training; report this as a bug")
        indices, scores = session.run(None, {**inputs, "n": np.array([len(probe.top)])})
        found.append(probe.model_copy(update={"top": indices[0].tolist(), "scores": scores[0].tolist()}))
    return found


def score_model(items: Array, bias: Array, layers: int, **search: Any) -> Any:
    """hidden (B, L·H), bias (N,), n (1,) -> indices and scores of the n best items, both (B, n).

    search: as in score_graph.score_nodes.
    """
    n_items, width = items.shape
    nodes, initializers = score_nodes(items, bias, layers, **search)
    return onnx_model(
        "score",
        nodes,
        inputs=[
            ("hidden", TensorProto.FLOAT, ["B", layers * width]),
            ("bias", TensorProto.FLOAT, [n_items]),
            ("n", TensorProto.INT64, [1]),
        ],
        outputs=[
            ("indices", TensorProto.INT64, ["B", "n_best"]),
            ("scores", TensorProto.FLOAT, ["B", "n_best"]),
        ],
        initializers=initializers,
    )
