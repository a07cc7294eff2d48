"""What happens to a click: from the input to the list, and how good the list was."""

from typing import Final

from prometheus_client import Counter

from streamrec.config import SESSION_SOURCES
from streamrec.metrics.kinds import REGISTRY, assigned, counter, histogram

__all__ = [
    "DEAD_LETTER_REASONS",
    "EVICTION_REASONS",
    "IGNORED_LISTS",
    "SOURCES",
    "append_bytes",
    "batch_size",
    "clock_ahead",
    "consumer_lag",
    "dead_letters",
    "event_age",
    "events",
    "freshness",
    "input_gaps",
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
]

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
IGNORED_LISTS: Final = ("repeated", "late", "unasked", "undecodable", "interleaved")
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

# Input
events = Counter(
    "streamrec_events",
    "Interactions read, by type (unknown if refused) and outcome: accepted, repeat or rejected.",
    ("type", "outcome"),
    registry=REGISTRY,
)
dead_letters = counter(
    "dlq", "Interactions refused and put on the dead letters, by reason.", reason=DEAD_LETTER_REASONS
)
event_age = histogram(
    "event_age_seconds",
    "Age of the newest interaction of a batch once it is in the state, from its event time.",
    _AGE_BUCKETS_S,
)
input_gaps = counter("input_gaps", "Input offsets that were gone when sought again; their events are lost.")
replayed_events = counter("replayed_events", "Interactions read again after a restart and skipped.")
reread_records = counter(
    "reread_records",
    "Records read outside the stream: gaps, item rows at a start, takeovers of partitions, and the "
    "interactions that evaluation judges lists by.",
)
consumer_lag = assigned(
    "consumer_lag",
    "Records between the end of an assigned partition and what has been processed of it.",
    "topic",
    "partition",
)

# Work
batch_size = histogram("batch_size", "Records in one batch of one partition.", _BATCH_BUCKETS, "app")
stage_seconds = histogram(
    "stage_seconds",
    "Time of one batch in one stage; append and emit wait for Kafka while other batches are in work.",
    _STAGE_BUCKETS_S,
    "stage",
)
append_bytes = histogram(
    "append_bytes", "Size of one append to visitor-states: rows and watermark.", _APPEND_BUCKETS_BYTES
)

# State
state_entries = assigned("state_entries", "Visitors and items held, by partition.", "kind", "partition")
state_bytes = assigned("state_bytes", "Keys and values of the rows held, by partition.", "partition")
clock_ahead = assigned(
    "clock_ahead_seconds",
    "By how much the newest event time of a partition is ahead of the worker's clock.",
    "partition",
)
state_evictions = counter(
    "state_evictions", "Visitors and items forgotten, by reason.", reason=EVICTION_REASONS
)
recovery_seconds = histogram(
    "recovery_seconds",
    "Time to rebuild a partition's state from its rows.",
    _RECOVERY_BUCKETS_S,
)
recovery_remaining = assigned(
    "recovery_remaining", "Rows of visitor-states still to be read before a partition can go on.", "partition"
)
standby_remaining = assigned(
    "standby_remaining",
    "Rows of visitor-states still to be read before this worker can take a partition over at once.",
    "partition",
)

# Output
freshness = histogram(
    "freshness_seconds",
    "From Kafka's timestamp of an interaction to the emission of its recommendations.",
    _FRESHNESS_BUCKETS_S,
)
recommendations = counter("recommendations", "Lists of recommendations emitted.")
recommended_positions = counter(
    "recommended_positions",
    "Positions in the emitted lists, by the source that contributed most.",
    source=SOURCES,
)
recommendations_clicked = counter(
    "recommendations_clicked", "Interactions that name the list that caused them."
)

# Quality
_ONLINE = "of the list (blend) and of each source's own proposals, at k, by model version; clicks fade."
online_recall = assigned(
    "online_recall", f"Share of clicks whose item was recommended before: {_ONLINE}", "k", "source", "version"
)
online_mrr = assigned("online_mrr", f"Mean reciprocal rank {_ONLINE}", "k", "source", "version")
online_ndcg = assigned(
    "online_ndcg", f"Normalised discounted cumulative gain {_ONLINE}", "k", "source", "version"
)
online_led_recall = assigned(
    "online_led_recall",
    "The part of the list's recall at k that is due to places led by a source, by model version.",
    "k",
    "source",
    "version",
)
online_window_clicks = assigned(
    "online_window_clicks",
    "Judged clicks that the averages stand on, each with the weight it still has.",
    "source",
    "version",
)
online_judged = counter("online_judged", "Clicks held against the list made for the click before.")
online_no_list = counter("online_no_list", "Clicks for whose session there was no list in time.")
online_ignored_lists = counter(
    "online_ignored_lists", "Lists that judged nothing, by reason.", reason=IGNORED_LISTS
)
online_forgotten = counter(
    "online_forgotten", "Visitors whose last list was given up for lack of room before they clicked again."
)
