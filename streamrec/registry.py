"""Model versions: `<model>/<version>/`, each an artifact, never changed.

They are on a local disk or in an object store, and appear whole or not at all (streamrec.stores). Names sort
by time. What is read back is signed by a trusted key, or refused.
"""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, Self

from streamrec.artifact import (
    Manifest,
    artifact_digest,
    read_artifact,
    read_manifest,
    sign_artifact,
    signature_of,
)
from streamrec.config import Settings, StorageSettings
from streamrec.errors import ArtifactError, ConfigError, RegistryError, SignatureError
from streamrec.signing import SigningKey
from streamrec.stores import Store, open_store

__all__ = ["Entry", "Registry"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
# Against an object store the waiting adds up, not the work.
_AT_ONCE: Final = 16


class Entry(NamedTuple):
    """What there is to see of a version without loading it."""

    model: str
    version: str
    manifest: Manifest | None
    """None if it cannot be read."""
    signed: bool
    """By a trusted key."""
    fault: str = ""
    """Why the manifest cannot be read."""


class Registry:
    """The registry in a folder or a store; made when the first version is published.

    trusted: public keys, one of which has to have signed what is read; None: whoever wrote it will do.
    signing_key: file of the key that signs what is published; None leaves it unsigned.
    """

    def __init__(
        self,
        place: Path | Store,
        *,
        trusted: Sequence[str] | None = (),
        signing_key: Path | None = None,
    ) -> None:
        self._store = open_store(place, StorageSettings()) if isinstance(place, Path) else place
        self._trusted = trusted
        self._signing_key = signing_key

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The registry that the settings name. Raises ConfigError if what it needs is not installed."""
        registry = settings.registry
        trusted = registry.trusted_keys if registry.require_signature else None
        store = open_store(registry.path, settings.storage)
        return cls(store, trusted=trusted, signing_key=registry.signing_key)

    @property
    def path(self) -> Path | str:
        """Where it is: a folder, or a URL."""
        return getattr(self._store, "path", self._store.place)

    def versions(self, model: str) -> list[str]:
        """Published versions of a model, oldest first. Raises StorageError, as everything here may."""
        return sorted(self.published(model))

    def published(self, model: str) -> dict[str, float]:
        """The versions of a model, each with when it was published, s since 1970."""
        found = self._store.versions(_checked(model))
        return {name: time_s for name, time_s in found.items() if _NAME.fullmatch(name)}

    def models(self) -> list[str]:
        """Names of the models that have versions."""
        names = (name for name in self._store.models() if _NAME.fullmatch(name))
        return sorted(name for name in names if self.versions(name))

    def latest(self, model: str) -> str:
        """The newest version. Raises RegistryError if there is none."""
        versions = self.versions(model)
        if not versions:
            what = model if model == "gru4rec" else f"recommender {model}"
            raise RegistryError(
                f"{self.path}: no version of {model}; `streamrec train {what}` with --data FILE, --bundled "
                "or --from-topic makes one"
            )
        return versions[-1]

    def location(self, model: str, version: str) -> Path | str:
        """Where a version is: a directory, or a URL. Raises RegistryError if it does not exist."""
        if not self._store.has(_checked(model), _checked(version)):
            raise RegistryError(
                f"{self.path}: {model} has no version {version}; `streamrec models list` shows what there is"
            )
        return self._store.location(model, version)

    def directory(self, model: str, version: str) -> Path:
        """Where a version lies on a local disk. Raises RegistryError if there is no such directory."""
        location = self.location(model, version)
        if isinstance(location, str):
            raise RegistryError(f"{location} is no directory on this machine")
        return location

    def read(
        self, model: str, version: str, digest: str | None = None, *, signed: bool = True
    ) -> tuple[Manifest, dict[str, bytes]]:
        """Manifest and files of a version, as artifact.read_artifact has them.

        signed=False: of one's own making, to be signed later. Raises RegistryError, ArtifactError,
        StorageError.
        """
        place = self.location(model, version)
        files = self._store.files(model, version)
        manifest, values = read_artifact(files, digest, self._trusted if signed else None)
        _require_own_name(place, manifest, model, version)
        return manifest, values

    def manifest(self, model: str, version: str) -> Manifest:
        """What a version says of itself, whoever has signed it. Errors as in `read`."""
        self.location(model, version)
        return read_manifest(self._store.files(model, version))

    def digest(self, model: str, version: str) -> str:
        """The sha256 that names a version, its signature and every file checked. Errors as in `read`."""
        place = self.location(model, version)
        files = self._store.files(model, version)
        digest = artifact_digest(files, self._trusted)
        _require_own_name(place, read_manifest(files, digest), model, version)
        return digest

    def is_signed(self, model: str, version: str) -> bool:
        """Whether a trusted key has signed a version's manifest. Raises RegistryError, ArtifactError."""
        self.location(model, version)
        try:
            read_manifest(self._store.files(model, version), trusted=self._trusted or ())
        except SignatureError:
            return False
        return True

    def entries(self, model: str) -> list[Entry]:
        """All versions of a model, oldest first, looked at side by side."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda version: self._entry(model, version), self.versions(model)))

    def _entry(self, model: str, version: str) -> Entry:
        files = self._store.files(model, version)
        try:
            return Entry(model, version, read_manifest(files, trusted=self._trusted or ()), signed=True)
        except SignatureError:
            pass
        except ArtifactError as error:
            return Entry(model, version, None, signed=False, fault=str(error))
        try:
            return Entry(model, version, read_manifest(files), signed=False)
        except ArtifactError as error:
            return Entry(model, version, None, signed=False, fault=str(error))

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
        self.location(model, version)
        signer = self.signer()
        if signer is None:
            raise ConfigError("which key? name its file in STREAMREC_REGISTRY__SIGNING_KEY")
        self._store.sign(model, version, signature_of(self._store.files(model, version), signer))
        return signer.public

    def publish(self, model: str, version: str, write: Callable[[Path], None]) -> Path | str:
        """Have `write` fill an empty directory, sign it and make it the version; returns its place.

        If `write` fails nothing is left behind. Raises RegistryError if the version exists
        or the registry cannot be written to, ConfigError if the signing key cannot be used.
        """
        signer = self.signer()

        def write_and_sign(directory: Path) -> None:
            write(directory)
            if signer is not None:
                sign_artifact(directory, signer)

        self._store.publish(_checked(model), _checked(version), write_and_sign)
        return self._store.location(model, version)

    def remove(self, model: str, version: str) -> None:
        """Remove a version, for readers all at once. Raises RegistryError if that cannot be."""
        self.location(model, version)
        self._store.remove(model, version)

    def leftovers(self, model: str, before_s: float) -> list[str]:
        """What killed publishing and removing has left, last changed before a time (s since 1970)."""
        return self._store.leftovers(_checked(model), before_s)

    def discard(self, model: str, leftover: str) -> None:
        """Remove one of these leftovers. Raises RegistryError."""
        self._store.discard(_checked(model), leftover)


def _require_own_name(place: Path | str, manifest: Manifest, model: str, version: str) -> None:
    # Rows name the version that made them, so a copy under another name would mix two.
    if (manifest.model, manifest.version) != (model, version):
        raise ArtifactError(
            f"{place}: holds {manifest.model} {manifest.version}; publish it under its own name"
        )


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise RegistryError(f"{name!r} is no name of a model or version: use a-z, 0-9, '.', '_' and '-'")
    return name
