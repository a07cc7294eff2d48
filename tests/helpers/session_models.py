"""A small GRU4Rec for tests, and its artifact in many states of damage."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
