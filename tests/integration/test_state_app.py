"""The state app on a real broker: exact over kills, and untouched by bad records."""

import asyncio
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from app_processes import App, Place, click, forget, last, publish, read, running
from kafka import KafkaProducer

from streamrec.access import client_options
from streamrec.advance import partition_of
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.metrics import DEAD_LETTER_REASONS
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.state.rows import (
    LEARNER_KEY,
    VISITOR,
    WATERMARK_KEY,
    decode_visitor_row,
    decode_watermark,
    visitor_key,
)

_CLICKS = 3000
_KILL_EVERY = 400
_SLOWLY = {"max_poll_records": 20, "session_timeout_s": 6}
"""Small batches, so that a kill finds the app in the middle."""
_BOUNDS = {"max_visitors": 60, "max_items": 300, "session_gap_s": 1}
_DEEP = 10_000

Row = tuple[int, bytes, bytes | None]
"""Partition, key and value."""


def real_clicks() -> list[tuple[bytes, bytes]]:
    """Real clicks, a thousand a second, as interactions of all kinds; half of them name their session."""
    clicks = bundled_clicks()
    start = time.time_ns() // 1_000_000 - _CLICKS
    found = []
    for place in range(_CLICKS):
        session_id = clicks.session_ids[place]
        event = {
            "event_id": f"event-{place}",
            "type": ("click", "click", "cart", "click", "impression", "dislike")[place % 6],
            "visitor_id": session_id,
            "item_id": clicks.item_ids[place],
            "time": start + place,
        }
        if partition_of(session_id.encode(), 2):
            event["session_id"] = session_id
        found.append((session_id.encode(), json.dumps(event).encode()))
    return found


def train(settings: Settings) -> str:
    """A small model of the first real sessions."""
    gru4rec = GRU4Rec(GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64))
    gru4rec.train(itertools.islice(click_sessions(bundled_clicks()), 500))
    return str(gru4rec.publish(Registry.of(settings)))


def rows(settings: Settings) -> list[Row]:
    """All rows ever written; those of a partition in order."""
    return [(record.partition, record.key, record.value) for record in read(settings, "visitor-states")]


def newest(written: list[Row]) -> dict[tuple[int, bytes], bytes]:
    """What compaction leaves of them."""
    left = {(partition, key): value for partition, key, value in written}
    return {place: value for place, value in left.items() if value is not None}


def whatever_the_topic(left: dict[tuple[int, bytes], bytes]) -> dict[tuple[int, bytes], Any]:
    """Rows without the id of the visitor-states that they were written to, which is made anew in between."""
    marks = {place: decode_watermark(value) for place, value in left.items() if place[1] == WATERMARK_KEY}
    return left | {place: msgspec.structs.replace(mark, table_id="") for place, mark in marks.items()}


def of_visitors(written: list[Row]) -> list[Row]:
    found = [row for row in written if row[1].startswith(VISITOR)]
    return sorted(found, key=lambda row: row[0])


def handled(settings: Settings) -> int:
    """Interactions up to the newest watermarks."""
    marks = last(settings, "visitor-states", WATERMARK_KEY).values()
    return sum(decode_watermark(each.value).offset + 1 for each in marks)


