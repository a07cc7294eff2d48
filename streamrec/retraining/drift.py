"""Whether lists hit the next click less often than they did: a drift signal.

In: what became of each judged click, in the order of its partition. Out: a signal when the mean of the
newer clicks has left that of the older ones, by ADWIN, which chooses the window.

Each partition has a detector of its own: what it says is a function of that partition's logs, however the
partitions are interleaved and however often they are read again.

Source: Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007.
"""

from collections.abc import Collection
from typing import NamedTuple

from river.drift import ADWIN

from streamrec.config import TrainingSettings
from streamrec.evaluation.fading import Verdict
from streamrec.evaluation.lists import BLEND

__all__ = ["DriftWatch", "Signal"]


class Signal(NamedTuple):
    """The hit rate of a partition has changed."""

    partition: int
    time_ms: int
    """Kafka's time of the click that told."""
    before: float
    """Hit rate of the window until it changed."""
    after: float
    """Hit rate of the clicks since then."""
    is_drop: bool
    """Whether it has fallen by as much as asked for. A better model brings a rise."""


class _Detector:
    def __init__(self, delta: float) -> None:
        self.adwin = ADWIN(delta=delta)
        self.clicks = 0
        self.changed: tuple[int, float] | None = None
        """How many clicks there were at the last change that is yet to be told, and the hit rate before the
        first one."""


class DriftWatch:
    """The detectors of this worker's partitions."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        self._detectors: dict[int, _Detector] = {}

    def keep(self, partitions: Collection[int]) -> None:
        """Let go what is known of all other partitions: they are another worker's now."""
        self._detectors = {n: each for n, each in self._detectors.items() if n in partitions}

    def hit_rates(self) -> dict[int, float]:
        """By partition: the hit rate of the window that ADWIN keeps."""
        return {n: float(each.adwin.estimation) for n, each in self._detectors.items() if each.clicks}

    def take(self, partition: int, verdict: Verdict) -> Signal | None:
        """Take the partition's next judged click; a signal if it tells of a change.

        A click for which the source made no list counts as a miss.
        """
        settings = self._settings
        if settings.drift_delta is None:
            return None
        source = settings.drift_source
        rank = verdict.rank if source == BLEND else verdict.own.get(source, 0)
        detector = self._detectors.setdefault(partition, _Detector(settings.drift_delta))
        before = float(detector.adwin.estimation)
        detector.adwin.update(float(0 < rank <= settings.drift_k))
        detector.clicks += 1
        if detector.adwin.drift_detected and detector.clicks >= settings.drift_clicks:
            # What the change came to is known from the clicks after it. One more change meanwhile: they are
            # counted anew, or a run would begin with what was before it.
            detector.changed = detector.clicks, detector.changed[1] if detector.changed else before
        if detector.changed is None or detector.clicks - detector.changed[0] < settings.drift_settle_clicks:
            return None
        (_, level), detector.changed = detector.changed, None
        after = float(detector.adwin.estimation)
        return Signal(partition, verdict.time_ms, level, after, after <= (1 - settings.drift_drop) * level)
