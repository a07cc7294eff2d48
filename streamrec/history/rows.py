"""Rows of a file that comes from elsewhere: CSV, TSV, JSON lines or Parquet.

Out: each row with its line, and what cannot be read as a row with the reason. One row is held at a time,
of Parquet one batch.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec

from streamrec.errors import DatasetError

__all__ = ["FORMATS", "Row", "find_format", "read_rows"]

FORMATS: Final = ("csv", "tsv", "jsonl", "parquet")
_SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_BATCH: Final = 8192

Progress = Callable[[int, int], None]
"""Called now and then with how much of the file is done, and how much there is."""


class Row(NamedTuple):
    """A row, or what stands where one should be."""

    line: int
    """Where it ends, from 1 on, the header included; of Parquet the number of the row."""
    cells: dict[str, Any]
    """By name of the column."""
    fault: str = ""
    """Why it is no row."""
    text: str = ""
    """What stands there instead."""


def find_format(path: Path, wanted: str | None) -> str:
    """The format of a file: `wanted`, or what its name says. Raises DatasetError if that is nothing known."""
    name = path.name.removesuffix(".gz")
    found = wanted or _SUFFIXES.get(Path(name).suffix.lower())
    if found not in FORMATS:
        raise DatasetError(
            f"{path}: is it {', '.join(FORMATS)}? Its name does not tell; say so with --format"
        )
    return found


def read_rows(path: Path, format: str, progress: Progress) -> Iterator[Row]:  # noqa: A002 (as the option)
    """The rows of a file; a name ending in .gz is unpacked.

    Raises DatasetError if it cannot be read, or has no header or no columns.
    """
    with _naming(path):
        if format == "parquet":
            yield from _parquet_rows(path, progress)
            return
        with path.open("rb") as file, _Text(path, file, progress) as text:
            read = _json_rows if format == "jsonl" else _csv_rows
            yield from read(path, text, format)


class _Text:
    """The lines of a file. What is no UTF-8 comes as what encodes to no UTF-8: its row is refused."""

    def __init__(self, path: Path, file: IO[bytes], progress: Progress) -> None:
        self._raw = file
        self._size = path.stat().st_size
        self._progress = progress
        unpacked: Any = gzip.GzipFile(fileobj=file) if path.name.endswith(".gz") else file
        self._text = io.TextIOWrapper(unpacked, "utf-8-sig", "surrogateescape", newline="")
        self.line = 0
        self.taken: list[str] = []
        """Lines since it was last emptied."""

    def __enter__(self) -> "_Text":
        return self

    def __exit__(self, *_: object) -> None:
        self._text.detach()

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.line += 1
            self.taken.append(line)
            if self.line % 1000 == 0:
                self._progress(self._raw.tell(), self._size)
            yield line


def _csv_rows(path: Path, text: _Text, format: str) -> Iterator[Row]:  # noqa: A002
    # In a TSV a quote is a character like others, as in the files that `streamrec train --data` reads.
    quoting: Any = csv.QUOTE_NONE if format == "tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(text, delimiter="\t" if format == "tsv" else ",", quoting=quoting)
    header = next(reader, None)
    if not header:
        raise DatasetError(f"{path}: the file is empty; a header with the names of the columns is wanted")
    while True:
        text.taken.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Row(text.line, {}, str(error), "".join(text.taken))
            continue
        if cells is None:
            return
        if len(cells) == len(header):
            yield Row(text.line, dict(zip(header, cells, strict=True)))
        elif cells:
            fault = f"{len(cells)} cells, and the header has {len(header)}"
            yield Row(text.line, {}, fault, "".join(text.taken))


def _json_rows(path: Path, text: _Text, format: str) -> Iterator[Row]:  # noqa: A002
    for line in text:
        text.taken.clear()
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line.encode())
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            yield Row(text.line, {}, f"no JSON: {error}", line)
            continue
        if isinstance(found, dict):
            yield Row(text.line, found)
        else:
            yield Row(text.line, {}, "no JSON object", line)


def _parquet_rows(path: Path, progress: Progress) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            number, total = 0, file.metadata.num_rows
            for batch in file.iter_batches(_BATCH, use_threads=False):
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(number, cells)
                progress(number, total)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: no Parquet file, or a damaged one: {error}") from None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: cannot be read: {reason}") from None
