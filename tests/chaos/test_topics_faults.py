"""Topics that are compacted, cut off, removed or made anew, and rows that cannot be read.

What is lost is noticed and named, in a process that ends; `streamrec state rebuild` makes it again.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from app_processes import App, publish, read
from bench import Bench
from kafka import TopicPartition
from kafka.admin import ConfigResource, OffsetSpec
from kafka.structs import OffsetAndMetadata
from system import System, Worker
from traffic import real_clicks

from streamrec.config import Settings
from streamrec.state.rows import VISITOR
from streamrec.topics import connect, create_topics, mend_topics

ROLES = ("state", "scoring")
PER_S = 40.0
REBUILD = "`streamrec state rebuild`"


def places(settings: Settings, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, by name without prefix."""
    return [TopicPartition(settings.kafka.topic(topic), each) for each in range(settings.kafka.partitions)]


def offsets(settings: Settings, topic: str, spec: OffsetSpec = OffsetSpec.LATEST) -> dict[int, int]:
    """The end of every partition of a topic, or its beginning."""
    with connect(settings.kafka) as admin:
        found = admin.list_partition_offsets(dict.fromkeys(places(settings, topic), spec))
    return {place.partition: each.offset for place, each in found.items()}


def configure(settings: Settings, topic: str, **config: str) -> None:
    """Set configuration of a topic, with _ for the dots in its names."""
    changes = {name.replace("_", "."): value for name, value in config.items()}
    with connect(settings.kafka) as admin:
        admin.alter_configs([ConfigResource("TOPIC", settings.kafka.topic(topic), changes)])


def cut(settings: Settings, topic: str, before: dict[int, int]) -> None:
    """Delete the records below an offset of each partition."""
    with connect(settings.kafka) as admin:
        admin.delete_records({place: before[place.partition] for place in places(settings, topic)})
    assert offsets(settings, topic, OffsetSpec.EARLIEST) == before


def cut_rows(settings: Settings, share: float) -> None:
    """Delete the first part of visitor-states."""
    # Kafka refuses to as long as the topic is only compacted.
    configure(settings, "visitor-states", cleanup_policy="compact,delete")
    ends = offsets(settings, "visitor-states")
    cut(settings, "visitor-states", {n: round(end * share) for n, end in ends.items()})
    mend_topics(settings)


def remove(settings: Settings, topic: str) -> None:
    """Delete a topic."""
    name = settings.kafka.topic(topic)
    with connect(settings.kafka) as admin:
        admin.delete_topics([name])
        while name in admin.list_topics():
            time.sleep(0.05)


def make_anew(settings: Settings, topic: str) -> None:
    remove(settings, topic)
    create_topics(settings)


def start(system: System) -> dict[str, Worker]:
    system.workers.clear()
    return {role: system.start(role) for role in ROLES}


def work(system: System, clicks: Iterator[dict[str, Any]]) -> dict[str, Worker]:
    """Start workers and send clicks until lists come from everywhere, and all of it is handled."""
    workers = start(system)
    with system.traffic(PER_S, clicks):
        system.wait_until_flowing()
    system.settle()
    return workers


def end_of(app: App) -> str:
    """What a worker that ends by itself, in good order, has said; in one line."""
    try:
        assert app.process.wait(timeout=120) == 1, app.log
    finally:
        app.kill()
    assert "Traceback" not in app.log, app.log
    return " ".join(app.log.split())


def refusal(role: str, settings: Settings, folder: Path) -> str:
    return end_of(App(role, settings, folder / f"{role}-refusing.log"))


def rebuild(system: System) -> None:
    """`streamrec state rebuild`, as soon as Kafka knows that no worker is left."""
    environment = {**os.environ, **system.settings.environment()}
    command = [sys.executable, "-m", "streamrec.cli", "state", "rebuild", "--yes"]

    def done() -> bool:
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert made.returncode == 0 or "running workers" in made.stderr, made.stderr
        return made.returncode == 0

    system.wait(done, what="the rebuild")


def rebuild_and_go_on(system: System) -> int:
    """Make the state again and start workers; gives when they started, ms since 1970."""
    rebuild(system)
    since_ms = round(time.time() * 1000)
    start(system)
    system.wait_until_flowing()
    return since_ms