def counted(app: App, name: str, **labels: str) -> float:
    """Sum of a counter's series that have these labels, in this process."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in app.page("metrics")[1].splitlines()
        if line.startswith(f"streamrec_{name}{{") and all(each in line for each in wanted)
    )


def run_to_the_end(settings: Settings, folder: Path) -> list[Row]:
    with running("state", settings, folder) as app:
        app.wait(lambda: handled(settings) == _CLICKS)
        assert app.stop() == 0
    return rows(settings)


@pytest.mark.parametrize(
    ("settings", "with_model", "kills"),
    [({"kafka": _SLOWLY}, True, 2), ({"kafka": _SLOWLY, "state": _BOUNDS}, False, 1)],
    ids=["model", "bounds"],
    indirect=["settings"],
)
def test_killed_in_the_middle_it_ends_with_the_rows_of_an_undisturbed_run(
    settings: Settings, with_model: bool, kills: int, tmp_path: Path
) -> None:
    if with_model:
        announce(settings, "gru4rec", train(settings))
    publish(settings, "interactions", real_clicks())
    for _ in range(kills):
        with running("state", settings, tmp_path) as app:
            app.wait(lambda app=app: counted(app, "events_total", outcome="accepted") >= _KILL_EVERY)
            app.kill()
        assert 0 < handled(settings) < _CLICKS, "the kill was not in the middle"
    disturbed = run_to_the_end(settings, tmp_path)
    forget(settings)
    undisturbed = run_to_the_end(settings, tmp_path)

    assert whatever_the_topic(newest(disturbed)) == whatever_the_topic(newest(undisturbed))
    assert of_visitors(disturbed) == of_visitors(undisturbed)
    made = [decode_visitor_row(value) for _, _, value in of_visitors(disturbed) if value is not None]
    assert len(made) == _CLICKS
    assert any(row.hidden for row in made) == with_model
    assert {len(row.factors.vector) for row in made} >= {8 * 32}
    assert any(key == LEARNER_KEY for _, key in newest(disturbed))
    forgotten = any(value is None for _, _, value in of_visitors(disturbed))
    assert forgotten == (settings.state.max_visitors == 60)


def publish_in_transactions(settings: Settings, records: list[tuple[bytes, bytes]]) -> None:
    """Write records as an app that puts each into a transaction of its own, in partition 0."""

    async def send() -> None:
        producer = AIOKafkaProducer(**client_options(settings.kafka), transactional_id="app", acks="all")
        await producer.start()
        try:
            for key, value in records:
                async with producer.transaction():
                    await producer.send_and_wait(settings.kafka.topic("interactions"), value, key)
        finally:
            await producer.stop()

    asyncio.run(send())


def reread(app: App) -> str:
    (line,) = re.findall(r"^streamrec_reread_records_total .*", app.page("metrics")[1], re.MULTILINE)
    return str(line)


@pytest.mark.parametrize("settings", [{"kafka": {"partitions": 1, "session_timeout_s": 6}}], indirect=True)
def test_what_ends_transactions_is_no_gap(settings: Settings, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    clicks = [click(f"visitor-{n % 7}", f"item-{n % 5}", f"event-{n}", now + n) for n in range(60)]
    for start in (0, 30):  # the second time to a worker that goes on from what is committed
        with running("state", settings, tmp_path) as app:
            publish_in_transactions(settings, clicks[start : start + 1])
            app.wait(lambda app=app: counted(app, "events_total", outcome="accepted") == 1)
            before = reread(app)  # the rows that were there
            publish_in_transactions(settings, clicks[start + 1 : start + 30])
            app.wait(lambda app=app: counted(app, "events_total", outcome="accepted") == 30)
            assert reread(app) == before
            assert "streamrec_input_gaps_total 0.0" in app.page("metrics")[1]
            assert app.stop() == 0
    offsets = [decode_visitor_row(value).offset for _, _, value in of_visitors(rows(settings)) if value]
    assert offsets == list(range(0, 120, 2))


def bad_records() -> dict[str, tuple[str, bytes | None, bytes | None]]:
    """By name: reason, key and value. Every other field is right."""
    now = time.time_ns() // 1_000_000
    good: dict[str, Any] = {
        "event_id": "bad",
        "type": "click",
        "visitor_id": "bad",
        "item_id": "i",
        "time": now,
    }

    def value(**fields: Any) -> bytes:
        return json.dumps({**good, **fields}).encode()

    def raw(field: str, json_text: bytes) -> bytes:
        return value(**{field: "HERE"}).replace(b'"HERE"', json_text)

    return {
        "not JSON": ("undecodable", b"bad", b"click on i"),
        "not UTF-8": ("undecodable", b"bad", raw("item_id", b'"\xff"')),
        "empty": ("undecodable", b"bad", b""),
        "wrong types": ("invalid", b"bad", value(item_id=5, time="now")),
        "a list": ("invalid", b"bad", b"[1, 2]"),
        "missing fields": ("invalid", b"bad", b'{"type": "click"}'),
        "no key": ("no_key", None, value()),
        "another's key": ("wrong_key", b"other", value()),
        "a key that is no text": ("wrong_key", b"\xff\xfe", value()),
        "null": ("null_value", b"bad", None),
        "500 KB": ("oversized", b"bad", value(context={"note": "x" * 500_000})),
        "deep": ("invalid", b"bad", raw("context", b"[" * _DEEP + b"]" * _DEEP)),
        "deep and unknown": ("undecodable", b"bad", raw("more", b'{"a":' * _DEEP + b"1" + b"}" * _DEEP)),
        "NaN": ("undecodable", b"bad", raw("value", b"NaN")),
        "infinity": ("invalid", b"bad", raw("value", b"1e999")),
        "huge integer": ("invalid", b"bad", raw("time", b"9" * 400)),
        "far future": ("future", b"bad", value(time=now + 10 * 365 * 86_400_000)),
        "long ago": ("late", b"bad", value(time=now - 40 * 86_400_000)),
        "unknown type": ("unknown_type", b"bad", value(type="stare")),
    }


def send(settings: Settings, records: list[tuple[int, bytes | None, bytes | None]]) -> list[Place]:
    """Write (partition, key, value) records exactly as they are; returns their places."""
    producer = KafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", max_in_flight_requests_per_connection=1
    )
    try:
        topic = settings.kafka.topic("interactions")
        sent = [
            producer.send(topic, key=key, value=value, partition=partition, headers=[("trace", b"1")])
            for partition, key, value in records
        ]
        return [(each.partition, each.offset) for each in (future.get(timeout=30) for future in sent)]
    finally:
        producer.close()


def test_bad_records_end_on_the_dead_letters_and_stop_nothing(settings: Settings, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    bad = {name: (0, *record) for name, record in bad_records().items()}
    stray = next(f"v{n}" for n in range(99) if partition_of(f"v{n}".encode(), 2) == 1)
    bad["wrong partition"] = (0, "wrong_partition", *click(stray, "i", "stray", now))
    visitors = [name for name in (f"g{n}" for n in range(99)) if partition_of(name.encode(), 2) == 0]
    records: list[tuple[int, bytes | None, bytes | None]] = []
    for n, (partition, _, key, value) in enumerate(bad.values()):
        records.append((0, *click(visitors[n % 3], f"i{n % 5}", f"good-{n}", now)))
        records.append((partition, key, value))
    records.append((0, *click(visitors[0], "i", "last", now)))

    with running("state", settings, tmp_path) as app:
        places = send(settings, records)
        letters = read(settings, "dead-letters", n=len(bad))
        app.wait(lambda: counted(app, "events_total", outcome="accepted") == len(bad) + 1)
        reasons = [reason for _, reason, _, _ in bad.values()]
        for reason in DEAD_LETTER_REASONS:
            assert counted(app, "dlq_total", reason=reason) == reasons.count(reason), reason
        assert set(reasons) == set(DEAD_LETTER_REASONS) - {"model_failed"}
        assert counted(app, "events_total", outcome="rejected") == len(bad)
        assert app.stop() == 0

    assert [letter.offset for letter in letters] == list(range(len(bad)))
    for letter, place, (name, (_, reason, key, value)) in zip(
        letters, places[1::2], bad.items(), strict=True
    ):
        headers = dict(letter.headers)
        assert headers["topic"].decode() == settings.kafka.topic("interactions"), name
        assert (int(headers["partition"]), int(headers["offset"])) == place, name
        assert (headers["reason"].decode(), letter.partition) == (reason, 0), name
        assert headers["message"], name
        # Of an oversized record only what is known to be small goes along.
        assert headers.get("trace") == (None if reason == "oversized" else b"1"), name
        assert letter.key == key, name
        assert letter.value == (None if reason == "oversized" else value), name
    made = [decode_visitor_row(value).offset for _, _, value in of_visitors(rows(settings)) if value]
    assert made == [offset for _, offset in places[::2]]
    assert newest(rows(settings)).get((0, visitor_key("bad"))) is None


def test_dead_letters_do_not_come_again_after_a_restart(settings: Settings, tmp_path: Path) -> None:
    good = next(f"g{n}" for n in range(99) if partition_of(f"g{n}".encode(), 2) == 0)
    now = time.time_ns() // 1_000_000
    send(settings, [(0, b"v", b"no JSON"), (0, *click(good, "i", "first", now)), (0, b"v", None)])
    for n in (2, 3):
        with running("state", settings, tmp_path) as app:
            app.wait(lambda n=n: len(read(settings, "dead-letters")) >= n)
            app.wait(lambda n=n: handled(settings) == n + 1)
            assert app.stop() == 0
        send(settings, [(0, b"v", b"still no JSON")])
    letters = read(settings, "dead-letters")
    assert [int(dict(letter.headers)["offset"]) for letter in letters] == [0, 2, 3]
