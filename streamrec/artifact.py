"""An exported model as a directory: graphs, vocabulary, manifest, probes, model card.

    step.onnx        items (B,), hidden (B, H) -> new hidden (B, H)
    score.onnx       hidden (B, H), bias (N,), n (1,) -> indices (B, n), scores (B, n)
    bias.npy         the model's output bias, float32 (N,)
    vocabulary.json  item ids by index, most popular in training first
    manifest.json    sizes and digests of all of these, and where the model comes from
    manifest.sig     Ed25519 signature of the manifest's bytes, by whoever answers for the model
    MODEL_CARD.md    the same for people

What is loaded are the very bytes that were hashed, and what is parsed as the manifest those whose
signature was checked, so that nothing changes in between.
"""

import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError, model_validator

from streamrec.errors import ArtifactError, SignatureError
from streamrec.signing import SIGNATURE_BYTES, SigningKey, is_signed_by

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MAX_ARTIFACT_BYTES",
    "MAX_HIDDEN_SIZE",
    "MAX_ITEMS",
    "SIGNATURE",
    "FileEntry",
    "Manifest",
    "Probe",
    "artifact_digest",
    "read_artifact",
    "read_manifest",
    "sign_artifact",
    "write_manifest",
]

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
# No ONNX file can be larger: protobuf counts its bytes in 31 bits.
_MAX_FILE_BYTES: Final = 2 << 30
_MAX_MANIFEST_BYTES: Final = 16 << 20
MAX_ARTIFACT_BYTES: Final = 4 << 30
"""All files together: they are read into memory before anything is loaded."""
MAX_ITEMS: Final = 4_000_000
MAX_HIDDEN_SIZE: Final = 4096

