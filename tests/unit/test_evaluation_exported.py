"""The graphs of an artifact, scored through the one way every model goes."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_models import Published, ring_sessions

from streamrec.contracts import FloatArray, IntArray, Session
from streamrec.evaluation import exported
from streamrec.evaluation.exported import ExportedModel
from streamrec.evaluation.metrics import recall_at_k
from streamrec.evaluation.next_items import next_items
from streamrec.scorer import load_scorer, load_step


class Counting:
    """Graphs whose hidden state is the list of its items' indices, and whose scores follow from it."""

    version = "v1"
    hidden_size = 6
    items: Sequence[str] = "abcdef"

    def item_index(self, item_id: str) -> int:
        return self.items.index(item_id) if item_id in self.items else -1

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        return np.concatenate([items[:, None].astype(np.float32) + 1, hidden[:, :-1]], axis=1)

    def all_scores(self, hidden: FloatArray) -> FloatArray:
        # Coarse, so that many are equal.
        return (np.outer(hidden @ np.array([3, 1, 4, 1, 5, 9]), [1, 2, 3, 4, 5, 6]) % 4).astype(np.float32)

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        scores = self.all_scores(hidden)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        return order, np.take_along_axis(scores, order, axis=1)


COUNTING = Counting()
sequences = st.text(alphabet="abcdefxy", max_size=9)


def obvious_scores(sequence: str) -> list[list[float]]:
    found = []
    for place in range(1, len(sequence) + 1):
        seen = [item for item in sequence[:place] if item in COUNTING.items]
        hidden = np.zeros((1, COUNTING.hidden_size), np.float32)
        for item in seen:
            hidden = COUNTING.step(np.array([COUNTING.item_index(item)]), hidden)
        found.append(COUNTING.all_scores(hidden)[0].tolist() if seen else [math.nan] * 6)
    return found


@given(sequence=sequences, scores_at_once=st.sampled_from([1, 12, 1 << 22]))
def test_scores_are_those_of_the_obvious_way_in_batches_of_any_size(
    sequence: str, scores_at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported, "_SCORES_AT_ONCE", scores_at_once)
        found = [scores.tolist() for scores in ExportedModel(COUNTING, COUNTING).scores(Session(sequence))]
    assert np.array_equal(found, obvious_scores(sequence), equal_nan=True)


@given(sequence=sequences, depth=st.integers(1, 6))
def test_below_the_depth_looked_at_there_are_no_scores(sequence: str, depth: int) -> None:
    found = ExportedModel(COUNTING, COUNTING, depth=depth).scores(Session(sequence))
    for scores, everything in zip(found, obvious_scores(sequence), strict=True):
        best = sorted(range(6), key=lambda item: -everything[item])[:depth]
        wanted = [score if item in best else math.nan for item, score in enumerate(everything)]
        assert np.array_equal(scores, wanted, equal_nan=True)


def test_a_model_of_a_ring_finds_the_next_item_first_as_torch_does(published: Published) -> None:
    step = load_step(published.registry, published.version)
    score = load_scorer(published.registry, published.version)
    sessions = ring_sessions(50, seed=9)
    found = next_items(ExportedModel(step, score), sessions)
    assert recall_at_k(found.ranks, 1).mean() > 0.95
    assert found.known.all()
    in_torch = next_items(published.model, sessions)
    assert np.mean(found.ranks == in_torch.ranks) > 0.99  # near ties may be rounded apart
