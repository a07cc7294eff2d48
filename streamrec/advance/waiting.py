"""Visitor rows that wait for what the models make of a call: a hidden state, factors, or both."""

from collections.abc import Sequence

from streamrec.advance.partition import Held
from streamrec.advance.stepping import Stepping
from streamrec.state.rows import Factors, Row, encode_row, with_outcomes

__all__ = ["Waiting"]


class Waiting:
    """The rows of one call that are to be completed at its end."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, bytes, bytes, Held, Stepping | None]] = []

    def add(self, place: int, key: bytes, value: bytes, held: Held, stepping: Stepping | None) -> None:
        """Put in a row, with its place among the others, as far as it is known. stepping: takes its step."""
        self._rows.append((place, key, value, held, stepping))

    def fill(self, rows: list[Row], learned: Sequence[Factors]) -> None:
        """Complete the rows. learned: outcomes of what was learned. Raises ModelError if a step fails."""
        for place, key, value, held, stepping in self._rows:
            row, step, learns = held.row, held.waits_for, held.learns
            factors = encode_row(row.factors if learns is None else learned[learns])
            hidden = encode_row(row.hidden) if stepping is None or step is None else stepping.hidden()[step]
            rows[place] = (key, with_outcomes(row, value, factors, hidden), ())
