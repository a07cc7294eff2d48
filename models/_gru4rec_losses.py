"""GRU4Rec's ranking losses, each with its gradient. Sources as in gru4rec.py.

Scores are (B, M): the positive of row i is in column i, all other columns are its
negatives. A loss gives its mean over the rows and the gradient (B, M).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Loss", "bpr_max", "cross_entropy", "make_loss", "top1"]

Loss = Callable[[Tensor], tuple[float, Tensor]]

# Keeps a logarithm finite where float32 has rounded a probability to 0.
_SMALLEST = 1e-24


def make_loss(name: str, *, elu: float, bpreg: float) -> Loss:
    """The loss of a configuration."""
    losses: dict[str, Loss] = {
        "cross-entropy": cross_entropy,
        "bpr-max": partial(bpr_max, elu=elu, bpreg=bpreg),
        "top1": top1,
    }
    return losses[name]


def cross_entropy(scores: Tensor) -> tuple[float, Tensor]:
    """-log softmax(r)_i; CIKM 2018, section 3.1, in its stable form."""
    rows = torch.arange(len(scores), device=scores.device)
    probability = torch.softmax(scores, dim=1)
    loss = -probability[rows, rows].clamp_min(_SMALLEST).log().mean().item()
    probability[rows, rows] -= 1.0
    return loss, probability.div_(len(scores))


def bpr_max(scores: Tensor, *, elu: float, bpreg: float) -> tuple[float, Tensor]:
    """-log Σ_j s_j σ(r_i - r_j) + bpreg Σ_j s_j r_j²; CIKM 2018, section 3.3.

    r are the scores after an ELU, s the softmax over the negatives alone.
    """
    scores = scores.detach().requires_grad_()
    r = functional.elu(scores, elu)
    positive = r.diagonal()[:, None]  # (B, 1)
    weight = torch.softmax(r.masked_fill(_own(r), -torch.inf), dim=1)
    gain = (weight * torch.sigmoid(positive - r)).sum(1)
    return _with_gradient(-torch.log(gain + _SMALLEST) + bpreg * (weight * r**2).sum(1), scores)


def top1(scores: Tensor) -> tuple[float, Tensor]:
    """Mean over the negatives of σ(r_j - r_i) + σ(r_j²); ICLR 2016, section 3.1.3.

    r are the scores after a tanh.
    """
    scores = scores.detach().requires_grad_()
    r = torch.tanh(scores)
    each = torch.sigmoid(r - r.diagonal()[:, None]) + torch.sigmoid(r**2)
    return _with_gradient(each.masked_fill(_own(r), 0.0).sum(1) / (r.shape[1] - 1), scores)


def _own(r: Tensor) -> Tensor:
    """Where the positives stand, (B, M)."""
    return torch.eye(*r.shape, dtype=torch.bool, device=r.device)


def _with_gradient(rows: Tensor, scores: Tensor) -> tuple[float, Tensor]:
    loss = rows.mean()
    (gradient,) = torch.autograd.grad(loss, scores)
    return loss.item(), gradient
