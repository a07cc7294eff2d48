"""Rows of a file in the order of their times, however many there are.

Rows are sorted in pieces that fit into memory, each piece goes to a file, and the files are merged.
"""

import heapq
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final, NamedTuple

import msgspec

__all__ = ["Spool", "Spooled"]

_PIECE_BYTES: Final = 64 << 20
_SIZE: Final = 4


class Spooled(NamedTuple):
    """An interaction of an imported file. They are ordered by time, then line."""

    timestamp: int
    line: int
    key: bytes
    value: bytes


class Spool:
    """Holds the rows of each partition. Close it at the end: its files are gone then."""

    def __init__(self, folder: Path | None = None, piece_bytes: int = _PIECE_BYTES) -> None:
        self._folder = folder
        self._piece_bytes = piece_bytes
        self._held: dict[int, list[Spooled]] = {}
        self._held_bytes = 0
        self._files: dict[int, list[IO[bytes]]] = {}
        self.rows = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        for files in self._files.values():
            for file in files:
                file.close()

    def add(self, partition: int, row: Spooled) -> None:
        """Take a row."""
        self._held.setdefault(partition, []).append(row)
        self._held_bytes += len(row.key) + len(row.value)
        self.rows += 1
        if self._held_bytes >= self._piece_bytes:
            self._put_away()

    def partitions(self) -> list[int]:
        """Those that have a row."""
        return sorted({*self._held, *self._files})

    def in_order(self, partition: int) -> Iterator[Spooled]:
        """The rows of a partition by time. Once for each partition, after the last row was taken."""
        pieces: list[Any] = [_read(file) for file in self._files.get(partition, ())]
        return heapq.merge(*pieces, sorted(self._held.get(partition, ())))

    def _put_away(self) -> None:
        for partition, rows in self._held.items():
            # Closed by whoever closes the spool.
            file = TemporaryFile(dir=self._folder)  # noqa: SIM115
            for row in sorted(rows):
                data = msgspec.msgpack.encode(row)
                file.write(len(data).to_bytes(_SIZE, "big") + data)
            self._files.setdefault(partition, []).append(file)
        self._held, self._held_bytes = {}, 0


def _read(file: IO[bytes]) -> Iterator[Spooled]:
    file.seek(0)
    while size := file.read(_SIZE):
        yield msgspec.msgpack.decode(file.read(int.from_bytes(size, "big")), type=Spooled)
