"""The demo on a real broker, small: nothing lost, nothing doubled, nothing left behind."""

import json
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


def test_every_click_of_a_small_demo_has_its_list(settings: Settings, tmp_path: Path) -> None:
    before = _topics_and_groups(settings)
    console = Console(width=110)
    options = DemoOptions(tmp_path / "demo", days_train=2, clicks=400, rate=100, parameters=_TINY)
    with console.capture() as printed:
        summary = run_demo(settings, options, console)

    assert summary.faults() == []
    assert summary.clicks == summary.recommendations == 400
    assert summary.judged_pairs > 200
    assert summary.hit_rates_at_20.keys() == {"blend", "gru4rec", "online_mf", "popularity"}
    assert summary.hit_rate_at_20 == summary.hit_rates_at_20["blend"]
    assert 0 < summary.freshness_p50_s <= summary.freshness_p99_s
    assert 3 < summary.replay_s < 60
    # Live and offline the same model sees the same pairs.
    assert summary.hit_rates_at_20["gru4rec"] == pytest.approx(summary.offline_recall_at_20, abs=0.01)

    out = tmp_path / "demo"
    assert json.loads((out / "summary.json").read_text())["clicks"] == 400
    assert {each.name for each in out.iterdir()} == {"logs", "registry", "registry.key", "summary.json"}
    assert _topics_and_groups(settings) == before
    for text in ("/metrics", "hit rate@20", "400 clicks", "0 lost", "summary.json"):
        assert text in printed.get()


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
