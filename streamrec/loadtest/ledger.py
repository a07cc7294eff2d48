"""What became of each click of a load test. Pure: no clock, no Kafka.

All moments are seconds of one clock. Latencies run from when a click was due, not from when it was
sent: were a late generator, or an answerer that stands still, to move the clicks behind it, the waiting
of those would be left out (coordinated omission; Gil Tene, "How NOT to Measure Latency", 2013).
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ledger"]

_Seconds = NDArray[np.float64]


class Ledger:
    """Clicks by their place. Moments that have not come are NaN.

    due_s: when each is due, in order, shape (n_clicks,). warm_up: how many of the first are counted, but
    not measured.
    """

    def __init__(self, due_s: _Seconds, warm_up: int) -> None:
        self.due_s = due_s
        self.begun = 0
        """How many were handed to the client."""
        self.acknowledged = 0
        self.answered = 0
        self.doubled = 0
        """Lists beyond the first for a click."""
        self._measured = slice(warm_up, None)
        self._published_s, self._acknowledged_s, self._answered_s = np.full((3, len(due_s)), np.nan)

    def __len__(self) -> int:
        return len(self.due_s)

    def on_acknowledged(self, place: int, published_s: float, now_s: float) -> None:
        """Kafka has acknowledged a click that was handed to the client at `published_s`."""
        self.acknowledged += 1
        self._published_s[place] = published_s
        self._acknowledged_s[place] = now_s

    def on_list(self, place: int, now_s: float) -> None:
        """A list for a click has arrived."""
        if not np.isnan(self._answered_s[place]):
            self.doubled += 1
            return
        self.answered += 1
        self._answered_s[place] = now_s

    @property
    def missing(self) -> int:
        """Clicks that were published and have no list."""
        return self.begun - self.answered

    def freshness_s(self) -> _Seconds:
        """From when a measured click was due to the arrival of its list; of those that have one."""
        return _known(self._answered_s - self.due_s, self._measured)

    def acknowledgement_s(self) -> _Seconds:
        """From the publication of a measured click to its acknowledgement."""
        return _known(self._acknowledged_s - self._published_s, self._measured)

    def behind_s(self) -> _Seconds:
        """From when a measured click was due to its publication."""
        return _known(self._published_s - self.due_s, self._measured)

    def reached_per_s(self) -> float:
        """Measured clicks published a second; NaN for fewer than two, or all at once."""
        published_s = _known(self._published_s, self._measured)
        span_s = float(np.ptp(published_s)) if len(published_s) > 1 else 0.0
        return (len(published_s) - 1) / span_s if span_s > 0 else float("nan")


def _known(values: _Seconds, measured: slice) -> _Seconds:
    found = values[measured]
    return found[~np.isnan(found)]
