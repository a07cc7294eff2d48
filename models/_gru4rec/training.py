"""GRU4Rec's training: one mini-batch after the other, touching only the rows they name.

The gradients are written out instead of recorded by autograd, which spares the (B, M)
intermediates of the output layer and the bookkeeping of the rest. Sources as in gru4rec.py.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import torch
from torch import Tensor

from streamrec.models._gru4rec import cell as gru
from streamrec.models._gru4rec.batches import Negatives, NegativeSampler, SessionBatch, SessionBatches
from streamrec.models._gru4rec.losses import make_loss
from streamrec.models._gru4rec.network import GRU4RecConfig, Network
from streamrec.models._gru4rec.optimizer import Adagrad, RowMerge, add_up
from streamrec.models._gru4rec.parallel import Alone, World

__all__ = ["Progress", "Trainer"]

# Events between two reports of progress: some per second.
_REPORT_EVERY: Final = 5000
# Weights that are averaged are of the last part of an epoch, which has the newest sessions; mini-batches
# between two of them: neighbours hardly differ.
_LAST_PART: Final = 0.25
_TAKE_EVERY: Final = 50


@dataclass
class Progress:
    """How far a training is."""

    losses: list[float] = field(default_factory=list)
    """Mean loss of each epoch that is over."""
    batches: int = 0
    """Mini-batches done of the epoch at hand."""
    events: int = 0
    """Events in them that were reported, and the sum of their losses."""
    total: float = 0.0


class Trainer:
    """One network in training, on the device it is on.

    popularity: clicks of each item in training, (N,) float64.
    """

    def __init__(
        self,
        network: Network,
        config: GRU4RecConfig,
        popularity: Tensor,
        generator: torch.Generator,
        world: World | None = None,
    ) -> None:
        self._network = network
        self._config = config
        self._world = world or Alone()
        self._device = network.items.device
        self._generator = generator
        self._sampler = NegativeSampler(
            popularity, config.sample_alpha, config.n_sample, generator, self._device
        )
        self._loss = make_loss(config.loss, elu=config.elu, bpreg=config.bpreg)
        logq = config.logq if config.loss == "cross-entropy" else 0.0
        self._corrects = logq > 0
        # How often an item is a column, up to a factor: as another's target, as a sample.
        self._log_q = logq * popularity.log().float().to(self._device)
        self._log_q_sample = config.sample_alpha * self._log_q
        # The layers' weights are views of one tensor, which is one update instead of four a layer.
        weights, self._cells = _flat(network)
        self._gradient = torch.zeros_like(weights)
        self._gradients = _cells_of(self._gradient, self._cells)
        self._gru = self._adagrad(weights)
        self._items, self._bias = self._adagrad(network.items.data), self._adagrad(network.bias.data)
        self._inputs = self._items if network.inputs is network.items else self._adagrad(network.inputs.data)
        self._merge = RowMerge(len(popularity), self._device)
        self._hidden = torch.zeros(0, config.state_size, device=self._device)
        self._n_averaged = torch.zeros((), dtype=torch.int64)
        self._sums = [torch.zeros_like(each.data) for each in network.parameters()]

    def _adagrad(self, values: Tensor) -> Adagrad:
        return Adagrad(values, self._config.learning_rate, self._config.momentum)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that training goes on from, by name: weights, what the optimiser remembers, hidden states."""
        optimizers = {"gru": self._gru, "items": self._items, "bias": self._bias, "inputs": self._inputs}
        return {
            **{f"weights.{name}": value for name, value in self._network.state_dict().items()},
            **{
                f"{name}.{part}": value
                for name, adagrad in optimizers.items()
                for part, value in adagrad.state.items()
            },
            **{f"sum.{n}": value for n, value in enumerate(self._sums)},
            "averaged": self._n_averaged,
            "hidden": self._hidden,
            "generator": self._generator.get_state(),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from `tensors` of a Trainer of the same configuration and items."""
        self._generator.set_state(tensors["generator"])
        self._hidden = tensors["hidden"].to(self._device)
        for name, value in self.tensors.items():
            if name not in ("generator", "hidden"):
                value.copy_(tensors[name])

    def epoch(
        self,
        batches: SessionBatches,
        progress: Progress,
        report: Callable[[int, float], None],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """One pass over all sessions, or what is left of it; its mean loss goes to `progress.losses`.

        report: called now and then, and at the end, with events done in this pass and the mean
        loss of those since the last call. between: called after each report.
        """
        # A tensor: its value is asked for at reports only.
        recent, n_recent = torch.zeros((), device=self._device), 0
        for batch in islice(batches, progress.batches, None):
            self._hidden, loss = self.step(
                torch.from_numpy(batch.inputs).to(self._device),
                torch.from_numpy(batch.targets).to(self._device),
                self._sampler.draw(),
                self._carry(batch),
            )
            recent, n_recent = recent + loss, n_recent + len(batch.inputs)
            progress.batches += 1
            self._take_weights(progress, n_recent, batches.events)
            if n_recent >= _REPORT_EVERY or progress.events + n_recent == batches.events:
                loss_sum = recent.item()
                progress.events += n_recent
                progress.total += loss_sum
                report(progress.events, loss_sum / n_recent)
                recent, n_recent = torch.zeros_like(recent), 0
                if progress.events < batches.events:
                    between()
        progress.losses.append(progress.total / progress.events)
        progress.batches, progress.events, progress.total = 0, 0, 0.0
        self._hidden = self._hidden[:0]
        between()

    def _take_weights(self, progress: Progress, n_recent: int, events: int) -> None:
        """Add the weights as they are to those whose mean is the model, if this is the time for it."""
        first = self._config.epochs - round(self._config.averaging * self._config.epochs)
        left = events - progress.events - n_recent
        taken = progress.batches % _TAKE_EVERY == 0 and left < _LAST_PART * events
        if len(progress.losses) >= first and (taken or not left):
            self._n_averaged += 1
            for total, parameter in zip(self._sums, self._network.parameters(), strict=True):
                total += parameter.data

    def model(self) -> Network:
        """A copy of the network as far as it is trained, with averaged weights where there are any."""
        model = deepcopy(self._network)
        if self._n_averaged:
            for total, parameter in zip(self._sums, model.parameters(), strict=True):
                parameter.data.copy_(total / self._n_averaged)
        return model

    def _carry(self, batch: SessionBatch) -> Tensor:
        """Hidden states for a mini-batch: those of the lanes that go on, zeros at session starts."""
        hidden = self._hidden
        if not len(hidden):
            return torch.zeros(len(batch.lanes), self._config.state_size, device=self._device)
        if len(batch.lanes) != len(hidden):
            hidden = hidden[torch.from_numpy(batch.lanes).to(self._device)]
        if batch.new.any():
            hidden = hidden.masked_fill(torch.from_numpy(batch.new).to(self._device)[:, None], 0.0)
        return hidden

    def step(
        self, inputs: Tensor, targets: Tensor, negatives: Negatives, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Learn one mini-batch; returns the hidden states after it, and the sum of its losses.

        inputs, targets: (B,) item indices; hidden: (B, L·H).
        """
        # M = B + U columns, of which column i is the positive of row i; b of the B rows are computed here
        n, world, network = len(targets), self._world, self._network
        ours = world.share(n)
        x, mask = self._dropout(
            network.inputs.data.index_select(0, inputs[ours]), self._config.dropout_embed, n
        )
        output, state, passes, masks = self._forward(x, hidden[ours], n)
        columns = torch.cat([targets, negatives.items])
        state = world.whole(state, n)
        if len(columns) < 2:  # the last lane, without samples: no negative to learn from
            return state, output.new_zeros(())
        weights = network.items.data.index_select(0, columns)  # (M, H)
        scores = torch.addmm(network.bias.data[columns], output, weights.T)  # (b, M)
        if self._corrects:
            scores -= torch.cat([self._log_q[targets], self._log_q_sample[negatives.items]])
        own = torch.arange(n, device=self._device)[ours]
        log_counts = torch.cat([negatives.counts.new_zeros(n), negatives.counts.log()])
        losses, gradient = self._loss(scores, log_counts, own)
        # The full size also where lanes ran dry: else the few events at an epoch's end weigh most.
        gradient /= self._config.batch_size
        of_x = self._backward(gradient @ weights, passes, masks)
        of_columns, of_bias, loss = gradient.T @ output, gradient.sum(0), losses.sum()
        world.total(self._gradient, of_columns, of_bias, loss)
        self._update(
            inputs, world.whole(of_x if mask is None else of_x * mask, n), columns, of_columns, of_bias, n
        )
        return state, loss

    def _forward(
        self, x: Tensor, hidden: Tensor, n: int
    ) -> tuple[Tensor, Tensor, list[gru.Pass], list[Tensor | None]]:
        """The last layer's output, all layers' states, and what the backward pass needs."""
        states, passes, masks = [], [], []
        for layer, before in zip(self._cells, hidden.chunk(len(self._cells), dim=1), strict=True):
            after, done = gru.forward(layer, x, before)
            # The next click starts from what was kept: 0.003 of MRR@20 better than from the whole.
            x, mask = self._dropout(after, self._config.dropout_hidden, n)
            states.append(x)
            passes.append(done)
            masks.append(mask)
        return x, torch.cat(states, dim=1), passes, masks

    def _backward(self, gradient: Tensor, passes: list[gru.Pass], masks: list[Tensor | None]) -> Tensor:
        """From the gradient by the output to that by the input; those of the layers go to their place."""
        for layer, done, mask, into in reversed(
            list(zip(self._cells, passes, masks, self._gradients, strict=True))
        ):
            gradient = gru.backward(layer, done, gradient if mask is None else gradient * mask, into)
        return gradient

    def _update(
        self, inputs: Tensor, of_inputs: Tensor, columns: Tensor, of_columns: Tensor, of_bias: Tensor, n: int
    ) -> None:
        """One step of the optimiser. The first n columns are targets, the others no item twice."""
        targets, sampled = columns[:n], columns[n:]
        named, of_named = [targets], [of_columns[:n]]
        if self._inputs is self._items:  # one matrix: the gradients of a row add up
            named.append(inputs)
            of_named.append(of_inputs)
        else:
            rows, places = self._merge.merge(inputs[:0], inputs)
            self._inputs.update_rows(rows[1], add_up(of_inputs[:0], len(rows[1]), places[0], of_inputs))
        rows, places = self._merge.merge(sampled, *named)
        every = torch.cat(rows)
        of_every = add_up(of_columns[n:], len(every), torch.cat(places), torch.cat(of_named))
        self._items.update_rows(every, of_every)
        scored = every[: len(rows[0]) + len(rows[1])]  # the others were input alone
        self._bias.update_rows(scored, add_up(of_bias[n:], len(scored), places[0], of_bias[:n]))
        self._gru.update(self._gradient)

    def _dropout(self, values: Tensor, rate: float, n: int) -> tuple[Tensor, Tensor | None]:
        """Values with a share of them dropped, the rest scaled up; and what they were multiplied by.

        The same is drawn for all n rows in every process.
        """
        if not rate:
            return values, None
        keep = torch.rand(n, values.shape[1], generator=self._generator) >= rate
        mask = keep[self._world.share(n)].to(values) / (1.0 - rate)
        return values * mask, mask


def _flat(network: Network) -> tuple[Tensor, list[gru.Cell]]:
    """The weights of all layers in one tensor, of which they become views."""
    parameters = list(network.gru.parameters())
    flat = torch.cat([parameter.data.reshape(-1) for parameter in parameters])
    cells = _cells_of(flat, [gru.Cell(*(p.data for p in layer.parameters())) for layer in network.gru])
    for parameter, view in zip(parameters, (each for layer in cells for each in layer), strict=True):
        parameter.data = view
    return flat, cells


def _cells_of(flat: Tensor, like: list[gru.Cell]) -> list[gru.Cell]:
    """Views of one tensor in the shapes of `like`."""
    parts = iter(torch.split(flat, [each.numel() for layer in like for each in layer]))
    return [gru.Cell(*(next(parts).view(each.shape) for each in layer)) for layer in like]
