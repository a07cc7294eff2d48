"""The archiver: whatever happens to it, history is the log."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_archive import BASE, TOPIC_ID, MemoryArchive, MemoryTopic, at, raw, value

from streamrec import metrics
from streamrec.config import Settings
from streamrec.engine.log import Out
from streamrec.errors import StorageError
from streamrec.history import Covered, history_coverage, history_records
from streamrec.history.names import DAY_MS, parse_name
from streamrec.history.store import HistoryStore


def filled(settings: Settings, n: int, step_ms: int = 1000) -> MemoryTopic:
    """A topic with n records in partition 0."""
    topic = MemoryTopic(settings)
    for number in range(n):
        topic.publish(0, Out(b"v", value(number), [("from", b"app")]), BASE + number * step_ms)
    return topic


def files(settings: Settings) -> list[Any]:
    return HistoryStore(settings).names(settings.kafka.topic("interactions"))


# What can happen, each to one of two workers; numbers choose among what there is.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "publish", "handle", "handle", "tend", "finish", "kill", "lose"]),
        st.integers(0, 1),
        st.integers(0, 40),
    ),
    max_size=40,
)


@given(EVENTS, st.integers(1, 20), st.sets(st.integers(0, 60), max_size=10))
def test_any_sequence_of_kills_rolls_and_overlaps_ends_in_the_log(
    events: Sequence[tuple[str, int, int]], roll_records: int, holes: set[int]
) -> None:
    with TemporaryDirectory() as folder:
        settings = at(folder, roll_records=roll_records, roll_s=1e-9)
        topic = MemoryTopic(settings)
        topic.missing = {(0, offset) for offset in holes}
        workers = [MemoryArchive(topic, settings), MemoryArchive(topic, settings)]
        places = [0, 0]
        """Where each one's stream is."""
        for event, which, n in events:
            end = len(topic.log.records(topic.name, 0))
            if event == "publish":
                for number in range(end, end + n):
                    # Now and then a day further, and a day back.
                    moved = (number % 19 == 0) - (number % 23 == 0)
                    topic.publish(0, Out(b"v", value(number)), BASE + number + moved * DAY_MS)
            elif event == "handle":
                # Both may take the partition for theirs: a worker that hangs does not know better.
                start = places[which]
                workers[which].handle(0, start, min(end, start + n))
                places[which] = min(end, start + n)
            elif event == "lose":
                workers[which].assign(*([0] if n % 2 else []))
                places[which] = n if n < end else end  # where the group had committed
            elif event == "kill":
                workers[which] = MemoryArchive(topic, settings)
                workers[which].assign(0)
                places[which] = n if n < end else end
            else:
                getattr(workers[which], event)()
        last = MemoryArchive(topic, settings)
        last.assign(0)
        last.tend()
        last.finish()
        assert raw(history_records(settings, 0)) == raw(topic.records(0))
        assert not history_coverage(settings)[0].gaps


