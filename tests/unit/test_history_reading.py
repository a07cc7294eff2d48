"""Records and clicks out of history: each offset once, and what is damaged or missing is said."""

import pickle
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_archive import BASE, TOPIC_ID, MemoryArchive, MemoryTopic, at, raw, value

from streamrec.backtest.history import ArchivedHistory
from streamrec.config import Settings
from streamrec.datasets import Clicks
from streamrec.engine.log import Out
from streamrec.errors import DatasetError
from streamrec.history import Covered, history_clicks, history_coverage, history_records, reading
from streamrec.history.columns import HistoryRecord, decode_file, encode_file
from streamrec.history.coverage import covered, pieces
from streamrec.history.names import DAY_MS, FileName
from streamrec.history.store import HistoryStore
from streamrec.topic_clicks import SessionCutter


def archived(settings: Settings, n: int = 100) -> MemoryTopic:
    topic = MemoryTopic(settings)
    for number in range(n):
        body = value(number, f"v{number % 4}") if number % 9 else b"\xff{"
        topic.publish(0, Out(f"v{number % 4}".encode(), body), BASE + number * 60_000)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, n)
    worker.finish()
    return topic


def a_file(settings: Settings) -> Path:
    [*_, path] = sorted(Path(settings.history.url).rglob("*.parquet"))
    return path


# Files of one partition: (start, length).
SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=12)


@given(SPANS, st.integers(0, 60), st.none() | st.integers(0, 80))
def test_each_offset_is_read_once_and_in_order(
    spans: Sequence[tuple[int, int]], start: int, end: int | None
) -> None:
    names = [FileName("t", TOPIC_ID, 0, first, first + size, "2024-10-04") for first, size in spans]
    read = [offset for piece in pieces(names, start, end) for offset in range(piece.start, piece.end)]
    there = {offset for name in names for offset in range(name.start, name.end)}
    assert read == sorted(each for each in there if start <= each and (end is None or each < end))
    for piece in pieces(names, start, end):
        assert piece.name.start <= piece.start < piece.end <= piece.name.end


@given(SPANS)
def test_what_is_covered_and_what_is_not(spans: Sequence[tuple[int, int]]) -> None:
    names = [FileName("t", TOPIC_ID, 0, first, first + size, "2024-10-04") for first, size in spans]
    there = {offset for name in names for offset in range(name.start, name.end)}
    found = covered(names)
    lost = {offset for first, end in found.gaps for offset in range(first, end)}
    assert set(range(found.first, found.end)) - lost == there


RECORDS = st.lists(
    st.builds(
        HistoryRecord,
        partition=st.just(2),
        offset=st.just(0),
        timestamp=st.integers(-1, 253_402_300_799_999),
        key=st.none() | st.binary(max_size=9),
        value=st.none() | st.binary(max_size=9) | st.just(value(3)),
        headers=st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=4)), max_size=3).map(
            tuple
        ),
    ),
    min_size=1,
    max_size=20,
)


@given(RECORDS, st.integers(0, 10**12))
def test_a_file_gives_back_all_that_kafka_had(records: list[HistoryRecord], first: int) -> None:
    records = [each._replace(offset=first + 2 * n) for n, each in enumerate(records)]
    data = encode_file(2, records, {"of": "a test"})
    assert list(decode_file(data, 2, 0, 2**62, {"of": "a test"})) == records


def test_analysts_find_decoded_columns_and_nulls(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = MemoryTopic(settings)
    full = {"session_id": "s", "value": 2.5, "rec_id": "r", "type": "rating"}
    for body in (value(0), value(1, "w", **full), b"{", None):
        topic.publish(0, Out(b"v", body), BASE + 5)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, 4)
    worker.finish()
    rows = pq.read_table(tmp_path / topic.name).to_pylist()
    assert [row["visitor_id"] for row in rows] == ["v", "w", None, None]
    assert rows[1]["event_time"].timestamp() * 1000 == BASE + 1000
    assert rows[1]["timestamp"].timestamp() * 1000 == BASE + 5
    assert {name: rows[1][name] for name in full} == full
    assert (rows[0]["type"], rows[0]["session_id"], rows[0]["value"]) == ("click", None, None)
    assert [row["raw_value"] for row in rows][2:] == [b"{", None]
    # The folder of the day is a column to those who read folders as columns.
    assert str(rows[0]["day"]) == "2024-10-04"


def test_records_are_read_from_and_to_an_offset(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=30)
    topic = archived(settings)
    assert raw(history_records(settings, 0, 25, 65)) == raw(topic.records(0, 25, 65))
    assert raw(history_records(settings, 0, 99)) == raw(topic.records(0, 99))
    assert list(history_records(settings, 0, 40, 40)) == []
    with pytest.raises(DatasetError, match=r"partition 0 reaches to offset 100, not to 101"):
        list(history_records(settings, 0, 0, 101))


