"""Files of ratings, or of any feedback: a line for each interaction, as data sets are published.

In: a text file, plain or gzipped, cells apart by tab, comma, semicolon, `::` or spaces. Out: Feedback.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, make_feedback

__all__ = ["load_feedback"]

_NAMES: Final = {
    "user": ("user", "userid", "visitor", "visitorid", "group", "groupid"),
    "item": ("item", "itemid", "movie", "movieid", "product", "productid"),
    "value": ("value", "rating", "score", "weight"),
    "time": ("time", "timestamp", "date"),
}
_ASKED: Final = ("user", "item", "value", "time")
_SEPARATORS: Final = ("\t", "::", ";", ",", " ")


def load_feedback(
    path: Path | str, columns: Sequence[str] | None = None, contexts: Sequence[str] = ()
) -> Feedback:
    """The interactions of a file.

    columns: names of the columns of a file without a header. Found by their names, whatever their case and
    punctuation: user (userId, …), item (movieId, …), and if there, value (rating, …) and time (timestamp, …),
    seconds since 1970. contexts: further columns to be kept as labels. Raises DatasetError naming file, line
    and fault.
    """
    path = Path(path)
    lines = list(_lines(path))
    if not lines:
        raise DatasetError(f"{path} is empty; a line is wanted for each interaction")
    separator = next((each for each in _SEPARATORS if each in lines[0]), ",")
    rows = [_cells(line, separator) for line in lines]
    names = list(columns) if columns else rows.pop(0)
    places = _places(path, names, contexts)
    cells: dict[str, list[str]] = {name: [] for name in places}
    for number, row in enumerate(rows, start=1 if columns else 2):
        if len(row) < len(names):
            raise DatasetError(f"{path}: line {number}: {len(row)} cells, {len(names)} are wanted")
        for name, place in places.items():
            cells[name].append(row[place])
    return make_feedback(
        cells["user"],
        cells["item"],
        _numbers(path, cells, "value", first=1 if columns else 2),
        _times_ms(path, cells, first=1 if columns else 2),
        {name: cells[name] for name in contexts},
    )


def _lines(path: Path) -> Iterator[str]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as text: {error}") from error
    yield from filter(None, text.splitlines())


def _cells(line: str, separator: str) -> list[str]:
    if separator == "::":
        return line.split(separator)
    if separator == " ":
        return line.split()
    return next(csv.reader([line], delimiter=separator))


def _places(path: Path, names: Sequence[str], contexts: Sequence[str]) -> dict[str, int]:
    plain = ["".join(filter(str.isalnum, name.split(":")[0])).lower() for name in names]
    found = {
        wanted: plain.index(name)
        for wanted in _ASKED
        for name in _NAMES[wanted]
        if name in plain and name == next(each for each in _NAMES[wanted] if each in plain)
    }
    for wanted in ("user", "item"):
        if wanted not in found:
            raise DatasetError(
                f"{path}: no column {wanted} among {', '.join(names)}; "
                "if the first line is no header, say what the columns are"
            )
    for name in contexts:
        if name not in names:
            raise DatasetError(f"{path}: no column {name} among {', '.join(names)}")
        found[name] = list(names).index(name)
    return found


def _numbers(path: Path, cells: dict[str, list[str]], name: str, first: int) -> list[float] | None:
    if name not in cells:
        return None
    found = []
    for number, cell in enumerate(cells[name], start=first):
        try:
            found.append(float(cell))
        except ValueError:
            raise DatasetError(f"{path}: line {number}: the {name} {cell!r} is no number") from None
    return found


def _times_ms(path: Path, cells: dict[str, list[str]], first: int) -> NDArray[np.int64] | None:
    seconds = _numbers(path, cells, "time", first)
    return None if seconds is None else np.round(np.array(seconds) * 1000).astype(np.int64)
