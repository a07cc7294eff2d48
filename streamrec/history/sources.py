"""What history has: the topic as it is now, the same topic before it was made anew, and imported files.

Each has offsets of its own, and sessions of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from streamrec.config import Settings
from streamrec.errors import DatasetError
from streamrec.history.columns import HistoryRecord
from streamrec.history.coverage import Covered, covered, pieces
from streamrec.history.names import FileName
from streamrec.history.store import HistoryStore

__all__ = [
    "IMPORTS",
    "IMPORT_TOPIC",
    "MANIFEST",
    "ImportManifest",
    "Source",
    "find_sources",
    "import_sources",
]

IMPORTS: Final = "imports"
IMPORT_TOPIC: Final = "import"
"""Stands for the topic in the names of imported files."""
MANIFEST: Final = "import.json"
"""Written last: without it an import was not finished, and is not read."""


class ImportManifest(msgspec.Struct, kw_only=True):
    """What was imported, and how."""

    id: str
    """The first half of the file's sha256."""
    file: str
    """Its name, without folder."""
    digest: str
    """Its sha256."""
    options: dict[str, Any]
    """What its rows were read and judged by."""
    partitions: int
    rows: int
    refused: dict[str, int]
    """Rows by the reason for which they were refused."""
    offsets: dict[str, tuple[int, int]]
    """First offset and end of each partition."""
    first_ms: int | None = None
    last_ms: int | None = None


class Source(NamedTuple):
    """Records that stand in one order by partition."""

    topic: str
    topic_id: str
    n_partitions: int | None
    """None if it is that of the settings."""
    folder: str
    names: Mapping[int, list[FileName]]
    """Its files, by partition."""

    def covered(self) -> dict[int, Covered]:
        """What there is of each partition."""
        return {partition: covered(names) for partition, names in sorted(self.names.items())}

    def records(
        self, store: HistoryStore, partition: int, start: int = 0, end: int | None = None
    ) -> Iterator[HistoryRecord]:
        """The records of a partition with start <= offset < end, each once, in order."""
        for piece in pieces(self.names.get(partition, ()), start, end):
            yield from store.records(self.folder, piece.name, piece.start, piece.end)


def find_sources(store: HistoryStore, settings: Settings) -> list[Source]:
    """The topic's sources, the present one last; there is more than one if it was made anew."""
    topic = settings.kafka.topic("interactions")
    by_id: dict[str, dict[int, list[FileName]]] = {}
    for name in store.names(topic):
        by_id.setdefault(name.topic_id, {}).setdefault(name.partition, []).append(name)

    found = [Source(topic, topic_id, None, topic, names) for topic_id, names in sorted(by_id.items())]
    return sorted(found, key=lambda source: _last_ms(store, source)) if len(found) > 1 else found


def _last_ms(store: HistoryStore, source: Source) -> int:
    """The latest time of a record in the last file of each partition."""
    last = [max(names, key=lambda name: name.end) for names in source.names.values()]
    day = max(name.day for name in last)
    return max(
        record.timestamp
        for name in last
        if name.day == day
        for record in store.records(source.folder, name, name.start, name.end)
    )


def manifests(store: HistoryStore) -> dict[str, ImportManifest]:
    """What every finished import says of itself, by its id. Raises DatasetError if one is damaged."""
    return {name: _manifest(store, name, text) for name, text in store.texts(MANIFEST).items()}


def import_sources(store: HistoryStore) -> list[tuple[ImportManifest, Source]]:
    """Every import that is whole, by its first event time. Raises DatasetError if one lacks a file."""
    sources = []
    for each in sorted(manifests(store).values(), key=lambda each: (each.first_ms or 0, each.id)):
        folder = f"{IMPORTS}/{each.id}"
        names: dict[int, list[FileName]] = {}
        for name in store.names(folder):
            names.setdefault(name.partition, []).append(name)
        there = {str(n): (found.first, found.end) for n, found in _covered(names).items()}
        if there != {n: span for n, span in each.offsets.items() if span[1]}:
            raise DatasetError(
                f"{store.url}/{folder}: of the import of {each.file} there are offsets {there}, and it had "
                f"{each.offsets}; import the file again with --again"
            )
        sources.append((each, Source(IMPORT_TOPIC, each.id, each.partitions, folder, names)))
    return sources


def _covered(names: Mapping[int, list[FileName]]) -> dict[int, Covered]:
    return {partition: covered(each) for partition, each in names.items()}


def _manifest(store: HistoryStore, name: str, text: bytes) -> ImportManifest:
    try:
        return msgspec.json.decode(text, type=ImportManifest)
    except msgspec.DecodeError as error:
        raise DatasetError(f"{store.url}/{IMPORTS}/{name}/{MANIFEST} is damaged: {error}") from None
