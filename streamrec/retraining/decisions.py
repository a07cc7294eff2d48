"""When a run is due. Pure: knows the time only by being told."""

from typing import Literal

from streamrec.config import TrainingSettings
from streamrec.retraining.schedule import Schedule

__all__ = ["Reason", "RunDesk"]

Reason = Literal["schedule", "drift", "hand"]


class RunDesk:
    """Decides whether a run is due, and why.

    last_start_ms: start of the last run there was, whatever became of it; the present where there was none.
    What was due while nobody was here is made up for by one run.
    """

    def __init__(self, settings: TrainingSettings, last_start_ms: int) -> None:
        self._settings = settings
        self._schedule = Schedule(settings.schedule) if settings.schedule else None
        self._last_ms = last_start_ms
        self._drift_ms: int | None = None

    def on_drop(self, time_ms: int) -> None:
        """The live hit rate has fallen; time_ms: that of the click that told."""
        # A drop from before the last run began is what that one learned from.
        if time_ms > self._last_ms:
            self._drift_ms = max(time_ms, self._drift_ms or 0)

    def on_start(self, time_ms: int) -> None:
        """A run began then, here or elsewhere: what was known by that time is what it learns from."""
        self._last_ms = max(self._last_ms, time_ms)
        if self._drift_ms is not None and self._drift_ms <= self._last_ms:
            self._drift_ms = None

    @property
    def next_ms(self) -> int | None:
        """When the schedule is due; None without one."""
        return None if self._schedule is None else self._schedule.next_after(self._last_ms)

    def due(self, now_ms: int) -> Reason | None:
        """Why a run is due now; None if none is."""
        if self._schedule is not None and self._schedule.next_after(self._last_ms) <= now_ms:
            return "schedule"
        cool = now_ms >= self._last_ms + self._settings.cool_down_s * 1000
        return "drift" if self._drift_ms is not None and cool else None
