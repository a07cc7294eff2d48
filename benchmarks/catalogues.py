"""How long lists take in catalogues of other sizes; `python -m benchmarks.catalogues` is what is measured.

The catalogues are made of vectors that were trained on real clicks; no larger ones are at hand. Up to as many
items as were trained they are the real ones, the most clicked first. Beyond that they are copies, each moved
away from the real one by half as much as items differ: an item then has as many others beside it as in a
large shop, but which ones is made up. Times do not depend on that, what a search in clusters finds does.

Sizes are measured in turns in one process that holds them all, one thread, on states after real clicks.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import onnx
import psutil
from onnx import numpy_helper

from benchmarks.cores import take_the_core
from streamrec import __version__
from streamrec.artifact import FORMAT, FileEntry, Manifest, Probe, write_manifest
from streamrec.config import Settings
from streamrec.contracts import FloatArray, IntArray
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError
from streamrec.models._gru4rec.score_export import found_by, score_model
from streamrec.models._gru4rec.search_graph import MOST_SEARCHED
from streamrec.registry import Registry
from streamrec.scorer import SessionScorer, load_step, open_scorer

__all__ = [
    "BATCHES",
    "Catalogue",
    "CatalogueError",
    "Figures",
    "catalogue_entries",
    "clicked_states",
    "enlarged",
    "measure_catalogues",
    "real_catalogue",
    "scorer_files",
]

BATCHES: Final = (1, 8, 32)
_N_BEST: Final = 40
_CUTOFF: Final = 20
_MOVED: Final = 0.5
"""Standard deviations of the items, by which a copy is away from what it is of."""
_JUDGED: Final = 64
_SESSIONS: Final = 2_000
_AT_LEAST: Final = {1: 0.25, 32: 0.1}
"""By batch: the p99 of a million items may be four times that of 37,000; in batches, where 37,000 items are
shared and clusters are not, ten times."""
_LEAST_OVERLAP: Final = 0.97
_NONE: Final = np.empty(0, np.int64)
_HIDDEN, _RESULT = "hidden.npy", "result.json"
_ROOT: Final = Path(__file__).resolve().parent.parent


class CatalogueError(StreamrecError):
    """A catalogue could not be measured, or its lists are not what they have to be."""


class Catalogue(NamedTuple):
    """Output weights (N, H) and biases (N,), float32."""

    items: FloatArray
    bias: FloatArray


class Figures(msgspec.Struct, frozen=True):
    """What one size came to."""

    n_items: int
    file_bytes: int
    """Of the graph."""
    rss_bytes: int
    """By which the process is larger with it."""
    overlap: float
    """Share of the 20 best by exact scores that is among the 20 found."""
    seconds: dict[int, list[float]]
    """Of each answer, by the size of the batch."""

    def ms(self, batch: int, percentile: float) -> float:
        """Milliseconds within which so many of a hundred answers came."""
        return float(np.percentile(self.seconds[batch], percentile) * 1e3)


def real_catalogue(settings: Settings, version: str) -> Catalogue:
    """What a version learned of its items."""
    _, files = Registry.of(settings).read("gru4rec", version)
    graph = onnx.load_model_from_string(files["score.onnx"]).graph
    (items,) = (numpy_helper.to_array(each) for each in graph.initializer if each.name == "items")
    return Catalogue(items, np.load(io.BytesIO(files["bias.npy"]), allow_pickle=False))


def clicked_states(settings: Settings, version: str) -> tuple[FloatArray, IntArray]:
    """Hidden states after clicks of real sessions (M, H), and the item clicked next (M,)."""
    step = load_step(Registry.of(settings), version)
    states, clicked = [], []
    for session in islice(click_sessions(bundled_clicks()), _SESSIONS):
        hidden = np.zeros((1, step.hidden_size), np.float32)
        items = [index for index in map(step.item_index, session.items) if index >= 0]
        for item, following in pairwise(items):
            hidden = step.step(np.array([item]), hidden)
            states.append(hidden)
            clicked.append(following)
    return np.concatenate(states), np.array(clicked)


def enlarged(real: Catalogue, n_items: int, seed: int = 0) -> Catalogue:
    """The first of the real items; beyond them, copies that are moved as the head of this module says."""
    rng = np.random.default_rng(seed)
    of = np.arange(n_items) % len(real.items)
    moved = (_MOVED * (np.arange(n_items) >= len(real.items))).astype(np.float32)
    noise = rng.standard_normal((n_items, real.items.shape[1]), np.float32) * real.items.std(0)
    items = real.items[of] + moved[:, None] * noise
    # As long as the real one: long vectors would come first everywhere.
    items *= np.linalg.norm(real.items[of], axis=1, keepdims=True) / np.linalg.norm(
        items, axis=1, keepdims=True
    )
    bias = real.bias[of] + moved * rng.standard_normal(n_items, np.float32) * real.bias.std()
    return Catalogue(items, bias.astype(np.float32))


def scorer_files(catalogue: Catalogue, state: FloatArray, **search: Any) -> tuple[Manifest, dict[str, bytes]]:
    """All that a scorer of the catalogue is loaded from.

    state: (H,), for the probe. search: as in score_graph.score_nodes.
    """
    items, bias = catalogue
    scores = items @ state + bias
    top = np.argsort(-scores, kind="stable")[:_CUTOFF]
    probe = Probe(items=[], hidden=state.tolist(), top=top.tolist(), scores=scores[top].tolist())
    score = score_model(items, bias, 1, **search).SerializeToString()
    array = io.BytesIO()
    np.save(array, bias, allow_pickle=False)
    files = {
        "score.onnx": score,
        "bias.npy": array.getvalue(),
        "vocabulary.json": json.dumps([str(n) for n in range(len(items))]).encode(),
    }
    manifest = Manifest(
        format=FORMAT,
        model="gru4rec",
        version=f"items-{len(items)}",
        created="",
        hidden_size=items.shape[1],
        n_items=len(items),
        files={
            name: FileEntry(size_bytes=len(value), sha256=hashlib.sha256(value).hexdigest())
            for name, value in files.items()
        },
        probes=found_by(score, bias, [probe]),
        config={},
        seed=0,
        data={},
        metrics={},
        code_version=__version__,
    )
    return manifest, files


def measure_catalogues(
    real: Catalogue,
    hidden: FloatArray,
    sizes: Sequence[int],
    folder: Path,
    n_calls: int,
    on_step: Callable[[int], object] = lambda done: None,
) -> list[Figures]:
    """One for each size, the smallest first.

    hidden: (M, H), states that lists are asked for. folder: for the files, gigabytes of a large catalogue.
    n_calls: answers of each size in batches of one; of larger ones a fifth. on_step: called with how many of
    the sizes are exported.
    Raises CatalogueError if a list depends on its batch, or too few of the best items are found.
    """
    folder.mkdir()
    np.save(folder / _HIDDEN, hidden)
    for done, size in enumerate(sorted(sizes)):
        place = folder / str(size)
        place.mkdir()
        manifest, files = scorer_files(enlarged(real, size), hidden[0])
        for name, value in files.items():
            (place / name).write_bytes(value)
        write_manifest(place, manifest)
        on_step(done + 1)
    log = folder / "log"
    child = Child([sys.executable, "-m", __name__, str(folder), str(n_calls)], log, _ROOT)
    try:
        child.wait()
    finally:
        child.kill()
    if child.exit_code:
        raise CatalogueError(
            f"measuring {folder} ended with {child.exit_code}:\n{log.read_text(errors='replace')}"
        )
    return msgspec.json.decode((folder / _RESULT).read_bytes(), type=list[Figures])


def catalogue_entries(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """The entries of the report: the largest of the catalogues beside the smallest."""
    work, beside = max(figures, key=_size), min(figures, key=_size)
    return [
        {
            "work": f"lists of {work.n_items:,} items, in batches of {batch}",
            "beside": f"lists of {beside.n_items:,} items, in batches of {batch}",
            "of": "answer time (p99)",
            "ratio": round(beside.ms(batch, 99) / work.ms(batch, 99), 4),
            "at_least": at_least,
            "ratio_is": "p99 of answer time of `beside` / p99 of answer time of `work`",
            "work_measured": _described(work),
            "beside_measured": _described(beside),
        }
        for batch, at_least in _AT_LEAST.items()
    ]


def _size(figures: Figures) -> int:
    return figures.n_items


def _described(figures: Figures) -> dict[str, Any]:
    per_million = 1e6 / figures.n_items / 2**20
    return {
        "p50_ms_by_batch": {batch: round(figures.ms(batch, 50), 3) for batch in BATCHES},
        "p99_ms_by_batch": {batch: round(figures.ms(batch, 99), 3) for batch in BATCHES},
        "answers_measured": {batch: len(figures.seconds[batch]) for batch in BATCHES},
        "overlap_at_20_with_exact_scores": round(figures.overlap, 4),
        "rss_mib_per_million_items": round(figures.rss_bytes * per_million, 1),
        "file_mib_per_million_items": round(figures.file_bytes * per_million, 1),
    }


def main() -> None:
    """Load every catalogue of a folder, measure them in turns, and write what they came to beside them."""
    parser = argparse.ArgumentParser("python -m benchmarks.catalogues", description=__doc__)
    parser.add_argument("folder", type=Path, help="catalogues, by their numbers of items")
    parser.add_argument("n_calls", type=int, help="answers measured for each")
    options = parser.parse_args()
    take_the_core()
    hidden = np.load(options.folder / _HIDDEN, allow_pickle=False)
    scorers, grown = {}, {}
    for size in sorted(int(each.name) for each in options.folder.iterdir() if each.is_dir()):
        before = _rss()
        scorers[size] = open_scorer(options.folder / str(size))
        grown[size] = _rss() - before
    overlaps = {size: _overlap(scorer, hidden) for size, scorer in scorers.items()}
    seconds = _answer_times(scorers, hidden, options.n_calls)
    found = [
        Figures(
            size,
            (options.folder / str(size) / "score.onnx").stat().st_size,
            grown[size],
            overlaps[size],
            seconds[size],
        )
        for size in scorers
    ]
    (options.folder / _RESULT).write_bytes(msgspec.json.encode(found))


def _rss() -> int:
    return int(psutil.Process().memory_info().rss)


def _overlap(scorer: SessionScorer, hidden: FloatArray) -> float:
    """Of the 20 best. Raises CatalogueError if a list depends on its batch, or too few are found."""
    judged = hidden[:: max(1, len(hidden) // _JUDGED)][:_JUDGED]
    found = scorer.top(judged, _N_BEST, _NONE)
    for size in (1, 7):
        parts = [scorer.top(judged[n : n + size], _N_BEST, _NONE) for n in range(0, len(judged), size)]
        if not all(
            np.array_equal(np.concatenate(each), of)
            for each, of in zip(zip(*parts, strict=True), found, strict=True)
        ):
            raise CatalogueError(
                f"lists of {len(scorer.items):,} items depend on their batch, here of {size}"
            )
    exact = [scorer.top(row[None], MOST_SEARCHED + 1, _NONE)[0][0, :_CUTOFF] for row in judged]
    overlap = float(np.mean([_shared(*each) for each in zip(found[0][:, :_CUTOFF], exact, strict=True)]))
    if overlap < _LEAST_OVERLAP:
        raise CatalogueError(
            f"{overlap:.3f} of the 20 best of {len(scorer.items):,} items are found, {_LEAST_OVERLAP} wanted"
        )
    return overlap


def _shared(one: IntArray, other: IntArray) -> float:
    return len(np.intersect1d(one, other)) / len(other)


def _answer_times(
    scorers: Mapping[int, SessionScorer], hidden: FloatArray, n_calls: int
) -> dict[int, dict[int, list[float]]]:
    """Seconds by size and batch. A stretch of calls each in turns: caches are as warm as under load."""
    seconds: dict[int, dict[int, list[float]]] = {size: {batch: [] for batch in BATCHES} for size in scorers}
    stretch = 10
    for first in range(0, n_calls, stretch):
        for batch in BATCHES:
            # Large batches take as long as many small ones, and are only reported.
            calls = stretch if batch == 1 else 2
            for size, scorer in scorers.items():
                for call in range(first, min(first + calls, n_calls)):
                    rows = hidden.take(range(call * batch, (call + 1) * batch), axis=0, mode="wrap")
                    started = time.perf_counter()
                    scorer.top(rows, _N_BEST, _NONE)
                    seconds[size][batch].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
