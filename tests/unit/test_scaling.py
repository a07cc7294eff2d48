"""`python -m benchmarks.scaling`: arithmetic, kernel and simulated workers, with known answers."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.errors import ConfigError

MODULES = (
    "inputs",
    "capacity",
    "kernel",
    "arrivals",
    "logs",
    "road",
    "fleet",
    "check",
    "measure",
    "tables",
    "plots",
)


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """benchmarks.scaling, which is no part of what is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        yield SimpleNamespace(**{name: import_module(f"benchmarks.scaling.{name}") for name in MODULES})


# -- arithmetic ---------------------------------------------------------------------------------


def test_a_plan_by_hand(bench: Any) -> None:
    inputs = replace(
        bench.inputs.Inputs(),
        visitors=1e6,
        clicks_per_s=1000.0,
        items=1000.0,
        peak_to_mean=2.0,
        list_us=100.0,
        list_items=1000.0,
        list_partition_items=1000.0,
        scoring_utilisation=0.25,
        partitions_per_scorer=2,
        scorers_per_state=2,
        state_click_us=50.0,
        broker_click_us=50.0,
        interaction_bytes=90.0,
        list_bytes=990.0,
        record_bytes=10.0,
        state_bytes=900.0,
        rows_per_click=2.0,
        compaction_lag_s=1000.0,
        recovery_rows_per_s=1000.0,
        core_hour_price=3.6,
        broker_bytes_per_s=1e6,
    )
    plan = bench.capacity.make_plan(inputs)
    # At the catalogue that it was measured on a list costs what was measured.
    assert plan.list_us == pytest.approx(100)
    assert (plan.scoring_workers, plan.scoring_cores, plan.partitions, plan.state_workers) == (1, 1, 2, 1)
    assert plan.scoring_busy == pytest.approx(0.1)
    assert plan.state_busy == pytest.approx(0.05)
    assert plan.in_mb_per_s == pytest.approx(2.0)  # 100 + 900 + 1,000 bytes
    assert plan.written_mb_per_s == pytest.approx(6.0)
    assert plan.brokers == 6
    assert plan.visitor_rows_gb == pytest.approx(0.9)
    assert plan.uncompacted_gb == pytest.approx(0.9)
    # Visitors and two partitions' items, half as many again out of date, and 1,000 s of two rows a click.
    rows = (1e6 + 2 * 1000) / 0.67 + 2e6
    assert plan.log_rows == pytest.approx(rows)
    assert plan.state_restart_s == pytest.approx(rows / 1000)
    # 7 days of 100 bytes and one of 1,000, of 500 clicks a second, three times.
    assert plan.kept_tb == pytest.approx((7 * 100 + 1000) * 500 * 86400 * 3 / 1e12)
    # Three cores, of a price of 0.001 a second, make 500 lists in one.
    assert plan.cost_per_million == pytest.approx(3 * 0.001 / 500 * 1e6)


def test_there_are_partitions_for_all_visitors(bench: Any) -> None:
    inputs = replace(bench.inputs.Inputs(), clicks_per_s=10.0, visitors=50e6, partitions_per_scorer=4)
    assert bench.capacity.make_plan(inputs).partitions == 52


def test_threads_take_only_the_graph_s_part_of_a_list(bench: Any) -> None:
    one = bench.inputs.Inputs(clicks_per_s=1e5)
    four = replace(one, cores_per_scorer=4)
    _, scoring = bench.fleet.costs(four)
    rest_us = one.list_rest_us + one.list_factors_us
    assert scoring.click_s * 1e6 == pytest.approx(rest_us + one.list_graph_us / 4)
    assert bench.capacity.make_plan(four).scoring_workers < bench.capacity.make_plan(one).scoring_workers
    # What is not divided idles in three cores meanwhile.
    assert bench.capacity.make_plan(four).scoring_cores > bench.capacity.make_plan(one).scoring_cores


