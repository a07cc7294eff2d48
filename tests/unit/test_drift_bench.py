"""`make drift`: the stream, the figures and the claims, with known answers."""

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from state_parts import BASE, Record, click

from streamrec.config import load_settings
from streamrec.datasets import make_clicks


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks.drift, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    stream, verdict = (import_module(f"benchmarks.drift.{name}") for name in ("stream", "verdict"))
    return SimpleNamespace(**vars(stream) | vars(verdict))


def hits(bench: Any, *parts: tuple[int, float]) -> Any:
    """A click every 10 ms; of each part the stated share hits, evenly."""
    found = [np.floor(np.arange(1, n + 1) * rate) > np.floor(np.arange(n) * rate) for n, rate in parts]
    hit = np.concatenate(found)
    return bench.Hits(np.arange(len(hit), dtype=np.int64) * 10, hit)


def test_the_halves_are_swapped_and_twice_is_as_before(bench: Any) -> None:
    items = [f"i{n}" for n in range(101)]
    other = bench.swapped_halves(items)
    assert sorted(other.values()) == sorted(items)
    assert [other[other[each]] for each in items] == items
    assert sum(other[each] == each for each in items) == 1  # the odd one


def test_the_live_clicks_are_renamed_from_the_drift_on(bench: Any) -> None:
    clicks = make_clicks("aabbcc", ["x", "y", "x", "z", "y", "w"], range(0, 60_000, 10_000))
    stream = bench.make_stream(clicks, base=2, before=2, rate=4.0)
    other = bench.swapped_halves(["w", "x", "y", "z"])
    assert stream.base.item_ids == ["x", "y"]
    assert stream.live.item_ids == ["x", "z", other["y"], other["w"]]
    assert stream.live.time_ms.tolist() == [0, 250, 500, 750]
    assert stream.live.item_ids[stream.drift] == other["y"]


def test_the_time_to_recover_is_that_of_the_first_window_that_is_as_good(bench: Any) -> None:
    found = bench.figures(hits(bench, (3000, 0.4), (2000, 0.1), (3000, 0.4)), drift_ms=30_000, window=1000)
    assert found.earlier == pytest.approx(0.4)
    assert found.fallen == pytest.approx(0.1)
    # 0.1 (1000 - n) + 0.4 n = 0.36 x 1000: n = 867 clicks after the 2000, of 10 ms each.
    assert found.recovered_s == pytest.approx((2000 + 867) * 0.01, abs=0.1)
    assert found.best_after == pytest.approx(0.4)


def test_what_stays_low_has_not_recovered(bench: Any) -> None:
    found = bench.figures(hits(bench, (3000, 0.4), (5000, 0.35)), drift_ms=30_000, window=1000)
    assert found.recovered_s is None
    assert found.best_after == pytest.approx(0.35, abs=0.002)


def test_too_few_clicks_are_no_figure(bench: Any) -> None:
    with pytest.raises(ValueError, match="1,500 judged clicks before the drift"):
        bench.figures(hits(bench, (1500, 0.4), (5000, 0.4)), drift_ms=15_000, window=1000)


GOOD = (0.4, 0.1, 0.4, 30.0, [])
BAD = (0.4, 0.1, 0.2, None, [])
UNMOVED = (0.4, 0.39, 0.4, 30.0, [])
RUN = {"start_ms": 1000, "reason": "drift", "result": "released"}


def failing(bench: Any, retrained: tuple, alone: tuple, runs: list) -> list[str]:
    found = bench.claims(bench.RunFigures(*retrained), bench.RunFigures(*alone), runs, 900)
    return [name for name, held in found.items() if not held]


def test_all_claims_hold_where_all_is_as_it_should(bench: Any) -> None:
    assert failing(bench, GOOD, BAD, [RUN]) == []


@pytest.mark.parametrize(
    ("retrained", "alone", "runs", "fails"),
    [
        (BAD, BAD, [RUN], "with retraining the hit rate is back at 90 %"),
        (GOOD, GOOD, [RUN], "without, it is not"),
        (GOOD, BAD, [{**RUN, "reason": "hand"}], "the drift signal starts a run"),
        (GOOD, BAD, [{**RUN, "result": "refused"}], "the gate releases its version"),
        (GOOD, BAD, [{**RUN, "start_ms": 100}, RUN], "no run starts before the drift"),
        (UNMOVED, BAD, [RUN], "the hit rate falls below 70 % with the drift, in both runs"),
    ],
)
def test_each_claim_can_fail(bench: Any, retrained: tuple, alone: tuple, runs: list, fails: str) -> None:
    assert failing(bench, retrained, alone, runs) == [fails]


def test_clicks_on_listed_items_are_hits(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = import_module("benchmarks.drift.run")
    made = {
        "visitor_id": "v",
        "items": [{"item_id": "b", "sources": ["gru4rec"]}],
        "release": "v1",
        "candidates": {"gru4rec": ["b"]},
        "input_partition": 0,
    }
    logs = {
        "interactions": [click(0, item="a"), click(1, item="b", time=BASE + 1), click(2, time=BASE + 2)],
        "recommendations": [
            Record(n, BASE, b"v", json.dumps(made | {"input_offset": n}).encode()) for n in range(3)
        ],
    }

    def read(settings: Any, name: str, take: Any) -> None:
        take([SimpleNamespace(**each._asdict(), partition=0) for each in logs[name]])

    monkeypatch.setattr(run, "read_topic", read)
    monkeypatch.setattr(run, "_settled", lambda settings: 3)
    found = run._hits(load_settings(kafka={"partitions": 1}))
    assert (found.time_ms.tolist(), found.hit.tolist()) == ([BASE + 1, BASE + 2], [True, False])
