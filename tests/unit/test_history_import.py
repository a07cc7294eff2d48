"""Files of others into history: every row is taken or refused, and the file is in it once."""

import csv
import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_archive import at

from streamrec.advance.records import Intake, partition_of
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.errors import ConfigError, DatasetError, RecordError
from streamrec.events import decode_interaction
from streamrec.history import history_clicks
from streamrec.history.fields import Reading, parse_columns
from streamrec.history.importing import Imported, import_file
from streamrec.history.sources import import_sources
from streamrec.history.spool import Spool, Spooled
from streamrec.history.store import HistoryStore

AUTO = Reading({})
START_S = 1_600_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return at(tmp_path / "history", partitions=3)


def bring(settings: Settings, path: Path, reading: Reading = AUTO, **options: Any) -> Imported:
    return import_file(settings, path, reading, refused=path.with_suffix(".refused"), **options)


def events(settings: Settings) -> list[Any]:
    """Everything imported: the interactions, by time."""
    store, found = HistoryStore(settings), []
    for _, source in import_sources(store):
        for partition in source.names:
            for record in source.records(store, partition):
                event = decode_interaction(record.value or b"")
                assert record.key == event.visitor_id.encode()
                assert partition_of(record.key, 3) == partition
                found.append(event)
    return sorted(found, key=lambda event: (event.time, event.event_id))


def refusals(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.with_suffix(".refused").read_text().splitlines()]


ROWS = [
    {"event_id": f"e{n}", "type": "view", "user_id": f"u{n % 4}", "item_id": f"i{n}", "time": START_S + n}
    for n in range(30)
]


def as_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)


def as_tsv_gz(path: Path) -> None:
    lines = ["\t".join(ROWS[0]), *("\t".join(map(str, row.values())) for row in ROWS)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("old.csv", as_csv),
        ("old.tsv.gz", as_tsv_gz),
        ("old.jsonl", as_jsonl),
        ("old.parquet", as_parquet),
    ],
)
def test_the_same_rows_come_out_of_every_format(
    settings: Settings, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    found = bring(settings, tmp_path / name)
    assert (found.rows, found.taken, found.refused, found.refused_file) == (30, 30, {}, None)
    assert (found.first_ms, found.last_ms) == (START_S * 1000, (START_S + 29) * 1000)
    assert [(each.event_id, each.visitor_id, each.item_id, each.type) for each in events(settings)] == [
        (row["event_id"], row["user_id"], row["item_id"], "view") for row in ROWS
    ]


def test_bundled_clicks_come_back_as_they_are(settings: Settings) -> None:
    wanted = bundled_clicks()
    path = Path(__file__).parents[2] / "streamrec" / "data" / "serenade.tsv.gz"
    assert import_file(settings, path, AUTO).taken == len(wanted)
    found = history_clicks(settings)
    assert found.clicks.time_ms.tolist() == wanted.time_ms.tolist()
    # Silence ends a session only where it has no id: these have one, and each is a visitor.
    assert sorted(tuple(each.items) for each in click_sessions(found.clicks)) == sorted(
        tuple(each.items) for each in click_sessions(wanted)
    )


@pytest.mark.parametrize(
    ("unit", "cell", "ms"),
    [
        ("auto", "1600000000", 1_600_000_000_000),
        ("auto", "1600000000.25", 1_600_000_000_250),
        ("auto", "1600000000123", 1_600_000_000_123),
        ("auto", "2020-09-13T12:26:40Z", 1_600_000_000_000),
        ("auto", "2020-09-13 12:26:40", 1_600_000_000_000),
        ("auto", "2020-09-13T14:26:40.5+02:00", 1_600_000_000_500),
        ("auto", "2020-09-13", 1_599_955_200_000),
        ("s", "99999999999", 99_999_999_999_000),
        ("ms", "5000", 5000),
        ("iso", "20200913", 1_599_955_200_000),
        ("auto", datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC), 1_600_000_000_000),
        ("auto", datetime(2020, 9, 13, 12, 26, 40), 1_600_000_000_000),  # as Parquet gives it
    ],
)
def test_times(unit: Any, cell: Any, ms: int) -> None:
    reading = Reading({}, "click", unit)
    cells = {"user": "u", "item": "i", "time": cell}
    event = decode_interaction(reading.interaction(cells, reading.find(list(cells)), "e"))
    assert event.time == ms


@pytest.mark.parametrize(
    ("unit", "cell"),
    [("auto", "yesterday"), ("s", "2020-09-13"), ("iso", "1600000000.5"), ("auto", None), ("auto", "nan")],
)
def test_what_is_no_time_is_refused(unit: Any, cell: Any) -> None:
    reading = Reading({}, "click", unit)
    with pytest.raises(RecordError, match=f"time .* is not what --time-unit {unit} reads"):
        reading.interaction({"time": cell}, {"time": "time"}, "e")