def test_of_an_empty_history_there_is_nothing(tmp_path: Path) -> None:
    settings = at(tmp_path / "nothing", partitions=2)
    assert history_coverage(settings) == {0: Covered(), 1: Covered()}
    assert list(history_records(settings, 1)) == []
    with pytest.raises(DatasetError, match=r"no click in history.*`streamrec archive`"):
        history_clicks(settings)


def test_clicks_are_cut_as_those_of_the_topic(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=30)
    topic = archived(settings)
    cutter = SessionCutter(settings)
    for record in topic.records(0)[:70]:
        cutter.take(HistoryRecord(0, record.offset, record.timestamp, record.key, record.value))
    found = history_clicks(settings, until={0: 70})
    assert found.clicks.session_ids == cutter.clicks().session_ids
    assert found.clicks.item_ids == cutter.clicks().item_ids
    assert found.data == {
        "source": "streamrec.interactions",
        "topic_id": TOPIC_ID,
        "offsets": {"0": [0, 70]},
        "left_out": cutter.left_out,
    }
    with pytest.raises(DatasetError, match="reaches to offset 100, not to 170"):
        history_clicks(settings, until={0: 170})


def in_kafka(topic: MemoryTopic, partition: int = 0, *span: int) -> list[HistoryRecord]:
    return [
        HistoryRecord(partition, each.offset, each.timestamp, each.key, each.value)
        for each in topic.records(partition, *span)
    ]


class Tail:
    """The topic as its client reads it, in place of Kafka."""

    def __init__(self, topic: MemoryTopic, topic_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.topic = topic
        self.read: list[tuple[int, int]] = []
        monkeypatch.setattr(reading, "known_topics", lambda *_: {"interactions": topic_id})
        monkeypatch.setattr(reading, "read_partition", self.partition)

    def partition(self, _: Settings, name: str, partition: int, start: int, end: int) -> Iterator[list[Any]]:
        assert name == "interactions"
        self.read.append((start, end))
        yield in_kafka(self.topic, partition, start, end)


def of_topic(settings: Settings, topic: MemoryTopic) -> Clicks:
    cutter = SessionCutter(settings)
    for record in in_kafka(topic):
        cutter.take(record)
    return cutter.clicks()


def longer(settings: Settings, topic: MemoryTopic, n: int = 40) -> None:
    """The topic goes on, and the archive app is away."""
    end = len(topic.log.records(topic.name, 0))
    for number in range(end, end + n):
        topic.publish(0, Out(b"v1", value(number, "v1")), BASE + number * 60_000)


def test_what_is_not_in_history_yet_is_read_from_the_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = at(tmp_path)
    topic = archived(settings)
    longer(settings, topic)
    tail = Tail(topic, TOPIC_ID, monkeypatch)
    found = history_clicks(settings, until={0: 140}, and_topic=True)
    assert tail.read == [(100, 140)]
    assert found.clicks.digest() == of_topic(settings, topic).digest()
    assert found.data["offsets"] == {"0": [0, 140]}
    assert "gaps" not in found.data


def test_what_retention_took_between_history_and_topic_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = at(tmp_path)
    topic = archived(settings)
    longer(settings, topic)
    topic.first[0] = 120
    Tail(topic, TOPIC_ID, monkeypatch)
    found = history_clicks(settings, until={0: 140}, and_topic=True)
    assert found.data["offsets"] == {"0": [0, 140]}
    assert found.data["gaps"] == {"0": [[100, 120]]}


def test_without_history_all_is_read_from_the_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = at(tmp_path)
    topic = MemoryTopic(settings)
    longer(settings, topic)
    topic.first[0] = 5
    Tail(topic, TOPIC_ID, monkeypatch)
    found = history_clicks(settings, until={0: 40}, and_topic=True)
    assert found.data["offsets"] == {"0": [5, 40]}
    assert len(found.clicks) == 35


def test_a_topic_made_anew_is_read_once_whatever_the_times_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = at(tmp_path)
    topic = archived(settings)
    # The one before had a record of the future, by its producer's clock.
    old = FileName(topic.name, TOPIC_ID.replace("1", "2"), 0, 0, 1, "2030-01-01")
    at_ms = BASE + 4000 * DAY_MS
    record = HistoryRecord(0, 0, at_ms, b"v9", value(0, "v9", time=at_ms))
    HistoryStore(settings).write(topic.name, old, [record], {"partitions": "1"})
    tail = Tail(topic, TOPIC_ID, monkeypatch)
    found = history_clicks(settings, until={0: 100}, and_topic=True)
    assert tail.read == []
    assert len(found.clicks) == len(of_topic(settings, topic)) + 1
    assert found.data["topic_id"] == TOPIC_ID
    assert [each["id"] for each in found.data["earlier"]] == [old.topic_id]


def test_partitions_that_until_does_not_name_are_left_out(tmp_path: Path) -> None:
    settings = at(tmp_path, partitions=2)
    topic = MemoryTopic(settings)
    keys = {0: "v0", 1: "v1"}  # where murmur2 puts them
    for partition, visitor in keys.items():
        for n in range(10):
            topic.publish(partition, Out(visitor.encode(), value(n, visitor)), BASE + n)
    worker = MemoryArchive(topic, settings)
    worker.assign(0, 1)
    worker.tend()
    worker.finish()
    assert len(history_clicks(settings).clicks) == 20
    found = history_clicks(settings, until={1: 4})
    assert len(found.clicks) == 4
    assert found.data["offsets"] == {"0": [0, 0], "1": [0, 4]}


def test_sessions_that_begin_before_from_ms_are_left_out(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = MemoryTopic(settings)
    for n, (visitor, minute) in enumerate([("a", 0), ("b", 10), ("a", 11), ("b", 12)]):
        body = value(n, visitor, time=BASE + minute * 60_000)
        topic.publish(0, Out(visitor.encode(), body), BASE + minute * 60_000)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, 4)
    worker.finish()
    found = history_clicks(settings, from_ms=BASE + 5 * 60_000)
    assert [round((time - BASE) / 60_000) for time in found.clicks.time_ms] == [10, 12]


def test_gaps_are_stated_with_the_clicks(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=20)
    archived(settings)
    store = HistoryStore(settings)
    name = store.names("streamrec.interactions")[2]
    store.remove([f"streamrec.interactions/{name}"])
    assert history_clicks(settings).data["gaps"] == {"0": [[40, 60]]}
    assert history_clicks(settings, until={0: 50}).data["gaps"] == {"0": [[40, 50]]}
    assert "gaps" not in history_clicks(settings, until={0: 40}).data


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.8, 0.99])
def test_a_file_with_a_wrong_byte_is_named(tmp_path: Path, place: float) -> None:
    settings = at(tmp_path)
    topic = archived(settings)
    path = a_file(settings)
    data = bytearray(path.read_bytes())
    at_byte = min(len(data) - 5, int(place * len(data)) + 8)
    data[at_byte] ^= 0x55
    path.write_bytes(data)
    said = ""
    found = []
    try:
        found = raw(history_records(settings, 0))
    except DatasetError as error:
        said = str(error)
    # If it is not said, the byte was in a column for analysts, or in what nobody reads.
    assert (path.name in said and "Take the file away" in said) or found == raw(topic.records(0))


