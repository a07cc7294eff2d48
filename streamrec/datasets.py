"""Files of clicks: read, sorted, cut into sessions and split by time.

In: a tab-separated file, plain or gzipped, with the columns SessionId, ItemId and
Time (seconds since 1970, whole or fractional). Out: `Clicks`, sorted by time, then
session, then order in the file.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import Session
from streamrec.errors import DatasetError

__all__ = [
    "DAY_MS",
    "Clicks",
    "bundled_clicks",
    "click_sessions",
    "load_clicks",
    "make_clicks",
    "read_columns",
    "sessions",
    "split_by_day",
    "split_by_time",
    "write_clicks",
]

DAY_MS: Final = 86_400_000
_COLUMNS: Final = ("SessionId", "ItemId", "Time")
_BUNDLED: Final = Path(__file__).parent / "data" / "serenade.tsv.gz"
# 9999-12-31 in seconds, the limit of streamrec.events; milliseconds given for seconds exceed it.
_MAX_TIME_S: Final = 253_402_300_799
_HASHED_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Clicks:
    """Columns of equal length, one click a place, sorted by time, session, order in the file."""

    session_ids: list[str]
    item_ids: list[str]
    time_ms: NDArray[np.int64]
    """Milliseconds since 1970, UTC."""

    def __len__(self) -> int:
        return len(self.item_ids)

    def take(self, mask: NDArray[np.bool_]) -> "Clicks":
        """The clicks where `mask`, shape (n_clicks,), is true; order kept."""
        places = np.flatnonzero(mask)
        return Clicks(
            [self.session_ids[place] for place in places],
            [self.item_ids[place] for place in places],
            self.time_ms[places],
        )

    def first(self, n: int | None) -> "Clicks":
        """The first n clicks; all of them for None."""
        return Clicks(self.session_ids[:n], self.item_ids[:n], self.time_ms[:n])

    def digest(self) -> str:
        """sha256 of the clicks as they are here: equal for equal sessions, items, times and order."""
        digest = hashlib.sha256()
        for column in (self.session_ids, self.item_ids):
            for place in range(0, len(column), _HASHED_AT_ONCE):
                # Every text with its length: no two columns give the same bytes.
                digest.update(msgspec.msgpack.encode(column[place : place + _HASHED_AT_ONCE]))
        digest.update(self.time_ms.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def first_ms(self) -> int:
        """Time of the first click. Raises DatasetError if there is none."""
        return self._time_at(0)

    @property
    def last_ms(self) -> int:
        """Time of the last click. Raises DatasetError if there is none."""
        return self._time_at(-1)

    def _time_at(self, place: int) -> int:
        if not len(self):
            raise DatasetError("no clicks: there is no first and no last time")
        return int(self.time_ms[place])


def make_clicks(session_ids: Iterable[str], item_ids: Iterable[str], time_ms: Iterable[int]) -> Clicks:
    """Clicks from columns in any order. Raises DatasetError if their lengths differ."""
    ids, items, times = list(session_ids), list(item_ids), np.fromiter(time_ms, dtype=np.int64)
    if not len(ids) == len(items) == len(times):
        raise DatasetError(
            f"columns differ in length: {len(ids)} sessions, {len(items)} items, {len(times)} times"
        )
    # Python's sort is stable, so equal clicks keep the order of the file.
    order = sorted(range(len(ids)), key=list(zip(times.tolist(), ids, strict=True)).__getitem__)
    return Clicks([ids[place] for place in order], [items[place] for place in order], times[order])


def load_clicks(path: Path | str) -> Clicks:
    """Clicks from a tab-separated file; a name ending in .gz is unpacked.

    Other columns are ignored. Raises DatasetError naming file, line and fault.
    """
    session_ids: list[str] = []
    item_ids: list[str] = []
    times: list[int] = []
    for number, (session_id, item_id, time) in read_columns(path, _COLUMNS):
        if not session_id or not item_id:
            raise DatasetError(f"{path}: line {number}: an empty session or item id")
        session_ids.append(session_id)
        item_ids.append(item_id)
        times.append(_time_ms(path, number, time))
    if not times:
        raise DatasetError(f"{path}: there is a header but not one click")
    return make_clicks(session_ids, item_ids, times)


def read_columns(path: Path | str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line but the header and empty ones, of a tab-separated file.

    columns: the names of those wanted, in the order of the cells. A cell is what stands between two tabs,
    quotes included; a name ending in .gz is unpacked. Raises DatasetError naming file, line and fault.
    """
    path = Path(path)
    header, *lines = _lines(path, columns)
    places = _places(path, header, columns)
    for number, raw in enumerate(lines, start=2):
        if line := raw.removesuffix("\r"):
            cells = line.split("\t")
            try:
                yield number, [cells[place] for place in places]
            except IndexError:
                raise DatasetError(
                    f"{path}: line {number}: {len(cells)} cells, too few for the header"
                ) from None


