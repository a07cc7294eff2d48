"""A small GRU4Rec for tests, and its artifact in many states of damage."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from streamrec.artifact import MANIFEST
from streamrec.contracts import Session
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry

RING = [f"i{n:02d}" for n in range(40)]
"""Items in the order in which every session of `ring_sessions` goes through them, round and round."""

TINY = GRU4RecConfig(
    embedding_size=16, hidden_size=16, epochs=4, batch_size=8, n_sample=16, dropout_hidden=0.0
)


class Published(NamedTuple):
    """A trained model, and its version in a registry."""

    model: GRU4Rec
    registry: Registry
    version: str

    @property
    def directory(self) -> Path:
        return self.registry.directory("gru4rec", self.version)


def ring_sessions(n: int = 300, seed: int = 0) -> list[Session]:
    """Sessions of 2 to 8 items, each followed by the next of the ring: all there is to learn."""
    rng = random.Random(seed)
    starts = [(rng.randrange(len(RING)), rng.randint(2, 8)) for _ in range(n)]
    return [Session([RING[(start + step) % len(RING)] for step in range(length)]) for start, length in starts]


def rewrite(directory: Path, name: str, value: bytes) -> None:
    """Put another file in its place, and its size and digest into the manifest."""
    (directory / name).write_bytes(value)
    entry = {"size_bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    edit_manifest(directory, lambda manifest: manifest["files"].update({name: entry}))


def edit_manifest(directory: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest, whose own digest nobody holds against it."""
    path = directory / MANIFEST
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def make_slow(directory: Path, layers: int = 150, width: int = 256) -> None:
    """Have the score graph do much more work before it gives the same numbers; the manifest agrees.

    hidden goes through a chain of matrix products, whose outcome is then weighed with 0.
    """
    model = onnx.load(directory / "score.onnx")
    graph = model.graph
    size = json.loads((directory / MANIFEST).read_text())["hidden_size"]
    rows, wide = (size, width), (width, width)
    weights = {
        "slow.in": np.full(rows, 0.01, np.float32),
        "slow.between": np.full(wide, 0.001, np.float32),
        "slow.out": np.zeros((width, size), np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(each, name) for name, each in weights.items())
    nodes = [helper.make_node("Gemm", ["hidden", "slow.in"], ["slow.0"])]
    for n in range(layers):
        nodes += [
            helper.make_node("Gemm", [f"slow.{n}", "slow.between"], [f"slow.{n}.product"]),
            helper.make_node("Tanh", [f"slow.{n}.product"], [f"slow.{n + 1}"]),
        ]
    nodes += [
        helper.make_node("Gemm", [f"slow.{layers}", "slow.out"], ["slow.nothing"]),
        helper.make_node("Add", ["hidden", "slow.nothing"], ["slow.hidden"]),
    ]
    for node in graph.node:
        node.input[:] = ["slow.hidden" if each == "hidden" else each for each in node.input]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    rewrite(directory, "score.onnx", model.SerializeToString())


def misled(model: GRU4Rec, directory: Path, version: str) -> None:
    """Export a model with its items under wrong names: a whole artifact, of another model that is no good."""
    model.export(directory, version=version)
    vocabulary = json.loads((directory / "vocabulary.json").read_bytes())
    random.Random(1).shuffle(vocabulary)
    rewrite(directory, "vocabulary.json", json.dumps(vocabulary).encode())
