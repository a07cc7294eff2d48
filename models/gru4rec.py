"""GRU4Rec: session-based next-item scores from a gated recurrent unit.

Enters: sessions, each the ids of its items, oldest first. Leaves: an artifact with two
graphs, `step` (one click onward) and `score` (the best next items).

Sources: Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks",
ICLR 2016, arXiv:1511.06939 (session-parallel mini-batches, TOP1); Hidasi and Karatzoglou,
"Recurrent Neural Networks with Top-k Gains for Session-based Recommendations", CIKM 2018,
arXiv:1706.03847 (additional samples, cross-entropy, BPR-max).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
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
from streamrec.models._gru4rec_export import write_artifact
from streamrec.models._gru4rec_training import Losses, NegativeSampler, SessionBatches, SparseAdagrad
from torch import Tensor, nn

from streamrec import __version__
from streamrec.artifact import FORMAT, Manifest, Probe
from streamrec.errors import DatasetError
from streamrec.registry import Registry

__all__ = ["GRU4Rec", "GRU4RecConfig", "TrainOptions", "TrainReport"]

Rate = float


class GRU4RecConfig(BaseModel, frozen=True, extra="forbid"):
    """Hyperparameters."""

    loss: Literal["cross-entropy", "bpr-max", "top1"] = "cross-entropy"
    embedding: Literal["shared", "separate"] = "shared"
    """Whether the input embedding and the output weights are one matrix."""
    embedding_size: PositiveInt = 100
    """Width of the input embedding; with a shared one equal to hidden_size."""
    hidden_size: PositiveInt = 100
    """Width of the hidden state."""
    epochs: PositiveInt = 10
    batch_size: PositiveInt = Field(default=32, ge=2)
    """Sessions run side by side; the items of the others serve as negatives."""
    n_sample: NonNegativeInt = 2048
    """Negatives drawn for each mini-batch beyond those in it."""
    sample_alpha: float = Field(default=0.5, ge=0, le=1)
    """Negatives are drawn with probability popularity ** sample_alpha."""
    logq: NonNegativeFloat = 1.0
    """Strength of the correction for popular items being negatives more often (cross-entropy)."""
    dropout_embed: float = Field(default=0.0, ge=0, lt=1)
    dropout_hidden: float = Field(default=0.4, ge=0, lt=1)
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


class TrainOptions(NamedTuple):
    """How to train, apart from what."""

    seed: int = 0
    device: str = "auto"
    """A torch device; auto takes CUDA where present."""
    on_step: Callable[[int, float], None] | None = None
    """Called now and then with events done so far (over all epochs) and the mean loss since."""


class TrainReport(NamedTuple):
    """What training came to."""

    events: int
    """Training events in all epochs: pairs of a click and the next."""
    losses: list[float]
    """Mean loss of each epoch."""


class _Network(nn.Module):
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
                parameter.data = torch.cat(
                    [_uniform(config.hidden_size, parameter.shape[1]) for _ in range(3)]
                )
            else:
                parameter.data.zero_()

    def forward(self, item: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        # B sessions, H hidden size, N items
        hidden = self.gru(self.inputs[item], hidden)  # (B,) int64, (B, H) -> (B, H)
        return hidden, hidden @ self.items.T + self.bias  # (B, H), (B, N)


def _uniform(rows: int, columns: int) -> Tensor:
    # Glorot and Bengio, AISTATS 2010
    bound = (6.0 / (rows + columns)) ** 0.5
    return torch.empty(rows, columns).uniform_(-bound, bound)


class GRU4Rec:
    """A session model; a contracts.DeepModel."""

    def __init__(self, config: GRU4RecConfig | None = None) -> None:
        self.config = config or GRU4RecConfig()
        self.vocabulary: list[str] = []
        self.network: _Network | None = None
        self.seed = 0

    def train(self, sessions: Iterable[Sequence[str]], options: TrainOptions | None = None) -> TrainReport:
        """Fit to sessions, each the ids of its items, oldest first; those of one item teach nothing.

        The same sessions and seed give the same model on the same kind of CPU.
        Raises DatasetError if no session has two items.
        """
        options = options or TrainOptions()
        sequences = [sequence for sequence in sessions if len(sequence) > 1]
        if not sequences:
            raise DatasetError("no session has two clicks or more: there is no next item to learn")
        counts = Counter(item_id for sequence in sequences for item_id in sequence)
        self.vocabulary = sorted(counts, key=lambda item_id: (-counts[item_id], item_id))
        self.seed = options.seed
        index = {item_id: n for n, item_id in enumerate(self.vocabulary)}
        device = _device(options.device)
        generator = torch.Generator().manual_seed(options.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = self.network = _Network(len(self.vocabulary), self.config)
        network.to(device)
        popularity = torch.tensor([counts[item_id] for item_id in self.vocabulary], dtype=torch.float64)
        trainer = _Trainer(network, self.config, popularity, generator, device)
        batches = SessionBatches(
            [[index[item_id] for item_id in each] for each in sequences], self.config.batch_size
        )
        losses, done = [], 0
        for _ in range(self.config.epochs):
            losses.append(trainer.epoch(batches, done, options.on_step))
            done += batches.events
        network.to("cpu")
        return TrainReport(done, losses)

    def probes(self, n: int = 4, top: int = 20) -> list[Probe]:
        """Short sessions with what the network makes of them."""
        network = self._trained()
        rng = np.random.default_rng(self.seed)
        found = []
        for length in range(1, n + 1):
            items = rng.integers(0, len(self.vocabulary), length).tolist()
            hidden = torch.zeros(1, self.config.hidden_size)
            with torch.no_grad():
                for item in items:
                    hidden, scores = network(torch.tensor([item]), hidden)
            best = torch.topk(scores[0], min(top, len(self.vocabulary)))
            found.append(
                Probe(
                    items=items,
                    hidden=hidden[0].tolist(),
                    top=best.indices.tolist(),
                    scores=best.values.tolist(),
                )
            )
        return found

    def export(
        self,
        directory: Path,
        *,
        version: str | None = None,
        data: dict[str, Any] | None = None,
        metrics: dict[str, float] | None = None,
    ) -> None:
        """Write the artifact into an empty directory.

        version: its name; made from time and weights if not given. data, metrics: for the
        manifest and the model card. Raises ArtifactError if a graph does not give what torch gives.
        """
        network = self._trained()
        write_artifact(
            directory,
            {name: value.detach().numpy() for name, value in network.state_dict().items()},
            self.vocabulary,
            lambda files: Manifest(
                format=FORMAT,
                model="gru4rec",
                version=version or self.version(),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                hidden_size=self.config.hidden_size,
                n_items=len(self.vocabulary),
                files=files,
                probes=self.probes(),
                config=self.config.model_dump(),
                seed=self.seed,
                data=data or {},
                metrics=metrics or {},
                code_version=__version__,
            ),
        )

    def version(self) -> str:
        """A name for the model as it is: time of day, then a digest of its weights."""
        digest = hashlib.sha256()
        for value in self._trained().state_dict().values():
            digest.update(value.numpy().tobytes())
        return f"{datetime.now(UTC):%Y%m%dt%H%M%S}-{digest.hexdigest()[:8]}"

    def publish(
        self,
        registry: Registry,
        *,
        data: dict[str, Any] | None = None,
        metrics: dict[str, float] | None = None,
    ) -> str:
        """Export into the registry; returns the version."""
        version = self.version()
        registry.publish(
            "gru4rec", version, lambda place: self.export(place, version=version, data=data, metrics=metrics)
        )
        return version

    def _trained(self) -> _Network:
        if self.network is None:
            raise DatasetError("the model is not trained yet; call train first")
        return self.network


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


class _Trainer:
    """One network in training. Only the rows of a mini-batch are touched in a step."""

    def __init__(
        self,
        network: _Network,
        config: GRU4RecConfig,
        popularity: Tensor,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self._network = network
        self._config = config
        self._device = device
        self._generator = generator
        self._sampler = NegativeSampler(popularity, config.sample_alpha, config.n_sample, generator, device)
        self._losses = Losses(config.loss, config.elu, config.bpreg)
        self._log_q = config.logq * (popularity / popularity.sum()).log().float().to(device)
        self._log_q_sample = config.logq * self._sampler.log_probability().to(device)
        rate, momentum = config.learning_rate, config.momentum
        self._items = SparseAdagrad(network.items.data, rate, momentum)
        self._bias = SparseAdagrad(network.bias.data, rate, momentum)
        self._inputs = (
            self._items
            if network.inputs is network.items
            else SparseAdagrad(network.inputs.data, rate, momentum)
        )
        self._dense = [
            SparseAdagrad(parameter.data, rate, momentum) for parameter in network.gru.parameters()
        ]

    def epoch(
        self, batches: SessionBatches, done: int, on_step: Callable[[int, float], None] | None
    ) -> float:
        """One pass over all sessions; returns the mean loss of an event."""
        config = self._config
        total, n_events, recent, n_recent = 0.0, 0, 0.0, 0
        hidden = torch.zeros(0, config.hidden_size, device=self._device)
        for batch in batches:
            hidden = self._carry(hidden, batch.lanes, batch.new)
            hidden, loss = self._step(
                torch.from_numpy(batch.inputs).to(self._device),
                torch.from_numpy(batch.targets).to(self._device),
                hidden,
            )
            n = len(batch.inputs)
            recent, n_recent = recent + loss * n, n_recent + n
            if n_recent >= 5000:
                total, n_events = total + recent, n_events + n_recent
                if on_step is not None:
                    on_step(done + n_events, recent / n_recent)
                recent, n_recent = 0.0, 0
        return (total + recent) / (n_events + n_recent)

    def _carry(self, hidden: Tensor, lanes: "np.ndarray[Any, Any]", new: "np.ndarray[Any, Any]") -> Tensor:
        """Hidden states for the next mini-batch: those of the lanes that go on, zeros at session starts."""
        if not len(hidden):
            return torch.zeros(len(lanes), self._config.hidden_size, device=self._device)
        if len(lanes) != len(hidden):
            hidden = hidden[torch.from_numpy(lanes).to(self._device)]
        if new.any():
            hidden = hidden.masked_fill(torch.from_numpy(new).to(self._device)[:, None], 0.0)
        return hidden

    def _step(self, inputs: Tensor, targets: Tensor, hidden: Tensor) -> tuple[Tensor, float]:
        # B sessions, S samples, M = B + S columns of which column i is the positive of row i
        network, config = self._network, self._config
        rows = network.inputs.data[inputs].requires_grad_()  # (B, D)
        state = network.gru(self._dropout(rows, config.dropout_embed), hidden)  # (B, H)
        out = self._dropout(state, config.dropout_hidden)
        columns = torch.cat([targets, self._sampler.draw()])  # (M,)
        # The output layer is the bulk of the work; its gradient is written out, which spares
        # autograd the (B, M) intermediates.
        with torch.no_grad():
            weights = network.items.data[columns]  # (M, H)
            scores = torch.addmm(network.bias.data[columns], out, weights.T)  # (B, M)
            if config.loss == "cross-entropy" and config.logq:
                n = len(targets)
                scores[:, :n] -= self._log_q[targets]
                scores[:, n:] -= self._log_q_sample[columns[n:]]
        loss, gradient = self._losses(scores)
        with torch.no_grad():
            gradient_out = gradient @ weights
            gradient_weights = gradient.T @ out
        network.gru.zero_grad(set_to_none=True)
        out.backward(gradient_out)
        with torch.no_grad():
            self._update(inputs, rows.grad, columns, gradient_weights, gradient.sum(0))
        return state.detach(), loss

    def _update(
        self,
        inputs: Tensor,
        gradient_rows: Tensor | None,
        columns: Tensor,
        gradient_weights: Tensor,
        gradient_bias: Tensor,
    ) -> None:
        assert gradient_rows is not None
        if self._inputs is self._items:
            self._items.update_rows(
                torch.cat([columns, inputs]), torch.cat([gradient_weights, gradient_rows])
            )
        else:
            self._items.update_rows(columns, gradient_weights)
            self._inputs.update_rows(inputs, gradient_rows)
        self._bias.update_rows(columns, gradient_bias)
        for optimizer, parameter in zip(self._dense, self._network.gru.parameters(), strict=True):
            assert parameter.grad is not None
            optimizer.update(parameter.grad)

    def _dropout(self, values: Tensor, rate: float) -> Tensor:
        if not rate:
            return values
        keep = torch.rand(values.shape, generator=self._generator).to(self._device) >= rate
        return values * keep / (1.0 - rate)
