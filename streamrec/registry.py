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

from streamrec.artifact import MANIFEST
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

        If `write` fails nothing is left behind. Raises RegistryError if the version exists
        or the registry cannot be written to.
        """
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
