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
            yield SessionBatch(self._items[place], self._items[place + 1], lanes, new)
            place += 1
            if len(lanes) != len(place) or lanes[-1] != len(place) - 1:
                lanes = np.arange(len(place))
            new = end - place < 2
            done = np.flatnonzero(new)
            fresh = slice(waiting, min(waiting + len(done), len(self._starts)))
            waiting = fresh.stop
            filled = done[: fresh.stop - fresh.start]
            place[filled], end[filled] = self._starts[fresh], self._ends[fresh]
            if len(filled) < len(done):  # no session is waiting: those lanes run dry
                lanes = np.delete(lanes, done[len(filled) :])
                place, end, new = place[lanes], end[lanes], new[lanes]


class Negatives(NamedTuple):
    """Items drawn for a mini-batch. The popular ones come more than once: those are computed once."""

    items: Tensor
    """(U,) int64, no item twice."""
    counts: Tensor
    """(U,) float, how often each was drawn."""


class NegativeSampler:
    """Items drawn with probability popularity ** alpha, by the alias method: constant time for each.

    popularity: (N,) float64, above 0. n: items per draw.
    Sources: Walker, ACM TOMS 3, 1977; Vose, IEEE TSE 17, 1991.
    """

    def __init__(
        self, popularity: Tensor, alpha: float, n: int, generator: torch.Generator, device: torch.device
    ) -> None:
        weights = popularity**alpha
        self._own, self._alias = _alias_table(weights / weights.sum())
        self._n = n
        self._generator = generator
        self._device = device

    def draw(self) -> Negatives:
        """n items, with repetition."""
        # Drawn on the CPU, so that every device learns from the same.
        items = torch.randint(len(self._own), (self._n,), generator=self._generator)
        stays = torch.rand(self._n, generator=self._generator) < self._own.index_select(0, items)
        items, counts = torch.unique(
            torch.where(stays, items, self._alias.index_select(0, items)), return_counts=True
        )
        return Negatives(items.to(self._device), counts.to(self._device, torch.get_default_dtype()))


def _alias_table(probability: Tensor) -> tuple[Tensor, Tensor]:
    """For each item the share of its N-th that is its own, float32, and the item that has the rest."""
    share = (probability * len(probability)).tolist()
    own, alias = [1.0] * len(share), list(range(len(share)))
    small = [item for item, each in enumerate(share) if each < 1.0]
    large = [item for item, each in enumerate(share) if each >= 1.0]
    while small and large:
        item = small.pop()
        own[item], alias[item] = share[item], large[-1]
        share[large[-1]] -= 1.0 - share[item]
        if share[large[-1]] < 1.0:
            small.append(large.pop())
    return torch.tensor(own, dtype=torch.float32), torch.tensor(alias)
