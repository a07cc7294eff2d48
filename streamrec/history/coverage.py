"""Which file has which offset. Files of a partition may overlap: each offset counts once."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from streamrec.history.names import FileName

__all__ = ["Covered", "Piece", "covered", "pieces"]


class Covered(NamedTuple):
    """What history has of a partition: all records with first <= offset < end, but for the gaps."""

    first: int = 0
    end: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    """Ranges that are missing, [from, to): gone from the topic before they were archived."""


class Piece(NamedTuple):
    """A part of a file: its records with start <= offset < end."""

    name: FileName
    start: int
    end: int


def covered(names: Iterable[FileName]) -> Covered:
    """What the files of one partition cover together; from 0 to 0 if there are none."""
    found = list(pieces(names))
    if not found:
        return Covered()
    # Between one piece and the next is either nothing or a gap.
    gaps = [(before.end, piece.start) for before, piece in pairwise(found) if piece.start > before.end]
    return Covered(found[0].start, found[-1].end, tuple(gaps))


def pieces(names: Iterable[FileName], start: int = 0, end: int | None = None) -> Iterator[Piece]:
    """What to read for start <= offset < end: pieces in order of offsets, none of which overlap."""
    at = start
    for name in sorted(names, key=lambda name: (name.start, -name.end)):
        stop = name.end if end is None else min(name.end, end)
        if stop > max(at, name.start):
            yield Piece(name, max(at, name.start), stop)
            at = stop
