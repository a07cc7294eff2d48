"""Exported session models in ONNX Runtime: one click onward, and the best next items.

In: an artifact directory. Out: models of `streamrec.contracts`, checked against their
manifest and their probes. Nothing here knows torch.

ONNX Runtime multiplies with weights packed ahead, row by row in the same order for
every batch size, so a row's result does not depend on its batch; the tests hold it to that.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from streamrec.artifact import Manifest, read_artifact
from streamrec.contracts import FloatArray, IntArray
from streamrec.errors import ArtifactError
from streamrec.registry import Registry

__all__ = ["SessionScorer", "SessionStep", "load_scorer", "load_step", "open_scorer", "open_step"]

# Other processors round differently in the last bits; a damaged model is far outside this.
_PROBE_TOLERANCE: Final = 1e-3
_NEVER: Final = np.float32(-np.inf)


class SessionStep:
    """The `step` graph of a version; a contracts.StepModel."""

    def __init__(self, manifest: Manifest, files: dict[str, bytes]) -> None:
        self.version = manifest.version
        self.hidden_size = manifest.hidden_size
        self._session = _session(manifest, files, "step.onnx", threads=1)
        self._indices = {item_id: index for index, item_id in enumerate(_vocabulary(manifest, files))}
        for probe in manifest.probes:
            hidden = np.zeros((1, self.hidden_size), np.float32)
            for index in probe.items:
                hidden = self.step(np.array([index]), hidden)
            _agree(manifest, "step.onnx", hidden[0], probe.hidden)

    def item_index(self, item_id: str) -> int:
        """Dense index of an item; -1 if the model does not know it."""
        return self._indices.get(item_id, -1)

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        """Hidden states after one more item each. See contracts.StepModel."""
        result: FloatArray = self._session.run(None, {"items": items, "hidden": hidden})[0]
        return result


class SessionScorer:
    """The `score` graph of a version; a contracts.ScoreModel."""

    def __init__(self, manifest: Manifest, files: dict[str, bytes], threads: int) -> None:
        self.version = manifest.version
        self.items: Sequence[str] = _vocabulary(manifest, files)
        self._session = _session(manifest, files, "score.onnx", threads)
        self._bias: FloatArray = _bias(manifest, files)
        for probe in manifest.probes:
            indices, scores = self.top(
                np.array([probe.hidden], np.float32), len(probe.top), np.empty(0, np.int64)
            )
            _agree(manifest, "score.onnx", scores[0], probe.scores)
            # Equal scores may stand in another order on another processor: compare as sets.
            if len(set(indices[0].tolist()) ^ set(probe.top)) > 2:
                raise ArtifactError(_unlike(manifest, "score.onnx", "recommends other items"))

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        """The n best items for each hidden state. See contracts.ScoreModel."""
        bias = self._bias
        if len(excluded):
            bias = bias.copy()
            bias[excluded] = _NEVER
        wanted = max(0, min(n, len(bias) - len(np.unique(excluded))))
        indices, scores = self._session.run(
            None, {"hidden": hidden, "bias": bias, "n": np.array([wanted], np.int64)}
        )
        return indices, scores


def open_step(directory: Path, digest: str | None = None) -> SessionStep:
    """Load, check and probe the step model of an artifact. Raises ArtifactError."""
    return SessionStep(*read_artifact(directory, digest))


def open_scorer(directory: Path, digest: str | None = None, *, threads: int = 1) -> SessionScorer:
    """Load, check and probe the score model of an artifact. Raises ArtifactError."""
    return SessionScorer(*read_artifact(directory, digest), threads)


def load_step(registry: Registry, version: str, digest: str | None = None) -> SessionStep:
    """The step model of a GRU4Rec version. Raises RegistryError, ArtifactError."""
    return open_step(registry.directory("gru4rec", version), digest)


def load_scorer(
    registry: Registry, version: str, digest: str | None = None, *, threads: int = 1
) -> SessionScorer:
    """The score model of a GRU4Rec version. Raises RegistryError, ArtifactError."""
    return open_scorer(registry.directory("gru4rec", version), digest, threads=threads)


def _session(manifest: Manifest, files: dict[str, bytes], name: str, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin between runs take the core from the event loop beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # From bytes there is no path, so that a graph cannot refer to other files.
        return ort.InferenceSession(files[name], options, providers=["CPUExecutionProvider"])
    except KeyError:
        raise ArtifactError(f"{manifest.version}: the manifest lists no {name}; export it again") from None
    except Exception as error:  # onnxruntime's errors have no common root but Exception
        raise ArtifactError(f"{manifest.version}: {name} cannot be loaded: {error}") from None


def _vocabulary(manifest: Manifest, files: dict[str, bytes]) -> list[str]:
    try:
        vocabulary = json.loads(files["vocabulary.json"])
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{manifest.version}: vocabulary.json cannot be read: {error!r}") from None
    if not isinstance(vocabulary, list) or len(vocabulary) != manifest.n_items:
        raise ArtifactError(
            f"{manifest.version}: the model has {manifest.n_items} items but the vocabulary has "
            f"{len(vocabulary)}; export both from one training run"
        )
    return vocabulary


def _bias(manifest: Manifest, files: dict[str, bytes]) -> FloatArray:
    try:
        bias: FloatArray = np.load(io.BytesIO(files["bias.npy"]), allow_pickle=False)
    except (KeyError, ValueError, EOFError) as error:
        raise ArtifactError(f"{manifest.version}: bias.npy cannot be read: {error!r}") from None
    if bias.shape != (manifest.n_items,) or bias.dtype != np.float32:
        raise ArtifactError(
            f"{manifest.version}: bias.npy has {bias.shape} {bias.dtype}, wanted ({manifest.n_items},) float32"
        )
    return bias


def _agree(manifest: Manifest, name: str, got: FloatArray, wanted: list[float]) -> None:
    expected = np.array(wanted, np.float32)
    if got.shape != expected.shape or not np.isfinite(got).all():
        raise ArtifactError(_unlike(manifest, name, "gives no finite numbers of the expected shape"))
    if not np.allclose(got, expected, rtol=_PROBE_TOLERANCE, atol=_PROBE_TOLERANCE):
        raise ArtifactError(_unlike(manifest, name, f"is off by {np.abs(got - expected).max():.2g}"))


def _unlike(manifest: Manifest, name: str, how: str) -> str:
    return f"{manifest.version}: on its probe {name} {how}; export the model again"
