"""The curves of costs: what is drawn, and what sessions are grown from."""

from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamrec.events import Interaction

ROOT = Path(__file__).parents[2]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks.curves.measured, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.curves.measured")


def test_sessions_grow_together_click_by_click(measured: Any) -> None:
    rounds = list(measured._growing(3))
    clicks = [[msgspec.json.decode(each.value, type=Interaction) for each in records] for records in rounds]
    assert [len(each) for each in clicks] == 3 * [measured._AT_ONCE]
    assert len({each.visitor_id for each in clicks[0]}) == measured._AT_ONCE
    assert all(
        [a.session_id for a in one] == [b.session_id for b in next_] for one, next_ in pairwise(clicks)
    )
    times = [each.time for one in clicks for each in one]
    offsets = [each.offset for records in rounds for each in records]
    assert times == sorted(times)
    assert offsets == list(range(len(times)))


def test_a_curve_is_drawn_with_its_lines_and_sizes(measured: Any, tmp_path: Path) -> None:
    plot = import_module("benchmarks.curves.plot")
    lines = [plot.Line("state", [4.0, 40.0]), plot.Line("list", [5.0, 6.0], [9.0, 6.0])]
    curve = plot.Curve("sessions", "A click", "clicks", "µs", [1.0, 1000.0], lines, {"rows": 2})
    plot.draw(curve, tmp_path / curve.name)
    svg = (tmp_path / "sessions.svg").read_text(encoding="utf-8")
    assert all(f">{text}<" in svg for text in ("state", "list", "A click", "1,000"))
    assert (tmp_path / "sessions.png").stat().st_size > 1000
    assert plot.as_json(curve)["lines"][1] == {"name": "list", "y": [5.0, 6.0], "up_to": [9.0, 6.0]}


def test_every_curve_of_the_documentation_can_be_measured(measured: Any) -> None:
    assert set(measured.CURVES) == {"catalogue", "visitors", "sessions", "partitions"}
