"""The demo on a real broker, small: nothing lost, nothing doubled, nothing left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from streamrec.config import Settings
from streamrec.demo import DemoOptions, run_demo
from streamrec.errors import DatasetError, WorkerError
from streamrec.standalone import Apps
from streamrec.topics import connect

_TINY = {"embedding_size": 16, "hidden_size": 16, "epochs": 1, "batch_size": 32, "n_sample": 64}


def _topics_and_groups(settings: Settings) -> set[str]:
    with connect(settings.kafka) as admin:
        names = [*admin.list_topics(), *(group["group_id"] for group in admin.list_groups())]
    return {name for name in names if name.startswith(settings.kafka.prefix)}


# So small a traffic and such small models prove nothing; what is shown is that the verdict is acted on.
_EASY = {"margin": 1.0, "min_coverage": 0.0, "min_coverage_ratio": 0.0, "max_latency_ratio": 50.0}


@pytest.mark.parametrize("settings", [{"gate": _EASY}], indirect=True)
def test_every_click_of_a_small_demo_has_its_list(settings: Settings, tmp_path: Path) -> None:
    before = _topics_and_groups(settings)
    console = Console(width=110)
    options = DemoOptions(
        tmp_path / "demo", days_first=1, days_train=2, sessions=30, clicks=400, rate=40, parameters=_TINY
    )
    with console.capture() as printed:
        summary = run_demo(settings, options, console)

    assert summary.faults() == []
    assert summary.clicks == summary.recommendations == 400
    assert summary.judged_pairs > 200
    assert summary.hit_rates_at_20.keys() == {"blend", "gru4rec", "online_mf", "popularity"}
    assert summary.hit_rate_at_20 == summary.hit_rates_at_20["blend"]
    assert 0 < summary.freshness_p50_s <= summary.freshness_p99_s
    assert 8 < summary.replay_s < 90
    # The first version began; the second one took over when it was judged, if only at the end.
    verdict = summary.verdict
    first, second = verdict.against, verdict.version
    assert next(iter(summary.releases)) == first
    assert summary.releases.keys() <= {first, second}
    assert sum(each.lists for each in summary.releases.values()) == 400
    assert (verdict.outcome, verdict.failed) == ("passed", [])
    assert verdict.released == 2
    assert verdict.window.sessions >= 30
    # Live and offline the same versions see the same pairs.
    assert summary.hit_rates_at_20["gru4rec"] == pytest.approx(summary.offline_recall_at_20, abs=0.01)

    out = tmp_path / "demo"
    assert json.loads((out / "summary.json").read_text())["clicks"] == 400
    files = {"gate", "logs", "registry", "registry.key", "settings.sh", "summary.json"}
    assert {each.name for each in out.iterdir()} == files
    assert _topics_and_groups(settings) == before
    for text in ("/metrics", "hit rate@20", "400 clicks", "0 lost", "summary.json"):
        assert text in printed.get()
    # What it says to be done afterwards, in a shell that knows no Kafka.
    command = next(line for line in printed.get().splitlines() if "models list" in line).split(": ", 1)[1]
    shown = subprocess.run(
        ["sh", "-c", f"{command} --json"],
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )
    rows = json.loads(shown.stdout)
    assert [row["version"] for row in rows] == [first, second]
    assert all(row["signed"] for row in rows)
    assert [row["verdict"] and row["verdict"]["released"] for row in rows] == [None, 2]


def test_a_split_that_leaves_nothing_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="30 days"):
        run_demo(settings, DemoOptions(tmp_path, days_train=40), Console(quiet=True))


def test_the_end_of_an_app_is_noticed_and_told_with_its_last_words(
    settings: Settings, tmp_path: Path
) -> None:
    with Apps(settings, tmp_path) as apps:
        apps.wait_until_ready()
        apps.check()
        if sys.platform == "linux":
            environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in apps.pids.values()]
            assert all(b"trusted_keys" in each for each in environments)
            # Apps serve: the key that signs is no business of theirs.
            assert not [each for each in environments if str(settings.registry.signing_key).encode() in each]
        assert apps.stop() == {"state": 0, "scoring": 0}
        with pytest.raises(WorkerError, match=r"state ended with code 0.*state\.log"):
            apps.check()


def test_an_app_that_cannot_start_says_why(settings: Settings, tmp_path: Path) -> None:
    kafka = settings.kafka.model_copy(update={"prefix": "nothing-here."})
    with (
        Apps(settings.model_copy(update={"kafka": kafka}), tmp_path) as apps,
        pytest.raises(WorkerError, match="streamrec topics create"),
    ):
        apps.wait_until_ready()
