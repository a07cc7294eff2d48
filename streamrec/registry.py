"""Model versions on disk: `<path>/<model>/<version>/`, each an artifact, never changed.

A version appears whole or not at all: it is written beside its place and renamed into
it. Names sort by time.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streamrec.errors import RegistryError

__all__ = ["Registry"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


class Registry:
    """The local registry below `path`; made when the first version is published."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def versions(self, model: str) -> list[str]:
        """Published versions of a model, oldest first."""
        folder = self.path / _checked(model)
        if not folder.is_dir():
            return []
        return sorted(each.name for each in folder.iterdir() if each.is_dir() and _NAME.fullmatch(each.name))

    def models(self) -> list[str]:
        """Names of the models that have versions."""
        if not self.path.is_dir():
            return []
        return sorted(each.name for each in self.path.iterdir() if self.versions(each.name))

    def latest(self, model: str) -> str:
        """The newest version. Raises RegistryError if there is none."""
        versions = self.versions(model)
        if not versions:
            raise RegistryError(
                f"{self.path}: no version of {model}; train one with `streamrec train {model}`"
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

    def publish(self, model: str, version: str, write: Callable[[Path], None]) -> Path:
        """Have `write` fill an empty directory and make it the version; returns its place.

        If `write` fails nothing is left behind. Raises RegistryError if the version exists.
        """
        folder = self.path / _checked(model)
        target = folder / _checked(version)
        if target.exists():
            raise RegistryError(f"{target}: this version exists; versions are never changed")
        folder.mkdir(parents=True, exist_ok=True)
        # A leading dot keeps unfinished ones out of `versions`.
        beside = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=folder))
        try:
            write(beside)
            beside.chmod(0o755)
            _sync(beside)
            try:
                beside.rename(target)
            except OSError as error:
                raise RegistryError(f"{target}: cannot be published ({error.strerror})") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return target


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise RegistryError(f"{name!r} is no name of a model or version: use a-z, 0-9, '.', '_' and '-'")
    return name


def _sync(directory: Path) -> None:
    """Bring the files to the disk before the rename makes them visible."""
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
