"""Hidden states of the session model: the steps of one call, taken in rounds.

A chain holds the steps of one visitor's session within a call. Round r takes the r-th
step of every chain at once, so the graph runs as often as the longest chain is long,
and a row's result is the same as if it had been stepped alone (StepModel).
"""

from collections.abc import Sequence

import numpy as np

from streamrec.advance.records import ModelError
from streamrec.contracts import FloatArray, IntArray, StepModel

__all__ = ["Chain", "run_chains"]


class Chain:
    """Items to step through from a hidden state; `offsets` say which record wants each step."""

    __slots__ = ("hidden", "items", "offsets")

    def __init__(self, start: bytes) -> None:
        self.items: list[int] = []
        self.offsets: list[int] = []
        self.hidden = [start]
        """States as float32 bytes: the start (empty for zeros), then one after each step."""

    def step(self, item: int, offset: int) -> None:
        """Add a step; unknown items (-1) leave the state as it is."""
        if item >= 0:
            self.items.append(item)
            self.offsets.append(offset)


def run_chains(model: StepModel, chains: Sequence[Chain]) -> None:
    """Take the steps of all chains.

    Raises ModelError for the record with the lowest offset whose step fails by itself.
    """
    chains = sorted((chain for chain in chains if chain.items), key=lambda chain: -len(chain.items))
    if not chains:
        return
    width = 4 * model.hidden_size
    zeros = bytes(width)
    start = b"".join(chain.hidden[0] or zeros for chain in chains)
    hidden = np.frombuffer(start, dtype="<f4").reshape(len(chains), -1)
    failures: dict[int, tuple[int, str]] = {}
    n_active = len(chains)
    for turn in range(len(chains[0].items)):
        while len(chains[n_active - 1].items) <= turn:
            n_active -= 1
        active = chains[:n_active]
        items = np.array([chain.items[turn] for chain in active], dtype=np.int64)
        hidden, failed = _step(model, items, hidden[:n_active])
        for row, message in failed.items():
            failures.setdefault(row, (active[row].offsets[turn], message))
        states = hidden.astype("<f4", copy=False).tobytes()
        for row, chain in enumerate(active):
            chain.hidden.append(states[row * width : row * width + width])
    if failures:
        raise ModelError(*min(failures.values()))


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
