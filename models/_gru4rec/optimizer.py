"""Adagrad with momentum, on whole tensors and on the rows that a mini-batch names.

Source: Duchi, Hazan and Singer, JMLR 12, 2011.
"""

from typing import Final

import torch
from torch import Tensor

__all__ = ["Adagrad", "RowMerge", "add_up"]

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
            # First by how much it changes, then to what.
            self._velocity.index_add_(0, rows, move.add_(before, alpha=self._momentum - 1.0))
            move.add_(before)
        self._values.index_add_(0, rows, move)


class RowMerge:
    """Finds where the gradients of rows that are named more than once add up.

    A table of N places says in constant time where a row's sum stands; sorting the names would
    cost more than the update.
    """

    def __init__(self, n_rows: int, device: torch.device) -> None:
        self._place = torch.full((n_rows,), -1, dtype=torch.int64, device=device)

    def merge(self, once: Tensor, *named: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Rows, each once: those of `once`, which names none twice, then what each of `named` adds.

        Returns these one by one, and for each of `named` the places of its rows in all of them.
        """
        place, rows, n = self._place, [once], len(once)
        place[once] = torch.arange(n, device=place.device)
        for names in named:
            rows.append(torch.unique(names[place[names] < 0]))
            place[rows[-1]] = torch.arange(n, n + len(rows[-1]), device=place.device)
            n += len(rows[-1])
        places = [place[names] for names in named]
        for each in rows:
            place[each] = -1
        return rows, places


def add_up(gradient: Tensor, n_rows: int, places: Tensor, others: Tensor) -> Tensor:
    """The gradients of the first rows (U, ...), and of others (O, ...) at their places: (n_rows, ...)."""
    total = torch.cat([gradient, gradient.new_zeros(n_rows - len(gradient), *gradient.shape[1:])])
    return total.index_add_(0, places, others)