def truncated_in_the_middle(settings: Settings) -> None:
    cut_rows(settings, 0.5)


def truncated_to_its_end(settings: Settings) -> None:
    cut_rows(settings, 1.0)


def made_anew(settings: Settings) -> None:
    make_anew(settings, "visitor-states")


def damaged(settings: Settings) -> None:
    publish(settings, "visitor-states", [(VISITOR + b"somebody", b"\xc1 no msgpack")], partition=0)


def of_an_older_version(settings: Settings) -> None:
    row = next(each for each in read(settings, "visitor-states") if each.key.startswith(VISITOR))
    *fields, factors, last_time, hidden = msgspec.msgpack.decode(row.value)
    older = msgspec.msgpack.encode([*fields, hidden, factors, last_time])
    publish(settings, "visitor-states", [(row.key, older)], partition=row.partition)


def committed_ahead(settings: Settings) -> None:
    ahead = {
        place: OffsetAndMetadata(offsets(settings, "interactions")[place.partition] + 1, "", -1)
        for place in places(settings, "interactions")
    }
    with connect(settings.kafka) as admin:
        admin.alter_group_offsets(settings.kafka.topic("state"), ahead)


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("fault", "roles", "message"),
    [
        (truncated_in_the_middle, ROLES, "begins at offset"),
        (truncated_to_its_end, ROLES, "begins at offset"),
        (made_anew, ["state"], "rows are lost"),
        (damaged, ROLES, "cannot be read"),
        (of_an_older_version, ROLES, "cannot be read"),
        (committed_ahead, ["state"], "rows are lost"),
    ],
)
def test_rows_that_are_lost_or_unreadable_are_refused_and_made_again(
    bench: Bench, fault: Callable[[Settings], None], roles: Iterable[str], message: str
) -> None:
    clicks = real_clicks(bench.seed)
    with bench.system() as system:
        start(system)
        with system.traffic(PER_S, clicks):
            system.wait_until_flowing()
            system.pause(1, 3)
        system.settle()
        system.stop()
        system.fault()
        fault(system.settings)
        with system.traffic(PER_S, clicks):
            for role in roles:
                said = refusal(role, system.settings, bench.folder)
                assert message in said
                assert REBUILD in said
            lists = len(read(system.settings, "recommendations"))
            rebuild_and_go_on(system)
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.repeats == lists


@pytest.mark.chaos
def test_a_removed_topic_is_named_and_an_empty_one_in_its_place_refused(bench: Bench) -> None:
    clicks = real_clicks(bench.seed)
    with bench.system() as system:
        work(system, clicks)
        system.stop()
        system.fault()
        remove(system.settings, "visitor-states")
        for role in ROLES:
            assert "streamrec topics create" in refusal(role, system.settings, bench.folder)
        create_topics(system.settings)
        with system.traffic(PER_S, clicks):
            assert REBUILD in refusal("state", system.settings, bench.folder)
            rebuild_and_go_on(system)
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()


@pytest.mark.chaos
@pytest.mark.parametrize("topic", ["visitor-states", "interactions"])
def test_a_topic_made_anew_while_workers_run_ends_them_and_is_refused_until_the_rebuild(
    bench: Bench, topic: str
) -> None:
    clicks = real_clicks(bench.seed)
    with bench.system() as system:
        workers = work(system, clicks)
        system.fault()
        make_anew(system.settings, topic)
        if topic == "interactions":
            system.sent = 0  # went with the topic
        with system.traffic(PER_S, clicks):
            told = {
                role: f"{system.settings.kafka.topic(topic)} was made anew while this worker ran"
                for role in (ROLES if topic == "visitor-states" else ["state"])
            }
            system.wait(
                lambda: all(text in workers[role].log for role, text in told.items()), what="the workers' end"
            )
            system.wait(lambda: len(workers["state"].exits) > 1, what="the refusal after it")
            for worker in system.workers:
                worker.end()
            assert set(workers["state"].exits[:-1]) == {1}
            assert REBUILD in refusal("state", system.settings, bench.folder)
            since_ms = rebuild_and_go_on(system)
        system.settle()
        system.stop()
        verdict = bench.judge(system, since_ms=since_ms if topic == "interactions" else 0)
    verdict.check()


