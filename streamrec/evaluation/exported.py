"""An exported model, as serving runs it, where a session model is asked for."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from streamrec.contracts import FloatArray, ScoreModel, Session, StepModel

__all__ = ["ExportedModel"]

_NONE: Final = np.empty(0, np.int64)
# Scores of one call: enough rows to keep the graph busy, 48 MB with their indices.
_SCORES_AT_ONCE: Final = 1 << 22


class ExportedModel:
    """The two graphs of an artifact as a next_items.TrainedModel.

    depth: how many of the best items have a score, all for None; the others are NaN, as for
    visitors, who never see them. Sorting all of a large catalogue is what takes the time.
    """

    def __init__(self, step: StepModel, score: ScoreModel, *, depth: int | None = None) -> None:
        self._step = step
        self._score = score
        self._depth = depth

    @property
    def items(self) -> Sequence[str]:
        """External ids by dense index."""
        return self._score.items

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Scores of all items after each click, NaN before the first known; see contracts.SessionModel."""
        n_items = len(self.items)
        hidden = self._hidden_states(session)
        for _ in range(len(session.items) - len(hidden)):
            yield np.full(n_items, np.nan, np.float32)
        rows = max(1, _SCORES_AT_ONCE // max(1, n_items))
        for first in range(0, len(hidden), rows):
            some = np.concatenate(hidden[first : first + rows])
            for indices, best in zip(*self._score.top(some, self._depth or n_items, _NONE), strict=True):
                scores = np.full(n_items, np.nan, np.float32)
                scores[indices] = best
                yield scores

    def _hidden_states(self, session: Session) -> list[FloatArray]:
        """(1, H) after each click from the first known on."""
        states: list[FloatArray] = []
        for item_id in session.items:
            index = self._step.item_index(item_id)
            before = states[-1] if states else np.zeros((1, self._step.hidden_size), np.float32)
            if index >= 0:
                states.append(self._step.step(np.array([index]), before))
            elif states:
                states.append(before)
        return states
