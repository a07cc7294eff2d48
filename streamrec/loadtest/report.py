"""The figures of a load test: percentiles in an HDR histogram, their files, and what is wrong with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigError

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

__all__ = ["Latencies", "Outcome", "Report", "histogram", "latencies", "need_hdrhistogram"]

_LONGEST_US: Final = 3_600_000_000
_DIGITS: Final = 3
_MS: Final = 1000.0
"""Microseconds."""
_PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)
_BEHIND_MS: Final = 50.0
"""A generator that is further behind wants the CPU that it does not get."""


class Latencies(msgspec.Struct, frozen=True):
    """Percentiles in ms, to three digits; NaN of nothing (null in JSON)."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a load test came to. Latencies are those of the clicks after the warm-up, counts those of all."""

    per_s: float
    """Clicks a second that were asked for."""
    reached_per_s: float
    seconds: float
    warm_up_s: float
    visitors: int
    """At once."""
    arrivals: str
    published: int
    acknowledged: int
    answered: int
    missing: int
    doubled: int
    measured: int
    """Lists that freshness stands on."""
    freshness: Latencies
    """From when a click was due to the arrival of its list."""
    acknowledgement: Latencies
    """From the publication of a click to Kafka's acknowledgement."""
    behind: Latencies
    """From when a click was due to its publication: the generator's own part of the freshness."""
    stopped: bool
    """Whether it was ended before its time; what was on its way then counts as missing."""

    def warning(self) -> str | None:
        """What to say of a generator that was behind; None if it kept up."""
        if not self.behind.max_ms > _BEHIND_MS:
            return None
        return (
            f"the generator was up to {self.behind.max_ms:,.0f} ms behind, p99 {self.behind.p99_ms:,.0f} ms, "
            "which is part of the freshness; give it a core of its own, or lower the rate"
        )

    def faults(self, max_p99_ms: float | None) -> list[str]:
        """What is wrong; empty if nothing is."""
        found = []
        if self.missing and not self.stopped:
            found.append(
                f"{self.missing:,} of {self.published:,} clicks have no list; `streamrec doctor` looks at "
                "the workers and their lag, --patience-seconds waits longer"
            )
        if max_p99_ms is not None and not self.measured:
            found.append("no list was measured, so there is no p99 of freshness")
        elif max_p99_ms is not None and self.freshness.p99_ms > max_p99_ms:
            found.append(f"p99 of freshness is {self.freshness.p99_ms:,.1f} ms, {max_p99_ms:g} are allowed")
        return found


class Outcome(NamedTuple):
    """A report, and the histogram that its freshness is from, in µs."""

    report: Report
    freshness: "HdrHistogram"

    def write(self, folder: Path) -> None:
        """Write report.json and freshness.hgrm, percentiles in ms as HdrHistogram's plotter reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(self.report), indent=1)
        (folder / "report.json").write_bytes(text + b"\n")
        with (folder / "freshness.hgrm").open("wb") as file:
            self.freshness.output_percentile_distribution(file, _MS)


def histogram(seconds: NDArray[np.float64]) -> "HdrHistogram":
    """An HDR histogram of latencies, in µs; what is over an hour counts as one."""
    from hdrh.histogram import HdrHistogram

    found = HdrHistogram(1, _LONGEST_US, _DIGITS)
    microseconds = np.clip(np.rint(seconds * 1e6), 0, _LONGEST_US).astype(np.int64)
    for value, count in zip(*np.unique(microseconds, return_counts=True), strict=True):
        found.record_value(int(value), int(count))
    return found


def latencies(of: "HdrHistogram") -> Latencies:
    """The percentiles of a histogram."""
    values = [float("nan")] * (len(_PERCENTILES) + 1)
    if of.get_total_count():
        found = of.get_percentile_to_value_dict(list(_PERCENTILES))
        values = [*(found[each] / _MS for each in _PERCENTILES), of.get_max_value() / _MS]
    return Latencies(*values)


def need_hdrhistogram() -> None:
    """Raises ConfigError if it is not installed."""
    try:
        import hdrh  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'a load test needs {error.name}, which is not installed; pip install "streamrec[loadtest]"'
        ) from None
