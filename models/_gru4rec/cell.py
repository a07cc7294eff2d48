"""One GRU layer, one step: its output, and its gradients derived by hand.

Cho et al., arXiv:1406.1078, with the reset gate after the product as in cuDNN and torch:
r = σ(W_r x + U_r h), z = σ(W_z x + U_z h), n = tanh(W_n x + r ⊙ (U_n h)), h' = n + z ⊙ (h - n).
No gradient goes back in time: GRU4Rec is trained with hidden states taken as given.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Cell", "Pass", "backward", "forward"]


class Cell(NamedTuple):
    """Weights of a layer, or the gradients of them; gates in the order r, z, n."""

    weight_ih: Tensor
    """(3H, D)"""
    weight_hh: Tensor
    """(3H, H)"""
    bias_ih: Tensor
    """(3H,)"""
    bias_hh: Tensor
    """(3H,)"""


class Pass(NamedTuple):
    """What a step computed, and the backward pass needs."""

    x: Tensor
    hidden: Tensor
    r: Tensor
    z: Tensor
    n: Tensor
    hidden_n: Tensor
    """U_n h with its bias, (B, H)."""


def forward(cell: Cell, x: Tensor, hidden: Tensor) -> tuple[Tensor, Pass]:
    """Hidden states after one more input each; x (B, D), hidden (B, H) -> (B, H)."""
    size = hidden.shape[1]
    by_input = torch.addmm(cell.bias_ih, x, cell.weight_ih.T)
    by_hidden = torch.addmm(cell.bias_hh, hidden, cell.weight_hh.T)
    gates = torch.sigmoid(by_input[:, : 2 * size] + by_hidden[:, : 2 * size])
    r, z = gates[:, :size], gates[:, size:]
    hidden_n = by_hidden[:, 2 * size :]
    n = torch.tanh(torch.addcmul(by_input[:, 2 * size :], r, hidden_n))
    return torch.lerp(n, hidden, z), Pass(x, hidden, r, z, n, hidden_n)


def backward(cell: Cell, done: Pass, gradient: Tensor, into: Cell) -> Tensor:
    """From the gradient by the output (B, H) to that by the input (B, D); the weights' own go to `into`."""
    x, hidden, r, z, n, hidden_n = done
    by_n = gradient * (1.0 - z) * (1.0 - n * n)
    by_r = by_n * hidden_n * r * (1.0 - r)
    by_z = gradient * (hidden - n) * z * (1.0 - z)
    of_input = torch.cat([by_r, by_z, by_n], dim=1)
    of_hidden = torch.cat([by_r, by_z, by_n * r], dim=1)
    torch.mm(of_input.T, x, out=into.weight_ih)
    torch.mm(of_hidden.T, hidden, out=into.weight_hh)
    torch.sum(of_input, 0, out=into.bias_ih)
    torch.sum(of_hidden, 0, out=into.bias_hh)
    return of_input @ cell.weight_ih
