"""GRU4Rec's training against plain statements of what it computes."""

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamrec.models._gru4rec import cell as gru
from streamrec.models._gru4rec import training
from streamrec.models._gru4rec.batches import Negatives, NegativeSampler, SessionBatch, SessionBatches
from streamrec.models._gru4rec.losses import LOSSES, make_loss
from streamrec.models._gru4rec.network import GRU4RecConfig, Network
from streamrec.models._gru4rec.optimizer import Adagrad, RowMerge, add_up
from streamrec.models._gru4rec.training import Progress, Trainer

CPU = torch.device("cpu")
every_loss = pytest.mark.parametrize("loss", LOSSES)

session_lists = st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=6), min_size=1, max_size=12)


@pytest.fixture
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# -- session-parallel mini-batches --------------------------------------------------------------


def obvious_lanes(sequences: list[list[int]], size: int) -> Iterator[list[tuple[int, int]]]:
    """Session and place of every lane; a lane goes on with the session that waits the longest."""
    waiting = deque(range(len(sequences)))
    lanes = [(waiting.popleft(), 0) for _ in range(min(size, len(sequences)))]
    while lanes:
        yield lanes
        left = []
        for session, place in lanes:
            if place + 2 < len(sequences[session]):
                left.append((session, place + 1))
            elif waiting:
                left.append((waiting.popleft(), 0))
        lanes = left


@given(sequences=session_lists, size=st.integers(1, 6))
def test_mini_batches_are_those_of_the_obvious_way(sequences: list[list[int]], size: int) -> None:
    expected = [
        (
            [sequences[session][place] for session, place in lanes],
            [sequences[session][place + 1] for session, place in lanes],
            [place == 0 for _, place in lanes],
        )
        for lanes in obvious_lanes(sequences, size)
    ]
    batches = list(SessionBatches(sequences, size))
    assert [(each.inputs.tolist(), each.targets.tolist(), each.new.tolist()) for each in batches] == expected


@given(sequences=session_lists, size=st.integers(1, 6))
def test_along_its_lane_every_session_is_whole_and_is_seen_once(
    sequences: list[list[int]], size: int
) -> None:
    batches = SessionBatches(sequences, size)
    lanes: list[list[int]] = []
    seen: list[list[int]] = []
    events = 0
    for batch in batches:
        before = lanes
        lanes = [before[lane] if before else [] for lane in batch.lanes]
        for place, (item, target, new) in enumerate(zip(*batch[:2], batch.new, strict=True)):
            if new:
                lanes[place] = [int(item)]
                seen.append(lanes[place])
            assert lanes[place][-1] == item
            lanes[place].append(int(target))
            events += 1
    assert Counter(map(tuple, seen)) == Counter(map(tuple, sequences))
    assert events == batches.events == sum(len(each) - 1 for each in sequences)


def test_every_pass_is_the_same() -> None:
    batches = SessionBatches([[1, 2, 3], [4, 5], [6, 7, 8, 9]], 2)
    first, second = ([batch.inputs.tolist() for batch in batches] for _ in range(2))
    assert first == second


# -- negatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_items_are_drawn_by_popularity_to_the_power_of_alpha(alpha: float) -> None:
    popularity = torch.tensor([1.0, 2.0, 4.0, 9.0, 100.0], dtype=torch.float64)
    sampler = NegativeSampler(popularity, alpha, 500, torch.Generator().manual_seed(1), CPU)
    expected = (popularity**alpha / (popularity**alpha).sum()).numpy()
    n = 500 * 2100  # more than one block
    counts = np.zeros(5)
    for _ in range(2100):
        drawn = sampler.draw()
        assert drawn.counts.sum() == 500
        counts[drawn.items.numpy()] += drawn.counts.numpy()
    assert abs(counts / n - expected).max() < 5 * math.sqrt(0.25 / n)


def test_negatives_follow_from_the_seed() -> None:
    popularity = torch.ones(50, dtype=torch.float64)
    a, b, c = (
        NegativeSampler(popularity, 0.5, 20, torch.Generator().manual_seed(seed), CPU).draw().items.tolist()
        for seed in (1, 1, 2)
    )
    assert a == b != c


def test_without_samples_nothing_is_drawn() -> None:
    sampler = NegativeSampler(torch.ones(3, dtype=torch.float64), 0.5, 0, torch.Generator(), CPU)
    assert sampler.draw().items.shape == sampler.draw().counts.shape == (0,)


