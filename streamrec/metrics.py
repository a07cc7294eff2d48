"""Every metric of every app, declared once.

In: nothing. Out: `REGISTRY`, which the operators' page /metrics shows, and one object per
metric. Names carry the prefix `streamrec_` and base units; counters end in `_total`; labels
never hold a visitor, a session, an item or any text that a client chose freely. Labels whose
values are known ahead start at 0, so that the first failure already counts as an increase.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamrec import __version__
from streamrec.config import SESSION_SOURCES

__all__ = [
    "DEAD_LETTER_REASONS",
    "EVICTION_REASONS",
    "IGNORED_LISTS",
    "REGISTRY",
    "SOURCES",
    "SWAP_RESULTS",
    "AssignedGauge",
    "append_bytes",
    "batch_size",
    "clock_ahead",
    "consumer_lag",
    "dead_letters",
    "event_age",
    "events",
    "freshness",
    "input_gaps",
    "model_info",
    "model_loaded_timestamp",
    "model_swaps",
    "online_forgotten",
    "online_ignored_lists",
    "online_judged",
    "online_led_recall",
    "online_mrr",
    "online_ndcg",
    "online_no_list",
    "online_recall",
    "online_window_clicks",
    "recommendations",
    "recommendations_clicked",
    "recommended_positions",
    "recovery_remaining",
    "recovery_seconds",
    "replayed_events",
    "reread_records",
    "stage_seconds",
    "standby_remaining",
    "state_bytes",
    "state_entries",
    "state_evictions",
    "total",
]

REGISTRY: Final = CollectorRegistry(auto_describe=True)

# Without this each counter and histogram shows a second series with the time it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]

DEAD_LETTER_REASONS: Final = (
    "null_value",
    "no_key",
    "oversized",
    "undecodable",
    "invalid",
    "wrong_key",
    "wrong_partition",
    "unknown_type",
    "future",
    "late",
    "model_failed",
)
EVICTION_REASONS: Final = ("visitor_ttl", "visitor_bound", "item_bound")
IGNORED_LISTS: Final = ("repeated", "late", "unasked", "undecodable")
SWAP_RESULTS: Final = ("swapped", "refused", "untrusted", "undecodable")
SOURCES: Final = ("gru4rec", "online_mf", "popularity", *SESSION_SOURCES, "catalogue")

_FRESHNESS_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.4),
    *(0.6, 0.8, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 60.0),
)
_STAGE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Up to the days that a replay of history brings.
_AGE_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0, 86_400.0)
_RECOVERY_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_APPEND_BUCKETS_BYTES = tuple(4.0**power for power in range(4, 13))  # 256 B to 16 MiB


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


def _counter(name: str, documentation: str, **known: Iterable[str]) -> Counter:
    """A counter; with one label of known values, each starts at 0."""
    counter = Counter(f"streamrec_{name}", documentation, tuple(known), registry=REGISTRY)
    for values in known.values():
        for value in values:
            counter.labels(value)
    return counter


def _histogram(name: str, documentation: str, buckets: Sequence[float], *labels: str) -> Histogram:
    return Histogram(f"streamrec_{name}", documentation, labels, buckets=buckets, registry=REGISTRY)


def _gauge(name: str, documentation: str, *labels: str) -> Gauge:
    return Gauge(f"streamrec_{name}", documentation, labels, registry=REGISTRY)


def _assigned(name: str, documentation: str, *labels: str) -> AssignedGauge:
    return AssignedGauge(f"streamrec_{name}", documentation, labels, REGISTRY)


# Input
events = Counter(
    "streamrec_events",
    "Interactions read, by type (unknown if refused) and outcome: accepted, repeat or rejected.",
    ("type", "outcome"),
    registry=REGISTRY,
)
dead_letters = _counter(
    "dlq", "Interactions refused and put on the dead letters, by reason.", reason=DEAD_LETTER_REASONS
)
event_age = _histogram(
    "event_age_seconds",
    "Age of the newest interaction of a batch once it is in the state, from its event time.",
    _AGE_BUCKETS_S,
)
input_gaps = _counter("input_gaps", "Input offsets that were gone when sought again; their events are lost.")
replayed_events = _counter("replayed_events", "Interactions read again after a restart and skipped.")
reread_records = _counter(
    "reread_records",
    "Records read outside the stream: gaps, item rows at a start, takeovers of partitions, and the "
    "interactions that evaluation judges lists by.",
)
consumer_lag = _assigned(
    "consumer_lag",
    "Records between the end of an assigned partition and what has been processed of it.",
    "topic",
    "partition",
)

# Work
batch_size = _histogram("batch_size", "Records in one batch of one partition.", _BATCH_BUCKETS, "app")
stage_seconds = _histogram("stage_seconds", "Time of one batch in one stage.", _STAGE_BUCKETS_S, "stage")
append_bytes = _histogram(
    "append_bytes", "Size of one append to visitor-states: rows and watermark.", _APPEND_BUCKETS_BYTES
)

# State
state_entries = _assigned("state_entries", "Visitors and items held, by partition.", "kind", "partition")
state_bytes = _assigned("state_bytes", "Keys and values of the rows held, by partition.", "partition")
clock_ahead = _assigned(
    "clock_ahead_seconds",
    "By how much the newest event time of a partition is ahead of the worker's clock.",
    "partition",
)
state_evictions = _counter(
    "state_evictions", "Visitors and items forgotten, by reason.", reason=EVICTION_REASONS
)
recovery_seconds = _histogram(
    "recovery_seconds",
    "Time to rebuild a partition's state from its rows.",
    _RECOVERY_BUCKETS_S,
)
recovery_remaining = _assigned(
    "recovery_remaining", "Rows of visitor-states still to be read before a partition can go on.", "partition"
)
standby_remaining = _assigned(
    "standby_remaining",
    "Rows of visitor-states still to be read before this worker can take a partition over at once.",
    "partition",
)

# Models
model_info = _gauge("model_info", "The model version that serves now; always 1.", "model", "version")
model_loaded_timestamp = _gauge(
    "model_loaded_timestamp_seconds", "When the serving model version was swapped in, since 1970."
)
model_swaps = _counter(
    "model_swaps", "Releases that were announced, by what came of them.", result=SWAP_RESULTS
)

# Output
freshness = _histogram(
    "freshness_seconds",
    "From Kafka's timestamp of an interaction to the emission of its recommendations.",
    _FRESHNESS_BUCKETS_S,
)
recommendations = _counter("recommendations", "Lists of recommendations emitted.")
recommended_positions = _counter(
    "recommended_positions",
    "Positions in the emitted lists, by the source that contributed most.",
    source=SOURCES,
)
recommendations_clicked = _counter(
    "recommendations_clicked", "Interactions that name the list that caused them."
)

# Quality
_ONLINE = "of the list (blend) and of each source's own proposals, at k, by model version; clicks fade."
online_recall = _assigned(
    "online_recall", f"Share of clicks whose item was recommended before: {_ONLINE}", "k", "source", "version"
)
online_mrr = _assigned("online_mrr", f"Mean reciprocal rank {_ONLINE}", "k", "source", "version")
online_ndcg = _assigned(
    "online_ndcg", f"Normalised discounted cumulative gain {_ONLINE}", "k", "source", "version"
)
online_led_recall = _assigned(
    "online_led_recall",
    "The part of the list's recall at k that is due to places led by a source, by model version.",
    "k",
    "source",
    "version",
)
online_window_clicks = _assigned(
    "online_window_clicks",
    "Judged clicks that the averages stand on, each with the weight it still has.",
    "source",
    "version",
)
online_judged = _counter("online_judged", "Clicks held against the list made for the click before.")
online_no_list = _counter("online_no_list", "Clicks for whose session there was no list in time.")
online_ignored_lists = _counter(
    "online_ignored_lists", "Lists that judged nothing, by reason.", reason=IGNORED_LISTS
)
online_forgotten = _counter(
    "online_forgotten", "Visitors whose last list was given up for lack of room before they clicked again."
)

_build_info = _gauge("build_info", "The version that runs; always 1.", "version")
_build_info.labels(__version__).set(1)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


def total(counter: Counter) -> float:
    """Sum of a counter over all its labels."""
    return sum(sample.value for metric in counter.collect() for sample in metric.samples)
