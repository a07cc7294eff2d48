"""What the parts promise each other. Protocols: no inheritance needed.

The state app needs a StepModel and an OnlineModel, the scoring app a ScoreModel and SessionSources; a
SessionModel is what is trained and evaluated.
`train -> export -> artifact` is the only road from torch to serving; an artifact is
a directory that `streamrec.registry` publishes and `streamrec.scorer` loads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamrec.artifact import Manifest
from streamrec.proposals import Keys
from streamrec.state.rows import Factors

__all__ = [
    "Artifact",
    "DeepModel",
    "FloatArray",
    "IntArray",
    "OnStep",
    "OnlineModel",
    "ScoreModel",
    "Session",
    "SessionLearner",
    "SessionModel",
    "SessionSource",
    "StepModel",
    "TrainOptions",
    "TrainReport",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
OnStep = Callable[[int, int, float], None]
"""Called now and then in training with events done, of how many, and the mean loss since the last call,
NaN where there is none."""


class Session(NamedTuple):
    """What was clicked in one visit, oldest first."""

    items: Sequence[str]
    times_ms: Sequence[int] = ()
    """When, ms since 1970: one for each item, or none at all where time plays no part."""
    session_id: str = ""


class Artifact(NamedTuple):
    """A version that was exported, as Registry.read gives it: checked, and its files in memory."""

    manifest: Manifest
    files: Mapping[str, bytes]


class TrainOptions(NamedTuple):
    """How to train, apart from what."""

    seed: int = 0
    device: str = "auto"
    """A torch device; auto takes CUDA where present. Models without torch know none."""
    threads: int = 1
    """On the CPU. The products of a mini-batch are small: more threads spend their time waiting
    for each other, and far more than they save where other processes want the cores too."""
    on_step: OnStep | None = None
    on_epoch: Callable[[int], None] | None = None
    """Called after each epoch with how many are done; `scores` answers with the model as it then is.
    What it raises ends the training. Models that do not learn in epochs never call it."""
    checkpoint: Path | None = None
    """Where the state of a training is kept: stopped, it goes on from there. So is its end:
    to be removed when the model is safe."""
    checkpoint_every_s: float = 60.0
    start: Artifact | None = None
    """What to go on from: a version of the same model. What it knows is carried over, what is new to it
    begins fresh. Models that have no weights take none."""


class TrainReport(NamedTuple):
    """What training came to."""

    events: int
    """Training events, over all epochs: pairs of a click and the next, or clicks for models
    that count those."""
    losses: list[float]
    """Mean loss of each epoch; empty for models without a loss."""


class SessionModel(Protocol):
    """Ranks what may come next in a session. One class a file in models/, its configuration beside it."""

    @property
    def items(self) -> Sequence[str]:
        """The items it can score, by dense index; empty before training."""

    def train(self, sessions: Iterable[Session], options: TrainOptions | None = None) -> TrainReport:
        """Fit to sessions, in any order of time; what was learned before is forgotten.

        The same sessions and options give the same model. Raises DatasetError if there is nothing to
        learn from.
        """

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Scores of all items after each click of a session, one (N,) float32 array a click.

        Higher is better; NaN means that the model cannot score the item. Each sees the clicks
        up to its own and nothing of those after; ids that the model does not know are passed over.
        Changes nothing.
        """


class StepModel(Protocol):
    """The part of a session model that the state app runs: one click onward."""

    @property
    def version(self) -> str:
        """The version the hidden states belong to."""

    @property
    def costs_s(self) -> Mapping[str, float]:
        """CPU seconds of one run, by graph; see streamrec.admission."""

    @property
    def hidden_size(self) -> int:
        """H, the width of a hidden state."""

    def item_index(self, item_id: str) -> int:
        """Dense index of an item; -1 if the model does not know it."""

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        """Hidden states after one more item each.

        items: (B,) indices, all known; hidden: (B, H), zeros at a session's start.
        Returns (B, H). A row's result depends on nothing else in the batch, bit for bit.
        """


class ScoreModel(Protocol):
    """The part of a session model that the scoring app runs: the best next items."""

    @property
    def version(self) -> str:
        """The version whose hidden states it reads."""

    @property
    def costs_s(self) -> Mapping[str, float]:
        """CPU seconds of one run, by graph; see streamrec.admission."""

    @property
    def items(self) -> Sequence[str]:
        """External ids by dense index."""

    @property
    def item_keys(self) -> Keys:
        """Their keys, (N,); see streamrec.proposals."""

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        """The n best items for each hidden state, best first; ties by lower index, but that of many that tie
        for the last place some may be left out for others.

        hidden: (B, H); excluded: indices that must not appear.
        Returns indices and scores, both (B, m) with m = min(n, items left).
        """


class OnlineModel(Protocol):
    """A collaborative-filtering model that learns from every event, one per partition.

    Item factors live inside; a visitor's travel with the visitor's row. Factors of an
    id never seen follow from a hash of the id and the seed. Reading never writes.
    """

    def visitor(self, visitor_id: str) -> Factors:
        """Factors of a visitor never seen before."""

    def item(self, item_id: str) -> Factors:
        """Factors of an item, known or not."""

    def set_item(self, item_id: str, factors: Factors) -> None:
        """Put an item's factors in place, as after a restart."""

    def drop_item(self, item_id: str) -> None:
        """Forget an item. Unknown ids are ignored."""

    def numbers(self) -> tuple[int, float]:
        """Number and mean of the targets learned from."""

    def set_numbers(self, n: int, mean: float) -> None:
        """Put those numbers in place, as after a restart."""

    def learn(
        self, visitor_id: str, before: Factors | int, item_id: str, target: float, negatives: Sequence[str]
    ) -> int:
        """Take in one interaction and its sampled negatives; returns its number since the last run, from 0.

        Called once per event in the order of its partition. before: the visitor's factors, without a vector
        if it was never seen; or the number of its last interaction, if that came after the last run.
        """

    def run(self) -> list[Factors]:
        """Learn what was taken in since the last run; returns the visitor's factors after each interaction.

        Until then `item` and `numbers` know nothing of it; an item dropped in between begins afresh with the
        next interaction. Changes the factors of the items and negatives of those interactions and no others.
        The outcome is that of one run for each interaction, bit for bit.
        """

    def learn_one(
        self, visitor_id: str, factors: Factors, item_id: str, target: float, negatives: Sequence[str]
    ) -> Factors:
        """Learn one interaction at once, when none waits; returns the visitor's new factors."""


class SessionLearner(Protocol):
    """Learns from sessions as they come, grow and go: it is always as if it had seen just those there are."""

    def put(self, key: str, items: Sequence[str], time_ms: int) -> None:
        """Learn a session of two items or more, oldest first, in place of the one under the key.

        time_ms: of the last click.
        """

    def remove(self, key: str) -> None:
        """Forget a session. Unknown keys are ignored."""


class SessionSource(Protocol):
    """Proposes items for a live list, from what a SessionLearner has learned."""

    def proposals(self, items: Sequence[str]) -> Mapping[str, float]:
        """Scores of some items for what may come next in a session; higher is better. Changes nothing.

        items: of the session, oldest first; its beginning may be among the sessions learned. The same
        sessions give the same scores, in whatever order they were learned.
        """


class DeepModel(SessionModel, Protocol):
    """A session model that is trained in the background and exported to ONNX."""

    def export(self, directory: Path) -> None:
        """Write graphs, vocabulary, manifest, probes and model card to an empty directory."""