# -- losses -------------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(x) / np.exp(x).sum()


def stated_loss(name: str, scores: NDArray[np.float64], own: list[int], elu: float, bpreg: float) -> float:
    """The papers' formulas, row by row, negative by negative; their sum."""
    rows = []
    for row, i in zip(scores, own, strict=True):
        others = [j for j in range(len(row)) if j != i]
        if name == "cross-entropy":
            rows.append(-math.log(softmax(row)[i]))
        elif name == "bpr-max":
            r = np.where(row > 0, row, elu * (np.exp(row) - 1)) if elu else row
            s = softmax(r[others])
            gain = sum(s[n] * sigmoid(r[i] - r[j]) for n, j in enumerate(others))
            rows.append(-math.log(gain) + bpreg * sum(s[n] * r[j] ** 2 for n, j in enumerate(others)))
        elif name == "bpr":
            r = np.tanh(row)
            rows.append(-np.mean([np.log(sigmoid(r[i] - r[j])) for j in others]))
        else:
            r = np.tanh(row)
            each = [sigmoid(r[j] - r[i]) + sigmoid(r[j] ** 2) for j in others]
            rows.append(np.mean(each) if name == "top1" else softmax(r[others]) @ each)
    return float(np.sum(rows))


@every_loss
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 4),
    counts=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    elu=st.sampled_from([0.0, 0.2, 1.0, 2.0]),
    data=st.data(),
)
def test_a_loss_is_its_formula_and_its_gradient_the_slope(
    loss: str, seed: int, n: int, counts: list[int], elu: float, data: st.DataObject
) -> None:
    # Columns: n targets, then samples; a sample drawn three times is one column that counts three times.
    own = data.draw(st.permutations(range(n)))
    scores = np.random.default_rng(seed).normal(0, 2, (n, n + len(counts)))
    each = torch.tensor([1.0] * n + counts, dtype=torch.float64)
    values, gradient = make_loss(loss, elu=elu, bpreg=0.7)(
        torch.tensor(scores), each.log(), torch.tensor(own)
    )

    def stated(scores: NDArray[np.float64]) -> float:
        return stated_loss(loss, np.repeat(scores, [1] * n + counts, axis=1), own, elu, 0.7)

    assert values.shape == (n,)
    assert values.sum().item() == pytest.approx(stated(scores), rel=1e-9)
    slope, step = np.empty_like(scores), 1e-6
    for place in np.ndindex(*scores.shape):
        up, down = scores.copy(), scores.copy()
        up[place] += step
        down[place] -= step
        slope[place] = (stated(up) - stated(down)) / (2 * step)
    np.testing.assert_allclose(gradient.numpy(), slope, atol=1e-7)


@every_loss
def test_extreme_scores_give_finite_losses_and_gradients(loss: str) -> None:
    scores = torch.tensor([[-80.0, 80.0, 0.0], [80.0, -80.0, 30.0]])
    values, gradient = make_loss(loss, elu=1.0, bpreg=0.5)(scores, torch.zeros(3), torch.arange(2))
    assert torch.isfinite(values).all()
    assert torch.isfinite(gradient).all()


@given(seed=st.integers(0, 1000), n=st.integers(1, 4), width=st.integers(1, 5))
@pytest.mark.usefixtures("float64")
def test_a_layer_and_its_gradients_are_those_of_torch(seed: int, n: int, width: int) -> None:
    torch.manual_seed(seed)
    theirs = torch.nn.GRUCell(width, 3)
    x, hidden = torch.randn(n, width, requires_grad=True), torch.randn(n, 3)
    weights = gru.Cell(*(parameter.data for parameter in theirs.parameters()))
    after, done = gru.forward(weights, x.detach(), hidden)
    wanted = theirs(x, hidden)
    np.testing.assert_allclose(after.numpy(), wanted.detach().numpy(), atol=1e-12)
    gradient = torch.randn(n, 3)
    into = gru.Cell(*(torch.empty_like(each) for each in weights))
    of_x = gru.backward(weights, done, gradient, into)
    wanted.backward(gradient)
    for ours, of in zip((of_x, *into), (x, *theirs.parameters()), strict=True):
        np.testing.assert_allclose(ours.numpy(), of.grad.numpy(), atol=1e-12)


