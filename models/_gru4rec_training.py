"""GRU4Rec's training: one mini-batch after the other, touching only the rows they name.

Sources as in gru4rec.py; Adagrad: Duchi, Hazan and Singer, JMLR 12, 2011.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from streamrec.models._gru4rec_batches import NegativeSampler, SessionBatch, SessionBatches
from streamrec.models._gru4rec_losses import make_loss
from streamrec.models._gru4rec_network import GRU4RecConfig, Network

__all__ = ["SparseAdagrad", "Trainer"]

# Events between two reports of progress: some per second.
_REPORT_EVERY: Final = 5000


class SparseAdagrad:
    """Adagrad with momentum on one tensor; rows that a step does not touch cost nothing."""

    _EPSILON = 1e-6

    def __init__(self, values: Tensor, learning_rate: float, momentum: float) -> None:
        self._values = values
        self._rate = learning_rate
        self._momentum = momentum
        self._squares = torch.zeros_like(values)
        self._velocity = torch.zeros_like(values) if momentum else None

    def update(self, gradient: Tensor) -> None:
        """One step on the whole tensor."""
        self._squares.addcmul_(gradient, gradient)
        move = gradient.mul(-self._rate).div_((self._squares + self._EPSILON).sqrt_())
        if self._velocity is not None:
            move = self._velocity.mul_(self._momentum).add_(move)
        self._values.add_(move)

    def update_rows(self, rows: Tensor, gradients: Tensor) -> None:
        """One step on some rows; the gradients of a row named twice add up."""
        unique, place = torch.unique(rows, return_inverse=True)
        gradient = gradients.new_zeros((len(unique), *gradients.shape[1:]))
        gradient.index_add_(0, place, gradients)
        squares = self._squares[unique].addcmul_(gradient, gradient)
        self._squares[unique] = squares
        move = gradient.mul_(-self._rate).div_((squares + self._EPSILON).sqrt_())
        if self._velocity is not None:
            move += self._momentum * self._velocity[unique]
            self._velocity[unique] = move
        self._values.index_add_(0, unique, move)


class Trainer:
    """One network in training, on the device it is on.

    popularity: clicks of each item in training, (N,) float64.
    """

    def __init__(
        self, network: Network, config: GRU4RecConfig, popularity: Tensor, generator: torch.Generator
    ) -> None:
        self._network = network
        self._config = config
        self._device = network.items.device
        self._generator = generator
        self._sampler = NegativeSampler(
            popularity, config.sample_alpha, config.n_sample, generator, self._device
        )
        self._loss = make_loss(config.loss, elu=config.elu, bpreg=config.bpreg)
        logq = config.logq if config.loss == "cross-entropy" else 0.0
        # How much more often than by chance an item is a column: as another's target, as a sample.
        self._log_q = logq * (popularity / popularity.sum()).log().float().to(self._device)
        self._log_q_sample = logq * self._sampler.log_probability().to(self._device)
        self._items, self._bias = self._adagrad(network.items), self._adagrad(network.bias)
        self._inputs = self._items if network.inputs is network.items else self._adagrad(network.inputs)
        self._gru = [self._adagrad(parameter) for parameter in network.gru.parameters()]

    def _adagrad(self, parameter: Tensor) -> SparseAdagrad:
        return SparseAdagrad(parameter.data, self._config.learning_rate, self._config.momentum)

    def epoch(self, batches: SessionBatches, report: Callable[[int, float], None]) -> float:
        """One pass over all sessions; returns the mean loss of an event.

        report: called now and then, and at the end, with events done in this pass and the mean
        loss of those since the last call.
        """
        total, done, recent, n_recent = 0.0, 0, 0.0, 0
        hidden = torch.zeros(0, self._config.hidden_size, device=self._device)
        for batch in batches:
            hidden, loss = self.step(
                torch.from_numpy(batch.inputs).to(self._device),
                torch.from_numpy(batch.targets).to(self._device),
                self._sampler.draw(),
                self._carry(hidden, batch),
            )
            n = len(batch.inputs)
            recent, n_recent = recent + loss * n, n_recent + n
            if n_recent >= _REPORT_EVERY or done + n_recent == batches.events:
                total, done = total + recent, done + n_recent
                report(done, recent / n_recent)
                recent, n_recent = 0.0, 0
        return total / done

    def _carry(self, hidden: Tensor, batch: SessionBatch) -> Tensor:
        """Hidden states for a mini-batch: those of the lanes that go on, zeros at session starts."""
        if not len(hidden):
            return torch.zeros(len(batch.lanes), self._config.hidden_size, device=self._device)
        if len(batch.lanes) != len(hidden):
            hidden = hidden[torch.from_numpy(batch.lanes).to(self._device)]
        if batch.new.any():
            hidden = hidden.masked_fill(torch.from_numpy(batch.new).to(self._device)[:, None], 0.0)
        return hidden

    def step(
        self, inputs: Tensor, targets: Tensor, negatives: Tensor, hidden: Tensor
    ) -> tuple[Tensor, float]:
        """Learn one mini-batch; returns the hidden states after it, and its mean loss.

        inputs, targets: (B,) item indices; negatives: (S,); hidden: (B, H).
        """
        # M = B + S columns, of which column i is the positive of row i
        network, config = self._network, self._config
        rows = network.inputs.data[inputs].requires_grad_()  # (B, D)
        state = network.gru(self._dropout(rows, config.dropout_embed), hidden)  # (B, H)
        out = self._dropout(state, config.dropout_hidden)
        columns = torch.cat([targets, negatives])  # (M,)
        if len(columns) < 2:  # the last lane, without samples: no negative to learn from
            return state.detach(), 0.0
        # The output layer is the bulk of the work; its gradient is written out, which spares
        # autograd the (B, M) intermediates.
        weights, values = network.items.data[columns], out.detach()  # (M, H), (B, H)
        scores = torch.addmm(network.bias.data[columns], values, weights.T)  # (B, M)
        scores -= torch.cat([self._log_q[targets], self._log_q_sample[negatives]])
        loss, gradient = self._loss(scores)
        of_rows, *of_gru = torch.autograd.grad(
            out, [rows, *self._network.gru.parameters()], gradient @ weights
        )
        self._update_items(inputs, of_rows, columns, gradient.T @ values)
        self._bias.update_rows(columns, gradient.sum(0))
        for adagrad, each in zip(self._gru, of_gru, strict=True):
            adagrad.update(each)
        return state.detach(), loss

    def _update_items(self, inputs: Tensor, of_rows: Tensor, columns: Tensor, of_weights: Tensor) -> None:
        if self._inputs is self._items:  # one matrix: the two gradients of a row add up
            self._items.update_rows(torch.cat([columns, inputs]), torch.cat([of_weights, of_rows]))
        else:
            self._items.update_rows(columns, of_weights)
            self._inputs.update_rows(inputs, of_rows)

    def _dropout(self, values: Tensor, rate: float) -> Tensor:
        if not rate:
            return values
        keep = torch.rand(values.shape, generator=self._generator).to(self._device) >= rate
        return values * keep / (1.0 - rate)
