"""Hidden states of the session model: the steps of one call, taken level by level.

Level 0 holds the states that steps begin from; a step takes a state of one level to the
next. All steps between two levels are one run of the graph, so there are as many runs
as the longest chain of one visitor has steps, and a row's result is the same as if it
had been stepped alone (StepModel).
"""

import msgspec
import numpy as np

from streamrec.advance.records import ModelError
from streamrec.contracts import FloatArray, IntArray, StepModel

__all__ = ["State", "Steps"]


State = tuple[int, int]
"""A hidden state to come: its level, and its row there."""


class _Level(msgspec.Struct):
    """Steps to one level: the item of each, the row it comes from, the record that wants it."""

    items: list[int] = []
    origins: list[int] = []
    offsets: list[int] = []
    states: bytes = b""


class Steps:
    """Collects steps, takes them all in `run`, and then gives the states as bytes."""

    def __init__(self, model: StepModel) -> None:
        self._model = model
        self._width = 4 * model.hidden_size
        self._zeros = bytes(self._width)
        self._starts: list[bytes] = []
        self._levels: list[_Level] = []

    def begin(self, hidden: bytes) -> State:
        """A state to step from: float32 bytes; empty for the zeros of a session's start."""
        self._starts.append(hidden or self._zeros)
        return 0, len(self._starts) - 1

    def step(self, state: State, item: int, offset: int) -> State:
        """The state after one more item; `offset` is that of the record that wants it."""
        depth, row = state
        if depth == len(self._levels):
            self._levels.append(_Level())
        level = self._levels[depth]
        level.items.append(item)
        level.origins.append(row)
        level.offsets.append(offset)
        return depth + 1, len(level.items) - 1

    def run(self) -> None:
        """Take all steps.

        Raises ModelError for the record with the lowest offset whose step fails by itself.
        """
        if not self._starts:
            return
        hidden = np.frombuffer(b"".join(self._starts), dtype="<f4").reshape(len(self._starts), -1)
        failures: list[tuple[int, str]] = []
        for level in self._levels:
            items = np.array(level.items, dtype=np.int64)
            hidden, failed = _step(self._model, items, hidden[level.origins])
            failures += [(level.offsets[row], message) for row, message in failed.items()]
            level.states = hidden.astype("<f4", copy=False).tobytes()
        if failures:
            raise ModelError(*min(failures))

    def hidden(self, state: State) -> bytes:
        """A stepped-to state, once `run` has been."""
        depth, row = state
        first = row * self._width
        return self._levels[depth - 1].states[first : first + self._width]


def _step(model: StepModel, items: IntArray, hidden: FloatArray) -> tuple[FloatArray, dict[int, str]]:
    """One step of all rows, and the rows that fail when stepped alone, which stay as they were."""
    try:
        return _checked(model, items, hidden), {}
    except MemoryError:
        raise
    except Exception:  # whatever the graph's runtime raises; the rows at fault are found one by one
        states = hidden.copy()
    failed: dict[int, str] = {}
    for row in range(len(items)):
        try:
            states[row] = _checked(model, items[row : row + 1], hidden[row : row + 1])[0]
        except MemoryError:
            raise
        except Exception as error:
            failed[row] = f"{type(error).__name__}: {error}"
    return states, failed


def _checked(model: StepModel, items: IntArray, hidden: FloatArray) -> FloatArray:
    stepped = model.step(items, hidden)
    if stepped.shape != hidden.shape:
        raise ValueError(f"the step gave shape {stepped.shape} for {hidden.shape}")
    if not np.isfinite(stepped).all():
        raise ValueError("the step gave a hidden state that is not finite")
    return stepped
