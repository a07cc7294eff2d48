"""Hidden states of the session model: the steps of one call, taken level by level.

A step that begins from a known state is of level 0, one that begins from the outcome of
another step is one level above it. All steps of a level are one run of the graph, so
there are as many runs as the longest chain of one visitor has steps, and a step's outcome
is the same as if it had been taken alone (StepModel).
"""

from typing import Final

import numpy as np

from streamrec.advance.records import ModelError
from streamrec.contracts import FloatArray, IntArray, StepModel

__all__ = ["Steps"]

# Where a step begins: the number of an earlier step, or ~n for the n-th known state.
_ZEROS: Final = ~0


class Steps:
    """Collects steps, and takes them all in `run`. A step is named by its number, from 0 on."""

    def __init__(self, model: StepModel) -> None:
        self._model = model
        self._item_index = model.item_index
        self._known = [bytes(4 * model.hidden_size)]
        self._items: list[int] = []
        self._origins: list[int] = []
        self._levels: list[int] = []
        self._offsets: list[int] = []

    def follow(self, origin: int | None, hidden: bytes, item_id: str, offset: int) -> int | None:
        """The step to the state after one more item; `origin` if the model does not know the item.

        origin: the step whose outcome it begins from; None for the state in `hidden`.
        hidden: float32 bytes; empty for the zeros of a session's start.
        offset: that of the record that wants the step.
        """
        item = self._item_index(item_id)
        if item < 0:
            return origin
        level = 0
        if origin is not None:
            level = self._levels[origin] + 1
        elif hidden:
            origin = ~len(self._known)
            self._known.append(hidden)
        else:
            origin = _ZEROS
        self._items.append(item)
        self._origins.append(origin)
        self._levels.append(level)
        self._offsets.append(offset)
        return len(self._items) - 1

    def run(self) -> FloatArray:
        """Take all steps; returns their outcomes, float32 (number of steps, hidden_size).

        Raises ModelError for the first step that fails by itself.
        """
        n_known, width = len(self._known), self._model.hidden_size
        states = np.empty((n_known + len(self._items), width), "<f4")
        states[:n_known] = np.frombuffer(b"".join(self._known), "<f4").reshape(n_known, width)
        outcomes = states[n_known:]
        items, origins = np.array(self._items), np.array(self._origins)
        origins = np.where(origins < 0, ~origins, origins + n_known)
        try:
            self._by_level(items, origins, states, outcomes)
        except MemoryError:
            raise
        except Exception:  # whatever the graph's runtime raises; the step at fault is found one by one
            self._one_by_one(items, origins, states, outcomes)
        return outcomes

    def _by_level(self, items: IntArray, origins: IntArray, states: FloatArray, outcomes: FloatArray) -> None:
        levels = np.array(self._levels)
        in_order = np.argsort(levels, kind="stable")
        for steps in np.split(in_order, np.cumsum(np.bincount(levels))[:-1]):
            outcomes[steps] = self._step(items[steps], states[origins[steps]])
        _check_finite(outcomes)

    def _one_by_one(
        self, items: IntArray, origins: IntArray, states: FloatArray, outcomes: FloatArray
    ) -> None:
        for step, offset in enumerate(self._offsets):
            try:
                outcomes[step] = self._step(items[[step]], states[origins[[step]]])[0]
                _check_finite(outcomes[step])
            except MemoryError:
                raise
            except Exception as error:  # as above
                raise ModelError(offset, f"{type(error).__name__}: {error}") from error

    def _step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        stepped = self._model.step(items, hidden)
        if stepped.shape != hidden.shape:
            raise ValueError(f"the step gave shape {stepped.shape} for {hidden.shape}")
        return stepped


def _check_finite(states: FloatArray) -> None:
    if not np.isfinite(states).all():
        raise ValueError("the step gave a hidden state that is not finite")
