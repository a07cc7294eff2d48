"""Load tests: known latencies give known percentiles, and nothing that was late is left out."""

import json
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamrec.config import load_settings
from streamrec.errors import ConfigError
from streamrec.loadtest import Latencies, Ledger, Load, Outcome, Report, load_test
from streamrec.loadtest.report import histogram, latencies
from streamrec.loadtest.run import outcome

DIGITS = 1e-3
"""What three digits leave open."""


def _ledger(n_clicks: int = 1000, per_s: float = 100.0, warm_up: int = 0) -> Ledger:
    ledger = Ledger(np.arange(n_clicks) / per_s, warm_up)
    ledger.begun = n_clicks
    return ledger


def _publish(ledger: Ledger, late_s: float = 0.0) -> None:
    for place, due_s in enumerate(ledger.due_s.tolist()):
        ledger.on_acknowledged(place, due_s + late_s, due_s + late_s + 0.002)


def _report(ledger: Ledger, stopped: bool = False) -> Report:
    return outcome(Load(per_s=100.0, seconds=10.0, warm_up_s=0.0), ledger, stopped).report


def test_known_latencies_have_known_percentiles() -> None:
    ledger = _ledger()
    _publish(ledger, late_s=0.001)
    for place in np.random.default_rng(1).permutation(1000).tolist():
        ledger.on_list(place, ledger.due_s[place] + (place + 1) / 1000)
    report = _report(ledger)
    assert msgspec.structs.astuple(report.freshness) == pytest.approx((500, 900, 990, 999, 1000), rel=DIGITS)
    assert msgspec.structs.astuple(report.acknowledgement) == pytest.approx([2.0] * 5, rel=DIGITS)
    assert msgspec.structs.astuple(report.behind) == pytest.approx([1.0] * 5, rel=DIGITS)
    assert (report.published, report.acknowledged, report.answered, report.measured) == (1000,) * 4
    assert (report.missing, report.doubled) == (0, 0)
    assert report.reached_per_s == pytest.approx(100)
    assert report.faults(1001) == []
    assert report.warning() is None


def test_an_answerer_that_stands_still_shows_although_clicks_go_on() -> None:
    ledger = _ledger()
    _publish(ledger)
    for place, due_s in enumerate(ledger.due_s.tolist()):
        # From 4 s to 6 s it answers nothing, and then all that waits at once.
        ledger.on_list(place, max(due_s, 6.0) + 0.010 if due_s >= 4.0 else due_s + 0.010)
    report = _report(ledger)
    # 200 of 1,000 clicks waited, for 2 s at most and 1 s on average. A generator that waits for answers would
    # have sent one of them.
    assert report.freshness.p50_ms == pytest.approx(10, rel=DIGITS)
    assert report.freshness.p90_ms == pytest.approx(1010, rel=0.011)
    assert report.freshness.p99_ms == pytest.approx(1910, rel=0.006)
    assert report.freshness.max_ms == pytest.approx(2010, rel=DIGITS)
    assert report.reached_per_s == pytest.approx(100)


def test_a_late_generator_counts_and_is_told() -> None:
    ledger = _ledger()
    _publish(ledger, late_s=0.3)
    for place, due_s in enumerate(ledger.due_s.tolist()):
        ledger.on_list(place, due_s + 0.3 + 0.020)
    report = _report(ledger)
    assert report.freshness.p50_ms == pytest.approx(320, rel=DIGITS)
    assert report.behind.max_ms == pytest.approx(300, rel=DIGITS)
    assert "the generator was up to 300 ms behind" in (report.warning() or "")


def test_a_warm_up_is_counted_and_not_measured() -> None:
    ledger = _ledger(warm_up=400)
    _publish(ledger)
    for place, due_s in enumerate(ledger.due_s.tolist()):
        ledger.on_list(place, due_s + (5.0 if place < 400 else 0.020))
    report = _report(ledger)
    assert report.answered == 1000
    assert report.measured == 600
    assert report.freshness.max_ms == pytest.approx(20, rel=DIGITS)
    assert report.acknowledgement.p50_ms == pytest.approx(2, rel=DIGITS)


def test_what_is_missing_or_doubled_is_counted() -> None:
    ledger = _ledger()
    _publish(ledger)
    for place, due_s in enumerate(ledger.due_s.tolist()):
        if place != 17:
            ledger.on_list(place, due_s + 0.020)
    ledger.on_list(3, 11.0)
    ledger.on_list(3, 12.0)
    report = _report(ledger)
    assert (report.answered, report.missing, report.doubled) == (999, 1, 2)
    assert report.freshness.max_ms == pytest.approx(20, rel=DIGITS), "the first list of a click counts"
    (fault,) = report.faults(None)
    assert fault.startswith("1 of 1,000 clicks have no list; `streamrec doctor`")
    assert _report(ledger, stopped=True).faults(None) == []


def test_a_p99_above_its_limit_is_a_fault() -> None:
    ledger = _ledger()
    _publish(ledger)
    for place, due_s in enumerate(ledger.due_s.tolist()):
        ledger.on_list(place, due_s + 0.020)
    report = _report(ledger)
    assert report.faults(20.1) == []
    (fault,) = report.faults(19.9)
    assert fault == "p99 of freshness is 20.0 ms, 19.9 are allowed"


def test_nothing_at_all_is_within_no_limit() -> None:
    ledger = _ledger()
    ledger.begun = 0
    report = _report(ledger)
    assert report.measured == report.missing == 0
    assert len(report.faults(1e9)) == 1
    assert json.loads(msgspec.json.encode(report))["freshness"]["p99_ms"] is None


def test_the_histogram_is_written_as_its_plotter_reads_it(tmp_path: Path) -> None:
    ledger = _ledger()
    _publish(ledger)
    for place, due_s in enumerate(ledger.due_s.tolist()):
        ledger.on_list(place, due_s + (place + 1) / 1000)
    found = outcome(Load(), ledger, False)
    assert isinstance(found, Outcome)
    found.write(tmp_path / "new" / "folder")
    written = json.loads((tmp_path / "new" / "folder" / "report.json").read_text())
    assert written == json.loads(msgspec.json.encode(found.report))
    header, _, *lines = (tmp_path / "new" / "folder" / "freshness.hgrm").read_text().splitlines()
    assert header.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [[float(cell) for cell in line.split()] for line in lines if not line.startswith("#")]
    # Milliseconds and the share of the lists that took no longer; both rise to the end.
    assert rows == sorted(rows)
    assert rows[-1][:3] == [pytest.approx(1000, rel=DIGITS), 1.0, 1000]
    for value_ms, share, count, *_ in rows:
        assert count / 1000 >= share - 1e-3
        assert value_ms == pytest.approx(count, rel=DIGITS)
    assert lines[-2].split()[:3] == ["#[Max", "=", f"{rows[-1][0]:.3f},"]


def test_what_takes_more_than_an_hour_counts_as_an_hour() -> None:
    found = latencies(histogram(np.array([1e-9, 3600.0, 1e6])))
    assert found.max_ms == pytest.approx(3.6e6, rel=DIGITS)
    assert found == Latencies(found.p50_ms, found.max_ms, found.max_ms, found.max_ms, found.max_ms)


def test_without_the_histogram_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdrh", None)
    with pytest.raises(ConfigError, match=r'hdrh.*pip install "streamrec\[loadtest\]"'):
        load_test(load_settings(), [], Load())
