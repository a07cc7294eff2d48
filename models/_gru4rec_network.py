"""GRU4Rec's hyperparameters and its network. Sources as in gru4rec.py."""

from typing import Literal, Self

import torch
from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from torch import Tensor, nn

from streamrec.artifact import MAX_HIDDEN_SIZE

__all__ = ["GRU4RecConfig", "Network"]


class GRU4RecConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    loss: Literal["cross-entropy", "bpr-max", "top1"] = "cross-entropy"
    embedding: Literal["shared", "separate"] = "shared"
    """Whether the input embedding and the output weights are one matrix."""
    embedding_size: PositiveInt = 100
    """Width of the input embedding; with a shared one equal to hidden_size."""
    hidden_size: int = Field(default=100, ge=1, le=MAX_HIDDEN_SIZE)
    """Width of the hidden state."""
    epochs: PositiveInt = 10
    batch_size: int = Field(default=32, ge=2)
    """Sessions run side by side; the items of the others serve as negatives."""
    n_sample: NonNegativeInt = 2048
    """Negatives drawn for each mini-batch beyond those in it."""
    sample_alpha: float = Field(default=0.5, ge=0, le=1)
    """Negatives are drawn with probability popularity ** sample_alpha."""
    logq: NonNegativeFloat = 1.0
    """Strength of the correction for popular items being negatives more often (cross-entropy)."""
    dropout_embed: float = Field(default=0.0, ge=0, lt=1)
    """Share of the input embedding dropped in training."""
    dropout_hidden: float = Field(default=0.4, ge=0, lt=1)
    """Share of the hidden state dropped in training, on its way to the scores."""
    learning_rate: PositiveFloat = 0.1
    momentum: float = Field(default=0.0, ge=0, lt=1)
    bpreg: NonNegativeFloat = 0.5
    """Weight of the score regularisation of BPR-max."""
    elu: PositiveFloat = 1.0
    """Parameter of the ELU that BPR-max applies to scores."""

    @model_validator(mode="after")
    def _widths(self) -> Self:
        if self.embedding == "shared" and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"a shared embedding needs embedding_size = hidden_size, not {self.embedding_size} and "
                f"{self.hidden_size}; set both, or embedding=separate"
            )
        return self


class Network(nn.Module):
    """Item embedding, one GRU layer, and scores of all items; N items, H hidden, D embedding size."""

    def __init__(self, n_items: int, config: GRU4RecConfig) -> None:
        super().__init__()
        self.items = nn.Parameter(_uniform(n_items, config.hidden_size))  # (N, H) output weights
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.inputs = (
            self.items
            if config.embedding == "shared"
            else nn.Parameter(_uniform(n_items, config.embedding_size))
        )
        self.gru = nn.GRUCell(config.embedding_size, config.hidden_size)
        for name, parameter in self.gru.named_parameters():
            if name.startswith("weight"):
                gates = [_uniform(config.hidden_size, parameter.shape[1]) for _ in range(3)]
                parameter.data = torch.cat(gates)
            else:
                parameter.data.zero_()

    def forward(self, item: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states after one more item each, and the scores of all items."""
        hidden = self.gru(self.inputs[item], hidden)  # (B,) int64, (B, H) -> (B, H)
        return hidden, hidden @ self.items.T + self.bias  # (B, H), (B, N)


def _uniform(rows: int, columns: int) -> Tensor:
    # Glorot and Bengio, AISTATS 2010
    bound = (6.0 / (rows + columns)) ** 0.5
    return torch.empty(rows, columns).uniform_(-bound, bound)
