"""GRU4Rec's hyperparameters and its network. Sources as in gru4rec.py."""

from typing import Any, Literal, Self

import torch
from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from torch import Tensor, nn

from streamrec.artifact import MAX_HIDDEN_SIZE

__all__ = ["GRU4RecConfig", "Network"]


class GRU4RecConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    loss: Literal["cross-entropy", "bpr-max", "top1-max", "bpr", "top1"] = "cross-entropy"
    """With the activation of scores that belongs to it: softmax, ELU, tanh, tanh, tanh."""
    embedding: Literal["shared", "separate"] = "shared"
    """Whether the input embedding and the output weights are one matrix. The papers call that
    constrained: `constrained` is taken for `shared`."""
    embedding_size: PositiveInt = 100
    """Width of the input embedding; with a shared one equal to hidden_size."""
    hidden_size: PositiveInt = 100
    """Width of each layer's hidden state."""
    layers: PositiveInt = 1
    """GRU layers, one upon the other."""
    epochs: PositiveInt = 10
    """Passes over the sessions."""
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
    """Share of each layer's output dropped in training, on its way up and on to the next click."""
    learning_rate: PositiveFloat = 0.1
    """Length of Adagrad's steps."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Share of the step before that is added to each step."""
    averaging: float = Field(default=0.5, ge=0, le=1)
    """Share of the epochs, the last ones, of whose last quarters the model has the mean weights.
    0: it has the weights at the end. Polyak and Juditsky, SIAM Journal on Control and Optimization 30,
    1992."""
    bpreg: NonNegativeFloat = 0.5
    """Weight of the score regularisation of BPR-max."""
    elu: NonNegativeFloat = 1.0
    """Parameter of the ELU that BPR-max applies to scores; 0 leaves them as they are."""

    @field_validator("embedding", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return "shared" if value == "constrained" else value

    @model_validator(mode="before")
    @classmethod
    def _one_width(cls, given: Any) -> Any:
        """Where one width is given, the other is the same."""
        if not isinstance(given, dict) or len({"embedding_size", "hidden_size"} & given.keys()) != 1:
            return given
        width = given.get("embedding_size", given.get("hidden_size"))
        return {"embedding_size": width, "hidden_size": width, **given}

    @model_validator(mode="after")
    def _widths(self) -> Self:
        if self.embedding == "shared" and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"a shared embedding needs embedding_size = hidden_size, not {self.embedding_size} and "
                f"{self.hidden_size}; set both, or embedding=separate"
            )
        if self.state_size > MAX_HIDDEN_SIZE:
            raise ValueError(
                f"{self.layers} layers of {self.hidden_size} are {self.state_size} numbers a visitor, "
                f"{MAX_HIDDEN_SIZE} are allowed; lower hidden_size or layers"
            )
        return self

    @property
    def state_size(self) -> int:
        """Width of the hidden states of all layers, side by side."""
        return self.layers * self.hidden_size


class Network(nn.Module):
    """Item embedding, L GRU layers, and scores of all items; N items, H hidden, D embedding size.

    Hidden states are (B, L·H): those of the layers side by side, the last one's at the end.
    """

    def __init__(self, n_items: int, config: GRU4RecConfig) -> None:
        super().__init__()
        self.items = nn.Parameter(_uniform(n_items, config.hidden_size))  # (N, H) output weights
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.inputs = (
            self.items
            if config.embedding == "shared"
            else nn.Parameter(_uniform(n_items, config.embedding_size))
        )
        widths = [config.embedding_size, *[config.hidden_size] * (config.layers - 1)]
        self.gru = nn.ModuleList(_cell(width, config.hidden_size) for width in widths)

    def forward(self, item: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states after one more item each, and the scores of all items."""
        output, after = self.inputs[item], []  # (B,) int64 -> (B, D)
        for cell, before in zip(self.gru, hidden.chunk(len(self.gru), dim=1), strict=True):
            output = cell(output, before)  # (B, H)
            after.append(output)
        return torch.cat(after, dim=1), output @ self.items.T + self.bias  # (B, L·H), (B, N)


def _cell(width: int, hidden_size: int) -> nn.GRUCell:
    cell = nn.GRUCell(width, hidden_size)
    for name, parameter in cell.named_parameters():
        if name.startswith("weight"):
            parameter.data = torch.cat([_uniform(hidden_size, parameter.shape[1]) for _ in range(3)])
        else:
            parameter.data.zero_()
    return cell


def _uniform(rows: int, columns: int) -> Tensor:
    # Glorot and Bengio, AISTATS 2010
    bound = (6.0 / (rows + columns)) ** 0.5
    return torch.empty(rows, columns).uniform_(-bound, bound)
