"""Whether a version does worse than another, and lists come too late: evidence, not yet a deed.

In: judged clicks and emitted lists with the version that made them, and the roles of the versions. Out: what
to take back and why (decision 017).

A canary is compared with the live version over the same time: visitors are drawn by a hash, so only the
version differs. What is live has only its predecessor's past to be held against, with all that changed
since; its bound is wider and holds for its first clicks alone.

Certainty that stands looking as often as one likes: a mixture sequential probability ratio test on the
difference of the two rates. The clicks of one visitor are alike, so the variance is that between groups of
visitors, not between clicks. Sources: Robbins, "Statistical methods related to the law of the iterated
logarithm", Ann. Math. Statist. 41, 1970; Johari et al., "Always valid inference: continuous monitoring of
A/B tests", Operations Research 70, 2022; ratio estimates of clusters, Cochran, "Sampling techniques", 1977.
"""

import math
from typing import Final, Literal, NamedTuple, TypeVar

import numpy as np
import xxhash

from streamrec.config import GuardSettings
from streamrec.events import ModelRelease
from streamrec.slots import CANARY, LIVE, PREVIOUS, Slots

__all__ = ["Action", "Evidence", "Rates", "Watch", "evidence"]

Value = TypeVar("Value")

_GROUPS: Final = 128
"""Groups of visitors, by hash."""
_LEAST_GROUPS: Final = 30
"""Groups with clicks in them that a variance is estimated from."""
_LEAST_HITS: Final = 50
"""Hits that the reference's rate leads to expect, before rates are taken for normally distributed."""
_SPREAD: Final = 0.05
"""Differences of about this size in the hit rate are found soonest."""
_LEAST_LISTS: Final = 100
"""Lists in a window of time that a p99 is told from."""
_WINDOWS: Final = 16
_VERSIONS: Final = 8


class Rates:
    """Hits and clicks by group of visitors."""

    def __init__(self) -> None:
        self.clicks = np.zeros(_GROUPS)
        self.hits = np.zeros(_GROUPS)

    def add(self, visitor_id: str, hit: bool) -> None:
        """Take a judged click."""
        group = xxhash.xxh3_64_intdigest(visitor_id.encode()) % _GROUPS
        self.clicks[group] += 1
        self.hits[group] += hit

    @property
    def n(self) -> float:
        """Clicks."""
        return float(self.clicks.sum())

    @property
    def rate(self) -> float:
        """Hits per click; NaN without clicks."""
        return float(self.hits.sum() / self.n) if self.n else math.nan

    @property
    def variance(self) -> float:
        """Of `rate`: that of a ratio over groups; infinite for too few of them."""
        n_groups = np.count_nonzero(self.clicks)
        if n_groups < _LEAST_GROUPS:
            return math.inf
        # Never 0: that nobody has hit so far is no certainty.
        least = 0.5 / self.n**2
        residuals = self.hits - self.rate * self.clicks
        return least + float(n_groups / (n_groups - 1) * (residuals**2).sum() / self.n**2)


class _Recent:
    """The rates over the last clicks of a version: between one and two times `n` of them."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._before, self._now = Rates(), Rates()

    def add(self, visitor_id: str, hit: bool) -> None:
        if self._now.n >= self._n:
            self._before, self._now = self._now, Rates()
        self._now.add(visitor_id, hit)

    @property
    def rates(self) -> Rates:
        joined = Rates()
        joined.clicks = self._before.clicks + self._now.clicks
        joined.hits = self._before.hits + self._now.hits
        return joined


class Evidence(NamedTuple):
    """How a version's rate stands to (1 - worse_by) times that of another."""

    difference: float
    odds: float
    """How much better a difference explains what was seen than none does: above 1/p, with a chance below p
    if there is none, ever. 0 before there is enough to tell."""


def evidence(rates: Rates, reference: Rates, worse_by: float, min_clicks: int) -> Evidence:
    """Whether `rates` are worse than `reference` by more than the share `worse_by` of it."""
    share = 1 - worse_by
    if min(rates.n, reference.n) < min_clicks:
        return Evidence(math.nan, 0.0)
    difference = rates.rate - share * reference.rate
    variance = rates.variance + share**2 * reference.variance
    if not math.isfinite(variance) or reference.rate * min(rates.n, reference.n) < _LEAST_HITS:
        return Evidence(difference, 0.0)
    shrunk = _SPREAD**2 / (_SPREAD**2 + variance)
    log_odds = 0.5 * (math.log1p(-shrunk) + shrunk * difference**2 / variance)
    return Evidence(difference, math.exp(min(log_odds, 700.0)))