def test_every_row_is_taken_or_refused_with_its_line_and_the_reason(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(
        b"user,item,time,type\n"
        b"u,i,1600000000,click\n"  # line 2
        b"u,,1600000001,click\n"
        b"u,i,tomorrow,click\n"
        b"u,i,1600000003\n"
        b"u,i,1600000004,dance\n"
        b"\n"
        b"\xff,i,1600000005,click\n"  # 8
        b"u,i,99999999999,click\n"
        b'"u,\nv",i,1600000007,click\n'  # 10 and 11
        b"u,i,1600000008,\n"
    )
    found = bring(settings, path)
    assert (found.rows, found.taken) == (9, 3)
    assert sum(found.refused.values()) == 6
    assert [(each["line"], each["reason"]) for each in refusals(path)] == [
        (3, "invalid"),
        (4, "invalid"),
        (5, "undecodable"),
        (6, "unknown_type"),
        (8, "invalid"),
        (9, "future"),
    ]
    assert "'dance'" in refusals(path)[3]["message"]
    assert refusals(path)[2]["text"] == "u,i,1600000003\n"
    assert refusals(path)[4]["row"]["user"] == "\\xff"
    assert [each.visitor_id for each in events(settings)] == ["u", "u,\nv", "u"]


def test_lines_that_are_no_json_objects_are_refused(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    good = json.dumps(ROWS[0])
    path.write_text(
        f'{good}\n[1]\n{{"user\n\n{{"other": 1}}\n' + "[" * 100_000 + f"\n{good.replace('e0', 'e1')}\n"
    )
    found = bring(settings, path)
    assert (found.rows, found.taken) == (6, 2)
    assert [(each["line"], each["reason"]) for each in refusals(path)] == [
        (2, "undecodable"),
        (3, "undecodable"),
        (5, "invalid"),
        (6, "undecodable"),
    ]


def test_what_live_traffic_would_be_refused_for_is_refused_here(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(
        json.dumps({**ROWS[0], "context": {"a": "x" * 70_000}})
        + "\n"
        + json.dumps({**ROWS[1], "item_id": "x" * 257})
        + "\n"
        + json.dumps(ROWS[2])
    )
    assert bring(settings, path).refused == {"invalid": 1, "oversized": 1}


def test_rows_stand_in_the_order_of_their_times(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    rows = [{**row, "user_id": "u"} for row in ROWS]
    random.Random(3).shuffle(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bring(settings, path)
    found = history_clicks(settings)
    assert found.clicks.item_ids == [row["item_id"] for row in ROWS]
    assert found.data["left_out"] == 0
    assert len(set(found.clicks.session_ids)) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=60), st.integers(1, 200))
def test_the_spool_sorts_whatever_fits_into_memory(rows: list[tuple[int, int]], piece_bytes: int) -> None:
    with Spool(piece_bytes=piece_bytes) as spool:
        for line, (partition, time) in enumerate(rows):
            spool.add(partition, Spooled(time, line, b"key", b"value"))
        assert spool.rows == len(rows)
        for partition in range(3):
            wanted = sorted((time, line) for line, (which, time) in enumerate(rows) if which == partition)
            assert [(row.timestamp, row.line) for row in spool.in_order(partition)] == wanted


def test_to_import_twice_is_to_import_once(settings: Settings, tmp_path: Path) -> None:
    as_csv(tmp_path / "old.csv")
    first = bring(settings, tmp_path / "old.csv")
    before = sorted((path, path.read_bytes()) for path in Path(settings.history.url).rglob("*.*"))
    (tmp_path / "old.csv").rename(tmp_path / "moved.csv")
    second = bring(settings, tmp_path / "moved.csv")
    assert (first.already, second.already) == (False, True)
    assert (first.id, first.taken) == (second.id, second.taken)
    assert sorted((path, path.read_bytes()) for path in Path(settings.history.url).rglob("*.*")) == before


def test_under_other_options_it_takes_its_place_only_if_so_asked(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    as_csv(path)
    bring(settings, path)
    other = Reading({"visitor_id": "item_id"})
    with pytest.raises(DatasetError, match=r"in history already.*--again"):
        bring(settings, path, other)
    bring(settings, path, other, again=True)
    assert [each.visitor_id for each in events(settings)] == [row["item_id"] for row in ROWS]


def test_an_import_that_was_killed_is_none_and_the_next_one_is_whole(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.csv"
    as_csv(path)
    whole, written = HistoryStore.write, 0

    def killed(self: HistoryStore, *arguments: Any) -> int:
        nonlocal written
        written += 1
        if written == 4:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(HistoryStore, "write", killed)
    small = settings.model_copy(update={"history": settings.history.model_copy(update={"roll_records": 3})})
    with pytest.raises(KeyboardInterrupt):
        bring(small, path, Reading({"visitor_id": "item_id"}))
    monkeypatch.undo()
    with pytest.raises(DatasetError, match="no click in history"):
        history_clicks(settings)
    bring(settings, path)
    assert [each.visitor_id for each in events(settings)] == [row["user_id"] for row in ROWS]
    elsewhere = at(tmp_path / "elsewhere", partitions=3)
    bring(elsewhere, path)
    folder = f"imports/{import_sources(HistoryStore(elsewhere))[0][0].id}"
    assert HistoryStore(settings).names(folder) == HistoryStore(elsewhere).names(folder)


def test_an_import_that_lacks_a_file_is_told_of(settings: Settings, tmp_path: Path) -> None:
    as_csv(tmp_path / "old.csv")
    bring(settings, tmp_path / "old.csv")
    next(Path(settings.history.url).rglob("*.parquet")).unlink()
    with pytest.raises(DatasetError, match=r"of the import of old.csv .* import the file again with --again"):
        history_clicks(settings)


def test_clicks_name_their_imports_and_can_leave_them_out(settings: Settings, tmp_path: Path) -> None:
    as_csv(tmp_path / "old.csv")
    as_jsonl(tmp_path / "older.jsonl")
    ids = [bring(settings, tmp_path / name).id for name in ("old.csv", "older.jsonl")]
    found = history_clicks(settings)
    assert len(found.clicks) == 60
    assert {each["id"] for each in found.data["earlier"]} == set(ids)
    assert all(len(each["digest"]) == 64 for each in found.data["earlier"])
    assert all(each["offsets"].keys() == {"0", "1", "2"} for each in found.data["earlier"])
    # Two sources have no session in common, although visitors and times are the same.
    assert len(set(found.clicks.session_ids)) == 8
    assert len(history_clicks(settings, earlier=ids[:1]).clicks) == 30
    with pytest.raises(DatasetError, match="has neither an import nor a topic 00"):
        history_clicks(settings, earlier=["00"])


def test_an_import_stays_whole_when_partitions_change(settings: Settings, tmp_path: Path) -> None:
    as_csv(tmp_path / "old.csv")
    bring(settings, tmp_path / "old.csv")
    other = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": 5})})
    assert len(history_clicks(other).clicks) == 30


def test_columns_go_by_usual_names_or_by_those_given() -> None:
    names = ["Session-Id", "ItemId", "UserID", "Timestamp", "rating", "extra"]
    assert AUTO.find(names) == {
        "session_id": "Session-Id",
        "item_id": "ItemId",
        "visitor_id": "UserID",
        "time": "Timestamp",
        "value": "rating",
    }
    assert Reading({"value": "extra"}).find(names)["value"] == "extra"
    with pytest.raises(DatasetError, match="no column wrong; there are"):
        Reading({"value": "wrong"}).find(names)
    with pytest.raises(ConfigError, match="FIELD=NAME is wanted"):
        parse_columns(["price=x"])
    assert parse_columns(["time=when", "item_id=a=b"]) == {"time": "when", "item_id": "a=b"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("old.csv", "", "the file is empty"),
        ("old.csv", "user,item,time\n", "there is not one row in it"),
        ("old.csv", "who,what\n1,2\n", r"--column visitor_id=NAME --column item_id=NAME --column time=NAME"),
        ("old.csv", "user,item,time\nu,i,x\n", "of 1 rows none is an interaction: 1 invalid"),
        ("old.jsonl", '{"a": 1}\n', "which column is visitor_id"),
        ("old.xls", "", "Its name does not tell; say so with --format"),
        ("old.parquet", "PAR1", "no Parquet file"),
        ("old.csv.gz", "no gzip", "cannot be read: Not a gzipped file"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_leaves_nothing(
    settings: Settings, tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        bring(settings, path)
    assert str(path) in str(caught.value)
    assert not Path(settings.history.url).exists()


def test_a_missing_file_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such file"):
        bring(settings, tmp_path / "none.csv")


def test_what_is_imported_state_takes(settings: Settings, tmp_path: Path) -> None:
    """Each record passes the checks of its partition, as if it had come by Kafka."""
    as_csv(tmp_path / "old.csv")
    bring(settings, tmp_path / "old.csv")
    store = HistoryStore(settings)
    [(_, source)] = import_sources(store)
    for partition in source.names:
        intake = Intake(settings.state, partition, 3)
        for record in source.records(store, partition):
            event, key = intake.read(record)
            intake.check_partition(key)
            assert intake.weight(event, record.timestamp, 0) > 0
