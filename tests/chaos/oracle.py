"""What has to be there in the end: the input topic replayed in offset order, in plain Python.

No Kafka, no Faust, no batches: one record after the other through the slow reference of the state
step, and one list after the other from what the reference saw. What a fault cannot reach is the
product's own: the online model, and how one list is made of one visitor and of the items and
sessions in sight; `tests/contracts/test_online_mf.py`, `tests/unit/test_ranking.py` and
`tests/unit/test_session_board.py` look after those.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from state_reference import Reference

from streamrec.advance import Place
from streamrec.board_opener import board_opener
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.contracts import ScoreModel, StepModel
from streamrec.events import Recommendation
from streamrec.models.online_mf import OnlineMF, OnlineMFConfig
from streamrec.ranking import recommend
from streamrec.session_board import SessionBoard
from streamrec.state.rows import ITEM, SESSION, VISITOR, decode_visitor_row

Row = tuple[bytes, bytes | None]
"""Key and value."""


class Expected(NamedTuple):
    """What one partition of the input has to lead to."""

    rows: dict[bytes, bytes]
    """All rows in the end."""
    visitor_log: list[Row]
    """Visitor rows and their deletions in the order of the log."""
    lists: dict[str, Recommendation]
    """By rec_id, in the order of the log; without the time of emission."""
    refused: list[tuple[int, str]]
    """Offset and reason of the dead letters."""


def replay(
    settings: Settings,
    place: Place,
    records: Iterable[Any],
    steps: Callable[[int], StepModel | None],
    scorers: Callable[[str], ScoreModel | None],
    catalogue: Catalogue | None = None,
) -> Expected:
    """What the records of a partition lead to.

    steps: the session model that was live for the record at an offset: taken as given.
    scorers: score models by version. catalogue: the items that there were all along.
    """
    config = OnlineMFConfig(**settings.online_mf)
    online = OnlineMF(config, settings.state.seed) if settings.state.online else None
    reference = Reference(settings.state, online, config.negatives, settings.scoring.tick_ms, place)
    for record in records:
        reference.take(record, steps(record.offset))
    return Expected(
        reference.rows(),
        reference.visitor_log,
        _lists(settings, place.partition, reference, scorers, catalogue or Catalogue()),
        reference.rejected,
    )


def _lists(
    settings: Settings,
    partition: int,
    reference: Reference,
    scorers: Callable[[str], ScoreModel | None],
    catalogue: Catalogue,
) -> dict[str, Recommendation]:
    open_boards = board_opener(settings)
    boards = open_boards()
    shown: dict[bytes, bytes] = {}
    lists: dict[str, Recommendation] = {}
    written = [(key, decode_visitor_row(value)) for key, value in reference.visitor_log if value is not None]
    for (key, row), (offset, visible) in zip(written, reference.seen, strict=True):
        assert row.offset == offset
        if visible is not shown:
            for item in shown.keys() - visible.keys():
                if item.startswith(ITEM):
                    boards.items.apply(item, None)
            for item, value in visible.items():
                if item.startswith(ITEM) and shown.get(item) != value:
                    boards.items.apply(item, value)
            boards = Boards(boards.items, _learned_at_once(open_boards().sessions, visible))
            shown = visible
        boards.advance_to(row.clock_ms)
        if row.asks:
            visitor = (key[len(VISITOR) :].decode(), row)
            (made,) = recommend(
                [visitor], boards, scorers, catalogue, settings, partition=partition, now_ms=0
            )
            lists[made.rec_id] = made
    return lists


def _learned_at_once(board: SessionBoard, visible: dict[bytes, bytes]) -> SessionBoard:
    """A board that has never seen a session grow or go."""
    for key, value in visible.items():
        if key.startswith(SESSION):
            board.apply(key, value)
        elif key.startswith(VISITOR):
            board.visit(key[len(VISITOR) :].decode(), decode_visitor_row(value))
    board.begin_tick()
    return board


def without_emission(made: Recommendation) -> Recommendation:
    """A list without what differs from one emission to the next."""
    return msgspec.structs.replace(made, emit_time=0)
