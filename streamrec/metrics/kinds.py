"""Kinds of metrics, all in one registry."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["REGISTRY", "AssignedGauge", "assigned", "counter", "gauge", "histogram", "total"]

REGISTRY: Final = CollectorRegistry(auto_describe=True)

# Without this each counter and histogram shows a second series with the time it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]


class AssignedGauge(Collector):
    """A gauge whose values are asked for at every scrape, by partition or by model version.

    Only what `source` names now is shown: a partition that moved to another worker leaves no
    last value behind, which would read as lag that never shrinks, nor does a version that is gone.
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._source: Callable[[], Mapping[tuple[str, ...], float]] | None = None
        registry.register(self)

    def read_from(self, source: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        """Take values from `source`: label values, in the order of the labels, -> value."""
        self._source = source

    def describe(self) -> Iterable[Metric]:
        """The family without values."""
        return [GaugeMetricFamily(self._name, self._documentation, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        """The family with a value for each partition that is here now."""
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, value in sorted((self._source() if self._source else {}).items()):
            family.add_metric(labels, value)
        return [family]


def counter(name: str, documentation: str, **known: Iterable[str]) -> Counter:
    """A counter; with one label of known values, each starts at 0."""
    counter = Counter(f"streamrec_{name}", documentation, tuple(known), registry=REGISTRY)
    for values in known.values():
        for value in values:
            counter.labels(value)
    return counter


def histogram(name: str, documentation: str, buckets: Sequence[float], *labels: str) -> Histogram:
    return Histogram(f"streamrec_{name}", documentation, labels, buckets=buckets, registry=REGISTRY)


def gauge(name: str, documentation: str, *labels: str) -> Gauge:
    return Gauge(f"streamrec_{name}", documentation, labels, registry=REGISTRY)


def assigned(name: str, documentation: str, *labels: str) -> AssignedGauge:
    return AssignedGauge(f"streamrec_{name}", documentation, labels, REGISTRY)


def total(counter: Counter) -> float:
    """Sum of a counter over all its labels."""
    return sum(sample.value for metric in counter.collect() for sample in metric.samples)
