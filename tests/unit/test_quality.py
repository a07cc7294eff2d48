"""`make quality` on small data: all is trained, and what does not hold is said."""

import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click_files import ring_clicks, write_tsv
from rich.console import Console

ROOT = Path(__file__).parents[2]


def quality(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.quality", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_without_the_data_it_says_how_to_name_them(tmp_path: Path) -> None:
    done = quality("--data", str(tmp_path), "--only", "serenade")
    assert done.returncode == 1
    assert f"there is no {tmp_path}/serenade/train.txt" in done.stderr
    assert "make quality ARGS='--data FOLDER'" in done.stderr


def test_what_cannot_be_answered_fails_and_the_rest_is_asked_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "filmtrust").mkdir()
    pairs = [(user, item) for user in range(6) for item in range(8) if user != item]
    rows = [f"{user} {item} {1 + (user + item) % 4}\n" for user, item in pairs]
    (tmp_path / "filmtrust" / "ratings.txt").write_text("".join(rows))
    (tmp_path / "filmtrust" / "trust.txt").write_text("0 1 1\n2 3 1\n")
    before = [{"model": "gru4rec", "data": "serenade", "metric": "mrr@20"}]
    (tmp_path / "report.json").write_text(json.dumps(before))
    only = [argument for each in ("serenade", "trust", "groups") for argument in ("--only", each)]
    asked = ["--model", "mole_trust", "--model", "group_recommender"]
    done = quality("--data", str(tmp_path), "--out", str(tmp_path), *only, *asked)
    assert done.returncode == 1
    assert f"serenade: there is no {tmp_path}/serenade/train.txt" in done.stderr
    assert f"groups: {tmp_path}/camra2011/groupMember.txt cannot be read" in done.stderr
    assert "no answer to serenade, groups" in done.stderr
    first, *others = json.loads((tmp_path / "report.json").read_text())
    assert first["model"] == "gru4rec"
    assert {(each["model"], each["data"]) for each in others} == {("mole_trust", "filmtrust")}
    assert {"model", "data", "metric", "value", "reference", "holds"} <= others[0].keys()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks.quality.claims, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.quality.claims")


def not_held(entries: list[Any]) -> list[str]:
    found: list[str] = import_module("benchmarks.recommenders.rows").not_held(entries)
    return found


def entries_of(bench: Any, figures: list[tuple[str, str, float]], data: str = "serenade") -> list[Any]:
    """Entries of one metric, from models, settings and values."""
    runs = [
        bench.Run(data, setting, model, {"loss": setting.rpartition(", ")[2]}, 0, Path(), Path())
        for model, setting, _ in figures
    ]
    measured = [bench.Measured({"mrr@20": value}, 1.0, 1.0) for *_, value in figures]
    found: list[Any] = bench.claims(runs, measured)
    return found


FIGURES = [
    ("gru4rec", "published, cross-entropy", 0.288),
    ("gru4rec", "published, bpr-max", 0.3),
    ("gru4rec", "tuned, cross-entropy", 0.32),
    ("item_knn", "baseline", 0.287),
    ("markov", "baseline, first order", 0.289),
    ("vs_knn", "neighbours", 0.31),
    ("stan", "neighbours", 0.36),
]


def test_what_each_claim_is_beside(bench: Any) -> None:
    found = {(each["model"], each["setting"]): each for each in entries_of(bench, FIGURES)}
    # The official figures for both losses, the published cross-entropy, and the best of the tuned.
    assert [each["reference"] for each in found.values()] == [
        0.2873,
        0.2825,
        0.2873,
        0.288,
        0.288,
        0.32,
        0.32,
    ]
    assert [each["holds"] for each in found.values()] == [True, True, True, True, False, True, False]
    assert [each["required"] for each in found.values()] == [True] * 5 + [False] * 2


def test_only_what_is_required_fails_and_the_rest_is_shown(bench: Any) -> None:
    entries = entries_of(bench, FIGURES)
    assert not_held(entries) == [
        "serenade, markov, baseline, first order: mrr@20 is 0.2890, wanted below 0.2880"
    ]
    console = Console(file=io.StringIO(), width=110)
    console.print(bench.claims_table("serenade", entries, 1))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    marks = {line.split("  ")[0].strip(): line.strip().rpartition("  ")[2].strip() for line in lines[2:]}
    assert marks["stan"].endswith("not beaten")
    assert marks["vs_knn"].endswith("ok")
    assert marks["markov, first order"].endswith("no")


def test_a_mean_of_equal_value_beats_nothing(bench: Any) -> None:
    figures = [(model, setting, 0.3) for model, setting, _ in FIGURES]
    holds = {each["model"]: each["holds"] for each in entries_of(bench, figures)}
    assert holds == {"gru4rec": True, "item_knn": False, "markov": False, "vs_knn": False, "stan": False}


def test_every_claim_is_in_the_report_and_decides_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "serenade").mkdir()
    write_tsv(tmp_path / "serenade" / "train.txt", ring_clicks(60))
    write_tsv(tmp_path / "serenade" / "test.txt", ring_clicks(10, seed=5, start_s=60 * 60))
    done = quality("--data", str(tmp_path), "--only", "serenade", "--seeds", "2", "--out", str(tmp_path))
    entries = json.loads((tmp_path / "report.json").read_text())
    for entry in entries:
        assert {"model", "data", "metric", "value", "reference", "holds", "required"} <= entry.keys()
        assert entry["metric"] in done.stdout
    of_gru4rec = [entry for entry in entries if entry["model"] == "gru4rec"]
    assert {entry["setting"] for entry in of_gru4rec} >= {"published, cross-entropy", "published, bpr-max"}
    assert all(len(entry["values"]) == 2 and entry["standard_error"] >= 0 for entry in of_gru4rec)
    # The ring is learned by heart: nothing is better, and Markov is as good.
    assert all(entry["value"] == 1 for entry in of_gru4rec if entry["metric"] == "recall@20")
    assert all(entry["holds"] for entry in of_gru4rec)
    holds = {
        (entry["model"], entry["setting"]): entry["holds"] for entry in entries if entry["metric"] == "mrr@20"
    }
    assert holds["popularity", "baseline"]
    assert not holds["markov", "baseline, first order"]
    assert not holds["markov", "baseline, sequential rules"]
    assert ("stan", "neighbours") in holds
    assert done.returncode == 1
    assert "serenade, markov, baseline, first order: mrr@20 is 1.0000, wanted below 1.0000" in done.stderr
    assert "neighbours" not in done.stderr
    of_markov = [entry["parameters"] for entry in entries if entry["model"] == "markov"]
    assert of_markov == [{"window": 1}] * 2 + [{}] * 2
