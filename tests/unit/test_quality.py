"""`make quality` on small data: all is trained, and what does not hold is said."""

import json
import subprocess
import sys
from pathlib import Path

from click_files import ring_clicks, write_tsv

ROOT = Path(__file__).parents[2]


def quality(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.quality", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_without_the_data_it_says_how_to_name_them(tmp_path: Path) -> None:
    done = quality("--data", str(tmp_path), "--only", "serenade")
    assert done.returncode == 1
    assert f"there is no {tmp_path}/serenade/train.txt" in done.stderr
    assert "make quality ARGS='--data FOLDER'" in done.stderr


def test_every_claim_is_in_the_report_and_decides_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "serenade").mkdir()
    write_tsv(tmp_path / "serenade" / "train.txt", ring_clicks(60))
    write_tsv(tmp_path / "serenade" / "test.txt", ring_clicks(10, seed=5, start_s=60 * 60))
    done = quality("--data", str(tmp_path), "--only", "serenade", "--seeds", "2", "--out", str(tmp_path))
    entries = json.loads((tmp_path / "report.json").read_text())
    for entry in entries:
        assert {"model", "data", "metric", "value", "reference", "holds"} <= entry.keys()
        assert entry["metric"] in done.stdout
    of_gru4rec = [entry for entry in entries if entry["model"] == "gru4rec"]
    assert {entry["setting"] for entry in of_gru4rec} >= {"published, cross-entropy", "published, bpr-max"}
    assert all(len(entry["values"]) == 2 and entry["standard_error"] >= 0 for entry in of_gru4rec)
    # The ring is learned by heart: nothing is better, and Markov is as good.
    assert all(entry["value"] == 1 for entry in of_gru4rec if entry["metric"] == "recall@20")
    assert all(entry["holds"] for entry in of_gru4rec)
    holds = {entry["model"]: entry["holds"] for entry in entries if entry["metric"] == "mrr@20"}
    assert holds["popularity"]
    assert not holds["markov"]
    assert holds["stan"]  # it is only listed
    assert done.returncode == 1
    assert "serenade, markov, baseline: mrr@20 is 1.0000, wanted below 1.0000" in done.stderr
