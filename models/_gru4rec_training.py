"""The parts of GRU4Rec's training: mini-batches, negatives, losses, the optimiser.

Sources as in gru4rec.py; Adagrad: Duchi, Hazan and Singer, JMLR 12, 2011.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["Losses", "NegativeSampler", "SessionBatch", "SessionBatches", "SparseAdagrad"]


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

    def draw(self) -> Tensor:
        """n item indices."""
        if self._next >= len(self._block):
            rows = max(1, 1_000_000 // max(1, self._n))
            uniform = torch.rand(rows, self._n, dtype=torch.float64, generator=self._generator)
            last = len(self._cumulative) - 1
            self._block = torch.searchsorted(self._cumulative, uniform).clamp_(max=last).to(self._device)
            self._next = 0
        self._next += 1
        return self._block[self._next - 1]


class Losses:
    """A ranking loss and its gradient with respect to the scores.

    Scores are (B, M); the positive of row i is in column i, all other columns are its negatives.
    """

    def __init__(self, name: str, elu: float, bpreg: float) -> None:
        self._loss = {"cross-entropy": self._cross_entropy, "bpr-max": self._bpr_max, "top1": self._top1}[
            name
        ]
        self._elu = elu
        self._bpreg = bpreg

    def __call__(self, scores: Tensor) -> tuple[float, Tensor]:
        """Mean loss of a row, and its gradient (B, M)."""
        return self._loss(scores)

    def _cross_entropy(self, scores: Tensor) -> tuple[float, Tensor]:
        rows = torch.arange(len(scores), device=scores.device)
        probability = torch.softmax(scores, dim=1)
        loss = -probability[rows, rows].clamp_min(1e-24).log().mean().item()
        probability[rows, rows] -= 1.0
        return loss, probability.div_(len(scores))

    def _bpr_max(self, scores: Tensor) -> tuple[float, Tensor]:
        scores = scores.detach().requires_grad_()
        r = functional.elu(scores, self._elu)
        positive = r.diagonal()[:, None]  # (B, 1)
        # Weights of the negatives: a softmax over them without the positive.
        own = torch.eye(*r.shape, dtype=torch.bool, device=r.device)
        weight = torch.softmax(r.masked_fill(own, -torch.inf), dim=1)
        gain = (weight * torch.sigmoid(positive - r)).sum(1)
        rows = -torch.log(gain + 1e-24) + self._bpreg * (weight * r**2).sum(1)
        return _backward(rows, scores)

    def _top1(self, scores: Tensor) -> tuple[float, Tensor]:
        scores = scores.detach().requires_grad_()
        r = torch.tanh(scores)
        positive = r.diagonal()[:, None]
        each = torch.sigmoid(r - positive) + torch.sigmoid(r**2)
        own = torch.eye(*r.shape, dtype=torch.bool, device=r.device)
        rows = each.masked_fill(own, 0.0).sum(1) / (r.shape[1] - 1)
        return _backward(rows, scores)


def _backward(rows: Tensor, scores: Tensor) -> tuple[float, Tensor]:
    loss = rows.mean()
    (gradient,) = torch.autograd.grad(loss, scores)
    return loss.item(), gradient


class SparseAdagrad:
    """Adagrad with momentum on one tensor; rows that a step does not touch cost nothing."""

    _EPSILON = 1e-6

    def __init__(self, values: Tensor, learning_rate: float, momentum: float) -> None:
        self._values = values
        self._rate = learning_rate
        self._momentum = momentum
        self._squares = torch.zeros_like(values)
        self._velocity = torch.zeros_like(values) if momentum else None

    def update(self, gradient: Tensor) -> None:
        """One step on the whole tensor."""
        self._squares.addcmul_(gradient, gradient)
        move = gradient.mul(-self._rate).div_((self._squares + self._EPSILON).sqrt_())
        if self._velocity is not None:
            move = self._velocity.mul_(self._momentum).add_(move)
        self._values.add_(move)

    def update_rows(self, rows: Tensor, gradients: Tensor) -> None:
        """One step on some rows; the gradients of a row named twice add up."""
        unique, place = torch.unique(rows, return_inverse=True)
        gradient = torch.zeros((len(unique), *gradients.shape[1:]), device=gradients.device)
        gradient.index_add_(0, place, gradients)
        squares = self._squares[unique].addcmul_(gradient, gradient)
        self._squares[unique] = squares
        move = gradient.mul_(-self._rate).div_((squares + self._EPSILON).sqrt_())
        if self._velocity is not None:
            move += self._momentum * self._velocity[unique]
            self._velocity[unique] = move
        self._values.index_add_(0, unique, move)
