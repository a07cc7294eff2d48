"""What the logs of a run say: the hit rate before the drift, after it, and when it was back. Pure."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hits", "RunFigures", "claims", "figures"]

RECOVERED: Final = 0.9
"""Share of the earlier hit rate."""


class Hits(NamedTuple):
    """Judged clicks of all partitions, in the order of time."""

    time_ms: NDArray[np.int64]
    """Kafka's time of the click, shape (n,)."""
    hit: NDArray[np.bool_]
    """Whether the source's own proposals had it, shape (n,)."""


class RunFigures(NamedTuple):
    """Of one run."""

    earlier: float
    """Hit rate of the clicks before the drift, the first window left out: lists that warm up."""
    fallen: float
    """Of the first window after it."""
    best_after: float
    """Highest of all windows after the first."""
    recovered_s: float | None
    """From the drift to the end of the first window that has RECOVERED of `earlier`."""
    curve: list[tuple[float, float]]
    """Seconds from the drift, hit rate of the window that ends there; ten points a window."""


def figures(hits: Hits, drift_ms: int, window: int) -> RunFigures:
    """window: judged clicks. Windows that tell of what is after the drift begin after it."""
    first = int(np.searchsorted(hits.time_ms, drift_ms))
    if first < 2 * window or len(hits.hit) - first < window:
        raise ValueError(
            f"{first:,} judged clicks before the drift, {len(hits.hit) - first:,} after; {2 * window:,} and "
            f"{window:,} are needed: send more of them, or lower the window"
        )
    earlier = float(hits.hit[window:first].mean())
    sums = np.concatenate([[0], np.cumsum(hits.hit)])
    means = (sums[window:] - sums[:-window]) / window  # of the window that begins at n
    after = means[first:]
    ends_s = (hits.time_ms[first + window - 1 :] - drift_ms) / 1000
    enough = np.flatnonzero(after >= RECOVERED * earlier)
    step = max(1, window // 10)
    whole_s = (hits.time_ms[window - 1 :] - drift_ms) / 1000
    return RunFigures(
        earlier,
        float(after[0]),
        float(after.max()),
        float(ends_s[enough[0]]) if len(enough) else None,
        [(float(s), float(mean)) for s, mean in zip(whole_s[::step], means[::step], strict=True)],
    )


def claims(
    retrained: RunFigures, alone: RunFigures, runs: list[dict[str, Any]], drift_ms: int
) -> dict[str, bool]:
    """What has to hold. runs: the outcomes of the training app, in their order."""
    return {
        "the hit rate falls below 70 % with the drift, in both runs": max(
            retrained.fallen / retrained.earlier, alone.fallen / alone.earlier
        )
        < 0.7,
        "no run starts before the drift": all(each["start_ms"] >= drift_ms for each in runs),
        "the drift signal starts a run": any(each["reason"] == "drift" for each in runs),
        "the gate releases its version": any(each["result"] == "released" for each in runs),
        "with retraining the hit rate is back at 90 %": retrained.recovered_s is not None,
        "without, it is not": alone.recovered_s is None,
    }
