"""The archive app on a real broker: whatever befalls it, history is the topic, byte for byte."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from app_processes import App, click, committed, publish, read, running

from streamrec.config import Settings
from streamrec.history import history_clicks, history_coverage, history_records
from streamrec.topic_clicks import read_clicks

QUICK = {
    "kafka": {"commit_interval_s": 0.1, "max_poll_records": 50, "session_timeout_s": 6},
    "history": {"roll_records": 120, "roll_s": 0.5},
}
quick = pytest.mark.parametrize("settings", [QUICK], indirect=True)


def in_folder(settings: Settings, folder: Path) -> Settings:
    history = settings.history.model_copy(update={"url": str(folder / "history")})
    return settings.model_copy(update={"history": history})


def traffic(first: int, n: int) -> list[tuple[bytes | None, bytes | None]]:
    """Clicks, and what state refuses: no JSON, no key, no value, somebody else's key."""
    now = time.time_ns() // 1_000_000
    records: list[tuple[bytes | None, bytes | None]] = []
    for place in range(first, first + n):
        key, value = click(f"visitor-{place % 17}", f"item-{place % 23}", f"event-{place}", now + place)
        odd = {5: (key, b"{"), 6: (None, value), 7: (key, None), 8: (b"\xff", value)}
        records.append(odd.get(place % 31, (key, value)))
    return records


def in_topic(settings: Settings) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {n: [] for n in range(settings.kafka.partitions)}
    for each in read(settings, "interactions"):
        found[each.partition].append((each.offset, each.timestamp, each.key, each.value, tuple(each.headers)))
    return found


def in_history(settings: Settings) -> dict[int, list[tuple[Any, ...]]]:
    return {
        n: [
            (each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
            for each in history_records(settings, n)
        ]
        for n in range(settings.kafka.partitions)
    }


def wait_for(app: App, settings: Settings, n: int) -> None:
    """Until history has n records, as its coverage tells."""
    app.wait(lambda: sum(each.end for each in history_coverage(settings).values()) >= n)


@quick
def test_history_is_the_topic_over_kills_under_traffic(settings: Settings, tmp_path: Path) -> None:
    settings = in_folder(settings, tmp_path)
    random.seed(7)
    sent = 0
    for _ in range(5):
        with running("archive", settings, tmp_path) as app:
            seen = sum(each.end for each in history_coverage(settings).values())
            for _ in range(random.randint(2, 6)):
                publish(settings, "interactions", traffic(sent, 150))
                sent += 150
            # Once it writes, at a moment that nobody has chosen.
            wait_for(app, settings, seen + 1)
            app.kill()
    with running("archive", settings, tmp_path) as app:
        publish(settings, "interactions", traffic(sent, 100))
        wait_for(app, settings, sent + 100)
        assert app.stop() == 0
    topic = in_topic(settings)
    assert sum(map(len, topic.values())) == sent + 100
    assert in_history(settings) == topic
    assert not any(each.gaps for each in history_coverage(settings).values())


@quick
def test_clicks_of_history_are_those_of_the_topic(settings: Settings, tmp_path: Path) -> None:
    settings = in_folder(settings, tmp_path)
    publish(settings, "interactions", traffic(0, 400))
    with running("archive", settings, tmp_path) as app:
        wait_for(app, settings, 400)
        assert app.stop() == 0
    wanted, found = read_clicks(settings), history_clicks(settings)
    assert found.data == wanted.data
    assert found.clicks.session_ids == wanted.clicks.session_ids
    assert found.clicks.item_ids == wanted.clicks.item_ids
    assert found.clicks.time_ms.tolist() == wanted.clicks.time_ms.tolist()


@quick
def test_what_waits_is_written_when_the_worker_is_told_to_stop(settings: Settings, tmp_path: Path) -> None:
    patient = in_folder(settings, tmp_path)
    patient = patient.model_copy(update={"history": patient.history.model_copy(update={"roll_s": 3600.0})})
    with running("archive", patient, tmp_path) as app:
        publish(patient, "interactions", traffic(0, 30))
        app.wait(lambda: 'streamrec_batch_size_count{app="archive"}' in app.page("metrics")[1])
        app.wait(lambda: _lag(app) == 0)
        assert sum(each.end for each in history_coverage(patient).values()) == 0
        assert app.stop() == 0
    assert in_history(patient) == in_topic(patient)


def _lag(app: App) -> float:
    lines = app.page("metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("streamrec_consumer_lag{"))


@quick
def test_two_workers_share_the_partitions_and_one_that_hangs_may_write_again(
    settings: Settings, tmp_path: Path
) -> None:
    settings = in_folder(settings, tmp_path)
    (tmp_path / "other").mkdir()
    with (
        running("archive", settings, tmp_path) as one,
        running("archive", settings, tmp_path / "other") as other,
    ):
        sent = 0

        def both_write() -> bool:
            nonlocal sent
            publish(settings, "interactions", traffic(sent, 60))
            sent += 60
            return all(
                "streamrec_archive_records_total 0.0" not in app.page("metrics")[1] for app in (one, other)
            )

        one.wait(both_write)
        # Stopped for longer than its session: the other takes over, and this one goes on as a zombie.
        os.kill(one.process.pid, signal.SIGSTOP)
        publish(settings, "interactions", traffic(sent, 200))
        sent += 200
        wait_for(other, settings, sent)
        os.kill(one.process.pid, signal.SIGCONT)
        publish(settings, "interactions", traffic(sent, 200))
        sent += 200
        wait_for(other, settings, sent)
    assert in_history(settings) == in_topic(settings)


@quick
def test_what_a_killed_worker_had_committed_is_archived_by_the_next_although_nothing_new_comes(
    settings: Settings, tmp_path: Path
) -> None:
    settings = in_folder(settings, tmp_path)
    slow = settings.model_copy(update={"history": settings.history.model_copy(update={"roll_s": 3600.0})})
    publish(settings, "interactions", traffic(0, 30))
    with running("archive", slow, tmp_path) as app:
        app.wait(lambda: sum(committed(settings, "interactions", "archive")[0].values()) == 30)
        app.kill()
    assert sum(each.end for each in history_coverage(settings).values()) == 0
    with running("archive", settings, tmp_path) as app:
        wait_for(app, settings, 30)
    assert in_history(settings) == in_topic(settings)
