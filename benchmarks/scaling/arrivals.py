"""When clicks arrive, by partition: many visitors, some busier than others; fuller hours and minutes.

Pure, and the same in every call with the same seed.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Peak", "arrivals", "day_factors", "fullest_share", "partition_weights"]

Seconds = NDArray[np.float64]

_BUSIEST: Final = 1_000_000
"""Visitors that are put into partitions one by one; of the others each is too quiet to matter."""


class Peak(NamedTuple):
    """A time in which clicks come `factor` times as fast."""

    at_s: float
    seconds: float
    factor: float


def partition_weights(
    n_visitors: int, exponent: float, n_partitions: int, seed: int = 0
) -> NDArray[np.float64]:
    """Shares of the clicks that partitions get, summing to 1, shape (n_partitions,).

    The visitor of rank r clicks in proportion to r**-exponent (Zipf; 0: all alike), and is in a partition by
    hash, thus at random. Raises ValueError for exponents outside [0, 1).
    """
    if not 0 <= exponent < 1:
        raise ValueError(
            f"an exponent of {exponent} is outside [0, 1): from 1 on few visitors make most clicks"
        )
    busiest = min(n_visitors, _BUSIEST)
    clicks = np.arange(1, busiest + 1, dtype=np.float64) ** -exponent
    place = np.random.default_rng(seed).integers(0, n_partitions, busiest)
    weights = np.bincount(place, clicks, n_partitions)
    # The sum over the ranks behind, by its integral.
    rest = ((n_visitors + 0.5) ** (1 - exponent) - (busiest + 0.5) ** (1 - exponent)) / (1 - exponent)
    found: NDArray[np.float64] = (weights + rest / n_partitions) / (weights.sum() + rest)
    return found


def fullest_share(weights: NDArray[np.float64], n_workers: int) -> NDArray[np.float64]:
    """Weights of the partitions of the worker that has the most to do, partitions dealt in turn."""
    shares = [weights[first::n_workers] for first in range(n_workers)]
    return max(shares, key=lambda each: float(each.sum()))


def arrivals(
    rates_per_s: NDArray[np.float64], seconds: float, peak: Peak | None = None, seed: int = 0
) -> list[Seconds]:
    """Times of clicks, sorted, by partition: Poisson processes, of these rates outside the peak."""
    draw = np.random.default_rng(seed)
    spans = [(0.0, seconds, 1.0)]
    if peak is not None:
        end_s = min(seconds, peak.at_s + peak.seconds)
        spans = [(0.0, peak.at_s, 1.0), (peak.at_s, end_s, peak.factor), (end_s, seconds, 1.0)]
    found = []
    for rate in rates_per_s:
        parts = [
            # Given their number, the arrivals of a Poisson process are spread evenly at random.
            np.sort(draw.uniform(start_s, stop_s, draw.poisson(rate * factor * (stop_s - start_s))))
            for start_s, stop_s, factor in spans
        ]
        found.append(np.concatenate(parts))
    return found


def day_factors(peak_to_mean: float) -> NDArray[np.float64]:
    """Traffic by hour in parts of the fullest one's, shape (24,): a sine, least at 6, most at 18 o'clock.

    peak_to_mean: the fullest hour's beside the day's mean, from 1 to 2. Raises ValueError outside.
    """
    if not 1 <= peak_to_mean <= 2:
        raise ValueError(f"a peak of {peak_to_mean} times the mean: a sine has 1 to 2")
    swing = peak_to_mean - 1
    hours = np.arange(24)
    found: NDArray[np.float64] = (1 - swing * np.sin(hours / 24 * 2 * math.pi)) / peak_to_mean
    return found