def test_a_standby_spares_the_rows(bench: Any) -> None:
    inputs = bench.inputs.Inputs()
    plan = replace(bench.capacity.make_plan(inputs), partitions=508, state_workers=64)
    stopped_s, back_s = bench.capacity.takeover_s(inputs, plan, standby=True)
    assert (stopped_s, back_s) == (10.0, 11.0)
    # Eight partitions go to as many of the sixty-three others.
    assert bench.capacity.inherited(plan) == 1
    assert bench.capacity.inherited(replace(plan, state_workers=5)) == 26
    rows = plan.log_rows / plan.partitions
    assert bench.capacity.takeover_s(inputs, plan, standby=False)[1] == pytest.approx(
        back_s + rows / inputs.recovery_rows_per_s
    )


def test_the_graph_costs_what_was_measured_and_in_between_in_proportion(bench: Any) -> None:
    def graph_us(items: float) -> float:
        return float(bench.inputs.Inputs(items=items).list_graph_us)

    for items, us in bench.inputs.Inputs().graph_us_at:
        assert graph_us(items) == pytest.approx(us)
    (least, us_least), (second, us_second), *_, (most, us_most) = bench.inputs.Inputs().graph_us_at
    assert graph_us(least / 2) == pytest.approx(us_least / 2)
    assert graph_us((least + second) / 2) == pytest.approx((us_least + us_second) / 2)
    assert graph_us(2 * most) == pytest.approx(2 * us_most)
    assert bench.inputs.Inputs(graph_us=123.0).list_graph_us == 123.0