def bundled_clicks() -> Clicks:
    """The clicks that come with streamrec: 113,601 of an online shop over 30 days.

    Source: bolcom/serenade, example data, Apache-2.0; see NOTICE.
    """
    return load_clicks(_BUNDLED)


def write_clicks(path: Path, clicks: Clicks) -> None:
    """Write a gzipped file that `load_clicks` reads; equal clicks give equal bytes."""
    lines = ["\t".join(_COLUMNS)]
    for session_id, item_id, time_ms in zip(
        clicks.session_ids, clicks.item_ids, clicks.time_ms.tolist(), strict=True
    ):
        whole, rest = divmod(time_ms, 1000)
        lines.append(f"{session_id}\t{item_id}\t{whole}" + (f".{rest:03d}" if rest else ""))
    data = ("\n".join(lines) + "\n").encode()
    # No file name and no time of writing in the gzip header.
    path.write_bytes(gzip.compress(data, compresslevel=9, mtime=0))


def sessions(clicks: Clicks) -> dict[str, list[int]]:
    """Places in `clicks` of each session's clicks, oldest first; sessions by their first click."""
    found: dict[str, list[int]] = {}
    for place, session_id in enumerate(clicks.session_ids):
        found.setdefault(session_id, []).append(place)
    return found


def click_sessions(clicks: Clicks) -> Iterator[Session]:
    """The sessions, by their first click."""
    times_ms = clicks.time_ms.tolist()
    for session_id, places in sessions(clicks).items():
        yield Session(
            [clicks.item_ids[place] for place in places], [times_ms[place] for place in places], session_id
        )


def split_by_time(clicks: Clicks, cut_ms: int) -> tuple[Clicks, Clicks]:
    """Training and test clicks: sessions that end before the cut, and that start at or after it.

    A session that runs across the cut is in neither.
    """
    found = sessions(clicks)
    ends_before = {name for name, places in found.items() if clicks.time_ms[places[-1]] < cut_ms}
    starts_after = {name for name, places in found.items() if clicks.time_ms[places[0]] >= cut_ms}

    def mask(names: set[str]) -> NDArray[np.bool_]:
        return np.fromiter((name in names for name in clicks.session_ids), dtype=np.bool_, count=len(clicks))

    return clicks.take(mask(ends_before)), clicks.take(mask(starts_after))


def split_by_day(clicks: Clicks, days: float) -> tuple[Clicks, Clicks]:
    """`split_by_time` after so many days from the first click on."""
    return split_by_time(clicks, clicks.first_ms + round(days * DAY_MS))


def _lines(path: Path, columns: Sequence[str]) -> list[str]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            lines = file.read().decode("utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise DatasetError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start} is not UTF-8; expected tab-separated text") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: cannot be read: {reason}") from None
    if lines == [""]:
        raise DatasetError(f"{path}: the file is empty; expected a header line {'<tab>'.join(columns)}")
    return lines


def _places(path: Path, header: str, columns: Sequence[str]) -> list[int]:
    names = header.removeprefix("\ufeff").removesuffix("\r").split("\t")
    missing = [name for name in columns if name not in names]
    if missing:
        raise DatasetError(
            f"{path}: line 1: no column {', '.join(missing)}; found {', '.join(names)}; "
            f"expected a header with {', '.join(columns)}, separated by tabs"
        )
    return [names.index(name) for name in columns]


def _time_ms(path: Path | str, number: int, time: str) -> int:
    try:
        seconds = float(time)
    except ValueError:
        raise DatasetError(f"{path}: line {number}: Time {time!r} is not a number of seconds") from None
    if not (math.isfinite(seconds) and 0 <= seconds <= _MAX_TIME_S):
        raise DatasetError(
            f"{path}: line {number}: Time {time!r} is not within 0 to {_MAX_TIME_S} seconds since 1970; "
            "milliseconds are to be divided by 1000"
        )
    return round(seconds * 1000)
