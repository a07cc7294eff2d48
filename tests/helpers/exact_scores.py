"""What graphs of lists are held to: states of every kind, and the scores of all items in single precision."""

import json
from pathlib import Path

import numpy as np

from streamrec.contracts import FloatArray, IntArray
from streamrec.models.gru4rec import GRU4Rec


def states(artifact: Path) -> FloatArray:
    """64 hidden states for an artifact, from the middle of their range to its very ends."""
    size = json.loads((artifact / "manifest.json").read_text())["hidden_size"]
    found = np.random.default_rng(1).uniform(-1, 1, (64, size)).astype(np.float32)
    found[:8], found[8:16] = np.sign(found[:8]), 0
    return found


def exact(model: GRU4Rec, hidden: FloatArray) -> FloatArray:
    """Scores of all items, (B, N)."""
    assert model.network is not None
    items, bias = model.network.items.detach().numpy(), model.network.bias.detach().numpy()
    scores: FloatArray = hidden[:, -items.shape[1] :] @ items.T + bias
    return scores


def best(scores: FloatArray, n: int) -> IntArray:
    """Indices of the n best of each row; ties by lower index."""
    order: IntArray = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    return order
