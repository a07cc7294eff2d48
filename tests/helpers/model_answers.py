"""Every session model on small sessions, and digests of all that it answers.

Run by itself it writes the digests, for a comparison between processes.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from streamrec.contracts import Session, SessionModel, TrainOptions
from streamrec.models import SESSION_MODELS, session_model

QUICK: Final[Mapping[str, Mapping[str, Any]]] = {
    "gru4rec": {
        "embedding_size": 16,
        "hidden_size": 16,
        "epochs": 4,
        "batch_size": 8,
        "n_sample": 16,
        "dropout_hidden": 0.0,
    },
}
"""Hyperparameters for a training of a moment, of models whose defaults take longer."""

DAY_MS: Final = 86_400_000


def quick_model(name: str) -> SessionModel:
    """An untrained model that is soon trained."""
    return session_model(name, QUICK.get(name))


def visits(n: int = 120, n_items: int = 30, seed: int = 0, *, days: int = 10) -> list[Session]:
    """Sessions of 2 to 7 clicks, spread over days; items near each other are seen together, some twice."""
    rng = np.random.default_rng(seed)
    sessions = []
    for number in range(n):
        length = int(rng.integers(2, 8))
        start_ms = int(rng.integers(0, days * DAY_MS))
        items = (int(rng.integers(n_items)) + np.cumsum(rng.integers(0, 3, length))) % n_items
        times_ms = start_ms + np.cumsum(rng.integers(1_000, 60_000, length))
        sessions.append(Session([f"i{item:02d}" for item in items], times_ms.tolist(), f"s{seed}-{number}"))
    return sessions


def answers(model: SessionModel, sessions: list[Session]) -> list[bytes]:
    """The model's items, and all its scores for each session, bit for bit."""
    found = [b"".join(row.tobytes() for row in model.scores(session)) for session in sessions]
    return ["\n".join(model.items).encode(), *found]


def digest(name: str) -> str:
    """A digest of what a model answers after a training of its own."""
    model = quick_model(name)
    model.train(visits(), TrainOptions(seed=3))
    return hashlib.sha256(b"\0".join(answers(model, visits(20, seed=1, days=12)))).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: digest(name) for name in SESSION_MODELS}))
