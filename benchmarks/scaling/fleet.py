"""A share of a fleet simulated: one state worker, the scoring workers of its partitions, and their traffic.

Partitions share nothing but the brokers and the broadcast topics, so a share stands for the fleet as long as
the brokers keep up; these are a constant delay here. It is the fullest share: of the worker whose visitors
click the most.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.scaling.arrivals import Peak, Seconds, arrivals, fullest_share, partition_weights
from benchmarks.scaling.capacity import Plan, inherited, make_plan, takeover_s
from benchmarks.scaling.inputs import Inputs
from benchmarks.scaling.road import Costs, Hop, Outage, Road

__all__ = [
    "Course",
    "Fresh",
    "after_death",
    "after_peak",
    "by_utilisation",
    "costs",
    "freshness",
    "sized_for",
]

_WARM_UP_S = 5.0
_SECONDS = 40.0
_PEAK = Peak(20.0, 60.0, 3.0)
"""A minute with three times the clicks."""
_PATIENCE_S = 600.0
_DEATH_S = 15.0
"""How long the share runs before."""


class Fresh(NamedTuple):
    """From a click's arrival at Kafka to its list's acknowledgement, ms; inf if lists fall behind."""

    utilisation: float
    """Of scoring workers by the cost of lists in large batches, in the mean of all."""
    state_workers: int
    scoring_workers: int
    p50_ms: float
    p99_ms: float
    state_batch: float
    scoring_batch: float
    """Clicks in a batch, mean."""
    state_busy: float
    """CPU of the state worker beside its core's time, batches' own cost included."""
    scoring_busy: float


class Course(NamedTuple):
    """What becomes of a share over time."""

    times_s: NDArray[np.float64]
    """From the event on; before it below 0."""
    backlog: NDArray[np.float64]
    """Clicks without a list, all partitions of the share."""
    worst_s: float
    """The longest that a list took."""
    well_after_s: float
    """From the event until 95 % of a second's lists, and of every later one's, are within twice the p99 of
    before; inf: not in the time simulated."""
    clicks_per_s: float
    """Of the share, before."""


def costs(inputs: Inputs) -> tuple[Costs, Costs]:
    """What batches cost the two apps, in time: threads of the score graph work side by side."""
    serial_us = inputs.scoring_click_us - inputs.list_graph_us * (1 - 1 / inputs.cores_per_scorer)
    return (
        Costs(inputs.state_batch_us / 1e6, inputs.state_click_us / 1e6, inputs.write_ms / 1e3),
        Costs(inputs.scoring_batch_us / 1e6, serial_us / 1e6, inputs.write_ms / 1e3, inputs.rows_per_click),
    )


def freshness(inputs: Inputs, traffic: float = 1.0) -> Fresh:
    """How fresh the lists of the fleet's fullest share are.

    traffic: in parts of the fullest hour's; the fleet is the one planned for that.
    """
    plan = make_plan(inputs)
    road, clicks = _share(inputs, plan, _WARM_UP_S + _SECONDS, traffic=traffic)
    road.run(_WARM_UP_S + _SECONDS)
    ages_s, missing = _ages(road, clicks, _WARM_UP_S, _WARM_UP_S + _SECONDS * 0.9)
    # What waits at the end only waits: of lists that do not catch up there is no percentile.
    p50_s, p99_s = np.percentile(ages_s, [50, 99]) if not missing else (math.inf, math.inf)
    spent_s = _WARM_UP_S + _SECONDS
    makers = road.makers
    return Fresh(
        plan.scoring_busy * traffic,
        plan.state_workers,
        plan.scoring_workers,
        1e3 * float(p50_s),
        1e3 * float(p99_s),
        road.keeper.clicks / max(1, road.keeper.batches),
        sum(each.clicks for each in makers) / max(1, sum(each.batches for each in makers)),
        road.keeper.cpu_s / spent_s,
        sum(each.cpu_s for each in makers) / spent_s / len(makers),
    )


def by_utilisation(inputs: Inputs, utilisations: Sequence[float]) -> Iterator[Fresh]:
    """Freshness of the planned fleet when its scoring workers are so busy."""
    busy = make_plan(inputs).scoring_busy
    return (freshness(inputs, each / busy) for each in utilisations)


def sized_for(
    inputs: Inputs,
    p99_ms: float,
    utilisations: Sequence[float],
    scorers_per_state: Sequence[int],
    on_step: Callable[[], object] = lambda: None,
) -> tuple[Inputs, Fresh] | None:
    """The fewest cores at which p99 of freshness is below p99_ms, of these choices; None if it is at none."""
    found: list[tuple[int, Inputs, Fresh]] = []
    for utilisation in utilisations:
        for scorers in scorers_per_state:
            own = replace(inputs, scoring_utilisation=utilisation, scorers_per_state=scorers)
            fresh = freshness(own)
            if fresh.p99_ms <= p99_ms:
                plan = make_plan(own)
                found.append((plan.scoring_cores + plan.state_workers, own, fresh))
            on_step()
    if not found:
        return None
    _, own, fresh = min(found, key=lambda each: each[0])
    return own, fresh


def after_peak(inputs: Inputs) -> Course:
    """A minute with three times the fullest hour's clicks."""
    plan, end_s = make_plan(inputs), _PEAK.at_s + _PEAK.seconds + _PATIENCE_S
    road, clicks = _share(inputs, plan, end_s, _PEAK)
    road.run(end_s)
    return _course(road, clicks, _PEAK.at_s, end_s)


