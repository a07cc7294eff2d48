"""Names, labels and values of the metrics that operators build on."""

import ast
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from streamrec import __version__, metrics
from streamrec.errors import REFUSALS

ROOT = Path(__file__).parents[2]
OURS = [
    name
    for name in metrics.__all__
    if isinstance(getattr(metrics, name), (MetricWrapperBase, metrics.AssignedGauge))
]
FAMILIES = [family for family in metrics.REGISTRY.collect() if family.name.startswith("streamrec_")]

# Anything that names a person, a thing or a moment would make a new series for each of them, and tell
# of them. What these have for values, an operator or a release chose, and no client.
LABELS = {
    *("type", "outcome", "reason", "source", "stage", "kind", "result"),
    *("app", "topic", "partition", "model", "version", "slot", "k", "role", "challenger"),
}


PROMISED = {
    "streamrec_append_bytes",
    "streamrec_archive_bytes",
    "streamrec_archive_failures",
    "streamrec_archive_files",
    "streamrec_archive_gaps",
    "streamrec_archive_last_file_timestamp_seconds",
    "streamrec_archive_records",
    "streamrec_archive_waiting_seconds",
    "streamrec_batch_size",
    "streamrec_build_info",
    "streamrec_canary_share",
    "streamrec_clock_ahead_seconds",
    "streamrec_consumer_lag",
    "streamrec_contender_info",
    "streamrec_contenders_refused",
    "streamrec_dlq",
    "streamrec_event_age_seconds",
    "streamrec_events",
    "streamrec_freshness_seconds",
    "streamrec_gate_failed_checks",
    "streamrec_gate_verdicts",
    "streamrec_guard_actions",
    "streamrec_input_gaps",
    "streamrec_interleaved_lists",
    "streamrec_interleaving_lists",
    "streamrec_model_info",
    "streamrec_model_loaded_timestamp_seconds",
    "streamrec_model_refusals",
    "streamrec_model_swaps",
    "streamrec_online_forgotten",
    "streamrec_online_ignored_lists",
    "streamrec_online_judged",
    "streamrec_online_led_recall",
    "streamrec_online_mrr",
    "streamrec_online_ndcg",
    "streamrec_online_no_list",
    "streamrec_online_recall",
    "streamrec_online_window_clicks",
    "streamrec_recommendations",
    "streamrec_recommendations_clicked",
    "streamrec_recommended_positions",
    "streamrec_recovery_remaining",
    "streamrec_recovery_seconds",
    "streamrec_replayed_events",
    "streamrec_reread_records",
    "streamrec_shadow_clicks",
    "streamrec_shadow_lists",
    "streamrec_shadow_lists_dropped",
    "streamrec_shadow_recall",
    "streamrec_stage_seconds",
    "streamrec_standby_remaining",
    "streamrec_state_bytes",
    "streamrec_state_entries",
    "streamrec_state_evictions",
    "streamrec_training_drifts",
    "streamrec_training_events_per_second",
    "streamrec_training_hit_rate",
    "streamrec_training_last_success_timestamp_seconds",
    "streamrec_training_next_timestamp_seconds",
    "streamrec_training_running",
    "streamrec_training_runs",
    "streamrec_training_seconds",
}


def test_the_names_that_operators_build_on_stay():
    assert {family.name for family in FAMILIES} == PROMISED


@pytest.mark.parametrize("name", OURS)
def test_every_metric_has_a_prefix_a_help_and_no_id_in_its_labels(name):
    metric = getattr(metrics, name)
    (family,) = metric.describe()
    assert family.name.startswith("streamrec_")
    assert family.documentation.endswith(".")
    assert set(getattr(metric, "_labelnames", getattr(metric, "_labels", ()))) <= LABELS


def test_every_metric_is_in_our_registry_and_only_there():
    page = generate_latest(metrics.REGISTRY).decode()
    for family in FAMILIES:
        assert f"# TYPE {family.name}" in page
    assert "process_resident_memory_bytes" in page
    assert "_created" not in page
    assert "streamrec_" not in generate_latest().decode()


def test_units_are_base_units():
    for family in FAMILIES:
        assert not re.search(r"_(ms|millis\w*|us|kb|kib|mb|mib|percent|minutes|hours)(_|$)", family.name)


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("streamrec_dlq_total", "reason", metrics.DEAD_LETTER_REASONS),
        ("streamrec_state_evictions_total", "reason", metrics.EVICTION_REASONS),
        ("streamrec_guard_actions_total", "reason", metrics.GUARD_REASONS),
        ("streamrec_model_swaps_total", "result", metrics.SWAP_RESULTS),
        ("streamrec_model_refusals_total", "reason", REFUSALS),
        ("streamrec_recommended_positions_total", "source", metrics.SOURCES),
    ],
)
def test_counters_with_known_labels_exist_before_the_first_increase(name, label, values):
    for value in values:
        assert metrics.REGISTRY.get_sample_value(name, {label: value}) is not None


def test_freshness_is_resolved_from_a_millisecond_to_a_minute():
    bounds = metrics.freshness._upper_bounds
    assert bounds[0] == 0.001
    assert bounds[-2:] == [60.0, float("inf")]


def test_the_running_version_is_shown():
    assert metrics.REGISTRY.get_sample_value("streamrec_build_info", {"version": __version__}) == 1


def test_an_assigned_gauge_shows_only_what_is_assigned_at_the_scrape():
    registry = CollectorRegistry()
    gauge = metrics.AssignedGauge("lag", "Lag.", ("topic", "partition"), registry)
    assert registry.get_sample_value("lag", {"topic": "t", "partition": "0"}) is None

    assigned = {("t", "0"): 3.0, ("t", "1"): 0.0}
    gauge.read_from(lambda: assigned)
    assert registry.get_sample_value("lag", {"topic": "t", "partition": "0"}) == 3
    del assigned["t", "0"]
    assert registry.get_sample_value("lag", {"topic": "t", "partition": "0"}) is None
    assert registry.get_sample_value("lag", {"topic": "t", "partition": "1"}) == 0


SOURCES = {
    path: ast.parse(path.read_text())
    for folder in ("agents", "models", "streamrec")
    for path in (ROOT / folder).rglob("*.py")
    if path.parent.name != "metrics"
}


def test_every_metric_is_counted_somewhere():
    used = {
        node.attr
        for tree in SOURCES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metrics"
    }
    assert set(OURS) <= used


def test_every_reason_for_a_dead_letter_starts_at_zero():
    raised = {
        node.args[0].value
        for path, tree in SOURCES.items()
        if path.parent.name == "advance" or path.name == "events.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "RecordError"
        and isinstance(node.args[0], ast.Constant)
    }
    assert raised
    assert raised <= set(metrics.DEAD_LETTER_REASONS)
