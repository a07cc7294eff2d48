"""Lists of a large catalogue, looked through in whole numbers first: those of exact scores all the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from exact_scores import best, exact, states
from onnx import numpy_helper
from session_models import rewrite

import streamrec.scorer
from streamrec.contracts import FloatArray, Session
from streamrec.errors import ArtifactError
from streamrec.models._gru4rec.score_graph import SCREENED_FROM
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.scorer import SessionScorer, open_scorer

N_ITEMS = SCREENED_FROM + 905
"""No multiple of what the grid has rows or columns."""
NONE = np.empty(0, np.int64)
TWINS = {17: 4000, 18: 4999, 2500: 2501}


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GRU4Rec]:
    """An artifact, and the model that it is of; some items have the weights of others."""
    model = GRU4Rec(
        GRU4RecConfig(embedding_size=32, hidden_size=32, layers=request.param, epochs=1, n_sample=8)
    )
    model.train(Session([f"i{n}" for n in range(first, first + 5)]) for first in range(0, N_ITEMS - 4, 3))
    assert model.network is not None
    rng = np.random.default_rng(5)
    n_items, width = model.network.items.shape
    weights = rng.normal(size=(n_items, width)) * rng.uniform(0.02, 1, (n_items, 1))
    bias = model.network.bias.data.numpy()
    for one, other in TWINS.items():
        weights[other], bias[other] = weights[one], bias[one]
    model.network.items.data.numpy()[:] = weights
    directory = tmp_path_factory.mktemp("large")
    model.export(directory)
    return directory, model


@pytest.fixture(scope="module")
def scorer(large: tuple[Path, GRU4Rec]) -> SessionScorer:
    return open_scorer(large[0])


@pytest.fixture(scope="module")
def hidden(large: tuple[Path, GRU4Rec]) -> FloatArray:
    return states(large[0])


@pytest.mark.parametrize("n", [1, 20, 50, 500])
def test_lists_are_those_of_exact_scores(
    large: tuple[Path, GRU4Rec], scorer: SessionScorer, hidden: FloatArray, n: int
) -> None:
    everything = exact(large[1], hidden)
    indices, scores = scorer.top(hidden, n, NONE)
    np.testing.assert_allclose(scores, np.take_along_axis(everything, indices, 1), atol=1e-5)
    wanted = best(everything, n)
    same = [len(set(found) & set(row)) / n for found, row in zip(indices, wanted, strict=True)]
    assert np.mean(same) >= 0.999
    assert np.mean(indices == wanted) >= 0.98


def test_a_list_depends_on_nothing_else_in_its_batch(scorer: SessionScorer, hidden: FloatArray) -> None:
    alone = [scorer.top(row[None], 20, NONE) for row in hidden]
    for size in (1, 7, 64):
        indices, scores = scorer.top(hidden[:size], 20, NONE)
        for row in range(size):
            np.testing.assert_array_equal(indices[row], alone[row][0][0])
            np.testing.assert_array_equal(scores[row], alone[row][1][0])


def test_no_rows_give_no_rows(scorer: SessionScorer, hidden: FloatArray) -> None:
    indices, scores = scorer.top(hidden[:0], 20, NONE)
    assert indices.shape == scores.shape == (0, 20)


def test_many_rows_of_many_items_are_taken_some_at_a_time(
    scorer: SessionScorer, hidden: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = scorer.top(hidden, 500, NONE)
    monkeypatch.setattr(streamrec.scorer, "_MOST_NUMBERS", 7 * 501 * hidden.shape[1])
    np.testing.assert_array_equal(scorer.top(hidden, 500, NONE), together)


def test_all_items_come_if_all_are_asked_for(scorer: SessionScorer, hidden: FloatArray) -> None:
    excluded = np.array([0, 4096, len(scorer.items) - 1])
    indices, scores = scorer.top(hidden[:3], 2 * N_ITEMS, excluded)
    assert indices.shape == (3, len(scorer.items) - 3)
    assert np.isfinite(scores).all()
    assert all(set(row) == set(range(len(scorer.items))) - set(excluded) for row in indices.tolist())


def test_what_is_excluded_does_not_come_and_what_follows_does(
    large: tuple[Path, GRU4Rec], scorer: SessionScorer, hidden: FloatArray
) -> None:
    first, _ = scorer.top(hidden[20:21], 20, NONE)
    indices, _ = scorer.top(hidden[20:21], 20, first[0])
    assert not set(first[0]) & set(indices[0])
    assert (np.isin(indices[0], best(exact(large[1], hidden[20:21]), 40)[0])).all()


def test_twins_stand_together_the_one_of_lower_index_first(scorer: SessionScorer, hidden: FloatArray) -> None:
    indices, scores = scorer.top(hidden, len(scorer.items), NONE)
    for row, values in zip(indices, scores, strict=True):
        place = {item: at for at, item in enumerate(row.tolist())}
        for one, other in TWINS.items():
            assert place[one] < place[other]
            assert values[place[one]] == values[place[other]]


@pytest.mark.parametrize("row", [0, N_ITEMS - 2])
def test_a_weight_that_is_no_number_is_found_wherever_it_is(
    large: tuple[Path, GRU4Rec], tmp_path: Path, row: int
) -> None:
    large[1].export(tmp_path)
    model = onnx.load(tmp_path / "score.onnx")
    (items,) = (each for each in model.graph.initializer if each.name == "items")
    weights = numpy_helper.to_array(items).copy()
    weights[min(row, len(weights) - 1), 3] = np.nan
    items.CopyFrom(numpy_helper.from_array(weights, "items"))
    rewrite(tmp_path, "score.onnx", model.SerializeToString())
    with pytest.raises(ArtifactError, match="not finite"):
        open_scorer(tmp_path)
