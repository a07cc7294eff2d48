"""Lists of a very large catalogue, looked for in clusters; here of a smaller one that is treated like it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exact_scores import best, exact, states
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from session_models import rewrite

from streamrec.artifact import read_artifact
from streamrec.contracts import FloatArray, IntArray, Session
from streamrec.errors import ArtifactError, DatasetError
from streamrec.models._gru4rec import score_export as exporting
from streamrec.models._gru4rec.clusters import CAPACITY, NOBODY, clusters
from streamrec.models._gru4rec.score_export import require_room, score_model
from streamrec.models._gru4rec.score_graph import SCREENED_FROM, score_bytes
from streamrec.models._gru4rec.search_graph import MOST_SEARCHED
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.onnx_file import _OPERATORS
from streamrec.scorer import SessionScorer, open_scorer

N_ITEMS, UNITS, KINDS = 6000, 32, 100
PROBES = 25
"""Of some 105 clusters."""
NONE = np.empty(0, np.int64)
TWINS = {17: 4000, 18: 5999, 2500: 2501}


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GRU4Rec]:
    """An artifact whose score graph looks into clusters, and the model that it is of: items of some kinds."""
    model = GRU4Rec(
        GRU4RecConfig(embedding_size=UNITS, hidden_size=UNITS, layers=request.param, epochs=1, n_sample=8)
    )
    model.train(sessions())
    assert model.network is not None
    rng = np.random.default_rng(5)
    items, bias = model.network.items.data.numpy(), model.network.bias.data.numpy()
    kinds = rng.normal(size=(KINDS, UNITS))
    items[:] = kinds[rng.integers(0, KINDS, len(items))] + 0.2 * rng.normal(size=items.shape)
    bias[:] = 0.03 * rng.normal(size=bias.shape)
    for one, other in TWINS.items():
        items[other], bias[other] = items[one], bias[one]
    directory = tmp_path_factory.mktemp("large")
    export(model, directory)
    assert b"If" in operators(onnx.load(directory / "score.onnx").graph)
    return directory, model


def sessions() -> list[Session]:
    return [Session([f"i{n}" for n in range(first, first + 5)]) for first in range(0, N_ITEMS, 5)]


def export(model: GRU4Rec, directory: Path, probes: int = PROBES) -> None:
    """As if the catalogue were very large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "CLUSTERED_FROM", SCREENED_FROM)
        patch.setattr(exporting, "PROBES", probes)
        model.export(directory)


@pytest.fixture(scope="module")
def scorer(large: tuple[Path, GRU4Rec]) -> SessionScorer:
    return open_scorer(large[0])


@pytest.fixture(scope="module")
def hidden(large: tuple[Path, GRU4Rec]) -> FloatArray:
    return states(large[0])


def shared(found: IntArray, wanted: IntArray) -> float:
    pairs = zip(found.tolist(), wanted.tolist(), strict=True)
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in pairs]))


@pytest.mark.parametrize("n", [1, 20, 50, MOST_SEARCHED])
def test_most_of_the_best_items_are_found_and_have_exact_scores(
    large: tuple[Path, GRU4Rec], scorer: SessionScorer, hidden: FloatArray, n: int
) -> None:
    everything = exact(large[1], hidden)
    indices, scores = scorer.top(hidden, n, NONE)
    assert all(len(set(row)) == n for row in indices.tolist())
    assert (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores, np.take_along_axis(everything, indices, 1), atol=1e-5)
    # A state of nothing but 0 is like no item: it is as likely to be anywhere.
    rows = np.r_[0:8, 16:64]
    assert shared(indices[rows], best(everything, n)[rows]) >= (0.85 if n <= 50 else 0.6)


def test_who_looks_into_all_clusters_finds_the_best_of_all(
    large: tuple[Path, GRU4Rec], hidden: FloatArray, tmp_path: Path
) -> None:
    export(large[1], tmp_path, probes=1000)
    indices, _ = open_scorer(tmp_path).top(hidden, 20, NONE)
    wanted = best(exact(large[1], hidden), 20)
    assert shared(indices, wanted) >= 0.999
    assert np.mean(indices == wanted) >= 0.98


