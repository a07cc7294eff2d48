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
import os
import stat
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from streamrec.errors import ArtifactError

__all__ = [
    "FORMAT",
    "MANIFEST",
    "FileEntry",
    "Manifest",
    "Probe",
    "artifact_digest",
    "read_artifact",
    "read_manifest",
    "write_manifest",
]

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
# No ONNX file can be larger: protobuf counts its bytes in 31 bits.
_MAX_FILE_BYTES: Final = 2 << 30
_MAX_MANIFEST_BYTES: Final = 16 << 20

# Without a slash and without a leading dot a name cannot lead out of the directory.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class FileEntry(BaseModel, frozen=True):
    """Size and digest of one file."""

    size_bytes: NonNegativeInt
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Probe(BaseModel, frozen=True):
    """Inputs with the outputs they gave in training: what serving has to reproduce."""

    items: list[NonNegativeInt]
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
    hidden_size: PositiveInt
    n_items: PositiveInt
    files: dict[FileName, FileEntry]
    probes: Annotated[list[Probe], Field(min_length=1)]
    config: dict[str, Any]
    seed: int
    data: dict[str, Any]
    """Clicks, sessions, time range; offsets by partition if it came from a topic."""
    metrics: dict[str, float]
    code_version: str

    @model_validator(mode="after")
    def _one_width(self) -> Self:
        widths = {len(probe.hidden) for probe in self.probes}
        if widths != {self.hidden_size}:
            raise ValueError(f"hidden_size is {self.hidden_size}, the probes' hidden states have {widths}")
        return self


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
    manifest = read_manifest(directory, digest)
    return manifest, {name: _checked(directory / name, entry) for name, entry in manifest.files.items()}


def artifact_digest(directory: Path) -> str:
    """The sha256 that names an artifact, every file checked. Raises ArtifactError."""
    digest = hashlib.sha256(_read(directory / MANIFEST, _MAX_MANIFEST_BYTES)).hexdigest()
    read_artifact(directory, digest)
    return digest


def read_manifest(directory: Path, digest: str | None = None) -> Manifest:
    """The manifest alone; digest and errors as in read_artifact."""
    path = directory / MANIFEST
    value = _read(path, _MAX_MANIFEST_BYTES)
    found = hashlib.sha256(value).hexdigest()
    if digest is not None and found != digest:
        raise ArtifactError(
            f"{path}: sha256 is {found}, the release says {digest}; "
            "publish the version again and release it anew"
        )
    # The format comes first: another one may have other fields.
    try:
        made = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: no JSON ({error}); export the model again") from None
    if not isinstance(made, dict) or made.get("format") != FORMAT:
        form = made.get("format") if isinstance(made, dict) else None
        raise ArtifactError(f"{path}: format {form}, this streamrec reads {FORMAT}; export the model again")
    try:
        return Manifest.model_validate(made)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ArtifactError(f"{path}: {faults}; export the model again") from None


def _checked(path: Path, entry: FileEntry) -> bytes:
    value = _read(path, _MAX_FILE_BYTES)
    if len(value) != entry.size_bytes:
        raise ArtifactError(
            f"{path}: {len(value)} bytes instead of {entry.size_bytes}; copy or export the artifact again"
        )
    if hashlib.sha256(value).hexdigest() != entry.sha256:
        raise ArtifactError(f"{path}: the sha256 is not the manifest's; copy or export the artifact again")
    return value


def _read(path: Path, max_bytes: int) -> bytes:
    """The bytes of a plain file; a link could lead anywhere, and a pipe would never end."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ArtifactError(f"{path}: an artifact holds plain files only")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise ArtifactError(f"{path}: {size} bytes, more than the {max_bytes} allowed")
            return file.read()
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); the artifact is incomplete"
        ) from None
