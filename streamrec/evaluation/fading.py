"""Fading averages of recall, MRR and NDCG at k over judged clicks.

In: what became of each judged click, in order. Out: figures by model version and source. The
nth judged click from the end weighs f ** (n - 1) with f = 1 - 1 / window, so that all weights
together come near `window`. Source: Gama, Sebastião and Rodrigues, "On evaluating stream
learning algorithms", Machine Learning 90, 2013: S_i = x_i + f S_{i-1}, N_i = 1 + f N_{i-1}, S / N.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.config import EvaluationSettings
from streamrec.evaluation.metrics import mrr_at_k, ndcg_at_k, recall_at_k

__all__ = ["ALL", "BLEND", "NO_VERSION", "FadingSums", "Figures", "Verdict", "figures"]

ALL: Final = "all"
"""Stands for the lists of all versions."""
NO_VERSION: Final = "none"
"""Stands for lists made without a session model."""
BLEND: Final = "blend"
"""Stands for the list itself, as the source."""

_METRICS: Final = (recall_at_k, mrr_at_k, ndcg_at_k)


class Verdict(NamedTuple):
    """Where a clicked item stood in the list made before. Ranks are 1-based, 0 if it was not there."""

    version: str
    """The model version that the list was made with; empty without one."""
    time_ms: int
    """Kafka's time of the click."""
    rank: int
    lead: str | None
    """The source that contributed most to its place; None if it was not there."""
    leads: Collection[str]
    """The sources that contributed most to some place."""
    own: Mapping[str, int]
    """Its rank among each source's own proposals, as far as the list tells them."""


class Figures(NamedTuple):
    """The averages. Keys are k, source and version; recall is the hit rate: one item is relevant."""

    recall: dict[tuple[str, ...], float]
    """Of the list (BLEND) and of the sources' own proposals, as are MRR and NDCG."""
    mrr: dict[tuple[str, ...], float]
    ndcg: dict[tuple[str, ...], float]
    led_recall: dict[tuple[str, ...], float]
    """The part of the list's recall that is due to places led by a source. Adds up to it."""
    clicks: dict[tuple[str, ...], float]
    """By source and version: the weight of the judged clicks that these stand on."""


class _Fading:
    """Sums over clicks that weigh the less the longer ago they were judged."""

    __slots__ = ("clicks", "gains")

    def __init__(self, nothing: NDArray[np.float64]) -> None:
        self.clicks = 0.0
        self.gains = nothing  # (metrics, cutoffs)

    def add(self, gains: NDArray[np.float64], factor: float) -> None:
        self.clicks = 1.0 + factor * self.clicks
        self.gains = gains + factor * self.gains

    def join(self, other: "_Fading") -> None:
        self.clicks += other.clicks
        self.gains = self.gains + other.gains


class _Version:
    """The sums of one version."""

    def __init__(self, nothing: NDArray[np.float64]) -> None:
        self.time_ms = 0
        self.whole = _Fading(nothing)
        self.led: dict[str, _Fading] = {}
        self.own: dict[str, _Fading] = {}
        self._nothing = nothing

    def add(self, verdict: Verdict, gains: NDArray[np.float64], factor: float) -> None:
        """gains: by rank, (ranks, metrics, cutoffs), as far as ranks count."""
        self.time_ms = max(self.time_ms, verdict.time_ms)
        gained = _at(gains, verdict.rank)
        self.whole.add(gained, factor)
        for source in verdict.leads:
            if source not in self.led:
                self.led[source] = _Fading(self._nothing)
        for source, fading in self.led.items():
            fading.add(gained if source == verdict.lead else self._nothing, factor)
        for source, rank in verdict.own.items():
            if source not in self.own:
                self.own[source] = _Fading(self._nothing)
            self.own[source].add(_at(gains, rank), factor)

    def join(self, other: "_Version") -> None:
        """Add the sums of another partition."""
        self.time_ms = max(self.time_ms, other.time_ms)
        self.whole.join(other.whole)
        for mine, theirs in ((self.led, other.led), (self.own, other.own)):
            for source, fading in theirs.items():
                mine.setdefault(source, _Fading(self._nothing)).join(fading)


class FadingSums:
    """The sums of one partition, over all versions and for those judged last."""

    def __init__(self, settings: EvaluationSettings) -> None:
        self.versions: dict[str, _Version] = {}
        """Those judged longest ago first."""
        self._settings = settings
        self._factor = 1.0 - 1.0 / settings.window
        self._gains = _gains(settings.cutoffs)

    def add(self, verdict: Verdict) -> None:
        """Take the next judged click."""
        for name in (ALL, verdict.version or NO_VERSION):
            version = self.versions.pop(name, None) or _Version(self._gains[0])
            version.add(verdict, self._gains, self._factor)
            self.versions[name] = version
        if len(self.versions) > 1 + self._settings.releases:
            del self.versions[next(name for name in self.versions if name != ALL)]


def figures(parts: Iterable[FadingSums], settings: EvaluationSettings) -> Figures:
    """The averages over partitions, each click with the weight that it has in its own.

    Besides ALL, of the `settings.releases` versions whose clicks are the newest.
    """
    nothing = np.zeros((len(_METRICS), len(settings.cutoffs)))
    joined: dict[str, _Version] = {}
    for part in parts:
        for name, version in part.versions.items():
            joined.setdefault(name, _Version(nothing)).join(version)
    newest = sorted(joined, key=lambda name: (name == ALL, joined[name].time_ms, name), reverse=True)
    found = Figures({}, {}, {}, {}, {})
    for name in newest[: 1 + settings.releases]:
        version = joined[name]
        for source, fading in {BLEND: version.whole, **version.own}.items():
            found.clicks[source, name] = fading.clicks
            for values, row in zip((found.recall, found.mrr, found.ndcg), fading.gains, strict=True):
                values.update(_shares(row, fading.clicks, settings.cutoffs, source, name))
        for source, fading in version.led.items():
            # Clicks from before it led anything count too.
            row, clicks = fading.gains[0], version.whole.clicks
            found.led_recall.update(_shares(row, clicks, settings.cutoffs, source, name))
    return found


def _shares(
    row: NDArray[np.float64], clicks: float, cutoffs: tuple[int, ...], source: str, version: str
) -> Iterator[tuple[tuple[str, ...], float]]:
    for k, gained in zip(cutoffs, row.tolist(), strict=True):
        yield (str(k), source, version), gained / clicks


def _gains(cutoffs: tuple[int, ...]) -> NDArray[np.float64]:
    """What a rank is worth, (ranks, metrics, cutoffs): the metrics of a single click."""
    ranks = np.arange(max(cutoffs) + 1, dtype=np.float64)
    ranks[0] = np.inf
    return np.stack([[metric(ranks, k) for k in cutoffs] for metric in _METRICS]).transpose(2, 0, 1)


def _at(gains: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = gains[rank if rank < len(gains) else 0]
    return found
