"""History on S3: the same code, and the same result."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_archive import BASE, MemoryArchive, MemoryTopic, at, raw, value
from object_store import object_store, start_server, stop_server

from streamrec import metrics
from streamrec.config import Settings, StorageSettings
from streamrec.engine.log import Out
from streamrec.errors import DatasetError, StorageError
from streamrec.history import Covered, history_clicks, history_coverage, history_records
from streamrec.history.fields import Reading
from streamrec.history.importing import import_file
from streamrec.history.store import HistoryStore


@pytest.fixture(scope="module")
def storage() -> Iterator[StorageSettings]:
    with object_store("clicks") as store:
        yield store.storage


def on_s3(storage: StorageSettings, url: str, **history: float) -> Settings:
    return at(url, **history).model_copy(update={"storage": storage})


def archived(settings: Settings) -> MemoryTopic:
    """A topic, archived by three workers, each of whom is killed."""
    topic = MemoryTopic(settings)
    for n in range(400):
        topic.publish(0, Out(b"v", value(n) if n % 7 else b"{", [("a", b"b")] * (n % 3)), BASE + n * 600_000)
    for start in (0, 90, 250):
        worker = MemoryArchive(topic, settings)
        worker.handle(0, start, start + 150)
    worker.finish()
    return topic


def test_history_on_s3_is_that_on_a_local_disk(storage: StorageSettings, tmp_path: Path) -> None:
    here, there = at(tmp_path, roll_records=40), on_s3(storage, "s3://clicks/shop", roll_records=40)
    topics = [archived(settings) for settings in (here, there)]
    names = [HistoryStore(each).names(topics[0].name) for each in (here, there)]
    assert names[0] == names[1]
    assert len(names[0]) > 5
    for settings in (here, there):
        assert raw(history_records(settings, 0)) == raw(topics[0].records(0))
    assert history_coverage(here) == history_coverage(there)
    assert history_clicks(here).data == history_clicks(there).data


def test_files_are_imported_and_replaced_there(storage: StorageSettings, tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("user,item,time\n" + "".join(f"u{n % 3},i{n},{1_600_000_000 + n}\n" for n in range(20)))
    settings = on_s3(storage, "s3://clicks/imports-of-a-test")
    assert import_file(settings, path, Reading({})).taken == 20
    assert import_file(settings, path, Reading({})).already
    assert import_file(settings, path, Reading({}, "purchase"), again=True).taken == 20
    found = history_clicks(settings)
    assert len(found.clicks) == 20
    assert [each["source"] for each in found.data["earlier"]] == ["old.csv"]


def test_a_damaged_file_is_named(storage: StorageSettings) -> None:
    settings = on_s3(storage, "s3://clicks/damaged", roll_records=40)
    topic = archived(settings)
    store = HistoryStore(settings)
    name = store.names(topic.name)[1]
    store.write_bytes(f"{topic.name}/{name}", b"PAR1")
    with pytest.raises(DatasetError, match=rf"s3://clicks/damaged/{topic.name}/{name}: .*no whole Parquet"):
        list(history_records(settings, 0))


def test_a_bucket_that_is_not_there_is_named(storage: StorageSettings) -> None:
    store = HistoryStore(on_s3(storage, "s3://no-such-bucket/shop"))
    with pytest.raises(StorageError, match=r"s3://no-such-bucket/shop: .*is the bucket there"):
        store.write_bytes("topic/file", b"bytes")


def test_a_store_that_comes_back_gets_all_of_it() -> None:
    with object_store("outage") as store:
        settings = on_s3(store.storage, "s3://outage/shop", roll_records=40)
        archived(settings)
        port = int(str(store.storage.endpoint).rpartition(":")[2])
    # From here on nothing listens there.
    failures = metrics.total(metrics.archive_failures)
    topic = MemoryTopic(settings)
    for n in range(500):
        topic.publish(0, Out(b"v", value(n)), BASE + n * 600_000)
    worker = MemoryArchive(topic, settings)
    worker.assign(0)
    tending = threading.Thread(target=worker.tend)
    tending.start()
    while metrics.total(metrics.archive_failures) == failures:
        assert tending.is_alive()
    server = start_server(port)
    try:
        tending.join()
        worker.finish()
        assert history_coverage(settings)[0] == Covered(0, 500)
        assert raw(history_records(settings, 0, 400)) == raw(topic.records(0, 400))
    finally:
        stop_server(server)


def test_a_store_that_is_away_is_named() -> None:
    away = StorageSettings(endpoint="http://127.0.0.1:9", access_key="a", secret_key="b")
    store = HistoryStore(on_s3(away, "s3://clicks/shop"))
    with pytest.raises(StorageError, match=r"s3://clicks/shop: .*STREAMREC_STORAGE__ENDPOINT right"):
        store.names("topic")
