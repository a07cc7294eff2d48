"""GRU4Rec's ranking losses, each with its gradient, derived by hand. Sources as in gru4rec.py.

Scores are (B, M): the positive of row i stands in column `own[i]`, every other column is a negative
of the row, exp(`log_counts`) times. A loss gives each row's loss (B,) and the gradient (B, M) of
their sum. Scores pass through the activation that belongs to the loss: softmax for
cross-entropy, tanh for TOP1, TOP1-max and BPR, an ELU for BPR-max.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LOSSES", "Loss", "bpr", "bpr_max", "cross_entropy", "make_loss", "top1", "top1_max"]

Loss = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""scores (B, M), log_counts (M,), own (B,) -> losses (B,), gradient of their sum (B, M)."""

# Keeps a logarithm finite where float32 has rounded a probability to 0.
_SMALLEST = 1e-24


def make_loss(name: str, *, elu: float, bpreg: float) -> Loss:
    """The loss of a configuration."""
    return partial(bpr_max, elu=elu, bpreg=bpreg) if name == "bpr-max" else LOSSES[name]


def cross_entropy(scores: Tensor, log_counts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """-log softmax(r)_i; CIKM 2018, section 3.1, in its stable form."""
    rows = _rows(scores)
    # n equal columns weigh in a softmax like one whose score is larger by log n.
    gradient = torch.softmax(scores + log_counts, dim=1)
    losses = -gradient[rows, own].clamp_min(_SMALLEST).log()
    gradient[rows, own] -= 1.0
    return losses, gradient


def top1(scores: Tensor, log_counts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the negatives of σ(r_j - r_i) + σ(r_j²), r = tanh(scores); ICLR 2016, section 3.1.3."""
    r = torch.tanh(scores)
    positive = _positives(r, own)
    weights = _means(scores, log_counts, own)
    each, slope, own_slope = _top1_terms(r, positive)
    return _through_tanh(weights * each, weights * slope, weights * own_slope, r, own)


def top1_max(scores: Tensor, log_counts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_j s_j (σ(r_j - r_i) + σ(r_j²)), s the softmax of the negatives' r; CIKM 2018, section 3.2.

    r = tanh(scores).
    """
    r = torch.tanh(scores)
    positive = _positives(r, own)
    weights = _softmax_of_negatives(r, log_counts, own)
    each, slope, own_slope = _top1_terms(r, positive)
    terms = weights * each
    # The weights depend on r as well: ds_j/dr_k = s_j (δ_jk - s_k).
    slope = weights * (slope + each - terms.sum(1, keepdim=True))
    return _through_tanh(terms, slope, weights * own_slope, r, own)


def bpr(scores: Tensor, log_counts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the negatives of -log σ(r_i - r_j), r = tanh(scores); ICLR 2016, section 3.1.3."""
    r = torch.tanh(scores)
    positive = _positives(r, own)
    weights = _means(scores, log_counts, own)
    terms = -weights * functional.logsigmoid(positive - r)
    slope = weights * torch.sigmoid(r - positive)
    return _through_tanh(terms, slope, slope, r, own)


def bpr_max(
    scores: Tensor, log_counts: Tensor, own: Tensor, *, elu: float, bpreg: float
) -> tuple[Tensor, Tensor]:
    """-log Σ_j s_j σ(r_i - r_j) + bpreg Σ_j s_j r_j²; CIKM 2018, section 3.3.

    r are the scores after an ELU (as they are for elu 0), s the softmax over the negatives alone.
    """
    r, slope = _elu(scores, elu) if elu else (scores, None)
    weights = _softmax_of_negatives(r, log_counts, own)
    better = torch.sigmoid(_positives(r, own) - r)
    gains, weighted = weights * better, weights * r
    gain = gains.sum(1, keepdim=True).clamp_min(_SMALLEST)
    penalty = torch.linalg.vecdot(weighted, r)[:, None]
    # By r_j, with b for better: s_j (1 - b_j² / gain + bpreg (r_j² + 2 r_j - penalty)).
    gradient = weights * (1.0 - bpreg * penalty)
    gradient.addcmul_(gains, better / gain, value=-1.0)
    gradient.addcmul_(weighted, r + 2.0, value=bpreg)
    gradient[_rows(r), own] = torch.linalg.vecdot(gains, better) / gain[:, 0] - 1.0
    if slope is not None:
        gradient *= slope
    return (bpreg * penalty - gain.log())[:, 0], gradient


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "top1": top1,
    "top1-max": top1_max,
    "bpr": bpr,
    "bpr-max": partial(bpr_max, elu=1.0, bpreg=0.5),
}
"""By name; BPR-max with the default parameters."""


def _elu(scores: Tensor, elu: float) -> tuple[Tensor, Tensor]:
    """Scores after an ELU, and its slope; torch's own takes longer than all the rest of BPR-max."""
    powers = scores.clamp_max(0.0).exp_()
    r = scores.clamp_min(0.0).add_(powers, alpha=elu).sub_(elu)
    # Where scores are above 0, the power is 1.
    return r, powers if elu == 1.0 else torch.where(scores > 0, 1.0, elu * powers)


def _rows(scores: Tensor) -> Tensor:
    return torch.arange(len(scores), device=scores.device)


def _positives(r: Tensor, own: Tensor) -> Tensor:
    """The activated scores of the positives, (B, 1)."""
    return r.gather(1, own[:, None])


def _means(scores: Tensor, log_counts: Tensor, own: Tensor) -> Tensor:
    """Weights (B, M) for the mean over a row's negatives, each as often as it stands there."""
    weights = log_counts.exp().expand_as(scores).clone()
    weights[_rows(scores), own] = 0.0
    return weights / weights.sum(1, keepdim=True)


def _softmax_of_negatives(r: Tensor, log_counts: Tensor, own: Tensor) -> Tensor:
    logits = r + log_counts
    logits[_rows(r), own] = -torch.inf
    return torch.softmax(logits, dim=1)


def _top1_terms(r: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """σ(r_j - r_i) + σ(r_j²), its slope by r_j, and that by -r_i; all (B, M)."""
    above, large = torch.sigmoid(r - positive), torch.sigmoid(r * r)
    slope = above * (1.0 - above)
    return above + large, slope + 2.0 * r * large * (1.0 - large), slope


def _through_tanh(
    terms: Tensor, slope: Tensor, own_slope: Tensor, r: Tensor, own: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses, and the gradient by the scores from that by r.

    slope: by the r of the negatives; own_slope: what each adds to that by -r_i.
    """
    gradient = slope.clone()
    gradient[_rows(r), own] = -own_slope.sum(1)
    return terms.sum(1), gradient * (1.0 - r * r)
