"""Files of somebody else's history into ours, through the checks of live traffic.

In: a CSV, TSV, JSON lines or Parquet file. Out: a source of history of its own, whose id is the file's
digest, with the rows that are interactions, each in the partition where Kafka's producers would have put
it, in the order of their times; and a file with the others, each with its line and the reason.
"""

import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from streamrec.advance.records import Intake, partition_of
from streamrec.config import Settings
from streamrec.errors import DatasetError, RecordError
from streamrec.events import decode_interaction
from streamrec.history.columns import HistoryRecord
from streamrec.history.fields import Reading
from streamrec.history.roll import Roll
from streamrec.history.rows import Progress, Row, find_format, read_rows
from streamrec.history.sources import IMPORT_TOPIC, IMPORTS, MANIFEST, ImportManifest, manifests
from streamrec.history.spool import Spool, Spooled
from streamrec.history.store import HistoryStore

__all__ = ["Imported", "import_file"]

_ID_DIGITS: Final = 32


class Imported(NamedTuple):
    """What came of a file."""

    file: str
    id: str
    """Of its source in history."""
    rows: int
    taken: int
    refused: dict[str, int]
    """Rows by the reason for which they were refused; with `taken` they are all there are."""
    refused_file: str | None
    """Where they are."""
    first_ms: int | None
    last_ms: int | None
    already: bool
    """Whether it was in history before, read in the same way; then nothing was done."""
    seconds: float


