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
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import psutil

from benchmarks.cores import take_the_core
from streamrec import __version__
from streamrec.artifact import FORMAT, FileEntry, Manifest, Probe, write_manifest
from streamrec.contracts import FloatArray, IntArray
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError
from streamrec.models._gru4rec.export import found_by, score_model
from streamrec.scorer import SessionScorer, open_scorer

__all__ = [
    "BATCHES",
    "Catalogue",
    "CatalogueError",
    "Figures",
    "enlarged",
    "measure_catalogues",
    "scorer_files",
]

BATCHES: Final = (1, 8, 32)
_N_BEST: Final = 40
_CUTOFF: Final = 20
_MOVED: Final = 0.5
"""Standard deviations of the items, by which a copy is away from what it is of."""
_JUDGED: Final = 64
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
    n_calls: answers of each size and batch. on_step: called with how many of the sizes are exported.
    Raises CatalogueError if a list depends on its batch.
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
    """Of the 20 best. Raises CatalogueError if a list depends on its batch."""
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
    exact = [scorer.top(row[None], len(scorer.items), _NONE)[0][0, :_CUTOFF] for row in judged]
    return float(np.mean([_shared(*each) for each in zip(found[0][:, :_CUTOFF], exact, strict=True)]))


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
            for size, scorer in scorers.items():
                for call in range(first, min(first + stretch, n_calls)):
                    rows = hidden.take(range(call * batch, (call + 1) * batch), axis=0, mode="wrap")
                    started = time.perf_counter()
                    scorer.top(rows, _N_BEST, _NONE)
                    seconds[size][batch].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
