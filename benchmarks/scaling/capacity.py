"""Arithmetic of capacity: from inputs to workers, volume, memory, recovery and cost. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from benchmarks.scaling.inputs import Inputs

__all__ = ["Plan", "inherited", "make_plan", "takeover_s"]

_DAY_S: Final = 86_400
_DIRTY: Final = 1 / (1 - 0.33)
"""Rows there are at most, beside those in date: Kafka compacts from min.cleanable.dirty.ratio on, 0.33."""
_MB: Final = 1e6
_INTERACTION_DAYS: Final = 7
"""retention.ms, as `streamrec topics create` sets it, of interactions; a day of recommendations."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A fleet. Volumes are those of the fullest hour; MB are 10**6 bytes, GB 10**9."""

    partitions: int
    scoring_workers: int
    state_workers: int
    scoring_cores: int
    machines: int
    """For state and scoring workers."""
    state_busy: float
    """Share of a state worker's time, by the cost of clicks in large batches."""
    scoring_busy: float
    list_us: float
    list_graph_share: float
    """Of a list's CPU."""
    in_mb_per_s: float
    """That producers and workers write, before copies,"""
    interactions_mb_per_s: float
    states_mb_per_s: float
    lists_mb_per_s: float
    written_mb_per_s: float
    """and with copies."""
    read_mb_per_s: float
    """By workers, one reader of the lists, and the copies."""
    brokers: int
    """By volume."""
    broker_cores: float
    """For all topics once; what copies cost was not measured."""
    visitor_rows_gb: float
    """Of the newest row of each visitor, on each copy; what a compacted changelog cannot be below."""
    item_rows_gb: float
    uncompacted_gb: float
    """Appended within the compaction lag at the fullest hour's rate, on each copy."""
    kept_tb: float
    """Of interactions and lists at the day's mean, on all copies."""
    log_rows: float
    """Of visitor-states, all partitions, that a reader from the start meets at most."""
    state_memory_gb: float
    """Of one worker,"""
    scoring_memory_gb: float
    """with one model version; a swap needs room for a second."""
    state_restart_s: float
    """A worker that reads all of its rows; the fleet at once the same, if the brokers give"""
    restart_read_mb_per_s: float
    """so much, all state workers together."""
    scoring_restart_s: float
    core_s_per_million: float
    """CPU seconds of state, scoring and brokers for a million lists,"""
    cost_per_million: float
    """and what they cost with all cores paid for around the clock."""


def make_plan(inputs: Inputs) -> Plan:
    """A fleet for the inputs."""
    rate = inputs.clicks_per_s
    serial_us = inputs.scoring_click_us - inputs.list_graph_us * (1 - 1 / inputs.cores_per_scorer)
    scorers = math.ceil(rate * serial_us / 1e6 / inputs.scoring_utilisation)
    # Enough partitions for all visitors, too.
    for_visitors = math.ceil(inputs.visitors / inputs.max_visitors / inputs.partitions_per_scorer)
    scorers = max(scorers, for_visitors)
    partitions = scorers * inputs.partitions_per_scorer
    states = math.ceil(scorers / inputs.scorers_per_state)
    scoring_cores = scorers * inputs.cores_per_scorer

    in_bytes = [
        rate * each
        for each in (
            inputs.interaction_bytes + inputs.record_bytes,
            inputs.state_bytes,
            inputs.list_bytes + inputs.record_bytes,
        )
    ]
    interactions, appended, lists = in_bytes
    written = sum(in_bytes) * inputs.replication
    read = sum(in_bytes) * inputs.replication  # by both apps and one reader, and by each copy but the first
    broker_cores = rate * inputs.broker_click_us / 1e6
    brokers = max(inputs.replication, math.ceil(written / inputs.broker_bytes_per_s))

    item_rows = partitions * inputs.partition_items
    uncompacted_s = inputs.compaction_lag_s
    log_rows = (inputs.visitors + item_rows) * _DIRTY + rate * uncompacted_s * inputs.rows_per_click
    log_bytes = (inputs.visitors * inputs.visitor_row_bytes + item_rows * inputs.item_row_bytes) * _DIRTY
    log_bytes += appended * uncompacted_s
    state_restart_s = log_rows / states / inputs.recovery_rows_per_s

    of_state = partitions / states
    state_memory = (
        inputs.worker_memory_bytes
        + inputs.visitors / states * inputs.visitor_memory_bytes
        + of_state * inputs.partition_items * inputs.state_item_memory_bytes
    )
    scoring_memory = (
        inputs.worker_memory_bytes
        + inputs.items * inputs.model_item_memory_bytes
        + inputs.partitions_per_scorer * inputs.partition_items * inputs.board_item_memory_bytes
    )
    cpu_us = inputs.state_click_us + inputs.scoring_click_us + inputs.broker_click_us
    cores = states + scoring_cores + math.ceil(broker_cores / inputs.scoring_utilisation)
    mean_rate = rate / inputs.peak_to_mean
    return Plan(
        partitions=partitions,
        scoring_workers=scorers,
        state_workers=states,
        scoring_cores=scoring_cores,
        machines=math.ceil((states + scoring_cores) / inputs.cores_per_machine),
        state_busy=rate * inputs.state_click_us / 1e6 / states,
        scoring_busy=rate * serial_us / 1e6 / scorers,
        list_us=inputs.scoring_click_us,
        list_graph_share=inputs.list_graph_us / inputs.scoring_click_us,
        in_mb_per_s=sum(in_bytes) / _MB,
        interactions_mb_per_s=interactions / _MB,
        states_mb_per_s=appended / _MB,
        lists_mb_per_s=lists / _MB,
        written_mb_per_s=written / _MB,
        read_mb_per_s=read / _MB,
        brokers=brokers,
        broker_cores=broker_cores,
        visitor_rows_gb=inputs.visitors * inputs.visitor_row_bytes / 1e9,
        item_rows_gb=item_rows * inputs.item_row_bytes / 1e9,
        uncompacted_gb=appended * uncompacted_s / 1e9,
        kept_tb=(interactions * _INTERACTION_DAYS + lists)
        / inputs.peak_to_mean
        * _DAY_S
        * inputs.replication
        / 1e12,
        log_rows=log_rows,
        state_memory_gb=state_memory / 1e9,
        scoring_memory_gb=scoring_memory / 1e9,
        state_restart_s=state_restart_s,
        restart_read_mb_per_s=log_bytes / state_restart_s / _MB,
        scoring_restart_s=log_rows / scorers / inputs.recovery_rows_per_s,
        core_s_per_million=cpu_us,
        cost_per_million=cores * inputs.core_hour_price / 3600 / mean_rate * 1e6,
    )


def inherited(plan: Plan) -> int:
    """Partitions that another state worker gets of a dead one, at most, if they are dealt evenly."""
    return math.ceil(math.ceil(plan.partitions / plan.state_workers) / max(1, plan.state_workers - 1))


def takeover_s(inputs: Inputs, plan: Plan, *, standby: bool) -> tuple[float, float]:
    """A state worker dies for good: when the others stop, and when they go on, s after its death.

    They stop for the rebalance, and to read the rows of the dead one's partitions that each gets; with a
    standby (`STREAMREC_KAFKA__STANDBYS`) those are there.
    """
    rows = 0.0 if standby else inherited(plan) * plan.log_rows / plan.partitions
    return (
        inputs.session_timeout_s,
        inputs.session_timeout_s + inputs.rebalance_s + rows / inputs.recovery_rows_per_s,
    )
