"""An exported model as a directory: graphs, vocabulary, manifest, probes, model card.

    step.onnx        items (B,), hidden (B, H) -> new hidden (B, H)
    score.onnx       hidden (B, H), bias (N,), n (1,) -> indices (B, n), scores (B, n)
    bias.npy         the model's output bias, float32 (N,)
    first_layer.npz  gru.0.weight_ih (3H, D), gru.0.bias_ih (3H,), and inputs (N, D) where they are not the
                     output weights: not for serving, but for a training that goes on from here
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
from typing import Final, Protocol

from pydantic import ValidationError

from streamrec.errors import ArtifactError, SignatureError
from streamrec.manifest import FORMAT, MAX_HIDDEN_SIZE, MAX_ITEMS, FileEntry, Manifest, Probe
from streamrec.signing import SIGNATURE_BYTES, SigningKey, is_signed_by

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MAX_ARTIFACT_BYTES",
    "MAX_HIDDEN_SIZE",
    "MAX_ITEMS",
    "SIGNATURE",
    "FileEntry",
    "Files",
    "LocalFiles",
    "Manifest",
    "Probe",
    "artifact_digest",
    "put_signature",
    "read_artifact",
    "read_manifest",
    "sign_artifact",
    "signature_of",
    "write_manifest",
]

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
_MAX_MANIFEST_BYTES: Final = 16 << 20
MAX_ARTIFACT_BYTES: Final = 4 << 30
"""All files together: they are read into memory before anything is loaded."""


class Files(Protocol):
    """The files of one artifact, wherever they are kept."""

    @property
    def place(self) -> str:
        """How messages call it; ends with the version's name."""

    def has(self, name: str) -> bool:
        """Whether there is something under that name. Raises StorageError if it cannot be told."""

    def read(self, name: str, max_bytes: int) -> bytes:
        """A whole file. Raises ArtifactError if it is not there, is no plain file or is larger, and
        StorageError if the place cannot be reached.
        """


class LocalFiles:
    """Files in a local directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def place(self) -> str:
        """See Files."""
        return str(self._directory)

    def has(self, name: str) -> bool:
        """See Files; a link counts, wherever it leads."""
        return os.path.lexists(self._directory / name)

    def read(self, name: str, max_bytes: int) -> bytes:
        """See Files."""
        return _read(self._directory / name, max_bytes)


def write_manifest(directory: Path, manifest: Manifest) -> str:
    """Write manifest.json into the directory; returns its sha256, which names the whole artifact."""
    value = json.dumps(manifest.model_dump(), indent=1, sort_keys=True).encode() + b"\n"
    (directory / MANIFEST).write_bytes(value)
    return hashlib.sha256(value).hexdigest()


def read_artifact(
    directory: Path | Files, digest: str | None = None, trusted: Sequence[str] | None = None
) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and the bytes of every file it lists, all checked.

    digest: sha256 the manifest has to have; None accepts the one that is there.
    trusted: public keys, one of which has to have signed the manifest; None does not ask.
    Raises ArtifactError naming the file and what is wrong with it, SignatureError if it is that, and
    StorageError if the files cannot be reached.
    """
    manifest = read_manifest(directory, digest, trusted)
    return manifest, _read_files(_files(directory), manifest)


def artifact_digest(directory: Path | Files, trusted: Sequence[str] | None = None) -> str:
    """The sha256 that names an artifact, every file checked; trusted and errors as in read_artifact."""
    digest = hashlib.sha256(_files(directory).read(MANIFEST, _MAX_MANIFEST_BYTES)).hexdigest()
    read_artifact(directory, digest, trusted)
    return digest


def read_manifest(
    directory: Path | Files, digest: str | None = None, trusted: Sequence[str] | None = None
) -> Manifest:
    """The manifest alone; digest, trusted and errors as in read_artifact."""
    files = _files(directory)
    value = files.read(MANIFEST, _MAX_MANIFEST_BYTES)
    if trusted is not None:
        _check_signature(files, value, trusted)
    found = hashlib.sha256(value).hexdigest()
    if digest is not None and found != digest:
        raise ArtifactError(
            f"{files.place}/{MANIFEST}: sha256 is {found}, the release says {digest}; "
            "publish the version again and release it anew"
        )
    return _parsed(f"{files.place}/{MANIFEST}", value)