# -- the optimiser ------------------------------------------------------------------------------


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=1, max_size=5),
    st.integers(0, 1000),
    st.data(),
)
def test_updates_of_rows_are_the_dense_update(steps: list[list[int]], seed: int, data: st.DataObject) -> None:
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(5, 3, generator=rng, dtype=torch.float64)
    sparse, dense = start.clone(), start.clone()
    by_row, whole, merge = Adagrad(sparse, 0.1, 0.0), Adagrad(dense, 0.1, 0.0), RowMerge(5, CPU)
    for rows in steps:
        unique = data.draw(st.lists(st.integers(0, 4), unique=True))
        gradients = torch.randn(len(unique) + len(rows), 3, generator=rng, dtype=torch.float64)
        gradient = torch.zeros_like(start)
        for row, each in zip([*unique, *rows], gradients, strict=True):
            gradient[row] += each
        n = len(unique)
        once = torch.tensor(unique, dtype=torch.int64)
        # In two parts, of which either may name rows of the other.
        part = data.draw(st.integers(0, len(rows)))
        named = torch.tensor(rows[:part], dtype=torch.int64), torch.tensor(rows[part:], dtype=torch.int64)
        found, places = merge.merge(once, *named)
        every = torch.cat(found)
        total = add_up(gradients[:n], len(every), torch.cat(places), gradients[n:])
        assert set(every.tolist()) == {*unique, *rows}
        by_row.update_rows(every, total)
        whole.update(gradient)
        np.testing.assert_allclose(sparse.numpy(), dense.numpy(), atol=1e-12)


def test_momentum_carries_on_in_the_rows_that_are_touched_and_rests_in_the_others() -> None:
    values = torch.zeros(2, 1, dtype=torch.float64)
    adagrad = Adagrad(values, learning_rate=1.0, momentum=0.5)
    for _ in range(2):
        adagrad.update_rows(torch.tensor([0]), torch.ones(1, 1, dtype=torch.float64))
    # Moves: -1, then half of that again and -1/√2.
    np.testing.assert_allclose(values[:, 0].tolist(), [-1 - 0.5 - 1 / math.sqrt(2), 0.0], atol=1e-6)


# -- a whole step, a whole epoch ----------------------------------------------------------------


class Plain:
    """The same training by plain torch: dense weights, autograd through everything, dense Adagrad."""

    def __init__(self, network: Network, config: GRU4RecConfig, popularity: torch.Tensor) -> None:
        self.network = network
        self._velocity = [torch.zeros_like(each) for each in network.parameters()]
        self._config = config
        self._log_q, self._log_q_sample = popularity.log(), config.sample_alpha * popularity.log()
        self._squares = [torch.zeros_like(each) for each in network.parameters()]

    def step(
        self,
        inputs: Any,
        targets: Any,
        negatives: Any,
        hidden: torch.Tensor,
        masks: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """masks: of the embedding and of each layer's output; none without dropout."""
        config, network = self._config, self.network
        masks = masks or [torch.ones(1)] * (1 + len(network.gru))
        output, after = network.inputs[inputs] * masks[0], []
        for cell, before, mask in zip(
            network.gru, hidden.chunk(len(network.gru), dim=1), masks[1:], strict=True
        ):
            output = cell(output, before) * mask
            after.append(output)
        columns = torch.cat([targets, negatives])
        scores = output @ network.items[columns].T + network.bias[columns]
        if config.loss == "cross-entropy":
            log_q = torch.cat([self._log_q[targets], self._log_q_sample[negatives]])
            scores = scores - config.logq * log_q
        loss = self._loss(scores)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter, squares, velocity in zip(
                network.parameters(), self._squares, self._velocity, strict=True
            ):
                assert parameter.grad is not None
                squares += parameter.grad**2
                named = torch.ones(len(parameter), dtype=torch.bool)
                if any(parameter is each for each in (network.items, network.inputs, network.bias)):
                    # Momentum moves the items that the mini-batch names, and rests in the others.
                    named = parameter.grad.reshape(len(parameter), -1).any(1)
                step = -config.learning_rate * parameter.grad / (squares + 1e-6).sqrt()
                velocity[named] = config.momentum * velocity[named] + step[named]
                parameter[named] += velocity[named]
        return torch.cat(after, dim=1).detach()

    def _loss(self, scores: torch.Tensor) -> torch.Tensor:
        rows = []
        for i, row in enumerate(scores):
            others = torch.arange(len(row)) != i
            if self._config.loss == "cross-entropy":
                rows.append(torch.nn.functional.cross_entropy(row[None], torch.tensor([i])))
                continue
            if self._config.loss == "bpr-max":
                r = torch.nn.functional.elu(row, self._config.elu)
                s = torch.softmax(r[others], 0)
                gain = (s * torch.sigmoid(r[i] - r[others])).sum()
                rows.append(-gain.log() + self._config.bpreg * (s * r[others] ** 2).sum())
                continue
            r = torch.tanh(row)
            if self._config.loss == "bpr":
                rows.append(-torch.sigmoid(r[i] - r[others]).log().mean())
                continue
            each = torch.sigmoid(r[others] - r[i]) + torch.sigmoid(r[others] ** 2)
            s = torch.softmax(r[others], 0)
            rows.append(each.mean() if self._config.loss == "top1" else (s * each).sum())
        return torch.stack(rows).sum() / self._config.batch_size


def two_of_a_kind(config: GRU4RecConfig, n_items: int = 9) -> tuple[Trainer, Network, Plain]:
    torch.manual_seed(4)
    ours = Network(n_items, config)
    torch.manual_seed(4)
    theirs = Network(n_items, config)
    popularity = torch.arange(1, n_items + 1, dtype=torch.float64)
    trainer = Trainer(ours, config, popularity, torch.Generator().manual_seed(0))
    return trainer, ours, Plain(theirs, config, popularity)


def assert_same(ours: Network, theirs: Network) -> None:
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[name].numpy(), atol=1e-6, err_msg=name)