@pytest.mark.parametrize("n", [MOST_SEARCHED + 1, N_ITEMS // 2])
def test_longer_lists_are_those_of_all_items(
    large: tuple[Path, GRU4Rec], scorer: SessionScorer, hidden: FloatArray, n: int
) -> None:
    indices, _ = scorer.top(hidden[:8], n, NONE)
    assert shared(indices, best(exact(large[1], hidden[:8]), n)) >= 0.9999


@pytest.mark.parametrize("n", [20, MOST_SEARCHED + 1])
def test_a_list_depends_on_nothing_else_in_its_batch(
    scorer: SessionScorer, hidden: FloatArray, n: int
) -> None:
    alone = [scorer.top(row[None], n, NONE) for row in hidden]
    for size in (1, 7, 64):
        indices, scores = scorer.top(hidden[:size], n, NONE)
        for row in range(size):
            np.testing.assert_array_equal(indices[row], alone[row][0][0])
            np.testing.assert_array_equal(scores[row], alone[row][1][0])


def test_no_rows_give_no_rows(scorer: SessionScorer, hidden: FloatArray) -> None:
    indices, scores = scorer.top(hidden[:0], 20, NONE)
    assert indices.shape == scores.shape == (0, 20)


def test_all_items_come_if_all_are_asked_for(scorer: SessionScorer, hidden: FloatArray) -> None:
    n_items = len(scorer.items)
    excluded = np.array([0, 4096, n_items - 1])
    indices, scores = scorer.top(hidden[:3], 2 * n_items, excluded)
    assert indices.shape == (3, n_items - 3)
    assert np.isfinite(scores).all()
    assert all(set(row) == set(range(n_items)) - set(excluded) for row in indices.tolist())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_lists_are_full_whatever_is_left_out(
    large: tuple[Path, GRU4Rec], scorer: SessionScorer, hidden: FloatArray, data: st.DataObject
) -> None:
    """Also the best by far, all but a few, or whole kinds: there is always something left to recommend."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    row = data.draw(st.integers(0, len(hidden) - 1))
    n_items = len(scorer.items)
    by_score = best(exact(large[1], hidden[row : row + 1]), n_items)[0]
    n_out = data.draw(st.sampled_from([1, 100, 1000, n_items - 300, n_items - 30, n_items - 1, n_items]))
    left_out = by_score[:n_out] if data.draw(st.booleans()) else rng.permutation(n_items)[:n_out]
    n = data.draw(st.sampled_from([1, 20, MOST_SEARCHED]))
    indices, scores = scorer.top(hidden[row : row + 1], n, left_out)
    assert indices.shape == (1, min(n, n_items - n_out))
    assert len(set(indices[0].tolist())) == indices.shape[1]
    assert not np.isin(indices, left_out).any()
    np.testing.assert_allclose(scores, exact(large[1], hidden[row : row + 1])[:, indices[0]], atol=1e-5)


def test_one_short_list_does_not_change_the_others(scorer: SessionScorer, hidden: FloatArray) -> None:
    # Of the first state's best items nothing is left, of most of the others' enough.
    left_out = scorer.top(hidden[20:21], 5000, NONE)[0][0]
    together = scorer.top(hidden[16:24], 20, left_out)
    for row in range(8):
        alone = scorer.top(hidden[16 + row : 17 + row], 20, left_out)
        np.testing.assert_array_equal(together[0][row], alone[0][0])
        np.testing.assert_array_equal(together[1][row], alone[1][0])
    assert np.isfinite(together[1]).all()


def test_a_few_that_are_left_out_make_room_for_those_behind_them(
    large: tuple[Path, GRU4Rec], scorer: SessionScorer, hidden: FloatArray
) -> None:
    first, _ = scorer.top(hidden[20:21], 120, NONE)
    indices, _ = scorer.top(hidden[20:21], 20, first[0, :100])
    np.testing.assert_array_equal(indices[0], first[0, 100:])


def test_twins_stand_together_the_one_of_lower_index_first(scorer: SessionScorer, hidden: FloatArray) -> None:
    for n in (len(scorer.items), MOST_SEARCHED):
        indices, scores = scorer.top(hidden[:16], n, NONE)
        for row, values in zip(indices, scores, strict=True):
            place = {item: at for at, item in enumerate(row.tolist())}
            for one, other in TWINS.items():
                if one in place and other in place:
                    assert place[one] < place[other]
                    assert values[place[one]] == values[place[other]]


def test_a_weight_that_is_no_number_is_found_wherever_it_is(
    large: tuple[Path, GRU4Rec], tmp_path: Path
) -> None:
    def spoil(weights: Any) -> None:
        weights[N_ITEMS - 9, 3] = np.nan

    with pytest.raises(ArtifactError, match="not finite"):
        open_scorer(changed(large[1], tmp_path, "items", spoil))


@pytest.mark.parametrize("name", ["members_index", "centroids"])
def test_a_search_that_looks_in_the_wrong_place_is_refused(
    large: tuple[Path, GRU4Rec], tmp_path: Path, name: str
) -> None:
    def spoil(weights: Any) -> None:
        weights[:] = np.roll(weights, 7, axis=-1 if name == "centroids" else 0)

    with pytest.raises(ArtifactError, match=r"recommends other items|is off by"):
        open_scorer(changed(large[1], tmp_path, name, spoil))


def changed(model: GRU4Rec, directory: Path, name: str, change: Any) -> Path:
    export(model, directory)
    graph = onnx.load(directory / "score.onnx")
    (found,) = (each for each in graph.graph.initializer if each.name == name)
    weights = numpy_helper.to_array(found).copy()
    change(weights)
    found.CopyFrom(numpy_helper.from_array(weights, name))
    rewrite(directory, "score.onnx", graph.SerializeToString())
    return directory


def test_the_file_does_not_stay_in_memory(large: tuple[Path, GRU4Rec]) -> None:
    manifest, files = read_artifact(large[0])
    graph = files["score.onnx"]
    held = sys.getrefcount(graph)
    scorer = SessionScorer(manifest, files, threads=1)
    assert sys.getrefcount(graph) == held
    assert len(scorer.items)


def test_the_operators_that_are_allowed_are_those_in_use(
    large: tuple[Path, GRU4Rec], artifact: Path, tmp_path: Path
) -> None:
    large[1].export(tmp_path)
    used = {
        operator
        for directory in (large[0], tmp_path, artifact)
        for name in ("step.onnx", "score.onnx")
        for operator in operators(onnx.load(directory / name).graph)
    }
    assert used <= _OPERATORS
    if large[1].config.layers > 1:
        assert used == _OPERATORS


def operators(graph: Any) -> set[bytes]:
    found = {node.op_type.encode() for node in graph.node}
    branches = [part.g for node in graph.node for part in node.attribute if part.HasField("g")]
    return found.union(*map(operators, branches))


def test_clusters_that_find_too_little_are_not_looked_into(
    tmp_path: Path, hidden: FloatArray, large: tuple[Path, GRU4Rec], caplog: pytest.LogCaptureFixture
) -> None:
    """Here because items lie in all directions alike."""
    model = GRU4Rec(large[1].config)
    model.train(sessions())
    assert model.network is not None
    items = model.network.items.data.numpy()
    items[:] = np.random.default_rng(3).normal(size=items.shape)
    export(model, tmp_path, probes=5)
    assert "every list looks through all 6000 items" in caplog.text
    assert b"If" not in operators(onnx.load(tmp_path / "score.onnx").graph)
    found, _ = open_scorer(tmp_path).top(hidden, 20, NONE)
    assert shared(found, best(exact(model, hidden), 20)) >= 0.999


# -- clusters and sizes ---------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 700),
    width=st.integers(1, 6),
    kinds=st.integers(1, 8),
    apart=st.sampled_from([0.0, 0.1, 3.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_item_is_in_one_cluster_and_none_is_overfull(
    n: int, width: int, kinds: int, apart: float, seed: int
) -> None:
    """Also where items are all the same, or more of a kind than a cluster has room for."""
    rng = np.random.default_rng(seed)
    items = (rng.normal(size=(kinds, width))[rng.integers(0, kinds, n)]).astype(np.float32)
    items += (apart * rng.normal(size=items.shape)).astype(np.float32)
    bias = rng.normal(size=n).astype(np.float32)
    steps: list[tuple[int, int]] = []
    found = clusters(items, bias, lambda done, total, _: steps.append((done, total)))
    assert found.members.shape == (len(found.weights), CAPACITY)
    assert sorted(found.members[found.members != NOBODY].tolist()) == list(range(n))
    assert steps[-1] == (n, n)
    for members, mean in zip(found.members, found.weights, strict=True):
        np.testing.assert_allclose(mean, items[members[members != NOBODY]].mean(0), atol=1e-4)
    again = clusters(items, bias)
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))


def test_items_of_a_kind_come_together() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(40), 50)
    items = (10 * rng.normal(size=(40, 16))[kinds] + 0.1 * rng.normal(size=(2000, 16))).astype(np.float32)
    found = clusters(items, np.zeros(2000, np.float32))
    pure = [len(set(kinds[row[row != NOBODY]])) == 1 for row in found.members]
    assert np.mean(pure) >= 0.6


def test_the_size_of_a_graph_is_known_ahead() -> None:
    items = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    made = score_model(items, items[:, 0].copy(), 1, clustered_from=1).ByteSize()
    assert score_bytes(*items.shape) == pytest.approx(made, rel=0.02)


def test_more_items_than_files_can_hold_are_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    require_room(4_000_000, 100, 100, shared=True)
    require_room(3_150_000, 128, 128, shared=True)
    with pytest.raises(DatasetError, match=r"4,000,000 items: with 128 units .* leave out rare items"):
        require_room(4_000_000, 128, 128, shared=True)
    with pytest.raises(DatasetError, match="all files"):
        require_room(3_500_000, 100, 100, shared=False)
    monkeypatch.setattr(exporting, "_MOST_GRAPH_BYTES", 1000)
    with pytest.raises(DatasetError, match="the clicks are on 3 items"):
        GRU4Rec().train([Session(["a", "b", "c"])])
