"""Hidden states of the session model: the steps of one call, taken level by level.

Level 0 holds the states that steps begin from; a step takes a state of one level to the
next. All steps between two levels are one run of the graph, so there are as many runs
as the longest chain of one visitor has steps, and a row's result is the same as if it
had been stepped alone (StepModel).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamrec.advance.records import ModelError
from streamrec.contracts import FloatArray, StepModel

__all__ = ["State", "Steps"]

State = tuple[int, int]
"""A hidden state to come: its level, and its row there."""


@dataclass(slots=True)
class _Level:
    """Steps to one level: the item of each, the row it comes from, the record that wants it."""

    items: list[int] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


class Steps:
    """Collects steps, and takes them all in `run`."""

    def __init__(self, model: StepModel) -> None:
        self._model = model
        self._item_index = model.item_index
        self._row_bytes = np.dtype((np.void, 4 * model.hidden_size))
        self._starts = [bytes(4 * model.hidden_size)]
        self._levels: list[_Level] = []

    def follow(self, origin: State | None, hidden: bytes, item_id: str, offset: int) -> State | None:
        """The state after one more item; `origin` if the model does not know the item.

        origin: the state to step from; None for the one in `hidden`.
        hidden: float32 bytes; empty for the zeros of a session's start.
        offset: that of the record that wants the step.
        """
        item = self._item_index(item_id)
        if item < 0:
            return origin
        if origin is not None:
            depth, row = origin
        else:
            depth, row = 0, 0
            if hidden:
                row = len(self._starts)
                self._starts.append(hidden)
        if depth == len(self._levels):
            self._levels.append(_Level())
        level = self._levels[depth]
        level.items.append(item)
        level.origins.append(row)
        level.offsets.append(offset)
        return depth + 1, len(level.items) - 1

    def run(self) -> list[list[bytes]]:
        """Take all steps; returns the states by level and row.

        Raises ModelError for the record with the lowest offset whose step fails by itself.
        """
        states = [self._starts]
        hidden = np.frombuffer(b"".join(self._starts), "<f4").reshape(len(self._starts), -1)
        failures: list[tuple[int, str]] = []
        for level in self._levels:
            hidden = hidden[level.origins]
            try:
                hidden = self._step(level.items, hidden)
            except MemoryError:
                raise
            except Exception:  # whatever the graph's runtime raises; the rows at fault are found one by one
                hidden = self._step_alone(level, hidden, failures)
            rows: Any = hidden.astype("<f4", copy=False).view(self._row_bytes).ravel().tolist()
            states.append(rows)
        if failures:
            raise ModelError(*min(failures))
        return states

    def _step(self, items: list[int], hidden: FloatArray) -> FloatArray:
        stepped = self._model.step(np.array(items), hidden)
        if stepped.shape != hidden.shape:
            raise ValueError(f"the step gave shape {stepped.shape} for {hidden.shape}")
        if not np.isfinite(stepped).all():
            raise ValueError("the step gave a hidden state that is not finite")
        return stepped

    def _step_alone(self, level: _Level, hidden: FloatArray, failures: list[tuple[int, str]]) -> FloatArray:
        """Step row by row; those that fail stay as they were and are noted with their offsets."""
        for row, item in enumerate(level.items):
            try:
                hidden[row] = self._step([item], hidden[row : row + 1])[0]
            except MemoryError:
                raise
            except Exception as error:
                failures.append((level.offsets[row], f"{type(error).__name__}: {error}"))
        return hidden