def test_a_wrong_byte_in_a_value_is_found_out_by_its_checksum(tmp_path: Path) -> None:
    settings = at(tmp_path)
    topic = MemoryTopic(settings)
    noise = random.Random(5).randbytes(4000)  # which cannot be packed, so that it stands in the file as it is
    topic.publish(0, Out(b"v", noise), BASE)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, 1)
    worker.finish()
    path = a_file(settings)
    data = bytearray(path.read_bytes())
    data[data.index(noise[1000:1020])] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"{path.name}: it is no whole Parquet file"):
        list(history_records(settings, 0))


@pytest.mark.parametrize("kept", [0, 4, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, kept: float) -> None:
    settings = at(tmp_path)
    archived(settings)
    path = a_file(settings)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    with pytest.raises(DatasetError, match=re.escape(path.name)):
        list(history_records(settings, 0))


def test_a_file_under_another_name_is_found_out(tmp_path: Path) -> None:
    settings = at(tmp_path, roll_records=50)
    archived(settings)
    path = a_file(settings)
    path.rename(path.with_name(path.name.replace(f"{50:020d}-{100:020d}", f"{100:020d}-{150:020d}")))
    with pytest.raises(DatasetError, match=r"it says of itself .*'start': '50'"):
        list(history_records(settings, 0))


def test_a_backtest_goes_through_what_is_archived(tmp_path: Path) -> None:
    settings = at(tmp_path, partitions=2, roll_records=30)
    topic = archived(settings)
    history = ArchivedHistory(settings)
    assert (history.n_partitions, history.size(0), history.size(1)) == (2, 100, 0)
    assert raw(history.records(0)) == raw(topic.records(0))
    assert list(history.records(1)) == []
    assert (history.recorded_ms(0, 40), history.recorded_ms(0, 100)) == (BASE + 40 * 60_000, None)
    assert history.place(0, 7) == 14
    until = ArchivedHistory(settings, BASE + 10 * 60_000)
    assert [record.offset for record in until.records(0)] == list(range(10))
    # A process of its own goes through each partition.
    assert raw(pickle.loads(pickle.dumps(history)).records(0)) == raw(topic.records(0))
