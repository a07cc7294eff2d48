"""The simulator beside the one-machine set-up: costs fit to CPU seconds, freshness predicted from them. Pure.

The fit knows nothing of how long lists took: a prediction that is near says that the way of batches through
workers is simulated as it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.scaling.arrivals import arrivals
from benchmarks.scaling.measure import Run
from benchmarks.scaling.road import Costs, Hop, Road

__all__ = ["Fit", "Predicted", "fit", "predict"]

_SECONDS = 40.0
_WARM_UP_S = 4.0
_LEAST_CORES = 0.05


class Fit(NamedTuple):
    """CPU µs of each batch and of each click in it."""

    batch_us: float
    click_us: float


class Predicted(NamedTuple):
    """What a run measured, and what was predicted of it, ms."""

    clicks_per_s: float
    p50_ms: float
    predicted_p50_ms: float
    p99_ms: float
    predicted_p99_ms: float
    state_batch: float
    predicted_state_batch: float
    scoring_batch: float
    predicted_scoring_batch: float
    cores_left: float
    """By what does not belong to the run."""

    @property
    def errors(self) -> tuple[float, float]:
        """Of p50 and p99, in parts of what was measured."""
        return self.predicted_p50_ms / self.p50_ms - 1, self.predicted_p99_ms / self.p99_ms - 1


def fit(batches: Sequence[float], us: Sequence[float]) -> Fit:
    """Least squares of relative errors; batches: mean clicks of a batch, us: CPU of a click, by run.

    Raises ValueError for fewer than two runs.
    """
    if len(batches) < 2:
        raise ValueError("two costs are fit to two runs or more, at different rates")
    costs = np.asarray(us, np.float64)
    terms = np.column_stack([1 / np.asarray(batches), np.ones(len(costs))]) / costs[:, None]
    (batch_us, click_us), *_ = np.linalg.lstsq(terms, np.ones(len(costs)), rcond=None)
    return Fit(max(0.0, float(batch_us)), max(0.0, float(click_us)))


def predict(run: Run, state: Fit, scoring: Fit, n_partitions: int, cores: int, fetch_ms: float) -> Predicted:
    """Freshness as the simulator has it, of one state and one scoring worker on the cores that others left.

    Broker and generator share those evenly with the workers.
    """
    left = max(_LEAST_CORES, cores - run.others_cores)
    write_s = run.acknowledgement_ms / 1e3
    clicks = arrivals(np.full(n_partitions, run.clicks_per_s / n_partitions), _SECONDS)
    road = Road(
        clicks,
        Costs(state.batch_us / 1e6, state.click_us / 1e6, write_s),
        Costs(scoring.batch_us / 1e6, scoring.click_us / 1e6, write_s, run.rows),
        Hop(fetch_ms / 1e3),
        together=left,
        beside=run.clicks_per_s * (run.broker_us + run.generator_us) / 1e6,
    )
    road.run(_SECONDS)
    arrived, emitted = np.concatenate(clicks), np.concatenate(road.emitted_s)
    within = (arrived > _WARM_UP_S) & (arrived < 0.9 * _SECONDS)
    ages_s = np.where(np.isnan(emitted), np.inf, emitted - arrived)[within]
    # A load test's freshness begins before Kafka has the click, and ends where a reader has the list.
    p50_ms, p99_ms = 1e3 * np.percentile(ages_s, [50, 99], method="lower") + run.acknowledgement_ms + fetch_ms
    (maker,) = road.makers
    return Predicted(
        run.clicks_per_s,
        run.p50_ms,
        float(p50_ms),
        run.p99_ms,
        float(p99_ms),
        run.state_batch,
        road.keeper.clicks / max(1, road.keeper.batches),
        run.scoring_batch,
        maker.clicks / max(1, maker.batches),
        left,
    )
