"""Replay on a real broker: what was sent is where it says it is."""

import time

import pytest
from app_processes import read
from verbs import runner, under

from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, split_by_day
from streamrec.errors import TopicError
from streamrec.events import decode_interaction
from streamrec.publishing import Sent
from streamrec.replay import replay

_CLICKS = bundled_clicks().first(300)


async def test_every_click_lies_where_it_was_acknowledged(settings: Settings) -> None:
    sent: list[Sent] = []
    speed_up = (_CLICKS.last_ms - _CLICKS.first_ms) / 1000.0  # about a second
    began_ms = time.time_ns() // 1_000_000
    report = await replay(settings, _CLICKS, speed_up=speed_up, on_sent=sent.append)

    assert report.clicks == len(sent) == 300
    assert report.seconds >= 0.99
    assert sorted(each.place for each in sent) == list(range(300))
    records = {(record.partition, record.offset): record for record in read(settings, "interactions")}
    assert len(records) == 300
    for each in sent:
        record = records[each.partition, each.offset]
        event = decode_interaction(record.value)
        assert event.item_id == _CLICKS.item_ids[each.place]
        assert event.session_id == event.visitor_id == _CLICKS.session_ids[each.place]
        assert record.key == event.visitor_id.encode()
        assert record.timestamp == each.time_ms
        # Its time had come when it was sent, and times begin with the replay.
        assert began_ms <= event.time <= record.timestamp


async def test_a_session_keeps_its_order(settings: Settings) -> None:
    sent: list[Sent] = []
    await replay(settings, _CLICKS, speed_up=1e9, on_sent=sent.append)
    offset = {each.place: (each.partition, each.offset) for each in sent}
    last: dict[str, tuple[int, int]] = {}
    for place, session_id in enumerate(_CLICKS.session_ids):
        if session_id in last:
            assert last[session_id][0] == offset[place][0]
            assert last[session_id][1] < offset[place][1]
        last[session_id] = offset[place]


def test_days_that_a_model_was_trained_on_can_be_left_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    under(settings, monkeypatch)
    run = runner(capsys)
    assert run("replay", "--after", "24", "--clicks", "200", "--speed-up", "1e9")[0] == 0
    _, left = split_by_day(bundled_clicks(), 24)
    sent = [decode_interaction(record.value) for record in read(settings, "interactions")]
    assert {each.session_id for each in sent} == set(left.first(200).session_ids)
    code, _, err = run("replay", "--after", "365")
    assert code == 1
    assert "a smaller --after" in err


async def test_without_the_topic_it_says_how_to_make_it(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"prefix": "nothing-here."})
    elsewhere = settings.model_copy(update={"kafka": kafka})
    with pytest.raises(TopicError, match="streamrec topics create"):
        await replay(elsewhere, _CLICKS, speed_up=1.0, on_sent=lambda _: None)
