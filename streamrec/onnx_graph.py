"""One ONNX graph of an artifact in ONNX Runtime, and what its probes say about it.

Whatever is wrong with a graph is an ArtifactError that says what.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from streamrec.artifact import Manifest
from streamrec.errors import ArtifactError, Refusal
from streamrec.onnx_file import check_onnx

__all__ = ["Graph", "Interface", "artifact_file"]

FloatArray = NDArray[np.float32]

# Other processors round differently in the last bits; a damaged model is far outside this.
_PROBE_TOLERANCE: Final = 1e-3
# What a run costs: the least of so many runs, or of fewer if they take long.
_TIMED_RUNS: Final = 10
_TIMED_S: Final = 0.2


class Interface(NamedTuple):
    """Names and types of what enters and leaves a graph."""

    inputs: dict[str, str]
    outputs: dict[str, str]


class Graph:
    """One graph in ONNX Runtime, and what its probes say about it."""

    def __init__(
        self, manifest: Manifest, files: dict[str, bytes], name: str, wanted: Interface, threads: int
    ) -> None:
        self._name = f"{manifest.version}: {name}"
        value = artifact_file(manifest, files, name)
        check_onnx(value, self._name)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised
        # Threads that spin between runs take the core from the event loop beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(value, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common root but Exception
            raise ArtifactError(f"{self._name} cannot be loaded: {error}", "wrong_shape") from None
        # Kept by onnxruntime to load them once more with other providers; as large as all weights.
        self._session._model_bytes = b""
        found = Interface(
            {each.name: each.type for each in self._session.get_inputs()},
            {each.name: each.type for each in self._session.get_outputs()},
        )
        if found != wanted:
            raise ArtifactError(
                f"{self._name} takes {found.inputs} and gives {found.outputs}, wanted are {wanted.inputs} "
                f"and {wanted.outputs}; export the model again",
                "wrong_shape",
            )
        self._outputs = list(wanted.outputs)

    def run(self, inputs: dict[str, Any], *, deep: bool = False) -> list[Any]:
        """The outputs. deep: it takes much memory, which is not to be kept for the next run."""
        outputs: list[Any] = self._session.run(self._outputs, inputs, _giving_back() if deep else None)
        return outputs

    def cost_s(self, inputs: dict[str, Any]) -> float:
        """CPU seconds of one run: this thread's alone and the least of several, so that what else the
        machine does hardly counts.
        """
        costs: list[float] = []
        while len(costs) < _TIMED_RUNS and sum(costs) < _TIMED_S:
            started = time.thread_time()
            self.run(inputs)
            costs.append(time.thread_time() - started)
        return min(costs)

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Whatever goes wrong inside is the artifact's fault: ArtifactError."""
        try:
            yield
        except ArtifactError:
            raise
        except Exception as error:  # as above
            raise self.error(f"cannot be run ({error})", "wrong_shape") from None

    def agrees(self, got: FloatArray, wanted: list[float]) -> None:
        """Raises ArtifactError if the outputs on a probe are not those of training."""
        expected = np.array(wanted, np.float32)
        if got.shape != expected.shape:
            raise self.error(f"gives {got.shape} numbers instead of {expected.shape}", "wrong_shape")
        self.is_finite(got)
        if not np.allclose(got, expected, rtol=_PROBE_TOLERANCE, atol=_PROBE_TOLERANCE):
            raise self.error(f"is off by {np.abs(got - expected).max():.2g}")

    def is_finite(self, got: FloatArray) -> None:
        """Raises ArtifactError if one of the outputs is infinite or no number."""
        if not np.isfinite(got).all():
            raise self.error("gives numbers that are not finite", "not_finite")

    def error(self, how: str, reason: Refusal = "damaged") -> ArtifactError:
        return ArtifactError(
            f"{self._name} {how}, on inputs whose outputs are known; export the model again", reason
        )


def _giving_back() -> ort.RunOptions:
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def artifact_file(manifest: Manifest, files: dict[str, bytes], name: str) -> bytes:
    """A file of an artifact. Raises ArtifactError if its manifest does not list it."""
    if name not in files:
        raise ArtifactError(f"{manifest.version}: {name} is not in the manifest; export the model again")
    return files[name]
