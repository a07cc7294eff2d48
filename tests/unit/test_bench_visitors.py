"""Many visitors held: figures beside their bounds, and rows that end with a watermark of their topics."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from streamrec.state.rows import WATERMARK_KEY, Watermark, decode_watermark, encode_row

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks.visitors, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.visitors")


@pytest.mark.parametrize(
    ("wall_s", "rss_bytes", "ratios"), [(5.0, 1_100_000, [2.0, 2.0]), (12.5, 4_100_000, [0.8, 0.5])]
)
def test_figures_are_held_against_their_bounds(
    bench: Any, wall_s: float, rss_bytes: int, ratios: list[float]
) -> None:
    full = bench.Measured(1_000_000, wall_s, 4.0, [4.0], rss_bytes)
    empty = bench.Measured(1000, 1.0, 1.0, [1.0], 100_000)
    held = bench.Held(visitors=1000, rows=1_000_000, row_bytes=900.0)
    entries = bench.absolute_entries({bench.RECOVERY: [full], bench.EMPTY: [empty]}, held)
    assert [each["ratio"] for each in entries] == ratios
    assert {each["at_least"] for each in entries} == {1.0}
    wrong = import_module("benchmarks.report").too_low(entries)
    assert len(wrong) == sum(ratio < 1 for ratio in ratios)


def test_rows_are_appended_with_the_watermark_last_under_the_ids_of_their_topics(bench: Any) -> None:
    rows = {WATERMARK_KEY: encode_row(Watermark(7, "old", 1, "old"))}
    rows |= {b"v:%d" % n: b"row" for n in range(4500)}
    appends = list(bench._appends(rows, "input", "table"))
    assert [len(each) for each in appends] == [2000, 2000, 501]
    key, value, _ = appends[-1][-1]
    assert (key, decode_watermark(value)) == (WATERMARK_KEY, Watermark(7, "input", 1, "table"))