def test_a_file_has_the_records_of_one_day_and_says_where_they_are_from(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = filled(settings, 50, step_ms=DAY_MS // 20)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, 50)
    worker.finish()
    spans = [(name.day, name.start, name.end) for name in files(settings)]
    assert spans == [("2024-10-04", 0, 20), ("2024-10-05", 20, 40), ("2024-10-06", 40, 50)]
    first = tmp_path / "streamrec.interactions" / "day=2024-10-04"
    assert [path.name for path in first.iterdir()] == [
        f"streamrec.interactions-{TOPIC_ID}-0-{0:020d}-{20:020d}.parquet"
    ]


def test_a_record_of_an_earlier_day_stays_with_those_before_it(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = MemoryTopic(settings)
    for number, day in enumerate([0, 1, 0, 1, 0, 1]):
        topic.publish(0, Out(b"v", value(number)), BASE + day * DAY_MS)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, 6)
    worker.finish()
    assert [(name.day, name.start, name.end) for name in files(settings)] == [
        ("2024-10-04", 0, 1),
        ("2024-10-05", 1, 6),
    ]


def test_what_retention_took_is_counted_and_stated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = at(tmp_path)
    topic = filled(settings, 100)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, 30)
    worker.finish()
    topic.first[0] = 70
    before = metrics.total(metrics.archive_gaps)
    for _ in range(2):  # the second finds the gap as it is
        worker = MemoryArchive(topic, settings)
        worker.assign(0)
        worker.tend()
        worker.finish()
    assert metrics.total(metrics.archive_gaps) - before == 40
    assert "offsets 30 to 69 were gone" in caplog.text
    assert history_coverage(settings)[0] == Covered(0, 100, ((30, 70),))
    offsets = [record.offset for record in history_records(settings, 0)]
    assert offsets == [*range(30), *range(70, 100)]


def test_retention_before_the_first_file_is_a_gap_too(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = filled(settings, 20)
    topic.first[0] = 5
    before = metrics.total(metrics.archive_gaps)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 5, 20)
    worker.finish()
    assert metrics.total(metrics.archive_gaps) - before == 5
    assert history_coverage(settings)[0] == Covered(5, 20)


def test_offsets_that_never_had_a_record_are_no_gap(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=10)
    topic = filled(settings, 40)
    topic.missing = {(0, offset) for offset in (0, 9, 10, 11, 25)}
    before = metrics.total(metrics.archive_gaps)
    worker = MemoryArchive(topic, settings)
    for start in range(0, 40, 7):
        worker.handle(0, start, start + 7)
    worker.finish()
    assert metrics.total(metrics.archive_gaps) == before
    assert history_coverage(settings)[0] == Covered(0, 40)


def test_a_file_that_was_taken_away_is_read_again(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=10)
    topic = filled(settings, 40)
    MemoryArchive(topic, settings).handle(0, 0, 40)
    HistoryStore(settings).remove([f"{topic.name}/{files(settings)[1]}"])
    assert history_coverage(settings)[0].gaps == ((10, 20),)
    worker = MemoryArchive(topic, settings)
    worker.assign(0)
    worker.tend()
    assert raw(history_records(settings, 0)) == raw(topic.records(0))


def test_so_is_the_first_file_of_a_partition(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=10)
    topic = filled(settings, 40)
    MemoryArchive(topic, settings).handle(0, 0, 40)
    HistoryStore(settings).remove([f"{topic.name}/{files(settings)[0]}"])
    topic.first[0] = 3
    worker = MemoryArchive(topic, settings)
    worker.assign(0)
    worker.tend()
    assert raw(history_records(settings, 0)) == raw(topic.records(0))


def failing(store: HistoryStore, times: int) -> Callable[..., int]:
    write = store.write

    def instead(*arguments: Any) -> int:
        nonlocal times
        times -= 1
        if times >= 0:
            raise StorageError("build/history: the disk is away")
        return write(*arguments)

    return instead


def test_a_store_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = at(tmp_path, roll_records=10)
    topic = filled(settings, 25)
    worker = MemoryArchive(topic, settings)
    store = worker.archiver._store
    monkeypatch.setattr(store, "write", failing(store, 2))
    with caplog.at_level(logging.WARNING):
        worker.handle(0, 0, 25)
    assert caplog.text.count("the disk is away") == 2
    worker.finish()
    assert raw(history_records(settings, 0)) == raw(topic.records(0))


def test_a_store_that_stays_away_ends_the_worker_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = at(tmp_path, roll_records=10, patience_s=0.3)
    topic = filled(settings, 25)
    worker = MemoryArchive(topic, settings)
    store = worker.archiver._store
    monkeypatch.setattr(store, "write", failing(store, 1000))
    with pytest.raises(StorageError, match=r"the disk is away\. Given up after .* nothing is lost"):
        worker.handle(0, 0, 25)
    assert files(settings) == []
    worker = MemoryArchive(topic, settings)
    worker.assign(0)
    worker.tend()
    worker.finish()
    assert raw(history_records(settings, 0)) == raw(topic.records(0))


def test_a_full_disk_leaves_no_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = at(tmp_path)
    store = HistoryStore(settings)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*is there room"):
        store.write_bytes("topic/day=2024-10-04/file", b"bytes")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_writer_left_is_no_file_of_history(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = filled(settings, 5)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, 5)
    worker.finish()
    [name] = files(settings)
    half = tmp_path / topic.name / str(name.__class__(*name[:3], 5, 9, name.day))
    half.with_name(f".{half.name}.aa.part").write_bytes(b"PAR1")
    assert files(settings) == [name]


def test_another_topic_of_that_name_is_another_history(tmp_path: Path) -> None:
    settings = at(tmp_path)
    for number, topic_id in enumerate(["e" * 8 + TOPIC_ID[8:], "1" * 8 + TOPIC_ID[8:]]):
        topic = MemoryTopic(settings)
        for n in range(5):
            topic.publish(0, Out(b"v", value(n + 10 * number)), BASE + number * 60_000 + n)
        worker = MemoryArchive(topic, settings)
        worker.archiver._topic_id = topic_id
        worker.handle(0, 0, 5)
        worker.finish()
        assert raw(history_records(settings, 0, topic_id=topic_id)) == raw(topic.records(0))
    # Of both there are records of that day: the later ones are those of the topic as it is now.
    assert raw(history_records(settings, 0)) == raw(topic.records(0))
    # Those of before are asked for by name; of a topic that was not archived there is nothing.
    assert raw(history_records(settings, 0, topic_id="e" * 8 + TOPIC_ID[8:])) != raw(topic.records(0))
    assert raw(history_records(settings, 0, topic_id=TOPIC_ID)) == []
    assert history_coverage(settings, TOPIC_ID)[0].end == 0


def test_a_worker_that_gets_a_partition_back_looks_again_how_far_history_reaches(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = filled(settings, 60)
    worker, other = MemoryArchive(topic, settings), MemoryArchive(topic, settings)
    worker.assign(0)
    worker.handle(0, 0, 20)
    worker.assign()
    other.assign(0)
    other.handle(0, 20, 60)  # and has it committed, and dies
    worker.assign(0)
    worker.tend()
    worker.finish()
    assert raw(history_records(settings, 0)) == raw(topic.records(0))


def test_records_that_come_once_more_are_written_once(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = filled(settings, 30)
    worker = MemoryArchive(topic, settings)
    for start, end in ((0, 20), (10, 25), (10, 15), (5, 30)):
        worker.handle(0, start, end)
    worker.finish()
    assert raw(history_records(settings, 0)) == raw(topic.records(0))
    assert len(files(settings)) == 1


def test_partitions_are_archived_apart(tmp_path: Path) -> None:
    settings = at(tmp_path, partitions=3, roll_records=4)
    topic, random_ = MemoryTopic(settings), random.Random(1)
    for n in range(60):
        topic.publish(random_.randrange(3), Out(b"v", value(n)), BASE + n)
    worker = MemoryArchive(topic, settings)
    worker.assign(0, 1, 2)
    worker.tend()
    worker.finish()
    for partition in range(3):
        assert raw(history_records(settings, partition)) == raw(topic.records(partition))


def test_what_waits_is_shown_by_partition(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=10)
    topic = filled(settings, 25)
    worker = MemoryArchive(topic, settings)
    assert not worker.archiver.waiting()
    worker.handle(0, 0, 25)
    assert worker.archiver.waiting()[("0",)] > 0
    worker.finish()
    assert worker.archiver.waiting() == {("0",): 0.0}


def test_names_of_files_say_what_they_are() -> None:
    name = f"day=2024-10-04/a-b.c-{TOPIC_ID}-3-{5:020d}-{9:020d}.parquet"
    found = parse_name(f"s3-bucket/prefix/a-b.c/{name}")
    assert found == ("a-b.c", TOPIC_ID, 3, 5, 9, "2024-10-04")
    assert str(found) == name
    for other in ("day=2024-10-04/x.parquet", name + ".part", name.replace("/", "/.")[:-1]):
        assert parse_name(other) is None


def test_run_goes_on_until_it_is_cancelled(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_s=0.01)
    topic = filled(settings, 5)
    worker = MemoryArchive(topic, settings)
    worker.assign(0)

    async def until_written() -> None:
        running = asyncio.create_task(worker.archiver.run())
        while not files(settings):  # noqa: ASYNC110 (there is no event for it)
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(until_written())
    assert raw(history_records(settings, 0)) == raw(topic.records(0))
