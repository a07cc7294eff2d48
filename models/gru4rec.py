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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from streamrec import __version__
from streamrec.artifact import FORMAT, MAX_ITEMS, FileEntry, Manifest, Probe
from streamrec.contracts import Artifact, FloatArray, OnStep, Session, TrainOptions, TrainReport
from streamrec.errors import ArtifactError, ConfigError, DatasetError
from streamrec.models._gru4rec.batches import SessionBatches
from streamrec.models._gru4rec.checkpoint import Checkpoint
from streamrec.models._gru4rec.environment import environment
from streamrec.models._gru4rec.export import write_artifact
from streamrec.models._gru4rec.network import GRU4RecConfig, Network
from streamrec.models._gru4rec.parallel import World, device_of_this_process, world
from streamrec.models._gru4rec.score_export import require_room
from streamrec.models._gru4rec.training import Progress, Trainer
from streamrec.models._gru4rec.warm import carry_over, read_items, read_weights, unlike
from streamrec.registry import Registry

__all__ = ["GRU4Rec", "GRU4RecConfig"]


class GRU4Rec:
    """A session model; a contracts.DeepModel."""

    Config = GRU4RecConfig
    QUICK: Final = GRU4RecConfig(
        batch_size=64, n_sample=1024, dropout_embed=0.4, dropout_hidden=0.5, logq=0.5, epochs=10
    )
    """For the bundled clicks: half a minute on one core. Chosen as docs/decisions/005-gru4rec.md says."""

    def __init__(self, config: GRU4RecConfig | None = None) -> None:
        self.config = config or GRU4RecConfig()
        self.items: Sequence[str] = []
        """The vocabulary, the most clicked first."""
        self._index: dict[str, int] = {}
        self.network: Network | None = None
        self.seed = 0
        self.is_first = True
        """Whether this process is the one that publishes, of those that torchrun started."""
        self._environment: dict[str, str | int] = {}

    def train(self, sessions: Iterable[Session], options: TrainOptions | None = None) -> TrainReport:
        """Fit to sessions, in their order; those of one item teach nothing.

        The same sessions, seed and threads give the same model on the same kind of processor.
        Going on from a start, items known to it keep their weights, as do the layers; others begin fresh.
        Raises DatasetError if no session has two items or there are more items than can be served,
        ConfigError if the device cannot be used, the start does not fit or the loss grows without bounds.
        """
        options = options or TrainOptions()
        sequences = [session.items for session in sessions if len(session.items) > 1]
        if not sequences:
            raise DatasetError("no session has two clicks or more: there is no next item to learn")
        counts = Counter(item_id for sequence in sequences for item_id in sequence)
        if len(counts) > MAX_ITEMS:
            raise DatasetError(
                f"the clicks are on {len(counts):,} items, {MAX_ITEMS:,} are allowed; leave out rare ones"
            )
        config = self.config
        shared = config.embedding == "shared"
        require_room(len(counts), config.hidden_size, config.embedding_size, shared=shared)
        items = sorted(counts, key=lambda item_id: (-counts[item_id], item_id))
        index = {item_id: n for n, item_id in enumerate(items)}
        batches = SessionBatches(
            [[index[item_id] for item_id in each] for each in sequences], self.config.batch_size
        )
        popularity = torch.tensor([counts[item_id] for item_id in items], dtype=torch.float64)
        device = device_of_this_process(_device(options.device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = Network(len(items), self.config)
        if options.start is not None:
            self._go_on_from(options.start, network, items)
        network.to(device)
        generator = torch.Generator().manual_seed(options.seed)
        with _threads(options.threads), world(device) as processes:
            trainer = Trainer(network, self.config, popularity, generator, processes)
            identity = {
                **self.config.model_dump(),
                "seed": options.seed,
                "sessions": batches.digest,
                "start": options.start and options.start.manifest.version,
            }

            def after_epoch(epochs: int) -> None:
                if options.on_epoch is not None:
                    self._become(items, index, trainer.model(), options.seed)
                    options.on_epoch(epochs)

            report = self._train(trainer, batches, identity, options, processes, after_epoch)
        self._become(items, index, trainer.model(), options.seed)
        self.is_first = processes.is_first
        self._environment = environment(device, options.threads)
        return report

    def unlike(self, start: Artifact) -> str | None:
        """Why a training cannot go on from an exported version; None if it can."""
        return unlike(start, self.config)

    def _go_on_from(self, start: Artifact, network: Network, items: Sequence[str]) -> None:
        if reason := self.unlike(start):
            raise ConfigError(f"training cannot go on from there: {reason}; train without a start")
        carry_over(network, items, read_weights(start), read_items(start))

    def _become(self, items: Sequence[str], index: dict[str, int], network: Network, seed: int) -> None:
        self.items, self._index, self.network, self.seed = items, index, network.to("cpu"), seed

    def _train(
        self,
        trainer: Trainer,
        batches: SessionBatches,
        identity: Mapping[str, Any],
        options: TrainOptions,
        processes: World,
        after_epoch: Callable[[int], None],
    ) -> TrainReport:
        checkpoint = (
            Checkpoint(options.checkpoint, identity, options.checkpoint_every_s)
            if options.checkpoint is not None
            else None
        )
        progress = Progress() if checkpoint is None else checkpoint.restore(trainer)
        processes.require_same([identity, asdict(progress)])
        events = self.config.epochs * batches.events

        def report(done: int, loss: float) -> None:
            if processes.is_first and options.on_step is not None:
                options.on_step(len(progress.losses) * batches.events + done, events, loss)

        def between() -> None:
            if not isfinite(progress.total + sum(progress.losses)):
                raise ConfigError(
                    f"the loss is no number any more in epoch {len(progress.losses) + 1}: training does not "
                    f"converge; set learning_rate below {self.config.learning_rate} or momentum below "
                    f"{self.config.momentum}"
                )
            if processes.is_first and checkpoint is not None:
                checkpoint.write_if_due(trainer, progress)

        while len(progress.losses) < self.config.epochs:
            trainer.epoch(batches, progress, report, between)
            after_epoch(len(progress.losses))
        if processes.is_first and checkpoint is not None:
            checkpoint.write(trainer, progress)  # kept until the model is safe
        return TrainReport(events, progress.losses)

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Scores of all items after each click, NaN before the first known; see contracts.SessionModel."""
        network = self._trained()
        index, scores = self._index, None
        hidden = torch.zeros(1, self.config.state_size)
        for item_id in session.items:
            # One thread, as in training: several would wait for each other at every click.
            with torch.no_grad(), _threads(1):
                if item_id in index:
                    hidden, scores = network(torch.tensor([index[item_id]]), hidden)
            yield np.full(len(index), np.nan, np.float32) if scores is None else scores[0].numpy().copy()

    def probes(self, n: int = 4, top: int = 20) -> list[Probe]:
        """Short sessions with what the network makes of them.

        Raises ArtifactError if that is not finite.
        """
        network = self._trained()
        rng = np.random.default_rng(self.seed)
        found = []
        for length in range(1, n + 1):
            items = rng.integers(0, len(self.items), length).tolist()
            hidden = torch.zeros(1, self.config.state_size)
            with torch.no_grad():
                for item in items:
                    hidden, scores = network(torch.tensor([item]), hidden)
            if not (hidden.isfinite().all() and scores.isfinite().all()):
                raise ArtifactError(
                    "the model gives scores that are not finite; train with a smaller learning_rate"
                )
            best = torch.topk(scores[0], min(top, len(self.items)))
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
        on_step: OnStep | None = None,
    ) -> None:
        """Write the artifact into an empty directory.

        version: its name; made from time and weights if not given. data, metrics: for the
        manifest and the model card. on_step: told of the items done, where there are very many.
        Raises ArtifactError if a graph does not give what torch gives.
        """
        name = version or self.version()

        def manifest(files: dict[str, FileEntry], probes: list[Probe]) -> Manifest:
            return Manifest(
                format=FORMAT,
                model="gru4rec",
                version=name,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                hidden_size=self.config.state_size,
                n_items=len(self.items),
                files=files,
                probes=probes,
                config=self.config.model_dump(),
                seed=self.seed,
                data=data or {},
                metrics=metrics or {},
                code_version=__version__,
                parent=(data or {}).get("parent"),
                environment=self._environment,
            )

        weights = {key: value.detach().numpy() for key, value in self._trained().state_dict().items()}
        with _threads(1):  # several may sum up in another order: the files would not be the same again
            write_artifact(directory, weights, list(self.items), self.probes, manifest, on_step)

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
        on_step: OnStep | None = None,
    ) -> str:
        """Export into the registry; returns the version. on_step: as in export."""
        version = self.version()
        registry.publish(
            "gru4rec",
            version,
            lambda place: self.export(place, version=version, data=data, metrics=metrics, on_step=on_step),
        )
        return version

    def _trained(self) -> Network:
        if self.network is None:
            raise ArtifactError("there is no model to export; call train first")
        return self.network


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (AssertionError, RuntimeError):  # torch's own answers, of many lines
        raise ConfigError(f"device {name!r} cannot be used on this machine; take auto or cpu") from None
