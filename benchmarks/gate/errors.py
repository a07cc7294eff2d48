"""How often the gate would be wrong, by window size, margin and confidence.

In: ranks of candidates on one large window. Out: for each kind the share of windows on which it passes
against an equally trained live version, its seed another. Windows are drawn from the large one with
replacement: without it, two of 3,000 out of 5,000 would be nearly the same. Bounds come from the
variance over sessions (linearised, as for a ratio), not from a bootstrap: a thousand times faster, and
`agreement` says how far apart the two are.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate.candidates import KINDS
from streamrec.evaluation.intervals import paired_tests
from streamrec.evaluation.summary import values_at_k

__all__ = ["Pair", "agreement", "pairs", "pass_rates"]

_WINDOWS: Final = 200
_METRICS: Final = ("recall@20", "mrr@20")
Values = NDArray[np.float64]


class Pair(NamedTuple):
    """A candidate and a live version on the large window."""

    kind: str
    candidate: Mapping[str, Values]
    live: Mapping[str, Values]
    sessions: NDArray[np.int64]


def pairs(folder: Path) -> list[Pair]:
    """Every candidate against every version of the kind `equal` but itself."""
    found = {}
    for path in sorted(path for path in folder.glob("*.npz") if ".part" not in path.name):
        with np.load(path) as file:
            values = values_at_k(file["ranks"], [20], ["recall", "mrr"])
            found[path.stem] = ({name: values[name] for name in _METRICS}, file["sessions"])
    return [
        Pair(_kind(candidate), found[candidate][0], found[live][0], found[live][1])
        for candidate, live in permutations(found, 2)
        if _kind(live) == "equal"
    ]


def pass_rates(
    found: Sequence[Pair], sizes: Sequence[int], margins: Sequence[float], confidences: Sequence[float]
) -> Iterator[tuple[str, int, float, float, float]]:
    """Kind, sessions, margin, confidence, and the share of windows on which both metrics pass."""
    rng = np.random.default_rng(0)
    for kind, size in product(KINDS, sizes):
        bounds = [_relative(pair, size, rng) for pair in found if pair.kind == kind for _ in range(_WINDOWS)]
        if not bounds:
            continue
        means, errors = np.array(bounds).transpose(1, 0, 2)
        for margin, confidence in product(margins, confidences):
            low = means - NormalDist().inv_cdf(confidence) * errors
            yield kind, size, margin, confidence, float((low >= -margin).all(axis=1).mean())


def agreement(pair: Pair, size: int, confidence: float) -> float:
    """How far the lower bound of the bootstrap is from the one here, as a share of the live figure."""
    rng = np.random.default_rng(1)
    chosen = rng.permutation(int(pair.sessions.max()) + 1)[:size]
    mask = np.isin(pair.sessions, chosen)
    one, other = ({name: each[mask] for name, each in side.items()} for side in (pair.candidate, pair.live))
    drawn = paired_tests(one, other, pair.sessions[mask], level=2 * confidence - 1)
    means, errors = map(np.array, _relative_of(pair, chosen))
    low = means - NormalDist().inv_cdf(confidence) * errors
    apart = [
        abs(drawn[name].low / other[name].mean() - here) for name, here in zip(_METRICS, low, strict=True)
    ]
    return float(max(apart))


def _relative(pair: Pair, size: int, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    return _relative_of(pair, rng.integers(int(pair.sessions.max()) + 1, size=size))


def _relative_of(pair: Pair, chosen: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Differences and their standard errors on the chosen sessions, as shares of the live figures."""
    clicks = np.bincount(pair.sessions)[chosen]
    means, errors = [], []
    for name in _METRICS:
        sums = np.bincount(pair.sessions, pair.candidate[name] - pair.live[name])[chosen]
        live = np.bincount(pair.sessions, pair.live[name])[chosen].sum() / clicks.sum()
        mean = sums.sum() / clicks.sum()
        error = (sums - mean * clicks).std() / clicks.mean() / np.sqrt(len(chosen))
        means.append(mean / live)
        errors.append(error / live)
    return means, errors


def _kind(name: str) -> str:
    return name.rsplit("-", 1)[0].replace("-", " ")
