"""Where model versions are kept: on a local disk, or in an object store. Two implementations of one contract.

In: names of models and versions, checked by the registry. Out: lists of them, the files of one, and
publishing and removing that readers never see half of.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from streamrec.artifact import Files
from streamrec.config import StorageSettings
from streamrec.stores.local import LocalStore

__all__ = ["Store", "open_store"]


class Store(Protocol):
    """Versions of models. A version is there whole or not at all, and its files never change but for the
    signature. Raises StorageError where an object store cannot be reached or refuses."""

    @property
    def place(self) -> str:
        """How messages call it."""

    def location(self, model: str, version: str) -> Path | str:
        """Where a version is or would be: a directory, or a URL."""

    def models(self) -> list[str]:
        """Names of the folders of models, in no order; they may be empty."""

    def versions(self, model: str) -> dict[str, float]:
        """The versions of a model, in no order, each with when its manifest was written (s since 1970)."""

    def has(self, model: str, version: str) -> bool:
        """Whether there is something to read under that name."""

    def files(self, model: str, version: str) -> Files:
        """The files of a version."""

    def publish(self, model: str, version: str, write: Callable[[Path], None]) -> None:
        """Have `write` fill an empty directory and make it the version, whole or not at all.

        If `write` fails nothing is left behind. Raises RegistryError if the version exists or the
        store cannot be written to.
        """

    def sign(self, model: str, version: str, signature: bytes) -> None:
        """Put the signature of a version in place, whole or not at all. Raises RegistryError."""

    def remove(self, model: str, version: str) -> None:
        """Remove a version: for readers all at once. Raises RegistryError."""

    def leftovers(self, model: str, before_s: float) -> list[str]:
        """What killed publishing and removing has left, last changed before a time (s since 1970)."""

    def discard(self, model: str, leftover: str) -> None:
        """Remove one of these leftovers. Raises RegistryError."""


def open_store(place: Path | str, storage: StorageSettings) -> Store:
    """The store at a local path, or at s3://bucket/prefix. Nothing is asked of it yet.

    Raises ConfigError if what an object store needs is not installed.
    """
    if isinstance(place, Path):
        return LocalStore(place)
    from streamrec.stores.s3 import S3Store

    return S3Store(place, storage)
