"""Files of columns, as data sets are published: a line for each row, and a header that names the columns.

In: a text file, plain or gzipped, cells apart by tab, comma, semicolon, `::` or spaces. Out: cells by column.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Final, NamedTuple

from streamrec.errors import DatasetError

__all__ = ["Columns", "read_lines", "read_table"]

_SEPARATORS: Final = ("\t", "::", ";", ",", " ")


class Columns(NamedTuple):
    """The cells of a file."""

    path: Path
    lines: Sequence[int]
    """The number of each row's line in the file."""
    cells: Mapping[str, Sequence[str]]
    """By the name asked for, in the order of the rows; without those that the file lacks."""

    def numbers(self, name: str) -> list[float] | None:
        """A column as finite numbers; None if there is none. Raises DatasetError with file, line and cell."""
        if name not in self.cells:
            return None
        found = []
        for number, cell in zip(self.lines, self.cells[name], strict=True):
            try:
                found.append(float(cell))
            except ValueError:
                raise DatasetError(f"{self.path}: line {number}: the {name} {cell!r} is no number") from None
            if not isfinite(found[-1]):
                raise DatasetError(f"{self.path}: line {number}: the {name} {cell!r} is not finite")
        return found


def read_table(
    path: Path | str,
    names: Mapping[str, Sequence[str]],
    required: Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    further: Sequence[str] = (),
) -> Columns:
    """The columns of a file that are asked for.

    names: what each may be called, whatever its case and punctuation, the likeliest first; those of
    `required` have to be there. columns: the file's own names, if its first line is no header. further: other
    columns, by their exact names. Raises DatasetError naming file, line and fault.
    """
    path = Path(path)
    lines = list(read_lines(path))
    if not lines:
        raise DatasetError(f"{path} is empty; a line is wanted for each row, and a header before them")
    # A cell may be as long as its line.
    csv.field_size_limit(max(csv.field_size_limit(), *(len(line) for _, line in lines)))
    separator = next((each for each in _SEPARATORS if each in lines[0][1]), ",")
    header = list(columns) if columns else _cells(lines.pop(0)[1], separator)
    places = _places(path, header, names, required, further)
    cells: dict[str, list[str]] = {name: [] for name in places}
    for number, line in lines:
        row = _cells(line, separator)
        if len(row) < len(header) or (not columns and any(row[len(header) :])):
            raise DatasetError(
                f"{path}: line {number}: {len(row)} cells, {len(header)} are wanted; one with a separator in "
                "it stands in quotes"
            )
        for name, place in places.items():
            if not row[place] and name in required:
                raise DatasetError(f"{path}: line {number}: the {name} is empty")
            cells[name].append(row[place])
    return Columns(path, [number for number, _ in lines], cells)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not empty. Raises DatasetError if the file is no text."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as text: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    # Not splitlines: it takes separators that stand in texts for ends of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if line := line.removesuffix("\r"):
            yield number, line


def _cells(line: str, separator: str) -> list[str]:
    if separator == "::":
        return line.split(separator)
    if separator == " ":
        return line.split()
    return next(csv.reader([line], delimiter=separator))


def _places(
    path: Path,
    header: Sequence[str],
    names: Mapping[str, Sequence[str]],
    required: Sequence[str],
    further: Sequence[str],
) -> dict[str, int]:
    # What is asked for by its exact name is that alone: a context called Time is no time.
    plain = [
        "" if name in further else "".join(filter(str.isalnum, name.split(":")[0])).lower() for name in header
    ]
    found = {}
    for wanted, known in names.items():
        likeliest = next((name for name in known if name in plain), None)
        if likeliest is not None:
            found[wanted] = plain.index(likeliest)
        elif wanted in required:
            raise DatasetError(
                f"{path}: no column {wanted} among {', '.join(header)}; if the first line is no header, put "
                "one in front (for --data, --train and --test, --columns does as well)"
            )
    for name in further:
        if name not in header:
            raise DatasetError(f"{path}: no column {name} among {', '.join(header)}")
        found[name] = list(header).index(name)
    return found