# Without a slash and without a leading dot a name cannot lead out of the directory.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class FileEntry(BaseModel, frozen=True):
    """Size and digest of one file."""

    size_bytes: Annotated[int, Field(ge=0, le=_MAX_FILE_BYTES)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Probe(BaseModel, frozen=True):
    """Inputs with the outputs they gave in training: what serving has to reproduce."""

    items: Annotated[list[NonNegativeInt], Field(max_length=1000)]
    """Indices of a short session, oldest first."""
    hidden: Annotated[list[float], Field(max_length=MAX_HIDDEN_SIZE)]
    """Hidden state after it."""
    top: Annotated[list[int], Field(max_length=1000)]
    """Indices of the best next items, best first."""
    scores: Annotated[list[float], Field(max_length=1000)]
    """Their scores."""


class Manifest(BaseModel, frozen=True):
    """What an artifact is made of and where it comes from."""

    format: int
    model: str
    version: str
    created: str
    """ISO 8601, UTC."""
    hidden_size: Annotated[int, Field(ge=1, le=MAX_HIDDEN_SIZE)]
    n_items: Annotated[int, Field(ge=1, le=MAX_ITEMS)]
    files: Annotated[dict[FileName, FileEntry], Field(max_length=16)]
    probes: Annotated[list[Probe], Field(min_length=1, max_length=64)]
    config: dict[str, Any]
    seed: int
    data: dict[str, Any]
    """Clicks, sessions, time range; offsets by partition if it came from a topic."""
    metrics: dict[str, float]
    code_version: str

    @model_validator(mode="after")
    def _probes_fit(self) -> Self:
        for probe in self.probes:
            if len(probe.hidden) != self.hidden_size or len(probe.top) != len(probe.scores):
                raise ValueError(
                    f"a probe has {len(probe.hidden)} numbers for a hidden state of {self.hidden_size}, and "
                    f"{len(probe.scores)} scores for {len(probe.top)} items"
                )
        return self


def write_manifest(directory: Path, manifest: Manifest) -> str:
    """Write manifest.json into the directory; returns its sha256, which names the whole artifact."""
    value = json.dumps(manifest.model_dump(), indent=1, sort_keys=True).encode() + b"\n"
    (directory / MANIFEST).write_bytes(value)
    return hashlib.sha256(value).hexdigest()


def read_artifact(
    directory: Path, digest: str | None = None, trusted: Sequence[str] | None = None
) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and the bytes of every file it lists, all checked.

    digest: sha256 the manifest has to have; None accepts the one that is there.
    trusted: public keys, one of which has to have signed the manifest; None does not ask.
    Raises ArtifactError naming the file and what is wrong with it, SignatureError if it is that.
    """
    manifest = read_manifest(directory, digest, trusted)
    return manifest, _read_files(directory, manifest)


def artifact_digest(directory: Path, trusted: Sequence[str] | None = None) -> str:
    """The sha256 that names an artifact, every file checked; trusted and errors as in read_artifact."""
    digest = hashlib.sha256(_read(directory / MANIFEST, _MAX_MANIFEST_BYTES)).hexdigest()
    read_artifact(directory, digest, trusted)
    return digest


def read_manifest(
    directory: Path, digest: str | None = None, trusted: Sequence[str] | None = None
) -> Manifest:
    """The manifest alone; digest, trusted and errors as in read_artifact."""
    path = directory / MANIFEST
    value = _read(path, _MAX_MANIFEST_BYTES)
    if trusted is not None:
        _check_signature(directory / SIGNATURE, value, trusted)
    found = hashlib.sha256(value).hexdigest()
    if digest is not None and found != digest:
        raise ArtifactError(
            f"{path}: sha256 is {found}, the release says {digest}; "
            "publish the version again and release it anew"
        )
    return _parsed(path, value)


def sign_artifact(directory: Path, key: SigningKey) -> None:
    """Check every file, then put the manifest's signature in its place, whole or not at all.

    Raises ArtifactError, or OSError if it cannot be written.
    """
    path = directory / MANIFEST
    value = _read(path, _MAX_MANIFEST_BYTES)
    _read_files(directory, _parsed(path, value))
    with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{SIGNATURE}-", delete=False) as file:
        beside = Path(file.name)
        try:
            file.write(key.sign(value))
            file.flush()
            os.fsync(file.fileno())
            beside.chmod(0o644)
            beside.replace(directory / SIGNATURE)
        except BaseException:
            beside.unlink()
            raise


def _check_signature(path: Path, manifest: bytes, trusted: Sequence[str]) -> None:
    if not trusted:
        raise SignatureError(
            f"{path.parent}: no key is trusted; name those whose models are to be served in "
            "STREAMREC_REGISTRY__TRUSTED_KEYS"
        )
    if not os.path.lexists(path):
        raise SignatureError(
            f"{path.parent}: not signed; if you answer for it: `streamrec models sign {path.parent.name}`"
        )
    try:
        signature = _read(path, SIGNATURE_BYTES)
    except ArtifactError as error:
        raise SignatureError(str(error)) from None
    if not is_signed_by(trusted, manifest, signature):
        raise SignatureError(
            f"{path}: by none of the {len(trusted)} trusted keys, or {MANIFEST} is not what was signed; "
            "sign it with a key of STREAMREC_REGISTRY__TRUSTED_KEYS if you answer for it"
        )


def _parsed(path: Path, value: bytes) -> Manifest:
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


def _read_files(directory: Path, manifest: Manifest) -> dict[str, bytes]:
    size = sum(entry.size_bytes for entry in manifest.files.values())
    if size > MAX_ARTIFACT_BYTES:
        raise ArtifactError(
            f"{directory}: the files have {size} bytes together, {MAX_ARTIFACT_BYTES} are allowed; "
            "train with fewer items or a smaller hidden_size"
        )
    return {name: _checked(directory / name, entry) for name, entry in manifest.files.items()}


def _checked(path: Path, entry: FileEntry) -> bytes:
    value = _read(path, entry.size_bytes)
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
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ArtifactError(f"{path}: an artifact holds plain files only")
            # One byte more, should it have grown since.
            value = file.read(max_bytes + 1) if status.st_size <= max_bytes else b""
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise ArtifactError(f"{path}: an artifact holds plain files only") from None
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); the artifact is incomplete"
        ) from None
    size = max(status.st_size, len(value))
    if size > max_bytes:
        raise ArtifactError(
            f"{path}: {size} bytes, more than the {max_bytes} allowed; copy or export the artifact again"
        )
    return value