def signature_of(directory: Path | Files, key: SigningKey) -> bytes:
    """Check every file, then sign the manifest. Errors as in read_artifact."""
    files = _files(directory)
    value = files.read(MANIFEST, _MAX_MANIFEST_BYTES)
    _read_files(files, _parsed(f"{files.place}/{MANIFEST}", value))
    return key.sign(value)


def sign_artifact(directory: Path, key: SigningKey) -> None:
    """Check every file, then put the manifest's signature in its place, whole or not at all.

    Raises ArtifactError, or OSError if it cannot be written.
    """
    put_signature(directory, signature_of(directory, key))


def put_signature(directory: Path, signature: bytes) -> None:
    """Put a signature in its place, whole or not at all. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{SIGNATURE}-", delete=False) as file:
        beside = Path(file.name)
        try:
            file.write(signature)
            file.flush()
            os.fsync(file.fileno())
            beside.chmod(0o644)
            beside.replace(directory / SIGNATURE)
        except BaseException:
            beside.unlink()
            raise


def _files(place: Path | Files) -> Files:
    return LocalFiles(place) if isinstance(place, Path) else place


def _check_signature(files: Files, manifest: bytes, trusted: Sequence[str]) -> None:
    place = files.place
    if not trusted:
        raise SignatureError(
            f"{place}: no key is trusted; name those whose models are to be served in "
            "STREAMREC_REGISTRY__TRUSTED_KEYS"
        )
    if not files.has(SIGNATURE):
        raise SignatureError(
            f"{place}: not signed; if you answer for it: `streamrec models sign {place.rpartition('/')[2]}`"
        )
    try:
        signature = files.read(SIGNATURE, SIGNATURE_BYTES)
    except ArtifactError as error:
        raise SignatureError(str(error)) from None
    if not is_signed_by(trusted, manifest, signature):
        raise SignatureError(
            f"{place}/{SIGNATURE}: by none of the {len(trusted)} trusted keys, or {MANIFEST} is not what was "
            "signed; sign it with a key of STREAMREC_REGISTRY__TRUSTED_KEYS if you answer for it"
        )


def _parsed(path: str, value: bytes) -> Manifest:
    # The format comes first: another one may have other fields.
    try:
        made = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: no JSON ({error}); export the model again") from None
    if not isinstance(made, dict) or made.get("format") != FORMAT:
        form = made.get("format") if isinstance(made, dict) else None
        raise ArtifactError(
            f"{path}: format {form}, this streamrec reads {FORMAT}; export the model again", "wrong_shape"
        )
    try:
        return Manifest.model_validate(made)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ArtifactError(f"{path}: {faults}; export the model again", "wrong_shape") from None


def _read_files(directory: Files, manifest: Manifest) -> dict[str, bytes]:
    size = sum(entry.size_bytes for entry in manifest.files.values())
    if size > MAX_ARTIFACT_BYTES:
        raise ArtifactError(
            f"{directory.place}: the files have {size} bytes together, {MAX_ARTIFACT_BYTES} are allowed; "
            "train with fewer items or a smaller hidden_size",
            "wrong_shape",
        )
    return {name: _checked(directory, name, entry) for name, entry in manifest.files.items()}


def _checked(directory: Files, name: str, entry: FileEntry) -> bytes:
    value, path = directory.read(name, entry.size_bytes), f"{directory.place}/{name}"
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
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); the artifact is incomplete",
            "damaged" if gone else "unavailable",
        ) from None
    size = max(status.st_size, len(value))
    if size > max_bytes:
        raise ArtifactError(
            f"{path}: {size} bytes, more than the {max_bytes} allowed; copy or export the artifact again"
        )
    return value
