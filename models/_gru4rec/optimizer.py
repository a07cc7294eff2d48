"""Adagrad with momentum, on whole tensors and on the rows that a mini-batch names.

Source: Duchi, Hazan and Singer, JMLR 12, 2011.
"""

from typing import Final

import torch
from torch import Tensor

__all__ = ["Adagrad", "RowMerge"]

_EPSILON: Final = 1e-6


class Adagrad:
    """Steps on one tensor, in place; rows that a step does not touch cost nothing.

    state: what it remembers, to be kept and put back.
    """

    def __init__(self, values: Tensor, learning_rate: float, momentum: float) -> None:
        self._values = values
        self._rate = learning_rate
        self._momentum = momentum
        self._squares = torch.zeros_like(values)
        self._velocity = torch.zeros_like(values) if momentum else None

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors it remembers, by name; written into when a training is resumed."""
        found = {"squares": self._squares}
        return found if self._velocity is None else {**found, "velocity": self._velocity}

    def update(self, gradient: Tensor) -> None:
        """One step on the whole tensor."""
        self._squares.addcmul_(gradient, gradient)
        move = gradient.mul(-self._rate).div_((self._squares + _EPSILON).sqrt_())
        if self._velocity is not None:
            move = self._velocity.mul_(self._momentum).add_(move)
        self._values.add_(move)

    def update_rows(self, rows: Tensor, gradient: Tensor) -> None:
        """One step on some rows, none of them named twice; gradient is used up."""
        # index_add_ and index_select take a third of the time of index_copy_ and [].
        self._squares.index_add_(0, rows, gradient * gradient)
        move = gradient.div_(self._squares.index_select(0, rows).add_(_EPSILON).sqrt_()).mul_(-self._rate)
        if self._velocity is not None:
            before = self._velocity.index_select(0, rows)
            move.add_(before, alpha=self._momentum)
            self._velocity.index_add_(0, rows, move - before)
        self._values.index_add_(0, rows, move)


class RowMerge:
    """Adds up gradients of rows that are named more than once.

    A table of N places says in constant time where a row's sum stands; sorting the names would
    cost more than the update.
    """

    def __init__(self, n_rows: int, device: torch.device) -> None:
        self._place = torch.full((n_rows,), -1, dtype=torch.int64, device=device)

    def merge(
        self, unique: Tensor, gradient: Tensor, others: Tensor, of_others: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rows, each once, and the sums of their gradients.

        unique: (U,) rows named once, gradient: theirs (U, ...); others: (O,) any rows, of_others:
        theirs (O, ...).
        """
        place = self._place
        place[unique] = torch.arange(len(unique), device=place.device)
        more = torch.unique(others[place[others] < 0])
        rows = torch.cat([unique, more])
        place[more] = torch.arange(len(unique), len(rows), device=place.device)
        total = torch.cat([gradient, gradient.new_zeros(len(more), *gradient.shape[1:])])
        total.index_add_(0, place[others], of_others)
        place[rows] = -1
        return rows, total