def after_death(inputs: Inputs, *, standby: bool) -> Course:
    """A state worker dies for good; the share is another one's, which gets its part of the partitions."""
    plan, end_s = make_plan(inputs), _DEATH_S + _PATIENCE_S / 2
    stopped_s, back_s = (_DEATH_S + each for each in takeover_s(inputs, plan, standby=standby))
    partitions = math.ceil(plan.partitions / plan.state_workers)
    further = inherited(plan)
    rates = np.full(partitions + further, inputs.clicks_per_s / plan.partitions)
    clicks = arrivals(rates, end_s)
    # Up to its death the dead one handled them.
    clicks[partitions:] = [times[times >= _DEATH_S] for times in clicks[partitions:]]
    road = _road(inputs, clicks, Outage(further, stopped_s, back_s))
    road.run(end_s)
    return _course(road, clicks, _DEATH_S, end_s)


def _share(
    inputs: Inputs, plan: Plan, seconds: float, peak: Peak | None = None, traffic: float = 1.0
) -> tuple[Road, Sequence[Seconds]]:
    weights = partition_weights(int(inputs.visitors), inputs.activity_exponent, plan.partitions)
    rates = traffic * inputs.clicks_per_s * fullest_share(weights, plan.state_workers)
    clicks = arrivals(rates, seconds, peak)
    return _road(inputs, clicks), clicks


def _road(inputs: Inputs, clicks: Sequence[Seconds], outage: Outage | None = None) -> Road:
    state, scoring = costs(inputs)
    # The partitions of a worker lie on many brokers: each is asked for by itself.
    hop = Hop(inputs.fetch_ms / 1e3, brokers=len(clicks))
    scorers = max(1, round(len(clicks) / inputs.partitions_per_scorer))
    return Road(clicks, state, scoring, hop, scorers, outage=outage)


def _ages(
    road: Road, clicks: Sequence[Seconds], start_s: float, end_s: float
) -> tuple[NDArray[np.float64], int]:
    """Ages of the lists of clicks that arrived in a time, and how many of these have none."""
    arrived, emitted = np.concatenate(clicks), np.concatenate(road.emitted_s)
    within = (arrived >= start_s) & (arrived < end_s)
    ages = (emitted - arrived)[within]
    return ages[~np.isnan(ages)], int(np.isnan(ages).sum())


def _course(road: Road, clicks: Sequence[Seconds], event_s: float, end_s: float) -> Course:
    arrived, emitted = np.concatenate(clicks), np.concatenate(road.emitted_s)
    ages = np.where(np.isnan(emitted), math.inf, emitted) - arrived
    settled = (arrived >= min(_WARM_UP_S, event_s / 2)) & (arrived < event_s)
    bound_s = 2 * np.percentile(ages[settled], 99)
    seconds = np.arange(math.ceil(event_s), end_s - _WARM_UP_S)
    # Seconds in which more than one list in twenty is far later than nearly all were before.
    late = seconds[
        [np.percentile(ages[np.floor(arrived) == each], 95, method="lower") > bound_s for each in seconds]
    ]
    times = np.arange(0, end_s, 0.25)
    backlog = np.searchsorted(np.sort(arrived), times) - np.searchsorted(np.sort(emitted), times)
    last_s = float(late.max()) + 1 if len(late) else event_s
    never = last_s > end_s - 2 * _WARM_UP_S
    return Course(
        times - event_s,
        backlog.astype(np.float64),
        float(ages[arrived < end_s - _WARM_UP_S].max()),
        math.inf if never else last_s - event_s,
        float(settled.sum() / (event_s - min(_WARM_UP_S, event_s / 2))),
    )
