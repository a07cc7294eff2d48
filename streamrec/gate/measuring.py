"""One exported model on a window of clicks: how it ranks, what its lists hold, what it costs.

In: a version as serving loads it. Out: `Measured`, and the milliseconds of two models timed in turns.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.artifact import Manifest
from streamrec.contracts import FloatArray, IntArray, ScoreModel, Session, StepModel
from streamrec.datasets import Clicks, click_sessions
from streamrec.evaluation.exported import ExportedModel
from streamrec.evaluation.next_items import NextItems, next_items
from streamrec.evaluation.summary import values_at_k
from streamrec.registry import Registry
from streamrec.scorer import SessionScorer, SessionStep

__all__ = ["METRICS", "K", "Loaded", "Measured", "load", "measure", "milliseconds", "popularity_recall"]

K: Final = 20
METRICS: Final = (f"recall@{K}", f"mrr@{K}")
_DEPTH: Final = 100  # with some to spare beyond K for ties, as training measures
_VISITORS: Final = 32
_ROUNDS: Final = 40
_WARM: Final = 4
_ALL: Final = np.empty(0, np.int64)

Values = NDArray[np.float64]


class Loaded(NamedTuple):
    """A version as serving has it."""

    manifest: Manifest
    step: StepModel
    score: ScoreModel
    size_bytes: int


class Measured(NamedTuple):
    """What a model did on a window."""

    values: dict[str, Values]
    """Recall@20 and MRR@20 of every next click, (Q,) each; unseen items are misses."""
    sessions: IntArray
    """(Q,), place of the click's session."""
    lists: IntArray
    """(Q, K) indices of the items recommended, -1 where there are no more."""
    not_finite: int
    """Numbers among hidden states and scores that are none, or infinite."""
    numbers: int
    """Of how many."""
    clicks: IntArray
    """How often each item was clicked next, the most clicked first."""


def load(registry: Registry, version: str, digest: str | None = None, *, signed: bool = True) -> Loaded:
    """Load and probe both graphs of a GRU4Rec version. Raises RegistryError, ArtifactError."""
    manifest, files = registry.read("gru4rec", version, digest, signed=signed)
    size_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    return Loaded(
        manifest, SessionStep(manifest, files), SessionScorer(manifest, files, threads=1), size_bytes
    )


def measure(model: Loaded, window: Clicks) -> Measured:
    """Rank every next click of the window. Raises DatasetError if there is none."""
    counted = _Counting(model.step, model.score)
    found: NextItems = next_items(counted, click_sessions(window), k=K, unseen="miss")
    return Measured(
        values_at_k(found.ranks, [K], ["recall", "mrr"]),
        found.sessions,
        found.tops,
        counted.not_finite,
        counted.numbers,
        np.array([n for _, n in Counter(_next_clicks(window)).most_common()], np.int64),
    )


def popularity_recall(model: Loaded, window: Clicks) -> Values:
    """Recall@20 of the most clicked items of the model's own training, for the same clicks as `measure`."""
    # The vocabulary has the most clicked first.
    popular = frozenset(model.score.items[:K])
    return np.array([item_id in popular for item_id in _next_clicks(window)], np.float64)


def _next_clicks(window: Clicks) -> Iterator[str]:
    return (item_id for session in click_sessions(window) for item_id in session.items[1:])


def milliseconds(models: Sequence[Loaded], n: int) -> list[float]:
    """CPU milliseconds of one click and one list of n items for a visitor, median, of each model.

    They take turns, so that what else the machine does hits all alike.
    """
    works = [_Visits(model, n) for model in models]
    taken: list[list[float]] = [[] for _ in models]
    for round_ in range(_WARM + _ROUNDS):
        for work, times in zip(works, taken, strict=True):
            started = time.thread_time_ns()
            work()
            if round_ >= _WARM:
                times.append((time.thread_time_ns() - started) / 1e6 / _VISITORS)
    return [median(times) for times in taken]


class _Visits:
    """A click and a list for a batch of visitors, each in a state of their own."""

    def __init__(self, model: Loaded, n: int) -> None:
        rng = np.random.default_rng(0)
        self._model, self._n = model, n
        self._items: IntArray = rng.integers(0, len(model.score.items), _VISITORS)
        shape = (_VISITORS, model.step.hidden_size)
        self._hidden: FloatArray = rng.uniform(-1, 1, shape).astype(np.float32)

    def __call__(self) -> Any:
        hidden = self._model.step.step(self._items, self._hidden)
        return self._model.score.top(hidden, self._n, _ALL)


class _Counting:
    """The model for next_items, counting the numbers that are not finite."""

    def __init__(self, step: StepModel, score: ScoreModel) -> None:
        self.not_finite = self.numbers = 0
        self._step, self._score = step, score
        self.costs_s = {**step.costs_s, **score.costs_s}
        self._model = ExportedModel(self, self, depth=_DEPTH)
        self.version, self.hidden_size, self.items = step.version, step.hidden_size, score.items
        self.item_keys = score.item_keys

    def scores(self, session: Session) -> Iterator[FloatArray]:
        return self._model.scores(session)

    def item_index(self, item_id: str) -> int:
        return self._step.item_index(item_id)

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        return self._counted(self._step.step(items, hidden))

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        indices, scores = self._score.top(hidden, n, excluded)
        return indices, self._counted(scores)

    def _counted(self, found: FloatArray) -> FloatArray:
        self.numbers += found.size
        self.not_finite += found.size - int(np.count_nonzero(np.isfinite(found)))
        return found
