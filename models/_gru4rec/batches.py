"""What GRU4Rec is trained on: session-parallel mini-batches, and negatives beyond those in them.

Sources as in gru4rec.py.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NegativeSampler", "Negatives", "SessionBatch", "SessionBatches"]


class SessionBatch(NamedTuple):
    """One click of up to `batch_size` sessions, and the click after it."""

    inputs: NDArray[np.int64]
    """Item of each lane, shape (B,)."""
    targets: NDArray[np.int64]
    """The item that came next, shape (B,)."""
    lanes: NDArray[np.int64]
    """For each lane its place in the batch before; lanes run dry at the end of an epoch."""
    new: NDArray[np.bool_]
    """Lanes at the start of a session."""


class SessionBatches:
    """Session-parallel mini-batches: each lane goes through one session after the other.

    sequences: item indices of each session, at least two, in the order to be trained.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], batch_size: int) -> None:
        self._items = np.fromiter((item for each in sequences for item in each), dtype=np.int64)
        lengths = np.array([len(each) for each in sequences])
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        self._size = min(batch_size, len(sequences))
        self.events = int((lengths - 1).sum())
        """Pairs of a click and the next, in one pass."""

    @property
    def digest(self) -> str:
        """Of the sessions and their order."""
        found = hashlib.sha256(self._items.tobytes())
        found.update(self._ends.tobytes())
        return found.hexdigest()

    def __iter__(self) -> Iterator[SessionBatch]:
        place, end = self._starts[: self._size].copy(), self._ends[: self._size].copy()
        waiting = self._size
        lanes = np.arange(self._size)
        new = np.ones(self._size, dtype=np.bool_)
        while len(place):
            for _ in range(int((end - place).min()) - 1):
                yield SessionBatch(self._items[place], self._items[place + 1], lanes, new)
                place = place + 1
                lanes, new = np.arange(len(place)), np.zeros(len(place), dtype=np.bool_)
            done = np.flatnonzero(end - place < 2)
            fresh = np.arange(waiting, min(waiting + len(done), len(self._starts)))
            waiting += len(fresh)
            filled = done[: len(fresh)]
            place[filled], end[filled], new[filled] = self._starts[fresh], self._ends[fresh], True
            lanes = np.setdiff1d(lanes, done[len(fresh) :])
            place, end, new = place[lanes], end[lanes], new[lanes]


class Negatives(NamedTuple):
    """Items drawn for a mini-batch. The popular ones come more than once: those are computed once."""

    items: Tensor
    """(U,) int64, no item twice."""
    counts: Tensor
    """(U,) float, how often each was drawn."""


class NegativeSampler:
    """Items drawn with probability popularity ** alpha, in large blocks.

    popularity: (N,) float64, above 0. n: items per draw.
    """

    def __init__(
        self, popularity: Tensor, alpha: float, n: int, generator: torch.Generator, device: torch.device
    ) -> None:
        weights = popularity**alpha
        self._probability = weights / weights.sum()
        self._cumulative = self._probability.cumsum(0)
        self._n = n
        self._generator = generator
        self._device = device
        self._block = torch.empty(0, n, dtype=torch.int64)
        self._next = 0

    def log_probability(self) -> Tensor:
        """Log of each item's probability in a draw, float32 (N,)."""
        return self._probability.log().float()

    @property
    def state(self) -> dict[str, Tensor]:
        """What is left of the block at hand."""
        return {"block": self._block[self._next :].cpu()}

    def restore(self, block: Tensor) -> None:
        """Go on with what was left of a block."""
        self._block, self._next = block.to(self._device), 0

    def draw(self) -> Negatives:
        """n items, with repetition."""
        if self._next >= len(self._block):
            rows = max(1, 1_000_000 // max(1, self._n))
            uniform = torch.rand(rows, self._n, dtype=torch.float64, generator=self._generator)
            last = len(self._cumulative) - 1
            self._block = torch.searchsorted(self._cumulative, uniform).clamp_(max=last).to(self._device)
            self._next = 0
        self._next += 1
        items, counts = torch.unique(self._block[self._next - 1], return_counts=True)
        return Negatives(items, counts.to(torch.get_default_dtype()))
