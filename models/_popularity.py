"""How often items occur, where what is long ago counts less, learned whole or as a stream."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from streamrec.models._growing import Growing

__all__ = ["DecayedCounts"]

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


class DecayedCounts:
    """Counts by dense index, in which an occurrence loses half its weight in every half-life.

    Kept as of each one's own last occurrence, where a count is 1 or more however long ago that was.
    """

    def __init__(self, half_life_s: float | None, counts: Numbers, last_ms: Numbers) -> None:
        self._half_life_ms = np.inf if half_life_s is None else half_life_s * 1000.0
        self._counts, self._last_ms = Growing(counts), Growing(last_ms)

    @classmethod
    def of(cls, half_life_s: float | None, places: Indices, time_ms: Indices, n: int) -> Self:
        """Counts of n. places: (m,) what occurred. half_life_s: None if all count alike."""
        last_ms = np.full(n, -np.inf)
        np.maximum.at(last_ms, places, time_ms.astype(np.float64))
        # What did not occur has a count of 0 as of any time, but no arithmetic is done with infinities.
        last_ms[np.isneginf(last_ms)] = 0.0
        self = cls(half_life_s, np.empty(0), last_ms)
        weights = np.exp2((time_ms - last_ms[places]) / self._half_life_ms)
        self._counts = Growing(np.bincount(places, weights, minlength=n).astype(np.float64))
        return self

    def __len__(self) -> int:
        return len(self._counts.values)

    def add(self, place: int, time_ms: int) -> None:
        """One more occurrence, of a known index or of the next; late ones count by their age."""
        if place == len(self):
            self._counts.append(1.0)
            self._last_ms.append(float(time_ms))
            return
        since = (time_ms - self._last_ms.values[place]) / self._half_life_ms
        if since >= 0:
            self._counts.values[place] = self._counts.values[place] * np.exp2(-since) + 1.0
            self._last_ms.values[place] = time_ms
        else:
            self._counts.values[place] += np.exp2(since)

    def at(self, now_ms: float) -> Numbers:
        """Counts as of a time after all occurrences, (n,); 0 where they are too small to tell."""
        counts: Numbers = self._counts.values * np.exp2((self._last_ms.values - now_ms) / self._half_life_ms)
        return counts

    def log2_at(self, now_ms: float) -> Numbers:
        """The logarithms of what `at` gives, (n,), which tell apart what is too small there."""
        logs: Numbers = np.log2(self._counts.values) + (self._last_ms.values - now_ms) / self._half_life_ms
        return logs

    def newest_ms(self) -> float:
        """The time of the last occurrence of all; 0 if there is none."""
        return float(self._last_ms.values.max()) if len(self) else 0.0

    def arrays(self, name: str) -> Mapping[str, NDArray[Any]]:
        """What to save."""
        return {f"{name}_counts": self._counts.values, f"{name}_last_ms": self._last_ms.values}

    @classmethod
    def saved(cls, half_life_s: float | None, name: str, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` gave."""
        return cls(half_life_s, arrays[f"{name}_counts"], arrays[f"{name}_last_ms"])
