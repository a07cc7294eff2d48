"""The demo's summary: what is in the file, and what counts as a fault."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from streamrec.demo.judge import Figures, ReleaseFigures
from streamrec.demo.summary import Summary, summarise
from streamrec.events import Verdict, Window

FIGURES = Figures(
    clicks=100,
    recommendations=100,
    lost=0,
    doubled=0,
    unasked=0,
    judged_pairs=80,
    hit_rates={"blend": 0.5, "gru4rec": 0.4, "online_mf": 0.2, "popularity": 0.1},
    releases={
        "r1": ReleaseFigures(60, 50, {"gru4rec": 0.35}),
        "r2": ReleaseFigures(40, 30, {"gru4rec": 0.48}),
    },
    positions_share={"gru4rec": 0.7, "online_mf": 0.2, "popularity": 0.1},
    too_late=40,
    too_late_at_original_speed=4,
    freshness_p50_s=0.05,
    freshness_p99_s=0.2,
)


VERDICT = Verdict(
    model="gru4rec",
    version="r2",
    outcome="passed",
    checks=[],
    window=Window(sessions=1000, clicks=4000, digest="0" * 64),
    rules="0" * 64,
    time=0,
    against="r1",
    released=2,
)


def _summary(dead_letters: int = 0, **changes: object) -> Summary:
    return summarise(
        FIGURES._replace(**changes),  # type: ignore[arg-type]
        offline_recall=0.41,
        dead_letters=dead_letters,
        speed_up=1000.0,
        replay_s=2.0,
        behind_s=0.01,
        train_s=30.0,
        total_s=60.0,
        verdict=VERDICT,
    )


def test_the_file_holds_what_is_promised(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    _summary().write(path)
    found = json.loads(path.read_text())
    assert found["clicks"] == found["recommendations"] == 100
    assert found["lost"] == found["doubled"] == 0
    assert found["hit_rate_at_20"] == 0.5
    assert found["popularity_hit_rate_at_20"] == 0.1
    assert found["hit_rates_at_20"] == dict(FIGURES.hit_rates)
    assert found["offline_recall_at_20"] == 0.41
    assert (found["freshness_p50_s"], found["freshness_p99_s"]) == (0.05, 0.2)
    assert found["clicks_per_s"] == 50.0
    assert found["too_late"] == 40
    assert found["releases"]["r2"] == {"lists": 40, "judged_pairs": 30, "hit_rates": {"gru4rec": 0.48}}
    assert (found["verdict"]["outcome"], found["verdict"]["against"]) == ("passed", "r1")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"lost": 2}, "2 clicks without a list"),
        ({"doubled": 1}, "1 lists that came twice"),
        ({"unasked": 3}, "3 lists that nobody asked for"),
        ({"dead_letters": 4}, "4 clicks refused"),
    ],
)
def test_lost_doubled_unasked_and_refused_are_faults(change: dict[str, int], fault: str) -> None:
    assert _summary().faults() == []
    assert _summary(**change).faults() == [fault]


def test_the_table_names_every_source_and_its_rate() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(_summary().table())
    shown = captured.get()
    for text in (
        "blend",
        "50.0%",
        "GRU4Rec",
        "40.0%",
        "offline 41.0%",
        "online CF",
        "0 lost",
        "lists of r2",
        "48.0%",
    ):
        assert text in shown


def test_a_run_without_a_single_list_can_be_summed_up(tmp_path: Path) -> None:
    summary = _summary(
        recommendations=0,
        lost=100,
        judged_pairs=0,
        hit_rates={},
        positions_share={},
        freshness_p50_s=float("nan"),
        freshness_p99_s=float("nan"),
    )
    summary.write(tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["freshness_p50_s"] is None
    with (console := Console(width=80)).capture() as captured:
        console.print(summary.table())
    assert "100 lost" in captured.get()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hit_rates": {**FIGURES.hit_rates, "gru4rec": 0.3}}, "GRU4Rec hits 30.0% live and 41.0% offline"),
        ({"hit_rates": {**FIGURES.hit_rates, "blend": 0.39}}, "the blend hits 39.0%, GRU4Rec alone 40.0%"),
        (
            {"positions_share": {**FIGURES.positions_share, "popularity": 0.04}},
            "popularity leads less than 5.0% of the places",
        ),
    ],
)
def test_with_pairs_enough_a_weak_result_is_a_fault(change: dict[str, object], fault: str) -> None:
    assert _summary(judged_pairs=17_000).faults() == []
    assert _summary(judged_pairs=17_000, **change).faults() == [fault]
    assert _summary(**change).faults() == []