class _Lateness:
    """Lists of one version that came too late, by window of time."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._windows: dict[int, list[int]] = {}

    def add(self, emit_ms: int, late_ms: int) -> None:
        window = self._windows.setdefault(emit_ms // (1000 * self._settings.window_s), [0, 0])
        window[0] += 1
        window[1] += late_ms > 1000 * self._settings.late_s
        if len(self._windows) > _WINDOWS:
            del self._windows[min(self._windows)]

    def is_late(self, n_windows: int, from_ms: int = 0) -> bool:
        """Whether the p99 of each of the last windows, without the one that goes on, was beyond its bound."""
        first = from_ms // (1000 * self._settings.window_s)
        closed = [self._windows[each] for each in sorted(self._windows) if each >= first][:-1]
        told = [late > 0.01 * n for n, late in closed if n >= _LEAST_LISTS]
        return len(told) >= n_windows and all(told[-n_windows:])


class Action(NamedTuple):
    """What to take back, and why."""

    role: Literal["canary", "live"]
    version: str
    label: str
    """Of metrics.GUARD_REASONS."""
    reason: str


class Watch:
    """Gathers what speaks against the canary and against what is live."""

    def __init__(self, settings: GuardSettings, model: str) -> None:
        self._settings = settings
        self._roles = Slots(model, {})
        self._canary, self._beside, self._live = Rates(), Rates(), Rates()
        self._recent: dict[str, _Recent] = {}
        self._lateness: dict[str, _Lateness] = {}
        self._was_late = {"canary": False, "live": False}

    def roles(self, roles: Slots) -> None:
        """Take the roles as they are now.

        A comparison begins anew when one of its versions, or the share, changes.
        """
        before, self._roles = self._roles, roles
        live_changed = _version(before[LIVE]) != _version(roles[LIVE])
        if live_changed:
            self._live = Rates()
            self._was_late["live"] = self._is_late(before[LIVE], 1)
        if live_changed or _share(before[CANARY]) != _share(roles[CANARY]):
            self._canary, self._beside = Rates(), Rates()
            self._was_late["canary"] = self._is_late(before[LIVE], 1)

    def judged(self, visitor_id: str, version: str, time_ms: int, hit: bool) -> None:
        """Take a click that was held against a list of `version`. time_ms: that of the click."""
        settings, live, canary = self._settings, self._roles[LIVE], self._roles[CANARY]
        recent = self._recent.pop(version, None) or _Recent(settings.live_clicks)
        recent.add(visitor_id, hit)
        _renew(self._recent, version, recent)
        if canary is not None and time_ms >= canary.time:
            if version == canary.version:
                self._canary.add(visitor_id, hit)
            elif version == _version(live):
                self._beside.add(visitor_id, hit)
        if live is not None and version == live.version and self._live.n < settings.live_clicks:
            self._live.add(visitor_id, hit)

    def listed(self, version: str, emit_ms: int, late_ms: int) -> None:
        """Take a list. late_ms: from its interaction's record to its emission."""
        lateness = self._lateness.pop(version, None) or _Lateness(self._settings)
        lateness.add(emit_ms, late_ms)
        _renew(self._lateness, version, lateness)

    def verdict(self) -> Action | None:
        """What is to be taken back. A pinned version is not, nor one that was gone back to."""
        return self._on_canary() or self._on_live()

    def _on_canary(self) -> Action | None:
        canary, settings = self._roles[CANARY], self._settings
        if canary is None:
            return None
        found = evidence(self._canary, self._beside, settings.canary_worse_by, settings.min_clicks)
        if self._convinces(found):
            reason = _told(self._canary, self._beside, "the live version at the same time")
            return Action("canary", canary.version, "canary_hit_rate", reason)
        if not self._was_late["canary"] and self._is_late(canary, settings.late_windows):
            return Action("canary", canary.version, "canary_latency", self._told_late())
        return None

    def _on_live(self) -> Action | None:
        live, previous, settings = self._roles[LIVE], self._roles[PREVIOUS], self._settings
        if live is None or live.pinned or previous is None or self._roles.rolled_back(previous.version):
            return None
        before = self._recent.get(previous.version)
        if before is not None:
            found = evidence(self._live, before.rates, settings.live_worse_by, settings.min_clicks)
            if self._convinces(found):
                reason = _told(self._live, before.rates, f"{previous.version} before it")
                return Action("live", live.version, "live_hit_rate", reason)
        first_clicks = self._live.n < settings.live_clicks
        if first_clicks and not self._was_late["live"] and self._is_late(live, settings.late_windows):
            return Action("live", live.version, "live_latency", self._told_late())
        return None

    def _convinces(self, found: Evidence) -> bool:
        return found.difference < 0 and found.odds >= 1 / self._settings.false_alarms

    def _is_late(self, release: ModelRelease | None, n_windows: int) -> bool:
        lateness = None if release is None else self._lateness.get(release.version)
        return lateness is not None and release is not None and lateness.is_late(n_windows, release.time)

    def _told_late(self) -> str:
        settings = self._settings
        return (
            f"more than 1 % of the lists took over {settings.late_s:g} s in each of "
            f"{settings.late_windows} windows of {settings.window_s} s; before it they did not"
        )


def _told(rates: Rates, reference: Rates, who: str) -> str:
    return (
        f"hit rate {rates.rate:.4f} of {rates.n:.0f} clicks, {who} {reference.rate:.4f} of {reference.n:.0f}"
    )


def _version(release: ModelRelease | None) -> str:
    return "" if release is None else release.version


def _share(release: ModelRelease | None) -> tuple[str, float | None]:
    return ("", None) if release is None else (release.version, release.share)


def _renew(held: dict[str, Value], version: str, value: Value) -> None:
    """Keep what belongs to the versions that were met last."""
    held[version] = value
    if len(held) > _VERSIONS:
        del held[next(iter(held))]
