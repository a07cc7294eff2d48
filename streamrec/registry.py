"""Model versions on disk: `<path>/<model>/<version>/`, each an artifact, never changed.

A version appears whole or not at all: it is written beside its place, signed there and renamed
into it. Names sort by time. What is read back is signed by a trusted key, or refused.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from streamrec.artifact import (
    MANIFEST,
    Manifest,
    artifact_digest,
    read_artifact,
    read_manifest,
    sign_artifact,
)
from streamrec.config import RegistrySettings
from streamrec.errors import ArtifactError, ConfigError, RegistryError, SignatureError
from streamrec.signing import SigningKey

__all__ = ["Registry"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


class Registry:
    """The local registry below `path`; made when the first version is published.

    trusted: public keys, one of which has to have signed what is read; None: whoever wrote it will do.
    signing_key: file of the key that signs what is published; None leaves it unsigned.
    """

    def __init__(
        self, path: Path, *, trusted: Sequence[str] | None = (), signing_key: Path | None = None
    ) -> None:
        self.path = path
        self._trusted = trusted
        self._signing_key = signing_key

    @classmethod
    def of(cls, settings: RegistrySettings) -> Self:
        """The registry that the settings name."""
        trusted = settings.trusted_keys if settings.require_signature else None
        return cls(settings.path, trusted=trusted, signing_key=settings.signing_key)

    def versions(self, model: str) -> list[str]:
        """Published versions of a model, oldest first."""
        folder = self.path / _checked(model)
        # The manifest tells a version from a folder that is still being copied here.
        return sorted(name for name in _folders(folder) if (folder / name / MANIFEST).is_file())

    def models(self) -> list[str]:
        """Names of the models that have versions."""
        return sorted(name for name in _folders(self.path) if self.versions(name))

    def latest(self, model: str) -> str:
        """The newest version. Raises RegistryError if there is none."""
        versions = self.versions(model)
        if not versions:
            raise RegistryError(
                f"{self.path}: no version of {model}; `streamrec train {model}` with --data FILE, --bundled "
                "or --from-topic makes one"
            )
        return versions[-1]

    def directory(self, model: str, version: str) -> Path:
        """Where a version lies. Raises RegistryError if it does not exist."""
        directory = self.path / _checked(model) / _checked(version)
        if not directory.is_dir():
            raise RegistryError(
                f"{self.path}: {model} has no version {version}; `streamrec models list` shows what there is"
            )
        return directory

    def read(
        self, model: str, version: str, digest: str | None = None, *, signed: bool = True
    ) -> tuple[Manifest, dict[str, bytes]]:
        """Manifest and files of a version, as artifact.read_artifact has them.

        signed=False: of one's own making, to be signed later. Raises RegistryError, ArtifactError.
        """
        directory = self.directory(model, version)
        manifest, files = read_artifact(directory, digest, self._trusted if signed else None)
        _require_own_name(directory, manifest, model, version)
        return manifest, files

    def digest(self, model: str, version: str) -> str:
        """The sha256 that names a version, its signature and every file checked. Errors as in `read`."""
        directory = self.directory(model, version)
        digest = artifact_digest(directory, self._trusted)
        _require_own_name(directory, read_manifest(directory, digest), model, version)
        return digest

    def is_signed(self, model: str, version: str) -> bool:
        """Whether a trusted key has signed a version's manifest. Raises RegistryError, ArtifactError."""
        try:
            read_manifest(self.directory(model, version), trusted=self._trusted or ())
        except SignatureError:
            return False
        return True

    def signer(self) -> SigningKey | None:
        """The key that signs what is published; None without. Raises ConfigError if it cannot be used."""
        return None if self._signing_key is None else SigningKey.load(self._signing_key)

    def require_trusted_signer(self) -> None:
        """Raise ConfigError if workers with these settings would refuse what is published here."""
        if self._trusted is None:
            return
        signer = self.signer()
        if signer is None:
            raise ConfigError(
                "there is no key to sign with, and workers refuse what is not signed; make one with "
                "`streamrec models keygen FILE` and name it in STREAMREC_REGISTRY__SIGNING_KEY"
            )
        if signer.public not in self._trusted:
            raise ConfigError(
                f"{self._signing_key}: its public key {signer.public} is not trusted; put it into "
                "STREAMREC_REGISTRY__TRUSTED_KEYS, here and where models are served"
            )

    def sign(self, model: str, version: str) -> str:
        """Sign a version that is there, every file checked; returns the public key.

        Raises RegistryError, ArtifactError, or ConfigError without a key that can be used.
        """
        directory, signer = self.directory(model, version), self.signer()
        if signer is None:
            raise ConfigError("which key? name its file in STREAMREC_REGISTRY__SIGNING_KEY")
        try:
            sign_artifact(directory, signer)
        except OSError as error:
            raise RegistryError(f"{directory}: cannot be written to ({error.strerror})") from None
        return signer.public

    def publish(self, model: str, version: str, write: Callable[[Path], None]) -> Path:
        """Have `write` fill an empty directory, sign it and make it the version; returns its place.

        If `write` fails nothing is left behind. Raises RegistryError if the version exists
        or the registry cannot be written to, ConfigError if the signing key cannot be used.
        """
        signer = self.signer()
        folder = self.path / _checked(model)
        target = folder / _checked(version)
        if target.exists():
            raise RegistryError(f"{target}: this version exists; versions are never changed")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A leading dot keeps unfinished ones out of `versions`.
            beside = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=folder))
        except OSError as error:
            raise RegistryError(
                f"{folder}: cannot be written to ({error.strerror}); set STREAMREC_REGISTRY__PATH"
            ) from None
        try:
            write(beside)
            if signer is not None:
                sign_artifact(beside, signer)
            _release(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return target


def _folders(path: Path) -> list[str]:
    return (
        [each.name for each in path.iterdir() if _NAME.fullmatch(each.name) and each.is_dir()]
        if path.is_dir()
        else []
    )


def _require_own_name(directory: Path, manifest: Manifest, model: str, version: str) -> None:
    # Rows name the version that made them, so a copy under another name would mix two.
    if (manifest.model, manifest.version) != (model, version):
        raise ArtifactError(
            f"{directory}: holds {manifest.model} {manifest.version}; publish it under its own name"
        )


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise RegistryError(f"{name!r} is no name of a model or version: use a-z, 0-9, '.', '_' and '-'")
    return name


def _release(beside: Path, target: Path) -> None:
    """Rename the finished directory into its place, so that a power cut leaves all of it or nothing."""
    try:
        beside.chmod(0o755)
        for path in [*beside.iterdir(), beside]:
            _sync(path)
        beside.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise RegistryError(f"{target}: cannot be published ({error.strerror})") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
