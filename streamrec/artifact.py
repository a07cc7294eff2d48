"""An exported model as a directory: graphs, vocabulary, manifest, probes, model card.

    step.onnx        items (B,), hidden (B, H) -> new hidden (B, H)
    score.onnx       hidden (B, H), bias (N,), n (1,) -> indices (B, n), scores (B, n)
    bias.npy         the model's output bias, float32 (N,)
    vocabulary.json  item ids by index, most popular in training first
    manifest.json    sizes and digests of all of these, and where the model comes from
    MODEL_CARD.md    the same for people

What is loaded are the very bytes that were hashed, so that nothing changes in between.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from streamrec.errors import ArtifactError

__all__ = ["FORMAT", "MANIFEST", "FileEntry", "Manifest", "Probe", "read_artifact", "write_manifest"]

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
# A graph of a million items with 500 units has 2 GB; beyond that a release is a mistake.
_MAX_FILE_BYTES: Final = 4 << 30


class FileEntry(BaseModel, frozen=True):
    """Size and digest of one file."""

    size_bytes: int
    sha256: str


class Probe(BaseModel, frozen=True):
    """Inputs with the outputs they gave in training: what serving has to reproduce."""

    items: list[int]
    """Indices of a short session, oldest first."""
    hidden: list[float]
    """Hidden state after it."""
    top: list[int]
    """Indices of the best next items, best first."""
    scores: list[float]
    """Their scores."""


class Manifest(BaseModel, frozen=True):
    """What an artifact is made of and where it comes from."""

    format: int
    model: str
    version: str
    created: str
    """ISO 8601, UTC."""
    hidden_size: int
    n_items: int
    files: dict[str, FileEntry]
    probes: list[Probe]
    config: dict[str, Any]
    seed: int
    data: dict[str, Any]
    """Clicks, sessions, time range; offsets by partition if it came from a topic."""
    metrics: dict[str, float]
    code_version: str


def write_manifest(directory: Path, manifest: Manifest) -> str:
    """Write manifest.json into the directory; returns its sha256, which names the whole artifact."""
    value = json.dumps(manifest.model_dump(), indent=1, sort_keys=True).encode() + b"\n"
    (directory / MANIFEST).write_bytes(value)
    return hashlib.sha256(value).hexdigest()


def read_artifact(directory: Path, digest: str | None = None) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and the bytes of every file it lists, all checked.

    digest: sha256 the manifest has to have; None accepts the one that is there.
    Raises ArtifactError naming the file and what is wrong with it.
    """
    value = _read(directory / MANIFEST)
    found = hashlib.sha256(value).hexdigest()
    if digest is not None and found != digest:
        raise ArtifactError(
            f"{directory / MANIFEST}: sha256 is {found}, the release says {digest}; "
            "publish the version again and release it anew"
        )
    try:
        manifest = Manifest.model_validate_json(value)
    except ValidationError as error:
        raise ArtifactError(f"{directory / MANIFEST}: {error.error_count()} faults: {error}") from None
    if manifest.format != FORMAT:
        raise ArtifactError(
            f"{directory}: format {manifest.format}, this streamrec reads {FORMAT}; export the model again"
        )
    return manifest, {name: _checked(directory / name, entry) for name, entry in manifest.files.items()}


def _checked(path: Path, entry: FileEntry) -> bytes:
    if path.name != str(path.relative_to(path.parent)) or path.is_symlink():
        raise ArtifactError(f"{path}: an artifact holds plain files only")
    value = _read(path)
    if len(value) != entry.size_bytes:
        raise ArtifactError(
            f"{path}: {len(value)} bytes instead of {entry.size_bytes}; copy or export the artifact again"
        )
    if hashlib.sha256(value).hexdigest() != entry.sha256:
        raise ArtifactError(f"{path}: the sha256 is not the manifest's; copy or export the artifact again")
    return value


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ArtifactError(f"{path}: larger than {_MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); the artifact is incomplete"
        ) from None
