"""The place where history is: a folder or s3://bucket/prefix.

Files are written whole or not at all: on a local disk under another name that is changed at the end, on
S3 by a single put. Nothing is changed once it is there.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from streamrec.config import Settings
from streamrec.errors import DatasetError, StorageError
from streamrec.history.columns import HistoryRecord, decode_file, encode_file
from streamrec.history.names import FileName, parse_name
from streamrec.storage import open_place

__all__ = ["HistoryStore"]

_IMPORTS: Final = "imports"


class HistoryStore:
    """Files of history at `settings.history.url`.

    Raises ConfigError if that is no place. Every method raises StorageError if the place cannot be
    reached or refuses, and DatasetError if a file is damaged.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.history.url
        self._system, self._root = open_place(self.url, settings.storage)
        self._local = self.url.rpartition("://")[0] in ("", "file")
        self._faults = _faults(self._local)

    def names(self, folder: str) -> list[FileName]:
        """The files below a folder: that of a topic, or of an import."""
        found = (parse_name(path) for path in self._paths(folder))
        return sorted(name for name in found if name is not None)

    def texts(self, name: str) -> dict[str, bytes]:
        """Files of this name in all imports, by the import's id."""
        paths = [path for path in self._paths(_IMPORTS) if path.endswith(f"/{name}")]
        return {path.split("/")[-2]: self._bytes(path) for path in paths}

    def write(self, folder: str, name: FileName, records: Iterable[Any], about: dict[str, str]) -> int:
        """Write a file of records below a folder; returns its size in bytes."""
        data = encode_file(name.partition, list(records), {**_about(name), **about})
        self.write_bytes(f"{folder}/{name}", data)
        return len(data)

    def records(self, folder: str, name: FileName, start: int, end: int) -> Iterator[HistoryRecord]:
        """The records of a file with start <= offset < end, in order."""
        path = f"{self._root}/{folder}/{name}"
        try:
            yield from decode_file(self._bytes(path), name.partition, start, end, _about(name))
        except DatasetError as error:
            raise DatasetError(
                f"{self.url}/{folder}/{name}: {error}. Take the file away: the archive app reads its offsets "
                "again when it starts, if Kafka still has them, and else they are missing"
            ) from None

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file below the root, whole or not at all."""
        with self._answering(path):
            if self._local:
                _write_and_rename(Path(self._root, path), data)
            else:
                self._system.pipe_file(f"{self._root}/{path}", data)

    def remove(self, paths: Iterable[str]) -> None:
        """Take files below the root away, one after the other."""
        for path in paths:
            with self._answering(path):
                self._system.rm_file(f"{self._root}/{path}")

    def _paths(self, folder: str) -> list[str]:
        with self._answering(folder):
            self._system.invalidate_cache()
            paths: list[str] = self._system.find(f"{self._root}/{folder}")
        return paths

    def _bytes(self, path: str) -> bytes:
        with self._answering(path.removeprefix(f"{self._root}/")):
            data: bytes = self._system.cat_file(path)
        return data

    @contextmanager
    def _answering(self, path: str) -> Iterator[None]:
        """What a disk or an object store refuses is a StorageError."""
        try:
            yield
        except self._faults as error:
            raise self._error(path, error) from error

    def _error(self, path: str, error: Exception) -> StorageError:
        advice = (
            "is there room, and may this user write there?"
            if self._local
            else "is STREAMREC_STORAGE__ENDPOINT right, is the bucket there, and do the keys allow it?"
        )
        return StorageError(f"{self.url}: {path}: {error or type(error).__name__}; {advice}")


def _faults(local: bool) -> tuple[type[Exception], ...]:
    if local:
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, BotoCoreError, ClientError)


def _about(name: FileName) -> dict[str, str]:
    return {key: str(value) for key, value in name._asdict().items()}


def _write_and_rename(path: Path, data: bytes) -> None:
    _make_folder(path.parent)
    # Nobody else's, and no name of history: what a killed writer leaves is read by nobody.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _make_folder(folder: Path) -> None:
    """Make it and what is above it: on the disk before there is a file in it."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
