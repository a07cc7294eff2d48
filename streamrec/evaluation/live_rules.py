"""How well a session model ranks the next click: offline, over the full catalogue.

In: an exported model and the sessions of a test set. Out: the rank of every next click,
and metrics over ranks. The rules are those of the live path: an item that the model does not
know leaves the hidden state as it is, and until it has known one there is no list.

Ties count against the model (conservative): a rank is one more than the number of other
items that score at least as high.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import ScoreModel, Session, StepModel

__all__ = ["FloatRanks", "Ranks", "mrr_at_k", "ndcg_at_k", "recall_at_k", "session_ranks"]

FloatRanks = NDArray[np.float64]
_BATCH = 64


class Ranks(NamedTuple):
    """For every click of a session but the first: how the model had ranked it."""

    ranks: FloatRanks
    """1-based; inf if it was not among the best `n` or there was no list."""
    known: NDArray[np.bool_]
    """Whether the clicked item is in the model's vocabulary."""


class _Pair(NamedTuple):
    hidden: NDArray[np.float32]
    target: int


def session_ranks(step: StepModel, score: ScoreModel, sessions: Iterable[Session], *, n: int = 100) -> Ranks:
    """Rank of click i+1 in the list made after click i, session by session in order.

    n: how far down ranks are looked for.
    """
    ranks: list[float] = []
    known: list[bool] = []
    none = np.empty(0, np.int64)
    waiting: list[tuple[int, _Pair]] = []

    def score_waiting() -> None:
        if not waiting:
            return
        indices, scores = score.top(np.stack([pair.hidden for _, pair in waiting]), n, none)
        for (place, pair), row_indices, row_scores in zip(waiting, indices, scores, strict=True):
            found = np.flatnonzero(row_indices == pair.target)
            if len(found):
                ranks[place] = float((row_scores >= row_scores[found[0]]).sum())
        waiting.clear()

    for hidden, target in _hidden_states(step, sessions):
        known.append(target >= 0)
        ranks.append(np.inf)
        if hidden is not None and target >= 0:
            waiting.append((len(ranks) - 1, _Pair(hidden, target)))
        if len(waiting) == _BATCH:
            score_waiting()
    score_waiting()
    return Ranks(np.array(ranks), np.array(known, dtype=np.bool_))


def _hidden_states(
    step: StepModel, sessions: Iterable[Session]
) -> Iterator[tuple[NDArray[np.float32] | None, int]]:
    """Hidden state after each click but the last, with the index of the click after it (-1 unknown)."""
    for session in sessions:
        indices = [step.item_index(item_id) for item_id in session.items]
        hidden: NDArray[np.float32] | None = None
        for index, target in pairwise(indices):
            if index >= 0:
                before = np.zeros((1, step.hidden_size), np.float32) if hidden is None else hidden[None]
                hidden = step.step(np.array([index]), before)[0]
            yield hidden, target


def recall_at_k(ranks: FloatRanks, k: int) -> float:
    """Share of next items ranked within the first k.

    ranks: 1-based rank of the true next item, shape (n_events,); inf if absent.
    Raises ValueError if k < 1. NaN for no events.
    """
    _require(k)
    return float((ranks <= k).mean()) if len(ranks) else float("nan")


def mrr_at_k(ranks: FloatRanks, k: int) -> float:
    """Mean reciprocal rank, counting only ranks within the first k.

    ranks, errors and NaN as in recall_at_k. Source: Voorhees, TREC-8 QA track, 1999.
    """
    _require(k)
    return float(np.where(ranks <= k, 1.0 / ranks, 0.0).mean()) if len(ranks) else float("nan")


def ndcg_at_k(ranks: FloatRanks, k: int) -> float:
    """Normalised discounted cumulative gain with one relevant item: 1 / log2(1 + rank).

    ranks, errors and NaN as in recall_at_k. Source: Järvelin and Kekäläinen, TOIS 20, 2002.
    """
    _require(k)
    return float(np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0).mean()) if len(ranks) else float("nan")


def _require(k: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}; it has to be 1 or more")
