"""Going on from a version that was exported: its weights read back, and carried into a new network.

In: the manifest and the files of an artifact, already checked. Out: the very weights that were
exported, and a network that has them for the items that it knows too. Nothing of it can run code:
weights are plain arrays in ONNX initializers and .npy members.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from streamrec.artifact import Manifest
from streamrec.contracts import Artifact
from streamrec.errors import ArtifactError
from streamrec.models._gru4rec.export import FIRST_LAYER
from streamrec.models._gru4rec.network import GRU4RecConfig, Network
from streamrec.onnx_file import check_onnx

__all__ = ["carry_over", "read_items", "read_weights", "unlike"]

# What gives the weights their shapes; all else may change from one training to the next.
_SHAPES: Final = ("embedding", "embedding_size", "hidden_size", "layers")


def unlike(start: Artifact, config: GRU4RecConfig) -> str | None:
    """Why a training with `config` cannot go on from the artifact; None if it can."""
    before, now = start.manifest.config, config.model_dump()
    differing = [
        f"{name} {before.get(name)}, now {now[name]}" for name in _SHAPES if before.get(name) != now[name]
    ]
    if differing:
        return f"{start.manifest.version} has {', '.join(differing)}"
    if FIRST_LAYER not in start.files:
        return f"{start.manifest.version} has no {FIRST_LAYER}: it was exported by an older streamrec"
    return None


def read_items(start: Artifact) -> list[str]:
    """The vocabulary, by index. Raises ArtifactError."""
    try:
        items = msgspec.json.decode(_file(start, "vocabulary.json"), type=list[str])
    except msgspec.DecodeError as error:
        raise _damaged(start.manifest, "vocabulary.json", error) from None
    return items


def read_weights(start: Artifact) -> dict[str, NDArray[Any]]:
    """The weights by name, as export.write_artifact takes them, `inputs` only where they are separate.

    Raises ArtifactError naming the file that does not hold what it should.
    """
    found = {
        **_initializers(start, "step.onnx"),
        **_initializers(start, "score.onnx"),
        "bias": _array(start, "bias.npy"),
    }
    # The step graph may hold the inputs multiplied out only.
    found.pop("inputs", None)
    try:
        with zipfile.ZipFile(io.BytesIO(_file(start, FIRST_LAYER))) as members:
            for each in members.namelist():
                found[each.removesuffix(".npy")] = _read_array(io.BytesIO(members.read(each)))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(start.manifest, FIRST_LAYER, error) from None
    return found


def carry_over(
    network: Network, items: Sequence[str], weights: Mapping[str, NDArray[Any]], known: Sequence[str]
) -> int:
    """Give the network the weights of its layers and of the items known before; returns how many these are.

    items: the network's, by index. known: those that the weights are of. The rows of all others stay as
    they are. Raises ArtifactError if a weight has another shape.
    """
    place = {item_id: index for index, item_id in enumerate(known)}
    rows = [index for index, item_id in enumerate(items) if item_id in place]
    before = [place[items[index]] for index in rows]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            by_item = not name.startswith("gru.")
            value = torch.from_numpy(np.array(weights.get(name, ()), np.float32))
            wanted = (len(known), *parameter.shape[1:]) if by_item else tuple(parameter.shape)
            if tuple(value.shape) != wanted:
                raise ArtifactError(
                    f"{name} has the shape {tuple(value.shape)}, not {wanted}; train without a start"
                )
            if by_item:
                parameter[rows] = value[before]
            else:
                parameter.copy_(value)
    return len(rows)


def _initializers(start: Artifact, name: str) -> dict[str, NDArray[Any]]:
    value = _file(start, name)
    check_onnx(value, name)  # no weights in other files
    try:
        graph = onnx.load_model_from_string(value).graph
        return {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    except (DecodeError, ValueError, TypeError) as error:
        raise _damaged(start.manifest, name, error) from None


def _array(start: Artifact, name: str) -> NDArray[Any]:
    try:
        return _read_array(io.BytesIO(_file(start, name)))
    except (EOFError, ValueError) as error:
        raise _damaged(start.manifest, name, error) from None


def _read_array(file: io.BytesIO) -> NDArray[Any]:
    # Not numpy.load, which takes other kinds of files too.
    found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return found


def _file(start: Artifact, name: str) -> bytes:
    try:
        return start.files[name]
    except KeyError:
        raise _damaged(start.manifest, name, "it is not there") from None


def _damaged(manifest: Manifest, name: str, error: object) -> ArtifactError:
    return ArtifactError(
        f"{manifest.version}: {name} does not hold the weights ({error}); train without a start"
    )
