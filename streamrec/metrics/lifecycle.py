"""The life of a model: trained, judged, released, tried out, taken back; and the history it learns from."""

from typing import Final

from prometheus_client import Counter

from streamrec.errors import REFUSALS
from streamrec.metrics.kinds import REGISTRY, assigned, counter, gauge, histogram

__all__ = [
    "DRIFTS",
    "GATE_CHECKS",
    "GUARD_REASONS",
    "REFUSED_AT",
    "RUN_REASONS",
    "RUN_RESULTS",
    "SHADOW_DROPS",
    "SWAP_RESULTS",
    "archive_bytes",
    "archive_failures",
    "archive_files",
    "archive_gaps",
    "archive_last_file",
    "archive_records",
    "archive_waiting",
    "canary_share",
    "contender_info",
    "contenders_refused",
    "gate_failed_checks",
    "gate_verdicts",
    "guard_actions",
    "interleaved_lists",
    "interleaving_lists",
    "model_info",
    "model_loaded_timestamp",
    "model_refusals",
    "model_swaps",
    "shadow_clicks",
    "shadow_lists",
    "shadow_lists_dropped",
    "shadow_recall",
    "training_drifts",
    "training_events_per_second",
    "training_hit_rate",
    "training_next_timestamp",
    "training_running",
    "training_runs",
    "training_seconds",
    "training_success_timestamp",
]

RUN_REASONS: Final = ("schedule", "drift", "hand")
RUN_RESULTS: Final = ("released", "refused", "failed", "killed")
DRIFTS: Final = ("drop", "other")
GUARD_REASONS: Final = ("canary_hit_rate", "canary_latency", "live_hit_rate", "live_latency")
REFUSED_AT: Final = ("undecodable", "load", "score")
SHADOW_DROPS: Final = ("busy", "failed", "unsent")
GATE_CHECKS: Final = (
    "loads",
    "sessions",
    "recall@20",
    "mrr@20",
    "popularity",
    "finite",
    "coverage",
    "coverage_ratio",
    "concentration",
    "concentration_ratio",
    "latency",
    "latency_ratio",
    "size",
    "size_ratio",
)
SWAP_RESULTS: Final = ("swapped", "refused", "untrusted", "undecodable")

_RUN_BUCKETS_S = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0)

# Models
model_info = gauge(
    "model_info",
    "The model versions that are loaded, by slot: live, canary, previous; always 1.",
    "model",
    "version",
    "slot",
)
model_loaded_timestamp = gauge(
    "model_loaded_timestamp_seconds", "When the serving model version was swapped in, since 1970."
)
model_swaps = counter(
    "model_swaps", "Releases that were announced, by what came of them.", result=SWAP_RESULTS
)
model_refusals = counter(
    "model_refusals", "Releases that are not served, by reason; none is tried again.", reason=REFUSALS
)

# Roles of model versions
canary_share = gauge("canary_share", "Share of visitors that the canary serves; 0 without one.")
guard_actions = counter(
    "guard_actions",
    "Versions that the guard took back, by role and reason: a canary is ended, what is live rolled back.",
    reason=GUARD_REASONS,
)

# Versions that are tried out
contender_info = gauge(
    "contender_info", "A version that is tried out, as challenger or shadow; always 1.", "role", "version"
)
contenders_refused = counter(
    "contenders_refused",
    "Challengers and shadows that lists go on without, by what they failed at.",
    stage=REFUSED_AT,
)
interleaved_lists = counter("interleaved_lists", "Lists shown that were interleaved with a challenger's.")
shadow_lists = counter("shadow_lists", "Lists of shadows written.")
shadow_lists_dropped = counter(
    "shadow_lists_dropped",
    "Lists of shadows not made: rows waited for their own lists (busy), the shadow failed; or not written.",
    reason=SHADOW_DROPS,
)
shadow_recall = assigned(
    "shadow_recall",
    "Share of clicks whose item was in the list before, at k, for each shadow's lists and, as role live, for "
    "the lists that were shown in their place: the same clicks; they fade.",
    "k",
    "role",
    "version",
)
shadow_clicks = assigned(
    "shadow_clicks", "Clicks that a shadow's recall stands on, each with the weight it still has.", "version"
)
interleaving_lists = assigned(
    "interleaving_lists",
    "Interleaved lists with clicks, by the team that has more of them: challenger, live or tie; since "
    "the worker took the partitions over.",
    "challenger",
    "result",
    "version",
)

# The gate
gate_verdicts = counter(
    "gate_verdicts",
    "Candidate versions judged, by what came of it.",
    outcome=("passed", "refused", "undecided"),
)
gate_failed_checks = counter(
    "gate_failed_checks", "Checks that a judged candidate did not pass, by name.", reason=GATE_CHECKS
)

# Retraining
training_runs = Counter(
    "streamrec_training_runs",
    "Runs of the training app, by why they started and what came of them: released, refused by the gate, "
    "failed, or killed or cut off from Kafka or its store (and taken up again).",
    ("reason", "result"),
    registry=REGISTRY,
)
for _reason in RUN_REASONS:
    for _result in RUN_RESULTS:
        training_runs.labels(_reason, _result)
training_seconds = histogram(
    "training_seconds", "Time of a run, from its start to its verdict or its failure.", _RUN_BUCKETS_S
)
training_running = gauge("training_running", "Whether a run is under way: 1 or 0.")
training_success_timestamp = gauge(
    "training_last_success_timestamp_seconds",
    "End of the last run whose version was judged, since 1970; the start of the worker where there was none.",
)
training_next_timestamp = gauge(
    "training_next_timestamp_seconds", "When the schedule is due next, since 1970; 0 without one."
)
training_events_per_second = gauge(
    "training_events_per_second", "Clicks learned per second in the last training, over all epochs."
)
training_drifts = counter(
    "training_drifts",
    "Changes of the live hit rate: a drop starts a run, others (a rise, or a small drop) do not.",
    kind=DRIFTS,
)
training_hit_rate = assigned(
    "training_hit_rate",
    "Live hit rate of a partition, over the window that the drift detector keeps.",
    "partition",
)

# History
archive_records = counter("archive_records", "Interactions written to history.")
archive_files = counter("archive_files", "Files of history written.")
archive_bytes = counter("archive_bytes", "Size of the files of history written.")
archive_gaps = counter("archive_gaps", "Offsets gone from interactions before they were archived.")
archive_failures = counter(
    "archive_failures", "Tries to reach the place of history that failed and were made again."
)
archive_last_file = gauge(
    "archive_last_file_timestamp_seconds", "When the last file of history was written, since 1970."
)
archive_waiting = assigned(
    "archive_waiting_seconds", "How long the oldest interaction read has waited for its file.", "partition"
)
