"""Parts of the road beside what others would use in their place: the score graph, and online CF.

Everything runs in this process, on one thread, in turns and in short stretches: a slow moment of the machine
hits both of a pair.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime as ort
import psutil
from onnx import TensorProto, helper, numpy_helper
from river import reco

from benchmarks.catalogues import Catalogue, clicked_states, real_catalogue, scorer_files
from benchmarks.meter import Measured
from benchmarks.road import SCORING
from benchmarks.workloads import Comparison
from streamrec.config import Settings
from streamrec.contracts import FloatArray, IntArray
from streamrec.datasets import bundled_clicks
from streamrec.errors import StreamrecError
from streamrec.item_board import ItemBoard
from streamrec.models.online_mf import OnlineMF, OnlineMFConfig
from streamrec.registry import Registry
from streamrec.scorer import SessionScorer, load_scorer
from streamrec.state.rows import Factors, ItemRow, encode_row, item_key

__all__ = ["COMPARISONS", "PartsError", "measure_parts"]

_GRAPH: Final = "score graph: the 40 best of 18,009 items"
_PLAIN: Final = "the same by single precision and numpy"
_BARE: Final = "the score graph alone, in batches of 64"
_LEARN: Final = {
    size: f"online CF: learns a click and a negative, twice, in batches of {size}" for size in (8, 32, 256)
}
_RIVER_LEARN: Final = "river BiasedMF: learns the same four pairs"
_RIVER_SAME: Final = "river FunkMF, whose numbers ours are: the same four pairs"
_RANK: Final = "online CF: the 40 best of 10,000 items"
_RIVER_RANK: Final = "river BiasedMF: ranks 10,000 items"
COMPARISONS: Final = (
    # Everything else that a list takes is in Python: see docs/performance.md.
    Comparison(SCORING, _BARE, 0.25, aim=0.85),
    Comparison(_GRAPH, _PLAIN, 2.5),
    Comparison(_LEARN[8], _RIVER_LEARN, 1.8, aim=20.0),
    Comparison(_LEARN[32], _RIVER_LEARN, 2.6, aim=20.0),
    Comparison(_LEARN[256], _RIVER_LEARN, 3.8, aim=20.0),
    # The biases of BiasedMF are work that online CF does not do.
    Comparison(_LEARN[32], _RIVER_SAME, 1.0),
    Comparison(_RANK, _RIVER_RANK, 20.0),
)

_N_BEST: Final = 40
_BATCH: Final = 16
_LARGE_BATCH: Final = 64
"""As scoring has it by default, under load."""
_CUTOFF: Final = 20
_MOST_LOST: Final = 0.01
"""Of Recall and MRR, to the scores of single precision."""
_CLICKS: Final = 10_240
"""To learn from, of all visitors in the order of time; so many that batches fill it."""
_ITEMS: Final = 10_000
_STRETCHES: Final = 10
_CONFIG: Final = OnlineMFConfig(passes=2, negatives=1)

_UNSEEN: Final = Factors()

_Event = tuple[str, str, str]
"""A visitor, the item clicked, and the negative."""

_Top = Callable[[FloatArray], IntArray]
"""From hidden states (B, H) to the indices of the best items (B, n), best first."""


class PartsError(StreamrecError):
    """A part does not give what it has to."""


class _Part(NamedTuple):
    """Something to be done again and again: events of one call, and how many calls make a stretch."""

    do: Callable[[], object]
    events: int
    calls: int


def measure_parts(
    settings: Settings, version: str, n_rounds: int
) -> tuple[dict[str, list[Measured]], dict[str, float]]:
    """What each part and its peer came to, by name; and how good the lists of the score graph are.

    Raises PartsError if these are worse than those of exact scores, or depend on their batch.
    """
    hidden, clicked = clicked_states(settings, version)
    real = real_catalogue(settings, version)
    graph, plain = _graph_top(load_scorer(Registry.of(settings), version)), _plain_top(real)
    clustered = _graph_top(SessionScorer(*scorer_files(real, hidden[0], clustered_from=1), threads=1))
    quality = _same_quality({"quantised": graph, "clustered": clustered}, plain, hidden, clicked)
    parts = {
        _GRAPH: _graph_part(graph, hidden, _BATCH),
        _PLAIN: _graph_part(plain, hidden, _BATCH),
        _BARE: _graph_part(graph, hidden, _LARGE_BATCH),
        **_online(),
    }
    rounds: dict[str, list[Measured]] = {name: [] for name in parts}
    for part in parts.values():
        part.do()
    for _ in range(n_rounds):
        for name, measured in _in_turns(parts).items():
            rounds[name].append(measured)
    return rounds, quality


def _in_turns(parts: Mapping[str, _Part]) -> dict[str, Measured]:
    spans: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for _ in range(_STRETCHES):
        for name, part in parts.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            for _ in range(part.calls):
                part.do()
            spans[name].append((time.perf_counter() - wall_s, time.process_time() - cpu_s))
    rss = psutil.Process().memory_info().rss
    found = {}
    for name, part in parts.items():
        events, cpu_s = part.events * part.calls, [cpu for _, cpu in spans[name]]
        slices = [each / events * 1e6 for each in cpu_s]
        wall_s = sum(wall for wall, _ in spans[name])
        found[name] = Measured(_STRETCHES * events, wall_s, sum(cpu_s), slices, rss)
    return found


# -- the score graph ----------------------------------------------------------------------------


def _same_quality(
    graphs: Mapping[str, _Top], plain: _Top, hidden: FloatArray, clicked: IntArray
) -> dict[str, float]:
    """Recall and MRR of score graphs and of exact scores, on real clicks; and that batches do not matter.

    Raises PartsError if more than a hundredth is lost, or a list depends on its batch.
    """
    found: dict[str, float] = {}
    for name, top in {"exact": plain, **graphs}.items():
        best = np.concatenate([top(rows)[:, :_CUTOFF] for rows in _batches(hidden, _BATCH)])
        hits = best == clicked[:, None]
        ranks = np.where(hits.any(1), hits.argmax(1) + 1.0, np.inf)
        found[f"recall_at_20_{name}"] = float(np.isfinite(ranks).mean())
        found[f"mrr_at_20_{name}"] = float((1 / ranks).mean())
    for name, top in graphs.items():
        for figure in ("recall_at_20", "mrr_at_20"):
            if found[f"{figure}_{name}"] < (1 - _MOST_LOST) * found[f"{figure}_exact"]:
                raise PartsError(f"the {name} graph loses too much: {found}")
        alone = np.concatenate([top(row[None]) for row in hidden[:64]])
        for size in (7, 64):
            if not np.array_equal(top(hidden[:size]), alone[:size]):
                raise PartsError(f"lists of the {name} graph depend on their batch, here of {size}")
    return found


def _graph_part(top: _Top, hidden: FloatArray, size: int) -> _Part:
    batches = cycle([rows for rows in _batches(hidden, size) if len(rows) == size])
    return _Part(lambda: top(next(batches)), size, 640 // size)


def _batches(hidden: FloatArray, size: int = _BATCH) -> Iterator[FloatArray]:
    return (hidden[first : first + size] for first in range(0, len(hidden), size))


def _graph_top(model: SessionScorer) -> _Top:
    return lambda hidden: model.top(hidden, _N_BEST, np.empty(0, np.int64))[0]


def _plain_top(real: Catalogue) -> _Top:
    """One product in ONNX Runtime, and the best of all scores by numpy."""
    items, bias = real
    product = helper.make_graph(
        [helper.make_node("Gemm", ["hidden", "items", "bias"], ["scores"], transB=1)],
        "plain",
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["B", items.shape[1]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", len(items)])],
        [numpy_helper.from_array(items, "items"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(product, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def top(hidden: FloatArray) -> IntArray:
        scores = session.run(None, {"hidden": hidden})[0]
        best = np.argpartition(scores, -_N_BEST, axis=1)[:, -_N_BEST:]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        found: IntArray = np.take_along_axis(best, order, 1)
        return found

    return top


# -- online CF ----------------------------------------------------------------------------------


def _online() -> dict[str, _Part]:
    clicks = bundled_clicks().first(_CLICKS)
    # To each click, as its negative, the item of one that is far from it.
    far = len(clicks) // 2
    drawn = clicks.item_ids[far:] + clicks.item_ids[:far]
    events = list(zip(clicks.session_ids, clicks.item_ids, drawn, strict=True))
    ours, theirs = OnlineMF(_CONFIG), reco.BiasedMF(n_factors=_CONFIG.factors)
    same = reco.FunkMF(n_factors=_CONFIG.factors)

    board, visitor, items = _board(ours), ours.visitor("somebody"), [f"i{n}" for n in range(_ITEMS)]

    def rank() -> Any:
        return board.best([visitor], _N_BEST, set(), [set()])

    return {
        **{
            name: _Part(_learner(OnlineMF(_CONFIG), events, size), size, 2_048 // size)
            for size, name in _LEARN.items()
        },
        _RIVER_LEARN: _Part(_river_learner(theirs, events), 1, 500),
        _RIVER_SAME: _Part(_river_learner(same, events), 1, 500),
        _RANK: _Part(rank, 1, 50),
        _RIVER_RANK: _Part(lambda: theirs.rank("somebody", items), 1, 1),
    }


def _river_learner(model: Any, events: Sequence[_Event]) -> Callable[[], None]:
    """Learns the next event, over and over."""
    to_learn = cycle(events)

    def learn() -> None:
        visitor_id, item_id, negative = next(to_learn)
        for _ in range(_CONFIG.passes):
            model.learn_one(visitor_id, item_id, 1.0)
            model.learn_one(visitor_id, negative, 0.0)

    return learn


def _learner(model: OnlineMF, events: Sequence[_Event], size: int) -> Callable[[], None]:
    """Learns the next batch of events, over and over."""
    batches = cycle([events[start : start + size] for start in range(0, len(events), size)])
    known: dict[str, Factors] = {}

    def learn() -> None:
        numbers: dict[str, int] = {}
        for visitor_id, item_id, negative in next(batches):
            before = numbers.get(visitor_id)
            numbers[visitor_id] = model.learn(
                visitor_id,
                known.get(visitor_id, _UNSEEN) if before is None else before,
                item_id,
                1.0,
                [negative],
            )
        learned = model.run()
        for visitor_id, number in numbers.items():
            known[visitor_id] = learned[number]

    return learn


def _board(model: OnlineMF) -> ItemBoard:
    board = ItemBoard(1, 3600)
    for n in range(_ITEMS):
        row = ItemRow(n, n, 1, 1.0, model.item(f"i{n}"))
        board.apply(item_key(f"i{n}"), encode_row(row))
    board.advance_to(1)
    return board