def import_file(
    settings: Settings,
    path: Path,
    reading: Reading,
    *,
    format: str | None = None,  # noqa: A002 (as the option)
    again: bool = False,
    refused: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Imported:
    """Bring a file into history, whole or not at all.

    again: replace what the same file was imported as under other options. refused: where refused rows
    go; build/import/NAME.refused.jsonl if None. progress: of the reading.
    Raises DatasetError if the file cannot be read, if not one row of it can be taken, or if it was imported
    under other options; ConfigError or StorageError if history cannot be written.
    """
    started = time.monotonic()
    kind = find_format(path, format)
    store = HistoryStore(settings)
    digest = _digest(path)
    about = ImportManifest(
        id=digest[:_ID_DIGITS],
        file=path.name,
        digest=digest,
        options=_options(settings, reading, kind),
        partitions=settings.kafka.partitions,
        rows=0,
        refused={},
        offsets={},
    )
    there = manifests(store).get(about.id)
    if there is not None and not again:
        if there.options != about.options:
            raise DatasetError(
                f"{path}: it is in history already, imported as {there.file} with {there.options}, and not "
                f"{about.options}; --again puts it in its place"
            )
        return _imported(path, there, None, True, started)
    refusals = refused or Path("build/import") / f"{path.name}.refused.jsonl"
    with Spool() as spool:
        about.refused = _read_into(spool, settings, path, kind, reading, about.id, refusals, progress)
        about.rows = spool.rows + sum(about.refused.values())
        if not spool.rows:
            raise DatasetError(
                f"{path}: of {about.rows:,} rows none is an interaction: {_counted(about.refused)}; "
                f"each with its reason in {refusals}"
                if about.rows
                else f"{path}: there is not one row in it"
            )
        _clear(store, about.id)
        for partition in range(about.partitions):
            about.offsets[str(partition)] = (0, _write(store, settings, spool, partition, about))
    store.write_bytes(f"{IMPORTS}/{about.id}/{MANIFEST}", msgspec.json.encode(about))
    return _imported(path, about, refusals if about.refused else None, False, started)


def _read_into(
    spool: Spool,
    settings: Settings,
    path: Path,
    kind: str,
    reading: Reading,
    source: str,
    refusals: Path,
    progress: Progress,
) -> dict[str, int]:
    """Judge every row of a file; returns the number of refused ones by reason."""
    counts: Counter[str] = Counter()
    n_partitions = settings.kafka.partitions
    judge = _Judge(settings, reading, path, source[:12])
    refusals.parent.mkdir(parents=True, exist_ok=True)
    with refusals.open("wb") as file:
        for row in read_rows(path, kind, progress):
            try:
                spooled = judge.take(row)
            except RecordError as error:
                counts[error.reason] += 1
                file.write(_refusal(row, error))
            else:
                spool.add(partition_of(spooled.key, n_partitions), spooled)
    if not counts:
        refusals.unlink()
    return dict(sorted(counts.items()))


class _Judge:
    """Takes rows or refuses them, as state does records; each was recorded when it happened."""

    def __init__(self, settings: Settings, reading: Reading, path: Path, source: str) -> None:
        self._intake = Intake(settings.state, 0, 1)
        self._reading = reading
        self._path = path
        self._source = source
        self._found: dict[tuple[str, ...], dict[str, str]] = {}
        self._now_ms = time.time_ns() // 1_000_000

    def take(self, row: Row) -> Spooled:
        """Raises RecordError if the row is refused, DatasetError if the first one lacks columns."""
        if row.fault:
            raise RecordError("undecodable", row.fault)
        value = self._reading.interaction(
            row.cells, self._columns(row.cells), f"import-{self._source}-{row.line}"
        )
        event = decode_interaction(value)
        timestamp = min(event.time, self._now_ms)
        key = event.visitor_id.encode()
        self._intake.read(HistoryRecord(0, 0, timestamp, key, value))
        self._intake.weight(event, timestamp, 0)
        return Spooled(timestamp, row.line, key, value)

    def _columns(self, cells: dict[str, Any]) -> dict[str, str]:
        names = tuple(cells)
        found = self._found.get(names)
        if found is None:
            try:
                found = self._reading.find(names)
                self._reading.require(found, names)
            except DatasetError as error:
                if not self._found:
                    raise DatasetError(f"{self._path}: {error}") from None
                raise RecordError("invalid", str(error)) from None
            self._found[names] = found
        return found


def _refusal(row: Row, error: RecordError) -> bytes:
    said = {"line": row.line, "reason": error.reason, "message": str(error)}
    rest = {"text": row.text} if row.fault else {"row": {name: str(cell) for name, cell in row.cells.items()}}
    printable = _printable({**said, **rest})
    return msgspec.json.encode(printable) + b"\n"


def _printable(value: Any) -> Any:
    """With every byte that is no UTF-8 written as \\xNN."""
    if isinstance(value, dict):
        return {_printable(name): _printable(each) for name, each in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value


def _write(
    store: HistoryStore, settings: Settings, spool: Spool, partition: int, about: ImportManifest
) -> int:
    """Write a partition's rows as files; returns the number of rows."""
    roll, folder = Roll(settings.history, 0), f"{IMPORTS}/{about.id}"

    def write() -> None:
        name = roll.name(IMPORT_TOPIC, about.id, partition)
        store.write(folder, name, roll.records, {"partitions": str(about.partitions)})
        roll.clear()

    for _ in roll.take(_records(spool, partition, about), 0.0):
        write()
    if roll.records:
        write()
    return roll.end


def _records(spool: Spool, partition: int, about: ImportManifest) -> Iterator[HistoryRecord]:
    for offset, row in enumerate(spool.in_order(partition)):
        if about.first_ms is None or row.timestamp < about.first_ms:
            about.first_ms = row.timestamp
        about.last_ms = max(about.last_ms or row.timestamp, row.timestamp)
        yield HistoryRecord(partition, offset, row.timestamp, row.key, row.value)


def _clear(store: HistoryStore, source: str) -> None:
    """Take away what an import left that was not finished, or is to be replaced; the manifest first."""
    folder = f"{IMPORTS}/{source}"
    if source in manifests(store):
        store.remove([f"{folder}/{MANIFEST}"])
    store.remove(f"{folder}/{name}" for name in store.names(folder))


def _options(settings: Settings, reading: Reading, kind: str) -> dict[str, Any]:
    return {
        "format": kind,
        "columns": dict(reading.columns),
        "type": reading.type,
        "time_unit": reading.time_unit,
        "partitions": settings.kafka.partitions,
        "types": sorted(settings.state.weights),
        "max_event_bytes": settings.state.max_event_bytes,
    }


def _digest(path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    except FileNotFoundError:
        raise DatasetError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _counted(refused: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in refused.items())


def _imported(
    path: Path, about: ImportManifest, refusals: Path | None, already: bool, started: float
) -> Imported:
    return Imported(
        str(path),
        about.id,
        about.rows,
        about.rows - sum(about.refused.values()),
        about.refused,
        str(refusals) if refusals else None,
        about.first_ms,
        about.last_ms,
        already,
        time.monotonic() - started,
    )
