"""Exported session models in ONNX Runtime: one click onward, and the best next items.

In: an artifact directory. Out: models of `streamrec.contracts`, checked against their
manifest and their probes. Nothing here knows torch.

A row's result must not depend on its batch: exact recovery rests on it. ONNX Runtime
multiplies with weights packed ahead, every row in the same order of sums whatever the
batch; where a processor's kernels do otherwise, which loading finds out, rows go one by one.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from streamrec.artifact import Manifest, Probe, read_artifact
from streamrec.contracts import FloatArray, IntArray
from streamrec.errors import ArtifactError
from streamrec.events import MAX_KEY_BYTES, Id
from streamrec.onnx_graph import Graph, Interface, artifact_file
from streamrec.proposals import item_keys
from streamrec.registry import Registry

__all__ = [
    "SessionScorer",
    "SessionStep",
    "check_artifact",
    "load_scorer",
    "load_step",
    "open_scorer",
    "open_step",
]

_MODEL: Final = "gru4rec"
_NEVER: Final = np.float32(-np.inf)
_NO_ITEMS: Final = np.empty(0, np.int64)
# Kernels change with the number of rows left over from blocks of 4 to 16.
_BATCHES_TRIED: Final = (2, 3, 4, 5, 6, 7, 8, 13, 16, 31, 64)
_ITEMS_AT_ONCE: Final = 1024
# Of a run whose cost is measured: as in a busy batch.
_TIMED_ROWS: Final = 16

# A graph scores many items and gathers the weights of those it looks at again: this many numbers at once,
_MOST_NUMBERS: Final = 4 << 20
# and memory for more items than so many is not kept.
_DEEP: Final = 1024

_FLOAT: Final = "tensor(float)"
_INT64: Final = "tensor(int64)"


_STEP: Final = Interface({"items": _INT64, "hidden": _FLOAT}, {"hidden_after": _FLOAT})
_SCORE: Final = Interface(
    {"hidden": _FLOAT, "bias": _FLOAT, "n": _INT64}, {"indices": _INT64, "scores": _FLOAT}
)


class SessionStep:
    """The `step` graph of a version; a contracts.StepModel."""

    def __init__(self, manifest: Manifest, files: dict[str, bytes]) -> None:
        self.version = manifest.version
        self.hidden_size = manifest.hidden_size
        self._graph = Graph(manifest, files, "step.onnx", _STEP, threads=1)
        self._indices = {item_id: index for index, item_id in enumerate(_vocabulary(manifest, files))}
        with self._graph.probing():
            for probe in manifest.probes:
                self._graph.agrees(self._hidden(probe.items), probe.hidden)
            self._check_items(manifest.n_items)
            self._one_by_one = not self._is_row_by_row(manifest.n_items)
            rows = np.zeros((_TIMED_ROWS, self.hidden_size), np.float32)
            items = np.arange(_TIMED_ROWS) % manifest.n_items
            self.costs_s = {"step.onnx": self._graph.cost_s({"items": items, "hidden": rows})}
            """CPU seconds of one run of each graph of the version; see streamrec.admission."""

    def item_index(self, item_id: str) -> int:
        """Dense index of an item; -1 if the model does not know it."""
        return self._indices.get(item_id, -1)

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        """Hidden states after one more item each. See contracts.StepModel."""
        if self._one_by_one and len(items) > 1:
            rows = [self._step(items[row : row + 1], hidden[row : row + 1]) for row in range(len(items))]
            return np.concatenate(rows)
        return self._step(items, hidden)

    def _step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        result: FloatArray = self._graph.run({"items": items, "hidden": hidden})[0]
        return result

    def _hidden(self, items: list[int]) -> FloatArray:
        hidden = np.zeros((1, self.hidden_size), np.float32)
        for item in items:
            hidden = self._step(np.array([item]), hidden)
        row: FloatArray = hidden[0]
        return row

    def _check_items(self, n_items: int) -> None:
        """Every item of the vocabulary is in the graph, and its weights are numbers."""
        for first in range(0, n_items, _ITEMS_AT_ONCE):
            items = np.arange(first, min(first + _ITEMS_AT_ONCE, n_items))
            self._graph.is_finite(self._step(items, np.zeros((len(items), self.hidden_size), np.float32)))

    def _is_row_by_row(self, n_items: int) -> bool:
        """Whether rows come out of batches as they come out alone."""
        largest = max(_BATCHES_TRIED)
        items = np.arange(largest) % n_items
        hidden = np.random.default_rng(0).uniform(-1, 1, (largest, self.hidden_size)).astype(np.float32)
        alone = np.concatenate([self._step(items[n : n + 1], hidden[n : n + 1]) for n in range(largest)])
        return all(np.array_equal(self._step(items[:n], hidden[:n]), alone[:n]) for n in _BATCHES_TRIED)


class SessionScorer:
    """The `score` graph of a version; a contracts.ScoreModel."""

    def __init__(self, manifest: Manifest, files: dict[str, bytes], threads: int) -> None:
        self.version = manifest.version
        self.items: Sequence[str] = _vocabulary(manifest, files)
        self.item_keys = item_keys(self.items)
        self._graph = Graph(manifest, files, "score.onnx", _SCORE, threads)
        self._bias: FloatArray = _bias(manifest, files)
        with self._graph.probing():
            for probe in manifest.probes:
                self._check(probe)
            rows = np.zeros((_TIMED_ROWS, manifest.hidden_size), np.float32)
            n = np.array([min(20, len(self.items))], np.int64)
            inputs = {"hidden": rows, "bias": self._bias, "n": n}
            self.costs_s = {"score.onnx": self._graph.cost_s(inputs)}
            """CPU seconds of one run of each graph of the version; see streamrec.admission."""

    def _check(self, probe: Probe) -> None:
        hidden = np.array([probe.hidden], np.float32)
        # Every item's score, in single precision: what is no number comes up whoever the visitor is.
        indices, scores = self.top(hidden, len(self.items), _NO_ITEMS)
        self._graph.is_finite(scores)
        by_item = np.full(len(self.items), np.nan, np.float32)
        by_item[indices[0]] = scores[0]
        self._graph.agrees(by_item[probe.top], probe.scores)
        # And the list as it is asked for, which may be found in another way.
        indices, scores = self.top(hidden, len(probe.top), _NO_ITEMS)
        self._graph.agrees(scores[0], probe.scores)
        # Equal scores may stand in another order on another processor: compare as sets.
        if len(set(indices[0].tolist()) ^ set(probe.top)) > 2:
            raise self._graph.error("recommends other items than in training")

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        """The n best items for each hidden state. See contracts.ScoreModel."""
        bias, n_left = self._bias, len(self._bias)
        if len(excluded):
            bias = bias.copy()
            bias[excluded] = _NEVER
            n_left = int(np.count_nonzero(bias != _NEVER))
        wanted = max(0, min(n, n_left))
        rows = max(1, _MOST_NUMBERS // max(len(bias), (wanted + 1) * hidden.shape[1]))
        if len(hidden) <= rows:
            return self._top(hidden, wanted, bias)
        parts = [
            self._top(hidden[first : first + rows], wanted, bias) for first in range(0, len(hidden), rows)
        ]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _top(self, hidden: FloatArray, wanted: int, bias: FloatArray) -> tuple[IntArray, FloatArray]:
        if not len(hidden):
            return np.empty((0, wanted), np.int64), np.empty((0, wanted), np.float32)
        indices, scores = self._best(hidden, wanted, bias)
        # In the clusters looked into there may be fewer; among all items there are enough.
        for row in np.flatnonzero(scores.min(axis=1, initial=0) == _NEVER):
            of_all = self._best(hidden[row : row + 1], len(bias), bias)
            indices[row], scores[row] = (each[0, :wanted] for each in of_all)
        return indices, scores

    def _best(self, hidden: FloatArray, n: int, bias: FloatArray) -> tuple[IntArray, FloatArray]:
        inputs = {"hidden": hidden, "bias": bias, "n": np.array([n], np.int64)}
        indices, scores = self._graph.run(inputs, deep=n > _DEEP)
        return indices, scores


def open_step(directory: Path, digest: str | None = None) -> SessionStep:
    """Load, check and probe the step model of an artifact. Raises ArtifactError."""
    return SessionStep(*read_artifact(directory, digest))


def open_scorer(directory: Path, digest: str | None = None, *, threads: int = 1) -> SessionScorer:
    """Load, check and probe the score model of an artifact. Raises ArtifactError."""
    return SessionScorer(*read_artifact(directory, digest), threads)


def load_step(registry: Registry, version: str, digest: str | None = None) -> SessionStep:
    """The step model of a GRU4Rec version; its score model is probed and timed too, so that the state
    app names no version in its rows that scoring would refuse. Raises RegistryError, ArtifactError.
    """
    manifest, files = registry.read(_MODEL, version, digest)
    costs_s = SessionScorer(manifest, files, threads=1).costs_s
    step = SessionStep(manifest, files)
    step.costs_s |= costs_s
    return step


def load_scorer(
    registry: Registry, version: str, digest: str | None = None, *, threads: int = 1
) -> SessionScorer:
    """The score model of a GRU4Rec version. Raises RegistryError, ArtifactError."""
    return SessionScorer(*registry.read(_MODEL, version, digest), threads)


def check_artifact(registry: Registry, version: str, *, signed: bool = True) -> Manifest:
    """Load and probe both models of a GRU4Rec version; signed and errors as in Registry.read."""
    manifest, files = registry.read(_MODEL, version, signed=signed)
    SessionStep(manifest, files)
    SessionScorer(manifest, files, threads=1)
    return manifest


def _vocabulary(manifest: Manifest, files: dict[str, bytes]) -> list[str]:
    value = artifact_file(manifest, files, "vocabulary.json")
    # Quotes, comma and space for each; longer ids are no item ids.
    most = 2 + manifest.n_items * (MAX_KEY_BYTES + 4)
    if len(value) > most:
        raise ArtifactError(
            f"{manifest.version}: vocabulary.json has {len(value)} bytes, {manifest.n_items} ids have "
            f"{most} at most; export both from one training run",
            "wrong_shape",
        )
    try:
        vocabulary = msgspec.json.decode(value, type=list[Id])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(
            f"{manifest.version}: vocabulary.json is no list of item ids ({error}); export it again"
        ) from None
    if len(set(vocabulary)) != manifest.n_items or len(vocabulary) != manifest.n_items:
        raise ArtifactError(
            f"{manifest.version}: the model has {manifest.n_items} items but the vocabulary has "
            f"{len(set(vocabulary))}; export both from one training run",
            "wrong_shape",
        )
    return vocabulary


def _bias(manifest: Manifest, files: dict[str, bytes]) -> FloatArray:
    value = artifact_file(manifest, files, "bias.npy")
    file = io.BytesIO(value)
    # np.load would make room for whatever the header says before it looks how much is there.
    try:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # numpy evaluates the header, and lets through whatever that raises
        raise ArtifactError(f"{manifest.version}: bias.npy cannot be read: {error!r}") from None
    if shape != (manifest.n_items,) or dtype != np.float32:
        raise ArtifactError(
            f"{manifest.version}: bias.npy is {dtype} {shape}, wanted is float32 "
            f"({manifest.n_items},); export the model again",
            "wrong_shape",
        )
    n_bytes = len(value) - file.tell()
    if n_bytes != 4 * manifest.n_items:
        raise ArtifactError(
            f"{manifest.version}: bias.npy holds {n_bytes} bytes for {manifest.n_items} numbers; "
            "export the model again"
        )
    bias: FloatArray = np.frombuffer(value, np.float32, offset=file.tell())
    return bias
