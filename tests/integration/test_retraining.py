"""Retraining on a real broker: by hand, by schedule, by drift; killed anywhere, the next one goes through."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from app_processes import App, click, publish, running
from prometheus_client.parser import text_string_to_metric_families
from session_models import ring_sessions

from streamrec.config import Settings, TrainingSettings
from streamrec.history.fields import Reading
from streamrec.history.importing import import_file
from streamrec.registry import Registry
from streamrec.releases import released
from streamrec.retraining import Outcome, Place
from streamrec.scorer import check_artifact
from streamrec.topics import topic_range

TINY = {"hidden_size": 16, "epochs": 2, "batch_size": 8, "n_sample": 16, "dropout_hidden": 0.0}


def training(settings: Settings, folder: Path, **changes: Any) -> Settings:
    """The same settings with a small training in a folder of its own."""
    chosen: dict[str, Any] = {"folder": folder / "training", "hold_out_sessions": 30, "parameters": TINY}
    return settings.model_copy(update={"training": TrainingSettings(**{**chosen, **changes})})


def send(settings: Settings, n: int = 200, seed: int = 0, step: int = 1) -> None:
    """Sessions round the ring, `step` items on with each click, one after the other until now."""
    start = time.time_ns() // 1_000_000 - n
    publish(
        settings,
        "interactions",
        [
            click(
                f"s{seed}-{number}",
                f"i{(int(item[1:]) * step) % 40:02d}",
                f"{seed}-{number}-{place}",
                start + number,
            )
            for number, session in enumerate(ring_sessions(n, seed))
            for place, item in enumerate(session.items)
        ],
    )


def once(settings: Settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamrec.cli", "training", "--once", "--json"],
        env={**os.environ, **settings.environment()},
        capture_output=True,
        text=True,
        timeout=120,
    )


def counts(app: App, name: str) -> dict[tuple[str, ...], float]:
    """Values above 0 of a metric, by its labels' values."""
    return {
        tuple(each.labels.values()): each.value
        for family in text_string_to_metric_families(app.page("metrics")[1])
        for each in family.samples
        if each.name == name and each.value
    }


def runs(app: App) -> dict[tuple[str, ...], float]:
    return counts(app, "streamrec_training_runs_total")


LONG_AGO = Outcome(run="earlier", reason="hand", start_ms=0, result="failed", end_ms=0)
"""The last run, after which the schedule is due at once."""


def test_a_run_by_hand_publishes_judges_and_releases_and_the_next_goes_on_from_it(
    settings: Settings, tmp_path: Path
) -> None:
    settings = training(settings, tmp_path)
    send(settings)
    ends = topic_range(settings, "interactions")
    done = once(settings)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert (first["result"], first["reason"]) == ("released", "hand")
    registry = Registry.of(settings)
    data = registry.read("gru4rec", first["version"])[0].data
    assert data["offsets"] == {str(partition): list(each) for partition, each in ends.items()}
    assert (data["run"], data["reason"]) == (first["run"], "hand")
    assert data["sessions"] == 170  # thirty are held out
    assert "parent" not in data

    send(settings, seed=1)
    done = once(settings)
    assert done.returncode == 0, done.stderr
    second = json.loads(done.stdout)
    assert registry.read("gru4rec", second["version"])[0].data["parent"] == first["version"]
    assert registry.versions("gru4rec") == sorted([first["version"], second["version"]])
    assert Place(settings.training.folder).plan() is None


def test_a_run_that_fails_says_so_and_leaves_no_version(settings: Settings, tmp_path: Path) -> None:
    settings = training(settings, tmp_path, hold_out_sessions=1000)
    send(settings, n=20)
    done = once(settings)
    assert done.returncode != 0
    assert "20 sessions, 1,000 are held out for the gate" in done.stderr
    place = Place(settings.training.folder)
    outcome = place.outcome()
    assert outcome is not None
    assert outcome.result == "failed"
    assert "held out for the gate" in outcome.detail
    assert place.plan() is None
    assert Registry.of(settings).versions("gru4rec") == []
    assert once(training(settings, tmp_path, hold_out_sessions=5)).returncode == 0


def test_the_app_trains_by_schedule_and_a_failure_waits_for_the_next_time(
    settings: Settings, tmp_path: Path
) -> None:
    settings = training(settings, tmp_path, schedule="0 0 1 1 *", hold_out_sessions=1000)
    send(settings, n=20)
    folder = settings.training.folder
    Place(folder).finish(LONG_AGO)
    with running("training", settings, tmp_path) as app:
        app.wait(lambda: runs(app) == {("schedule", "failed"): 1})
        assert "held out for the gate" in app.log
        stamp = Place(folder).outcome()
        # Several looks at the schedule later there was no other run.
        polls = time.monotonic() + 2.0
        app.wait(lambda: time.monotonic() > polls)
        assert Place(folder).outcome() == stamp
        assert app.stop() == 0
    settings = training(settings, tmp_path, schedule="0 0 1 1 *")
    send(settings, seed=1)
    Place(folder).finish(LONG_AGO)
    with running("training", settings, tmp_path) as app:
        app.wait(lambda: runs(app) == {("schedule", "released"): 1}, 120)
        assert counts(app, "streamrec_training_last_success_timestamp_seconds")[()] == pytest.approx(
            time.time(), abs=60
        )
        assert counts(app, "streamrec_training_events_per_second")[()] > 0
        assert app.stop() == 0
    outcome = Place(folder).outcome()
    assert outcome is not None
    assert released(settings)["gru4rec/live"].version == outcome.version