def config_for(loss: str, embedding: str, **fields: Any) -> GRU4RecConfig:
    sizes = {"embedding_size": 5 if embedding == "shared" else 3, "hidden_size": 5}
    plain = {"dropout_hidden": 0.0, "logq": 0.8, "batch_size": 4}
    return GRU4RecConfig.model_validate({"loss": loss, "embedding": embedding, **plain, **sizes, **fields})


@every_loss
@pytest.mark.parametrize("embedding", ["shared", "separate"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    "more", [{}, {"dropout_embed": 0.3, "dropout_hidden": 0.4, "momentum": 0.3, "batch_size": 6}], ids=str
)
@pytest.mark.usefixtures("float64")
def test_a_step_is_what_autograd_and_dense_adagrad_make_of_the_mini_batch(
    loss: str, embedding: str, layers: int, more: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, ours, plain = two_of_a_kind(config_for(loss, embedding, layers=layers, **more))
    masks: list[torch.Tensor] = []
    dropout = trainer._dropout

    def spied(*given: Any) -> Any:
        values, mask = dropout(*given)
        masks.extend([] if mask is None else [mask])
        return values, mask

    monkeypatch.setattr(trainer, "_dropout", spied)
    rng = torch.Generator().manual_seed(2)
    hidden = torch.rand(4, 5 * layers, generator=rng)
    hidden_of_plain = hidden.clone()
    for _ in range(4):
        # Nine items: many are twice in the batch, as inputs, targets and negatives.
        inputs, targets = torch.randint(0, 9, (2, 4), generator=rng)
        negatives = torch.randint(0, 9, (6,), generator=rng)
        items, counts = torch.unique(negatives, return_counts=True)
        drawn = Negatives(items, counts.double())
        hidden, _ = trainer.step(inputs, targets, drawn, hidden)
        hidden_of_plain = plain.step(inputs, targets, negatives, hidden_of_plain, masks)
        masks.clear()
        np.testing.assert_allclose(hidden.numpy(), hidden_of_plain.numpy(), atol=1e-6)
    assert_same(ours, plain.network)


@every_loss
@pytest.mark.usefixtures("float64")
def test_an_epoch_carries_hidden_states_along_sessions_and_starts_each_from_zeros(loss: str) -> None:
    config = config_for(loss, "shared", batch_size=3, n_sample=0)
    trainer, ours, plain = two_of_a_kind(config)
    sequences = [[0, 1, 2, 3], [4, 5], [6, 7, 8], [1, 3, 5, 7, 0], [2, 2], [8, 0, 4]]
    reports: list[int] = []
    trainer.epoch(SessionBatches(sequences, 3), Progress(), lambda done, _: reports.append(done))
    hidden = {session: torch.zeros(5) for session in range(len(sequences))}
    for lanes in obvious_lanes(sequences, 3):
        if len(lanes) > 1:  # a lane alone has no negatives
            inputs = torch.tensor([sequences[session][place] for session, place in lanes])
            targets = torch.tensor([sequences[session][place + 1] for session, place in lanes])
            before = torch.stack([hidden[session] for session, _ in lanes])
            after = plain.step(inputs, targets, torch.empty(0, dtype=torch.int64), before)
            hidden.update(zip([session for session, _ in lanes], after, strict=True))
    assert_same(ours, plain.network)
    assert reports == [sum(len(each) - 1 for each in sequences)]


def test_a_lane_alone_without_samples_teaches_nothing() -> None:
    config = config_for("bpr-max", "shared", n_sample=0)
    trainer, ours, _ = two_of_a_kind(config)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    progress = Progress()
    trainer.epoch(SessionBatches([[1, 2, 3]], 2), progress, lambda *_: None)
    assert progress == Progress(losses=[0.0])
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_dropout_keeps_the_mean_and_follows_from_the_seed() -> None:
    trainer, again = (two_of_a_kind(config_for("top1", "shared"))[0] for _ in range(2))
    values, mask = trainer._dropout(torch.ones(400, 400), 0.4, 400)
    assert mask is not None
    assert torch.equal(values, mask)
    assert values.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert values.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(values, again._dropout(torch.ones(400, 400), 0.4, 400)[0])


@pytest.mark.parametrize("part", ["dropout_embed", "dropout_hidden"])
def test_dropout_acts_in_a_step_and_on_the_hidden_state_that_goes_on(part: str) -> None:
    config = config_for("cross-entropy", "separate")
    plain, _, _ = two_of_a_kind(config)
    dropping, _, _ = two_of_a_kind(config.model_copy(update={part: 0.5}))
    negatives = Negatives(torch.tensor([5, 6]), torch.ones(2))
    batch = torch.tensor([1, 2]), torch.tensor([3, 4]), negatives, torch.ones(2, 5)
    (state, loss), (other_state, other_loss) = plain.step(*batch), dropping.step(*batch)
    assert loss != other_loss
    assert not torch.equal(state, other_state)
    dropped = other_state == 0
    assert dropped.any() == (part == "dropout_hidden")
    if part == "dropout_hidden":
        np.testing.assert_allclose(other_state[~dropped], 2 * state[~dropped])


def test_batches_name_where_each_lane_was_before() -> None:
    batches = list(SessionBatches([[1, 2], [3, 4, 5, 6], [7, 8]], 3))
    assert [batch.lanes.tolist() for batch in batches] == [[0, 1, 2], [1], [0]]
    assert isinstance(batches[0], SessionBatch)


@pytest.mark.parametrize(
    ("averaging", "ends"), [(0.0, [4]), (0.5, [3, 4]), (0.4, [3, 4]), (1.0, [1, 2, 3, 4])]
)
def test_the_model_is_the_mean_of_the_weights_in_the_last_quarters_of_the_last_epochs(
    averaging: float, ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_TAKE_EVERY", 2)
    config = config_for("cross-entropy", "shared", averaging=averaging, epochs=4)
    trainer, network, _ = two_of_a_kind(config)
    # Nine mini-batches of one event: of the eighth and the last the weights are taken.
    batches, progress = SessionBatches([[*range(9), 0]], 1), Progress()
    taken = []
    step = trainer.step

    def spied(*given: Any) -> Any:
        done = step(*given)
        if len(progress.losses) + 1 in ends and progress.batches + 1 in (8, 9):
            taken.append({name: value.clone() for name, value in network.state_dict().items()})
        return done

    monkeypatch.setattr(trainer, "step", spied)
    for _ in range(4):
        trainer.epoch(batches, progress, lambda *_: None)
    if not averaging:
        taken = taken[-1:]
    for name, value in trainer.model().state_dict().items():
        mean = torch.stack([each[name] for each in taken]).mean(0)
        np.testing.assert_allclose(value.numpy(), mean.numpy(), atol=1e-6, err_msg=name)
