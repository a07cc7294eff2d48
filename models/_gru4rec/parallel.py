"""Data-parallel training: who computes which rows of a mini-batch, and how the parts come together.

Every process holds the whole model and sees the whole mini-batch; each computes the rows of its
share, gradients are summed, and all apply the same update. So the result is that of one
process, up to the order of floating-point sums.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from streamrec.errors import DatasetError

__all__ = ["Alone", "Group", "World", "world"]


class World(Protocol):
    """The processes that train one model."""

    @property
    def is_first(self) -> bool:
        """Whether this process reports and writes."""

    def require_same(self, digest: str) -> None:
        """Raises DatasetError if the processes were given different clicks; digest: of them, in hex."""

    def share(self, n: int) -> slice:
        """This process's rows of n."""

    def total(self, *parts: Tensor) -> None:
        """Replace each tensor by its sum over the processes."""

    def whole(self, part: Tensor, n: int) -> Tensor:
        """All n rows, of which every process has its share."""


class Alone:
    """One process."""

    is_first = True

    def require_same(self, digest: str) -> None:
        """There is nobody to differ from."""

    def share(self, n: int) -> slice:
        """All rows."""
        return slice(0, n)

    def total(self, *parts: Tensor) -> None:
        """They are their own sum."""

    def whole(self, part: Tensor, n: int) -> Tensor:
        """The part is the whole."""
        return part


class Group:
    """The processes of torch.distributed's default group."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._rank, self._size = dist.get_rank(), dist.get_world_size()
        self.is_first = self._rank == 0

    def require_same(self, digest: str) -> None:
        """Compared by an all-reduce."""
        low = torch.tensor([int(digest[:15], 16)], device=self._device)
        high = low.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
        if low != high:
            raise DatasetError(
                "the processes that train together have different clicks; give all of them the same file"
            )

    def share(self, n: int) -> slice:
        """Rows in equal parts; some have one more where n does not divide."""
        return slice(n * self._rank // self._size, n * (self._rank + 1) // self._size)

    def total(self, *parts: Tensor) -> None:
        """Summed by an all-reduce each."""
        for part in parts:
            dist.all_reduce(part)

    def whole(self, part: Tensor, n: int) -> Tensor:
        """Put together by a sum, as shares need not be of one length."""
        full = part.new_zeros(n, *part.shape[1:])
        full[self.share(n)] = part
        dist.all_reduce(full)
        return full


@contextmanager
def world(device: torch.device) -> Iterator[World]:
    """The processes that torchrun started together with this one, or this one alone."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield Alone()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(device)
    finally:
        dist.destroy_process_group()