def child(app: App) -> psutil.Process | None:
    """The run's process."""
    found = [each for each in psutil.Process(app.process.pid).children() if "--once" in each.cmdline()]
    return found[0] if found else None


def at(settings: Settings, phase: str) -> Callable[[], bool]:
    """Whether the run is in this phase."""
    folder, registry = settings.training.folder, settings.registry.path / "gru4rec"

    def named(prefix: str) -> list[str]:
        return [each for each in os.listdir(registry) if each.startswith(prefix)] if registry.exists() else []

    return {
        "training": lambda: (folder / "checkpoint.npz").exists(),
        "export": lambda: bool(named(".")),
        "publish": lambda: bool(named("2")),
    }[phase]


def wait_for_phase(settings: Settings, app: App, phase: str) -> psutil.Process:
    """The run's process, once it is in this phase."""
    reached, deadline = at(settings, phase), time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline, app.log
        time.sleep(0.0005)
    process = child(app)
    assert process is not None, app.log
    return process


def check_whole(settings: Settings) -> None:
    """One version, however often its run was started; it is live, and nothing else is left."""
    place, registry = Place(settings.training.folder), Registry.of(settings)
    outcome = place.outcome()
    assert outcome is not None
    assert registry.versions("gru4rec") == [outcome.version]
    check_artifact(registry, outcome.version)
    assert released(settings)["gru4rec/live"].version == outcome.version
    assert place.plan() is None
    assert list(place.temporary.iterdir()) == []


def test_killed_in_each_phase_the_run_is_taken_up_with_the_same_clicks(
    settings: Settings, tmp_path: Path
) -> None:
    settings = training(settings, tmp_path, schedule="0 0 1 1 *", checkpoint_s=0.0, attempts=4)
    send(settings)
    Place(settings.training.folder).finish(LONG_AGO)
    more = tmp_path / "more.csv"
    more.write_text(
        "session_id,item_id,time\n" + "".join(f"m{n},i01,{1_600_000_000 + n}\n" for n in range(9))
    )
    with running("training", settings, tmp_path) as app:
        for phase in ("training", "export", "publish"):
            wait_for_phase(settings, app, phase).kill()
            # It comes too late for this run, whose checkpoint knows nothing of it.
            import_file(settings, more, Reading({}))
        app.wait(lambda: ("schedule", "released") in runs(app), 120)
        assert runs(app)["schedule", "killed"] == 3
        assert app.stop() == 0
    check_whole(settings)
    registry = Registry.of(settings)
    assert "earlier" not in registry.manifest("gru4rec", registry.latest("gru4rec")).data


def test_killed_with_its_app_the_run_is_taken_up_by_the_next(settings: Settings, tmp_path: Path) -> None:
    settings = training(settings, tmp_path, schedule="0 0 1 1 *", checkpoint_s=0.0)
    send(settings)
    place = Place(settings.training.folder)
    place.finish(LONG_AGO)
    with running("training", settings, tmp_path) as app:
        process = wait_for_phase(settings, app, "training")
        app.kill()
        process.wait(30)  # it ends with the app
        plan = place.plan()
        assert plan is not None
        assert plan.attempts == 1
    with running("training", settings, tmp_path) as app:
        app.wait(lambda: ("schedule", "released") in runs(app), 120)
        assert app.stop() == 0
    check_whole(settings)


def test_a_run_that_is_killed_each_time_is_given_up(settings: Settings, tmp_path: Path) -> None:
    settings = training(settings, tmp_path, schedule="0 0 1 1 *", checkpoint_s=0.0, attempts=2)
    send(settings)
    place = Place(settings.training.folder)
    place.finish(LONG_AGO)
    killed: list[int] = []
    with running("training", settings, tmp_path) as app:

        def all_killed() -> bool:
            process = child(app)
            if process is not None and process.pid not in killed:
                killed.append(process.pid)
                process.send_signal(signal.SIGKILL)
            return ("schedule", "failed") in runs(app)

        app.wait(all_killed)
        assert runs(app) == {("schedule", "killed"): 2, ("schedule", "failed"): 1}
        assert "cut short 2 times" in app.log
        assert app.stop() == 0
    assert place.plan() is None
    assert Registry.of(settings).versions("gru4rec") == []


@pytest.mark.parametrize(
    "settings",
    [{"scoring": {"trace": True, "k": 3}, "kafka": {"commit_interval_s": 0.1, "session_timeout_s": 6}}],
    indirect=True,
)
def test_a_drop_of_the_live_hit_rate_starts_a_run(settings: Settings, tmp_path: Path) -> None:
    settings = training(
        settings,
        tmp_path,
        drift_source="gru4rec",
        drift_k=1,
        drift_clicks=200,
        drift_settle_clicks=100,
        cool_down_s=0.0,
        warm_start=False,
    )
    send(settings, n=400)
    assert once(settings).returncode == 0
    with (
        running("state", settings, tmp_path),
        running("scoring", settings, tmp_path),
        running("training", settings, tmp_path) as app,
    ):
        send(settings, n=400, seed=1)
        app.wait(lambda: any(rate > 0.8 for rate in counts(app, "streamrec_training_hit_rate").values()))
        send(settings, n=800, seed=2, step=3)  # what follows what is another now
        app.wait(lambda: sum(runs(app).values()) >= 1, 120)
        assert counts(app, "streamrec_training_drifts_total")[("drop",)] >= 1
        assert all(reason == "drift" for reason, _ in runs(app))
        assert app.stop() == 0
