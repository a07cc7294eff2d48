"""A session model whose scores are written down: for tests of what is made of scores."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from streamrec.contracts import FloatArray, Session

NAN = float("nan")


class Scored:
    """After a click on an item it has the scores of that item's row; before the first known item, none.

    rows: scores of all items, by item; those without a row leave the scores as they were.
    """

    def __init__(self, items: Sequence[str], rows: Mapping[str, Sequence[float]]) -> None:
        self.items = items
        self._rows = {item: np.array(row, np.float32) for item, row in rows.items()}

    def scores(self, session: Session) -> Iterator[FloatArray]:
        current = np.full(len(self.items), NAN, np.float32)
        for item in session.items:
            current = self._rows.get(item, current)
            yield current