def test_inputs_that_cannot_be_are_refused(bench: Any) -> None:
    with pytest.raises(ConfigError, match=r"visitors=0.*above 0"):
        bench.inputs.Inputs(visitors=0.0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        bench.inputs.Inputs(scoring_utilisation=1.0)


def test_a_report_of_the_benchmarks_has_the_last_word(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    entries = [
        {
            "work": "x",
            "beside": "scoring alone, of the same states",
            "beside_measured": {"cpu_us_per_event": 99.5},
        },
        {
            "work": "memory for a visitor held",
            "beside": "2,000 bytes",
            "work_measured": {"bytes": 1100, "row_bytes": 901},
        },
    ]
    path.write_text(json.dumps(entries))
    inputs, names = bench.inputs.with_report(bench.inputs.Inputs(), path)
    assert names == ["list_us", "visitor_memory_bytes", "visitor_row_bytes"]
    assert (inputs.list_us, inputs.visitor_memory_bytes, inputs.visitor_row_bytes) == (99.5, 1100.0, 901.0)
    path.write_text("{}x")
    with pytest.raises(ConfigError, match="no report of `make bench`"):
        bench.inputs.with_report(bench.inputs.Inputs(), path)


# -- kernel -------------------------------------------------------------------------------------


def test_cores_are_shared_evenly(bench: Any) -> None:
    simulation = bench.kernel.Simulation()
    cores, ended = bench.kernel.Cores(simulation, 1.0), {}

    def work(name: str, start_s: float, cpu_s: float) -> Any:
        yield start_s
        yield from cores.work(cpu_s)
        ended[name] = simulation.now_s

    simulation.start(work("long", 0.0, 3.0))
    simulation.start(work("short", 1.0, 1.0))
    simulation.run(10.0)
    # Alone for a second, then half a core each until the short one has had its one, then alone again.
    assert ended == pytest.approx({"short": 3.0, "long": 4.0})


def test_work_beside_takes_its_part(bench: Any) -> None:
    simulation, ended = bench.kernel.Simulation(), []
    cores = bench.kernel.Cores(simulation, 2.0, beside=3.0)

    def work() -> Any:
        yield from cores.work(1.0)
        ended.append(simulation.now_s)

    simulation.start(work())
    simulation.run(10.0)
    assert ended == pytest.approx([2.0])  # two cores for four


def test_a_wait_ends_with_its_signal_or_its_time_and_once_only(bench: Any) -> None:
    simulation, signal, seen = bench.kernel.Simulation(), bench.kernel.Signal(), []

    def wait() -> Any:
        yield signal, 5.0
        seen.append(simulation.now_s)
        yield signal, 1.0
        seen.append(simulation.now_s)
        yield signal, math.inf
        seen.append(simulation.now_s)

    simulation.start(wait())
    simulation.at(2.0, signal.fire)
    simulation.run(100.0)
    assert seen == [2.0, 3.0]


# -- arrivals -----------------------------------------------------------------------------------


def test_shares_sum_to_one_and_are_uneven_where_some_click_more(bench: Any) -> None:
    even, uneven = (bench.arrivals.partition_weights(10**7, each, 100) for each in (0.0, 0.8))
    for weights in (even, uneven):
        assert weights.sum() == pytest.approx(1)
    assert even.max() < 1.01 / 100
    assert uneven.max() > 1.1 / 100
    assert bench.arrivals.fullest_share(uneven, 10).sum() >= 0.1
    with pytest.raises(ValueError, match="outside"):
        bench.arrivals.partition_weights(10, 1.0, 2)


def test_clicks_come_at_their_rates_and_three_times_as_fast_in_a_peak(bench: Any) -> None:
    peak = bench.arrivals.Peak(100.0, 50.0, 3.0)
    slow, fast = bench.arrivals.arrivals(np.array([10.0, 100.0]), 200.0, peak)
    assert (np.diff(fast) >= 0).all()
    within = ((fast >= 100) & (fast < 150)).sum()
    assert within == pytest.approx(100 * 50 * 3, rel=0.05)
    assert len(fast) - within == pytest.approx(100 * 150, rel=0.05)
    assert len(slow) == pytest.approx(10 * 300, rel=0.1)


def test_a_day_has_its_fullest_hour_and_its_mean(bench: Any) -> None:
    factors = bench.arrivals.day_factors(1.6)
    assert factors.argmax() == 18
    assert factors.max() == pytest.approx(1.0)
    assert factors.mean() == pytest.approx(1 / 1.6)
    with pytest.raises(ValueError, match="1 to 2"):
        bench.arrivals.day_factors(3.0)


# -- workers ------------------------------------------------------------------------------------

COST = {"batch_s": 0.01, "click_s": 0.001, "write_s": 0.002}


def road(bench: Any, clicks: list[Any], hop: Any = None, **options: Any) -> Any:
    costs = bench.road.Costs(**COST)
    found = bench.road.Road(
        [np.asarray(each, float) for each in clicks], costs, costs, hop or bench.road.Hop(0.0), **options
    )
    found.run(60.0)
    return found


def test_a_lone_click_takes_what_both_apps_take(bench: Any) -> None:
    found = road(bench, [[1.0]])
    assert found.emitted_s[0] == pytest.approx([1.0 + 2 * (0.01 + 0.001 + 0.002)])


def test_what_arrives_meanwhile_is_the_next_batch(bench: Any) -> None:
    # One click, and while it is handled and the pause as long as that, twenty more: the request that leaves
    # when the first is taken brings the one that comes first; that one lies there, and the others are taken
    # along 3 ms later.
    found = road(bench, [[1.0, *np.linspace(1.001, 1.02, 20)]])
    assert (found.keeper.batches, found.keeper.clicks) == (2, 21)
    one_s, others_s = 0.01 + 0.001 + 0.002, 0.01 + 20 * 0.001 + 0.002
    # The first is handled and paused for; then state and scoring have the others, without waiting.
    assert found.emitted_s[0][-1] == pytest.approx(1.0 + 2 * one_s + 0.003 + 2 * others_s)


def test_who_reads_several_records_a_click_has_many_sooner(bench: Any) -> None:
    def second_s(records: float) -> float:
        costs = bench.road.Costs(**COST, records=records)
        clicks = [np.array([1.0, 1.001])]
        found = bench.road.Road(clicks, bench.road.Costs(0.0, 0.0, 0.0), costs, bench.road.Hop(0.0))
        found.run(2.0)
        return float(found.emitted_s[0][1])

    # After a batch of few records a pause as long as it took; four of a click are not few.
    assert second_s(1.0) == pytest.approx(1.0 + 3 * 0.013 + 0.003)
    # No pause: taken 3 ms after the first, and begun when that one is done.
    assert second_s(4.0) == pytest.approx(1.0 + 2 * 0.013)


def test_batches_of_partitions_wait_for_kafka_together_and_compute_in_turn(bench: Any) -> None:
    simulation, seen = bench.kernel.Simulation(), {}
    n, costs = 10, bench.road.Costs(batch_s=0.001, click_s=0.0, write_s=1.0)
    worker = bench.road.Worker(
        simulation,
        bench.kernel.Cores(simulation, 4.0),
        costs,
        bench.road.Hop(0.0),
        bench.logs.Clicks([np.array([1.0])] * n),
        list(range(n)),
        lambda partition, first, end: seen.update({partition: simulation.now_s}),
    )
    worker.start()
    simulation.run(10.0)
    # Eight at once; the others when the first of these are done.
    assert list(seen.values()) == pytest.approx(
        [2.001, 2.002, 2.003, 2.004, 2.005, 2.006, 2.007, 2.008, 3.002, 3.003]
    )


def test_a_partition_whose_click_misses_a_request_waits_for_the_next(bench: Any) -> None:
    def handled_s(brokers: int) -> float:
        simulation, seen = bench.kernel.Simulation(), {}
        worker = bench.road.Worker(
            simulation,
            bench.kernel.Cores(simulation, 1.0),
            bench.road.Costs(0.0, 0.0, 0.0),
            bench.road.Hop(0.02, brokers),
            bench.logs.Clicks([np.array([1.0]), np.array([1.005])]),
            [0, 1],
            lambda partition, first, end: seen.update({partition: simulation.now_s}),
        )
        worker.start()
        simulation.run(2.0)
        return float(seen[1])

    # On a broker of its own it is asked for by itself; else the answer has left with the other's alone.
    assert handled_s(2) == pytest.approx(1.005 + 0.01)
    assert handled_s(1) == pytest.approx(1.0 + 0.01 + 0.02)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_partitions=st.integers(1, 6),
    scorers=st.integers(1, 3),
    rate=st.floats(1.0, 60.0),
)
def test_every_click_has_one_list_after_it_and_partitions_keep_their_order(
    bench: Any, seed: int, n_partitions: int, scorers: int, rate: float
) -> None:
    clicks = bench.arrivals.arrivals(np.full(n_partitions, rate), 20.0, seed=seed)
    found = road(bench, clicks, bench.road.Hop(0.001, brokers=2), scorers=scorers)
    for arrived, emitted in zip(clicks, found.emitted_s, strict=True):
        assert not np.isnan(emitted).any()
        assert (emitted - arrived >= 2 * (COST["batch_s"] + COST["click_s"])).all()
        assert (np.diff(emitted) >= 0).all()
    assert found.keeper.clicks == sum(each.clicks for each in found.makers) == sum(map(len, clicks))


def test_more_than_a_core_can_do_falls_behind_at_the_rate_that_it_cannot(bench: Any) -> None:
    # 2,000 clicks a second of a millisecond each: half of them, less what batches cost, are done in time.
    clicks = bench.arrivals.arrivals(np.array([2000.0]), 60.0)
    found = road(bench, clicks)
    done = int((~np.isnan(found.emitted_s[0])).sum())
    assert 0.85 * 60_000 < done < 60_000


def test_the_dead_one_s_clicks_wait_for_another_and_none_is_lost(bench: Any) -> None:
    times = np.arange(1.0, 40.0, 0.05)
    outage = bench.road.Outage(inherited=1, stopped_s=15.0, back_s=20.0)
    found = road(bench, [times, times[times >= 10]], outage=outage)
    own, inherited = found.emitted_s
    assert not np.isnan(own).any()
    assert not np.isnan(inherited).any()
    assert own[times < 14.5].max() < 15
    assert not ((own > 15.2) & (own < 20)).any()
    assert inherited.min() > 20
    assert (np.diff(own) >= 0).all()
    assert (own - times)[times > 30].max() < 1


# -- fleet and check ----------------------------------------------------------------------------


@pytest.fixture
def small(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fleet of little work, simulated for seconds."""
    monkeypatch.setattr(bench.fleet, "_SECONDS", 10.0)
    return bench.inputs.Inputs(
        visitors=4e6, clicks_per_s=4000.0, items=18_009.0, partitions_per_scorer=2, scorers_per_state=1
    )


def test_busier_workers_have_larger_batches_and_too_busy_ones_no_p99(bench: Any, small: Any) -> None:
    quiet, full, over = bench.fleet.by_utilisation(small, (0.1, 0.8, 1.5))
    assert quiet.utilisation == pytest.approx(0.1)
    assert quiet.scoring_batch < full.scoring_batch
    assert quiet.p50_ms < quiet.p99_ms < math.inf
    assert over.p99_ms == math.inf


def test_a_fleet_is_sized_by_its_p99(bench: Any, small: Any) -> None:
    steps: list[int] = []
    own, fresh = bench.fleet.sized_for(small, 1000.0, (0.2, 0.7), (1,), lambda: steps.append(1))
    assert len(steps) == 2
    assert own.scoring_utilisation == 0.7
    assert fresh.p99_ms <= 1000
    assert bench.fleet.sized_for(small, 1.0, (0.5,), (1,)) is None


def test_after_a_death_a_backlog_grows_and_goes(
    bench: Any, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.fleet, "_PATIENCE_S", 120.0)
    inputs = replace(small, clicks_per_s=2000.0, compaction_lag_s=60.0, scoring_utilisation=0.1)
    alone, standby = (bench.fleet.after_death(inputs, standby=each) for each in (False, True))
    for course in (alone, standby):
        assert 10 < course.well_after_s < math.inf
        assert course.backlog[course.times_s < -1].max() < course.backlog.max()
        assert course.backlog[-20] < 0.1 * course.backlog.max()
    assert standby.worst_s < alone.worst_s


def test_costs_are_found_again(bench: Any) -> None:
    batches = [1.2, 6.0, 20.0, 300.0]
    found = bench.check.fit(batches, [2500.0 / each + 80.0 for each in batches])
    assert found == pytest.approx((2500.0, 80.0))
    with pytest.raises(ValueError, match="two runs"):
        bench.check.fit([1.0], [2.0])


def test_a_run_that_was_simulated_is_predicted(bench: Any) -> None:
    """Predictions of the same costs differ by cores that others take, and by nothing else."""
    run = bench.measure.Run(
        clicks_per_s=500.0,
        p50_ms=100.0,
        p99_ms=200.0,
        acknowledgement_ms=1.0,
        generator_behind_ms=1.0,
        state_us=400.0,
        scoring_us=400.0,
        broker_us=0.0,
        generator_us=0.0,
        state_batch=6.0,
        scoring_batch=6.0,
        rows=3.0,
        append_bytes=1500.0,
        others_cores=0.0,
    )
    fit = bench.check.Fit(2000.0, 100.0)
    alone = bench.check.predict(run, fit, fit, 4, 2, 1.0)
    crowded = bench.check.predict(
        bench.measure.msgspec.structs.replace(run, others_cores=1.2), fit, fit, 4, 2, 1.0
    )
    assert alone.cores_left == 2.0
    assert crowded.predicted_p99_ms > alone.predicted_p99_ms
    assert alone.errors == pytest.approx((alone.predicted_p50_ms / 100 - 1, alone.predicted_p99_ms / 200 - 1))


def test_plots_bring_their_colours_along(bench: Any, tmp_path: Path) -> None:
    fresh = bench.fleet.Fresh(0.5, 1, 1, 100.0, 200.0, 5.0, 5.0, 0.4, 0.5)
    course = bench.fleet.Course(np.arange(-5.0, 20.0), np.ones(25), 1.0, 2.0, 10.0)
    for name, svg in (
        ("freshness", bench.plots.freshness({"a": [fresh, fresh._replace(utilisation=0.9)]})),
        ("backlog", bench.plots.backlog({"died": course})),
    ):
        bench.plots.write(svg, tmp_path / f"{name}.svg")
        text = (tmp_path / f"{name}.svg").read_text()
        assert text.startswith("<svg ")
        assert text.count("prefers-color-scheme: dark") == 1
        used = {part.split(")")[0] for part in text.split("var(")[1:]}
        assert used
        assert all(f"{each}: #" in text for each in used)
