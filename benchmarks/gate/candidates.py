"""Candidates whose quality is known by how they were trained, and their ranks on a window none of them saw.

In: clicks. Out: a file of ranks for each candidate. A run that was stopped goes on with the missing ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from streamrec.contracts import Session, TrainOptions
from streamrec.datasets import Clicks, click_sessions
from streamrec.models.gru4rec import GRU4Rec

__all__ = ["KINDS", "Candidate", "candidates", "ranks_of", "run", "split"]

KINDS: Final = ("equal", "third of the data", "third of the epochs")
_EPOCHS: Final = 10


class Candidate(NamedTuple):
    """How one model is trained."""

    kind: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.kind.replace(' ', '-')}-{self.seed}"


def candidates(equal: int, worse: int) -> list[Candidate]:
    """Those of every kind, in turns, so that a part of them says something too."""
    wanted = {"equal": equal, "third of the data": worse, "third of the epochs": worse}
    return [
        Candidate(kind, 100 * KINDS.index(kind) + seed)
        for seed in range(max(equal, worse))
        for kind in KINDS
        if seed < wanted[kind]
    ]


def split(clicks: Clicks, n_window: int) -> tuple[list[Session], list[Session]]:
    """Sessions to train on, and the newest n_window, by their first click."""
    found = sorted(click_sessions(clicks), key=lambda session: session.times_ms[0])
    return found[:-n_window], found[-n_window:]


def ranks_of(candidate: Candidate, train: Sequence[Session], window: Sequence[Session]) -> dict[str, Any]:
    """Train a candidate; rank of every next click of the window, inf for unseen items, and its session."""
    rng = np.random.default_rng(candidate.seed)
    config = GRU4Rec.QUICK
    if candidate.kind == "third of the data":
        kept = np.sort(rng.choice(len(train), len(train) // 3, replace=False))
        train = [train[place] for place in kept.tolist()]
    elif candidate.kind == "third of the epochs":
        config = config.model_copy(update={"epochs": _EPOCHS // 3})
    model = GRU4Rec(config)
    model.train(train, TrainOptions(candidate.seed, "cpu"))
    ranks, sessions = zip(*_ranked(model, window), strict=True)
    return {"ranks": np.array(ranks), "sessions": np.array(sessions)}


def _ranked(model: GRU4Rec, window: Iterable[Session]) -> Iterator[tuple[float, int]]:
    index = {item_id: n for n, item_id in enumerate(model.items)}
    for place, session in enumerate(window):
        scored = model.scores(Session(session.items[:-1]))
        for scores, item_id in zip(scored, session.items[1:], strict=True):
            target = index.get(item_id, -1)
            unknown = target < 0 or np.isnan(scores[target])
            yield np.inf if unknown else float((scores >= scores[target]).sum()), place


def run(data: Path | None, folder: Path, equal: int, worse: int, n_window: int) -> None:
    """Rank the window with every candidate that has no file in the folder yet."""
    from streamrec.datasets import bundled_clicks, load_clicks

    torch.set_num_threads(1)
    train, window = split(bundled_clicks() if data is None else load_clicks(data), n_window)
    folder.mkdir(parents=True, exist_ok=True)
    for candidate in candidates(equal, worse):
        path = folder / f"{candidate.name}.npz"
        if not path.exists():
            beside = path.with_suffix(".part.npz")
            np.savez(beside, **ranks_of(candidate, train, window))
            beside.rename(path)
