"""Data-parallel training: who computes which rows of a mini-batch, and how the parts come together.

Every process holds the whole model and sees the whole mini-batch; each computes the rows of its
share, gradients are summed, and all apply the same update. So the result is that of one
process, up to the order of floating-point sums.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from streamrec.errors import ConfigError

__all__ = ["Alone", "Group", "World", "device_of_this_process", "world"]


class World(Protocol):
    """The processes that train one model."""

    @property
    def is_first(self) -> bool:
        """Whether this process reports and writes."""

    def require_same(self, training: Any) -> None:
        """Raises ConfigError if the processes are not at the same place of the same training.

        training: what tells, of plain values.
        """

    def share(self, n: int) -> slice:
        """This process's rows of n."""

    def total(self, *parts: Tensor) -> None:
        """Replace each tensor by its sum over the processes."""

    def whole(self, part: Tensor, n: int) -> Tensor:
        """All n rows, of which every process has its share."""


class Alone:
    """One process."""

    is_first = True

    def require_same(self, training: Any) -> None:
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

    def require_same(self, training: Any) -> None:
        """Digests compared by an all-reduce."""
        digest = hashlib.sha256(json.dumps(training, sort_keys=True).encode()).hexdigest()
        low = torch.tensor([int(digest[:15], 16)], device=self._device)
        high = low.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
        if low != high:
            raise ConfigError(
                "the processes that train together differ in clicks, hyperparameters, seed or checkpoint; "
                "give all of them the same"
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


def _launched_by_torchrun() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched()


def device_of_this_process(device: torch.device) -> torch.device:
    """The device, or this process's own of a machine's GPUs where torchrun started one for each."""
    if device.type != "cuda" or not _launched_by_torchrun():
        return device
    return torch.device("cuda", dist.get_node_local_rank())


@contextmanager
def world(device: torch.device) -> Iterator[World]:
    """The processes that torchrun started together with this one, or this one alone."""
    if not _launched_by_torchrun():
        yield Alone()
        return
    if device.type == "cuda":
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    try:
        yield Group(device)
    finally:
        dist.destroy_process_group()
