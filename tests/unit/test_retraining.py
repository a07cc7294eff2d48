"""When a run is due, what it trains on, and what it leaves behind: known answers."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamrec.config import Settings, TrainingSettings
from streamrec.datasets import make_clicks
from streamrec.errors import ConfigError, DatasetError, WorkerError
from streamrec.evaluation.fading import Verdict
from streamrec.retraining import (
    DriftWatch,
    Outcome,
    Place,
    Plan,
    RunDesk,
    Schedule,
    Signal,
    new_plan,
    plan,
    run,
)
from streamrec.retraining.run import hold_out

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# -- the schedule -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "after", "then"),
    [
        ("0 3 * * *", "2026-02-28T03:00:00", "2026-03-01T03:00:00"),
        ("0 3 * * *", "2026-02-28T02:59:59.999", "2026-02-28T03:00:00"),
        ("*/15 * * * *", "2026-12-31T23:50:00", "2027-01-01T00:00:00"),
        ("30 4 * * 1", "2026-11-22T00:00:00", "2026-11-23T04:30:00"),  # a Sunday; Monday is 1
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
    ],
)
def test_the_next_time_of_a_cron_expression(expression: str, after: str, then: str) -> None:
    assert Schedule(expression).next_after(ms(after)) == ms(then)


@pytest.mark.parametrize("expression", ["", "daily", "61 * * * *", "0 0 31 2 *", "* * * *"])
def test_what_is_no_schedule_is_named(expression: str) -> None:
    with pytest.raises(ConfigError, match=r"STREAMREC_TRAINING__SCHEDULE: '.*' (is no cron|names a day)"):
        Schedule(expression)


def test_a_run_is_due_at_its_time_and_once() -> None:
    start = ms("2026-11-22T10:00:00")
    desk = RunDesk(TrainingSettings(schedule="0 3 * * *"), start)
    three = ms("2026-11-23T03:00:00")
    assert desk.next_ms == three
    assert [desk.due(now) for now in (start, three - 1, three, three + HOUR_MS)] == [
        None,
        None,
        "schedule",
        "schedule",
    ]
    desk.on_start(three + 1)
    assert desk.due(three + 1) is None
    assert desk.next_ms == three + DAY_MS


def test_what_was_missed_is_made_up_for_by_one_run() -> None:
    desk = RunDesk(TrainingSettings(schedule="0 3 * * *"), ms("2026-11-20T03:00:01"))
    now = ms("2026-11-22T10:00:00")
    assert desk.due(now) == "schedule"
    desk.on_start(now)
    assert desk.due(now) is None


def test_a_run_that_another_worker_began_is_not_begun_again() -> None:
    desk = RunDesk(TrainingSettings(schedule="0 3 * * *", cool_down_s=0), ms("2026-11-20T03:00:01"))
    three = ms("2026-11-22T03:00:00")
    desk.on_drop(three - 1)
    desk.on_start(three)
    desk.on_start(ms("2026-11-21T03:00:00"))  # what it finds out late
    assert desk.due(three + 1) is None
    desk.on_drop(three + 2)
    desk.on_start(three)  # it learned of nothing that came after its beginning
    assert desk.due(three + 3) == "drift"


def test_without_a_schedule_nothing_is_due() -> None:
    desk = RunDesk(TrainingSettings(), 0)
    assert desk.next_ms is None
    assert desk.due(100 * DAY_MS) is None


# -- drift starts a run -------------------------------------------------------------------------


def test_a_drop_waits_for_the_cool_down() -> None:
    desk = RunDesk(TrainingSettings(cool_down_s=3600), 0)
    assert desk.due(2 * HOUR_MS) is None
    desk.on_drop(HOUR_MS - 10)
    assert desk.due(HOUR_MS - 1) is None  # the run at 0 is not an hour ago
    assert desk.due(HOUR_MS) == "drift"


def test_a_drop_that_a_run_has_learned_from_starts_no_other() -> None:
    desk = RunDesk(TrainingSettings(cool_down_s=10), 0)
    desk.on_drop(20_000)
    desk.on_start(30_000)
    assert desk.due(50_000) is None
    desk.on_drop(29_999)  # read once more, by a worker that starts
    assert desk.due(50_000) is None
    desk.on_drop(30_001)  # while the run was under way: it knew nothing of that
    assert desk.due(50_000) == "drift"


# -- the drift signal ---------------------------------------------------------------------------


def verdict(rank: int, time_ms: int = 0, own: dict[str, int] | None = None) -> Verdict:
    return Verdict("v1", time_ms, rank, None, (), own or {})


def signals(
    rates: list[tuple[int, float]], seed: int = 0, partition: int = 0, **settings: float
) -> list[Signal]:
    """What a watch says of clicks that hit with these rates, one after the other."""
    watch, rng = DriftWatch(TrainingSettings(**settings)), random.Random(seed)
    found, place = [], 0
    for n, rate in rates:
        for _ in range(n):
            signal = watch.take(partition, verdict(int(rng.random() < rate), place))
            found += [signal] if signal else []
            place += 1
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_drop_fires_within_a_few_hundred_clicks(seed: int) -> None:
    found = signals([(5000, 0.3), (2000, 0.1)], seed)
    signal = next(each for each in found if each.is_drop)
    assert 5200 < signal.time_ms < 5600  # 200 of these clicks tell how far it fell
    assert signal.before == pytest.approx(0.3, abs=0.05)
    assert signal.after == pytest.approx(0.1, abs=0.05)
    assert all(each.time_ms > 5000 for each in found)


def test_a_further_change_begins_the_wait_anew() -> None:
    found = signals([(4000, 0.4), (2000, 0.25), (6000, 0.05)], drift_settle_clicks=3000)
    signal = next(each for each in found if each.is_drop)
    assert 9000 < signal.time_ms < 9600  # 3,000 clicks after the second
    assert signal.before == pytest.approx(0.4, abs=0.05)
    assert signal.after == pytest.approx(0.05, abs=0.02)


def test_a_rise_is_no_reason_to_train() -> None:
    found = signals([(5000, 0.1), (2000, 0.3)])
    assert found
    assert not any(each.is_drop for each in found)


def test_a_drop_smaller_than_asked_for_is_a_change_and_no_reason() -> None:
    found = signals([(50_000, 0.5), (50_000, 0.45)], drift_drop=0.3)
    assert found
    assert not any(each.is_drop for each in found)


def test_there_is_no_signal_before_enough_clicks() -> None:
    rates = [(500, 0.5), (300, 0.0)]
    assert signals(rates, drift_clicks=200)
    assert not signals(rates, drift_clicks=1000)


def test_steady_streams_seldom_fire() -> None:
    drops = [
        each
        for seed in range(40)
        for each in signals([(20_000, 0.05 + 0.01 * seed)], seed=1000 + seed)
        if each.is_drop
    ]
    assert len(drops) <= 2


def test_partitions_are_watched_apart_however_they_are_interleaved() -> None:
    rng = random.Random(3)
    clicks = [[int(rng.random() < (0.4 if place < 3000 else 0.1)) for place in range(4000)] for _ in range(2)]
    alone = DriftWatch(TrainingSettings())
    first = [alone.take(0, verdict(hit, place)) for place, hit in enumerate(clicks[0])]
    both = DriftWatch(TrainingSettings())
    for place, hit in enumerate(clicks[1]):  # all of one partition first, as at a start
        both.take(1, verdict(hit, place))
    assert [both.take(0, verdict(hit, place)) for place, hit in enumerate(clicks[0])] == first
    assert any(first)
    both.keep([1])
    assert set(both.hit_rates()) == {1}


def test_a_source_is_watched_by_its_own_proposals() -> None:
    watch = DriftWatch(TrainingSettings(drift_source="gru4rec", drift_k=5))
    for _ in range(64):
        watch.take(0, verdict(1, own={"gru4rec": 6}))
    assert watch.hit_rates() == {0: 0.0}
    for _ in range(64):
        watch.take(1, verdict(0, own={"gru4rec": 5}))
        watch.take(2, verdict(1))
    assert watch.hit_rates() == {0: 0.0, 1: 1.0, 2: 0.0}


def test_switched_off_nothing_is_watched() -> None:
    assert not signals([(5000, 0.9), (5000, 0.0)], drift_delta=None)


# -- on what ------------------------------------------------------------------------------------


def test_the_newest_sessions_are_held_out_and_no_training_click_is_later() -> None:
    rows = [("old", "a", 0), ("old", "b", 10), ("long", "c", 5), ("long", "d", 60), ("long", "e", 90)]
    rows += [("new1", "f", 50), ("new1", "g", 70), ("new2", "h", 80), ("new2", "i", 85)]
    train, window = hold_out(make_clicks(*zip(*rows, strict=True)), 2)
    assert list(zip(train.session_ids, train.item_ids, strict=True)) == [
        ("old", "a"),
        ("long", "c"),
        ("old", "b"),
    ]
    assert sorted(set(window.session_ids)) == ["new1", "new2"]
    assert train.last_ms < window.first_ms


def test_sessions_of_one_click_are_not_among_those_held_out() -> None:
    rows = [("old", "a", 0), ("old", "b", 10), ("new", "c", 20), ("new", "d", 30), ("one", "e", 40)]
    train, window = hold_out(make_clicks(*zip(*rows, strict=True)), 1)
    assert (set(train.session_ids), set(window.session_ids)) == ({"old"}, {"new"})


def test_where_all_is_held_out_there_is_nothing_to_train_on() -> None:
    clicks = make_clicks(["a", "b", "a", "b"], list("xyyx"), [1, 2, 3, 4])
    with pytest.raises(DatasetError, match="2 sessions, 5 are held out for the gate"):
        hold_out(clicks, 5)


def test_a_plan_names_the_first_click_it_is_to_train_on() -> None:
    assert new_plan(TrainingSettings(history_s=60), "hand", 100_000).from_ms == 40_000
    assert new_plan(TrainingSettings(history_s=600), "hand", 100_000).from_ms == 0
    assert new_plan(TrainingSettings(), "hand", 100_000).from_ms == 0


# -- what a run leaves --------------------------------------------------------------------------

PLAN = Plan(run="r1", reason="drift", start_ms=1000, until={0: 5, 1: 7}, parent="v1")


def test_a_plan_keeps_its_end_unless_the_topic_was_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, ends = ["one"], {0: (0, 500)}
    monkeypatch.setattr(run, "known_topics", lambda *_: {"interactions": ids[-1]})
    monkeypatch.setattr(run, "topic_range", lambda *_: dict(ends))
    monkeypatch.setattr(run, "released", lambda _: {})
    settled = run.settled(Settings(), new_plan(TrainingSettings(), "hand", 100_000))
    assert settled.until == {0: 500}
    ends[0] = (0, 700)
    assert run.settled(Settings(), settled) == settled
    ids.append("two")
    ends[0] = (0, 3)
    again = run.settled(Settings(), settled)
    assert (again.run, again.until, again.topic_id) == (settled.run, {0: 3}, "two")


def outcome(run: str, result: plan.Result, end_ms: int) -> Outcome:
    return Outcome(run=run, reason="drift", start_ms=0, result=result, end_ms=end_ms)


def test_a_plan_stays_until_the_outcome_is_known(tmp_path: Path) -> None:
    place = Place(tmp_path / "training")
    assert (place.plan(), place.outcome()) == (None, None)
    place.keep_plan(PLAN)
    assert Place(tmp_path / "training").plan() == PLAN
    place.checkpoint.write_bytes(b"half a model")
    place.keep_plan(PLAN)  # taken up: it goes on from there
    assert place.checkpoint.exists()
    place.finish(outcome("r1", "refused", 2000))
    assert place.plan() is None
    assert not place.checkpoint.exists()


def test_the_checkpoint_of_another_run_is_removed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.keep_plan(PLAN)
    place.checkpoint.write_bytes(b"half a model")
    place.keep_plan(Plan(run="r2", reason="hand", start_ms=2000))
    assert not place.checkpoint.exists()


def test_the_last_success_outlives_failures(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.finish(outcome("r1", "failed", 10)).success_ms is None
    assert place.finish(outcome("r2", "refused", 20)).success_ms == 20
    assert place.finish(outcome("r3", "failed", 30)).success_ms == 20
    assert place.outcome() == place.finish(outcome("r3", "failed", 30))


@pytest.mark.parametrize("value", [b"", b"{", b'{"run": 3}'])
def test_a_plan_that_cannot_be_read_is_none(value: bytes, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(value)
    assert Place(tmp_path).plan() is None


def test_one_run_holds_the_folder_and_what_was_left_there_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_LOCK_TIMEOUT_S", 0.2)
    place = Place(tmp_path)
    (place.temporary / "streamrec-abc").mkdir(parents=True)
    with place.locked():
        assert list(place.temporary.iterdir()) == []
        with pytest.raises(WorkerError, match="another training is under way"), Place(tmp_path).locked():
            pass
    with place.locked():
        pass


def test_who_looks_knows_whether_a_run_holds_the_folder(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert not place.is_held()
    with place.locked():
        assert Place(tmp_path).is_held()
    assert not place.is_held()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="STREAMREC_TRAINING__FOLDER"):
        Place(tmp_path / "file" / "training")