@pytest.mark.chaos
def test_interactions_made_anew_while_no_worker_runs_are_refused_until_the_rebuild(bench: Bench) -> None:
    clicks = real_clicks(bench.seed)
    with bench.system() as system:
        work(system, clicks)
        system.stop()
        system.fault()
        make_anew(system.settings, "interactions")
        system.sent = 0
        with system.traffic(PER_S, clicks):
            said = refusal("state", system.settings, bench.folder)
            assert "the topic was made anew" in said
            assert REBUILD in said
            since_ms = rebuild_and_go_on(system)
        system.settle()
        system.stop()
        verdict = bench.judge(system, since_ms=since_ms)
    verdict.check()


@pytest.mark.chaos
def test_input_that_is_gone_before_it_was_read_is_counted_and_the_rest_goes_on(bench: Bench) -> None:
    clicks = real_clicks(bench.seed)
    with bench.system() as system:
        settings = system.settings
        workers = work(system, clicks)
        seen = read(settings, "interactions")
        done = Counter(each.partition for each in seen)
        assert workers["state"].stop()[0] == 0
        with system.traffic(PER_S, clicks):
            system.wait(
                lambda: all(end > done[n] + 5 for n, end in offsets(settings, "interactions").items())
            )
        lost = {n: (end - done[n]) // 2 for n, end in offsets(settings, "interactions").items()}
        cut(settings, "interactions", {n: done[n] + many for n, many in lost.items()})
        state = system.start("state")
        with system.traffic(PER_S, clicks):
            system.wait_until_flowing()
        system.settle()
        assert f"streamrec_input_gaps_total {float(sum(lost.values()))}" in state.page("metrics")
        system.stop()
        # Acknowledged, then deleted on purpose.
        system.sent -= sum(lost.values())
        verdict = bench.judge(system, inputs=[*seen, *read(settings, "interactions")])
    verdict.check()


@pytest.mark.chaos
def test_compacted_to_the_newest_rows_nothing_is_missed(bench: Bench) -> None:
    clicks = real_clicks(bench.seed)
    with bench.system() as system:
        settings = system.settings
        start(system)
        with system.traffic(PER_S, clicks):
            system.wait_until_flowing()
            system.pause(2, 4)
        system.settle()
        configure(
            settings,
            "visitor-states",
            min_compaction_lag_ms="0",
            min_cleanable_dirty_ratio="0.01",
            segment_ms="1000",
        )
        full = offsets(settings, "visitor-states")
        with system.traffic(PER_S, clicks):  # closes the segments so far
            system.wait(lambda: all(end > full[n] for n, end in offsets(settings, "visitor-states").items()))
        system.settle()

        def cleaned() -> bool:
            held = Counter(each.partition for each in read(settings, "visitor-states"))
            return all(held[n] < end for n, end in full.items())

        system.wait(cleaned, timeout_s=120, what="the cleaner")
        assert set(offsets(settings, "visitor-states", OffsetSpec.EARLIEST).values()) == {0}
        assert mend_topics(settings)
        with system.traffic(PER_S, clicks):
            system.fault()
            for worker in system.workers:
                worker.kill()
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system, compacted=True)
    verdict.check()


@pytest.mark.chaos
def test_workers_keep_nothing_on_disk(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(here))
    # What keeps ONNX Runtime from it: workers have to set it themselves.
    for name in ("ORT_DISABLE_TELEMETRY", "CI"):
        monkeypatch.delenv(name, raising=False)
    with bench.system() as system:
        start(system)
        with system.traffic(PER_S):
            system.wait_until_flowing()
        system.settle()
        for worker in system.workers:
            assert Path(f"/proc/{worker.pid}/cwd").resolve() == here
            worker.kill()
        system.wait(lambda: all(worker.exits and worker.ready for worker in system.workers))
        system.stop()
        bench.judge(system).check()
    assert not list(here.iterdir())
