"""Versions on a local disk: `<path>/<model>/<version>/`.

A version is written beside its place, under a name with a leading dot, and renamed into it; it is renamed
away before it is removed.
"""

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streamrec.artifact import MANIFEST, LocalFiles, put_signature
from streamrec.errors import RegistryError

__all__ = ["LocalStore"]


class LocalStore:
    """Versions below `path`, which is made when the first is published. A stores.Store."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def place(self) -> str:
        """See Store."""
        return str(self.path)

    def location(self, model: str, version: str) -> Path:
        """See Store."""
        return self.path / model / version

    def models(self) -> list[str]:
        """See Store."""
        return _folders(self.path)

    def versions(self, model: str) -> dict[str, float]:
        """See Store. The manifest tells a version from a folder that is still being copied here."""
        found = {}
        for name in _folders(self.path / model):
            manifest = self.path / model / name / MANIFEST
            if not name.startswith(".") and manifest.is_file():
                found[name] = manifest.stat().st_mtime
        return found

    def has(self, model: str, version: str) -> bool:
        """See Store. A folder without a manifest counts: what is wrong with it is to be said."""
        return self.location(model, version).is_dir()

    def files(self, model: str, version: str) -> LocalFiles:
        """See Store."""
        return LocalFiles(self.location(model, version))

    def publish(self, model: str, version: str, write: Callable[[Path], None]) -> None:
        """See Store."""
        target = self.location(model, version)
        if target.exists():
            raise RegistryError(f"{target}: this version exists; versions are never changed")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # A leading dot keeps unfinished ones out of `versions`.
            beside = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=target.parent))
        except OSError as error:
            raise RegistryError(
                f"{target.parent}: cannot be written to ({error.strerror}); set STREAMREC_REGISTRY__PATH"
            ) from None
        try:
            write(beside)
            _release(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def sign(self, model: str, version: str, signature: bytes) -> None:
        """See Store."""
        with _writing(self.location(model, version)):
            put_signature(self.location(model, version), signature)

    def remove(self, model: str, version: str) -> None:
        """See Store."""
        target = self.location(model, version)
        with _writing(target):
            away = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=target.parent))
            target.rename(away / version)
            _sync(target.parent)
            shutil.rmtree(away)

    def leftovers(self, model: str, before_s: float) -> list[str]:
        """See Store."""
        hidden = (name for name in _folders(self.path / model) if name.startswith("."))
        return sorted(name for name in hidden if _changed_s(self.path / model / name) < before_s)

    def discard(self, model: str, leftover: str) -> None:
        """See Store."""
        with _writing(self.path / model / leftover):
            shutil.rmtree(self.path / model / leftover)


def _folders(path: Path) -> list[str]:
    return [each.name for each in path.iterdir() if each.is_dir()] if path.is_dir() else []


def _changed_s(path: Path) -> float:
    """When a folder, or something in it, was last changed."""
    try:
        return max(each.lstat().st_mtime for each in [path, *path.rglob("*")])
    except FileNotFoundError:  # somebody is at work there
        return math.inf


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryError(f"{path}: cannot be written to ({error.strerror})") from None


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
