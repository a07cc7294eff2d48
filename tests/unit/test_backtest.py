"""A backtest's partitions: the lists that the slow reference makes, whatever the order and the cut."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import replay, without_emission
from session_models import RING, ring_sessions
from state_parts import Record, click

from streamrec.advance import InputRecord, Place, partition_of
from streamrec.backtest import Plan, Tally, run_backtest
from streamrec.backtest.history import ClicksHistory
from streamrec.backtest.partition import Asked, Models, PartitionRun
from streamrec.backtest.releases import ALWAYS, Listed, Releases
from streamrec.canary import Canary
from streamrec.catalogue import Catalogue
from streamrec.config import Settings, load_settings
from streamrec.contracts import StepModel
from streamrec.datasets import Clicks, make_clicks
from streamrec.errors import ConfigError
from streamrec.events import Recommendation, encode
from streamrec.registry import Registry
from streamrec.replay import interactions
from streamrec.scorer import load_scorer, load_step

if TYPE_CHECKING:
    from session_models import Published

MINUTE_MS = 60_000


VERSIONS = ["v1", "v2"]


@pytest.fixture(scope="module")
def settings(published: "Published", tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with bounds that are met, and two versions of a model."""
    registry = Registry(tmp_path_factory.mktemp("registry"), trusted=None)
    for version in VERSIONS:
        registry.publish("gru4rec", version, partial(published.model.export, version=version))
    return load_settings(
        kafka={"partitions": 3, "max_poll_records": 40},
        state={"max_items": 30, "session_items": 4, "popularity_half_life_s": 3600},
        online_mf={"factors": 4},
        registry={"path": registry.path, "require_signature": False},
    )


def clicks(n: int = 40) -> Clicks:
    """Sessions round the ring, several at a time, with clicks in the same moment."""
    rows = [
        (f"s{number}", item, 1_600_000_000_000 + (number // 3) * MINUTE_MS + place * 700)
        for number, session in enumerate(ring_sessions(n, seed=3))
        for place, item in enumerate(session.items)
    ]
    return make_clicks(*zip(*rows, strict=True))


def plan(settings: Settings, releases: Releases, **options: Any) -> Plan:
    history = ClicksHistory(clicks(), settings.kafka.partitions)
    return Plan("run", settings, history, releases, Catalogue(), **options)


def lists(made: Plan, folder: Path, **options: Any) -> tuple[Tally, bytes]:
    """The tally, and the file of the lists."""
    tally = run_backtest(made, lists=folder / "lists.jsonl", **options)
    return tally, (folder / "lists.jsonl").read_bytes()


def decoded(value: bytes) -> list[Recommendation]:
    return [msgspec.json.decode(line, type=Recommendation) for line in value.splitlines()]


def expected(made: Plan, starts: Sequence[int]) -> Iterator[Recommendation]:
    """The lists of the slow reference, with each of VERSIONS taking effect at its time."""
    settings, n_partitions = made.settings, made.history.n_partitions
    registry = Registry.of(settings)
    steps = {version: load_step(registry, version) for version in VERSIONS}
    scorers = {version: load_scorer(registry, version) for version in VERSIONS}
    for partition in range(n_partitions):
        records = list(made.history.records(partition))

        def live(offset: int, records: Sequence[InputRecord] = records) -> StepModel | None:
            due = [
                version
                for version, start in zip(VERSIONS, starts, strict=True)
                if start <= records[offset].timestamp
            ]
            return steps[due[-1]] if due else None

        place = Place("", partition, n_partitions)
        yield from replay(settings, place, records, live, scorers.get).lists.values()


def test_lists_are_those_of_the_reference_across_releases(settings: Settings, tmp_path: Path) -> None:
    start_ms = clicks().first_ms
    starts = [start_ms + 2 * MINUTE_MS, start_ms + 7 * MINUTE_MS]
    made = plan(settings, Releases(list(zip(starts, VERSIONS, strict=True))))
    tally, value = lists(made, tmp_path)
    found = decoded(value)
    assert [encode(without_emission(each)) for each in found] == [
        encode(each) for each in expected(made, starts)
    ]
    assert {each.release for each in found} == {"", *VERSIONS}
    assert tally.events == tally.outcomes["accepted"] == len(found) == len(clicks())
    assert tally.lists == Counter(each.release for each in found)


@pytest.mark.parametrize("max_poll_records", [1, 7, 5000])
def test_lists_are_the_same_however_history_is_cut(
    settings: Settings, tmp_path: Path, max_poll_records: int
) -> None:
    kafka = settings.kafka.model_copy(update={"max_poll_records": max_poll_records})
    releases = Releases(by_offset={n: [(ALWAYS, VERSIONS[0]), (20, VERSIONS[1])] for n in range(3)})
    cut = lists(plan(settings.model_copy(update={"kafka": kafka}), releases), tmp_path)
    assert cut[1] == lists(plan(settings, releases), tmp_path)[1]


def test_partitions_side_by_side_give_the_same(settings: Settings, tmp_path: Path) -> None:
    made = plan(settings, Releases.fixed(VERSIONS[0]))
    done: list[int] = []
    one, two = lists(made, tmp_path), lists(made, tmp_path, jobs=2, on_events=done.append)
    assert two[1] == one[1]
    assert sum(done) == len(clicks())
    assert (two[0].lists, two[0].outcomes, two[0].items) == (one[0].lists, one[0].outcomes, one[0].items)
    assert two[0].pairs.places.tolist() == one[0].pairs.places.tolist()
    assert {source: ranks.tolist() for source, ranks in two[0].pairs.ranks.items()} == {
        source: ranks.tolist() for source, ranks in one[0].pairs.ranks.items()
    }
    assert list(tmp_path.iterdir()) == [tmp_path / "lists.jsonl"]


def test_what_lies_before_is_learned_and_has_no_list(settings: Settings, tmp_path: Path) -> None:
    # In the middle of a tick, whose clicks are ranked together.
    releases, from_ms = Releases.fixed(VERSIONS[0]), clicks().first_ms + 5 * MINUTE_MS + 700
    tally, whole = lists(plan(settings, releases), tmp_path)
    later, part = lists(plan(settings, releases, from_ms=from_ms), tmp_path)
    wanted = [each for each in decoded(whole) if each.event_time >= from_ms]
    assert decoded(part) == wanted
    assert 0 < len(wanted) < len(decoded(whole))
    times = clicks().time_ms
    judged = [place for place in tally.pairs.places if times[place] >= from_ms]
    assert later.pairs.places.tolist() == judged
    assert later.events == tally.events


def test_a_list_is_emitted_when_its_click_was_recorded_or_a_stated_time_later(
    settings: Settings, tmp_path: Path
) -> None:
    releases = Releases.fixed(VERSIONS[0])
    at_once, late = (lists(plan(settings, releases, latency_ms=each), tmp_path) for each in (0, 701))
    assert all(each.emit_time == each.event_time for each in decoded(at_once[1]))
    assert all(each.emit_time == each.event_time + 701 for each in decoded(late[1]))
    assert at_once[0].too_late == 0
    assert late[0].too_late == len(late[0].pairs.places)  # clicks of a session are 700 ms apart


def test_a_list_tells_its_sources_only_where_the_settings_say_so(settings: Settings, tmp_path: Path) -> None:
    traced = settings.model_copy(update={"scoring": settings.scoring.model_copy(update={"trace": True})})
    releases = Releases.fixed(VERSIONS[0])
    (_, plain), (_, told) = (lists(plan(each, releases), tmp_path) for each in (settings, traced))
    assert all(each.candidates is None for each in decoded(plain))
    assert all(each.candidates for each in decoded(told))


def test_refused_records_and_repeats_are_counted(settings: Settings) -> None:
    base = clicks().first_ms
    records = [
        click(0, "v", RING[0], base, timestamp=base, event_id="e"),
        click(1, "v", RING[1], base, timestamp=base, event_id="e"),
        click(2, "v", RING[1], base, timestamp=base, type="dislike"),
        Record(3, base, b"v", b"{"),
        click(4, "v", RING[2], base, timestamp=base),
    ]
    one = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": 1})})
    run = PartitionRun(one, 0, Models(one), Catalogue(), from_ms=0, latency_ms=0)
    asked: list[Asked] = run.take(records, VERSIONS[0])
    assert [each.row.offset for each in asked] == [0, 4]
    assert run.outcomes == {"accepted": 3, "repeat": 1, "undecodable": 1}


def test_a_file_for_the_lists_that_cannot_be_written_is_told_before_the_work(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.lists\.jsonl: lists cannot be written"):
        run_backtest(plan(settings, Releases.fixed("unknown")), lists=tmp_path / "nowhere" / "lists.jsonl")


@pytest.mark.parametrize("n_partitions", [1, 3, 4])
def test_clicks_are_cut_into_partitions_as_producers_do(n_partitions: int) -> None:
    history = ClicksHistory(clicks(), n_partitions)
    events = list(interactions(clicks(), clicks().time_ms, run=0))
    places = []
    for partition in range(n_partitions):
        records = list(history.records(partition))
        assert len(records) == history.size(partition)
        for offset, record in enumerate(records):
            place = history.place(partition, offset)
            places.append(place)
            event = events[place]
            assert record == (offset, event.time, event.visitor_id.encode(), encode(event), ())
            assert partition_of(record.key or b"", n_partitions) == partition
    assert sorted(places) == list(range(len(events)))


starts = st.lists(st.tuples(st.integers(-1, 30), st.sampled_from("abc")), max_size=5)


@given(starts, st.lists(st.integers(0, 30), max_size=30), st.lists(st.integers(1, 5), min_size=1))
def test_a_version_takes_effect_with_the_first_record_that_reaches_its_start(
    starts: list[tuple[int, str]], times: list[int], sizes: list[int]
) -> None:
    records = [Record(2 * n, time, b"v", b"") for n, time in enumerate(times)]
    in_order = sorted(starts, key=lambda start: start[0])
    for releases, reached in (
        (Releases(starts), [max(times[: n + 1]) for n in range(len(times))]),
        (Releases(by_offset={1: starts}), [2 * n for n in range(len(times))]),
    ):
        schedule, first, found = releases.schedule(1), 0, []
        while first < len(records):
            size = sizes[first % len(sizes)]
            parts = list(schedule.cut(records[first : first + size]))
            assert all(part for _, part in parts)
            assert all(before != after for (before, _), (after, _) in pairwise(parts))
            found += [(version, record) for version, part in parts for record in part]
            first += size
        wanted = [[version for start, version in in_order if start <= each] for each in reached]
        assert found == [
            (due[-1] if due else "", record) for due, record in zip(wanted, records, strict=True)
        ]


def served(time: int, visitor: str, canaries: Sequence[tuple[int, str, float]]) -> str | None:
    """The canary that a visitor is served by at a time."""
    due = [each for each in canaries if each[0] <= time]
    if not due or not due[-1][1]:
        return None
    _, version, share = due[-1]
    return version if Canary(version, share, None).serves(visitor) else None


def test_lists_are_those_of_the_reference_with_a_canary(settings: Settings, tmp_path: Path) -> None:
    start_ms = clicks().first_ms
    canaries = [
        (start_ms + 2 * MINUTE_MS, "v2", 0.3),
        (start_ms + 5 * MINUTE_MS, "v2", 0.6),
        (start_ms + 9 * MINUTE_MS, "", 0.0),
    ]
    made = plan(settings, Releases([(ALWAYS, "v1")], canaries=canaries))
    found = decoded(lists(made, tmp_path)[1])
    registry, n_partitions = Registry.of(settings), settings.kafka.partitions
    steps = {version: load_step(registry, version) for version in VERSIONS}
    scorers = {version: load_scorer(registry, version) for version in VERSIONS}
    wanted: list[Recommendation] = []
    starts: dict[int, list[tuple[int, str]]] = {}
    for partition in range(n_partitions):
        records = list(made.history.records(partition))
        of_records = [
            served(each.timestamp, (each.key or b"").decode(), canaries) or "v1" for each in records
        ]
        wanted += replay(
            settings,
            Place("", partition, n_partitions),
            records,
            lambda offset, of_records=of_records: steps[of_records[offset]],
            scorers.get,
        ).lists.values()
        listed = Listed()
        for offset, version in enumerate(of_records):
            listed.take(offset, version)
        starts[partition] = listed.starts
    assert [encode(without_emission(each)) for each in found] == [encode(each) for each in wanted]
    assert 0.15 < Counter(each.release for each in found)["v2"] / len(found) < 0.6
    # What the lists of that run name gives the same again, byte for byte.
    again = plan(settings, Releases(by_offset=starts))
    assert lists(again, tmp_path)[1] == lists(made, tmp_path)[1]


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=4),
    st.lists(st.sampled_from("bc"), max_size=12),
)
def test_where_the_version_of_lists_changes_is_what_all_of_them_say(
    made: list[str], again: list[tuple[int, int]], rebuilt: list[str]
) -> None:
    whole = [(2 * n + 5, version) for n, version in enumerate(made)]
    repeats = [each for first, end in again for each in whole[first:end]]
    # After a rebuild all come once more, from some interaction on.
    rest = whole[max(0, len(whole) - len(rebuilt)) :]
    anew = [(offset, version) for (offset, _), version in zip(rest, rebuilt, strict=False)]
    # The log may begin with repeats of what it no longer holds.
    lists = [*repeats, *whole, *repeats, *anew]
    listed = Listed()
    for offset, version in lists:
        listed.take(offset, version)
    by_offset = sorted(dict(lists).items())
    assert listed.starts == [
        each for n, each in enumerate(by_offset) if not n or each[1] != by_offset[n - 1][1]
    ]


def test_versions_are_named_in_the_order_in_which_they_take_effect() -> None:
    assert Releases([(7, "b"), (ALWAYS, ""), (3, "a"), (9, "a")]).versions() == ["a", "b"]
    assert Releases(by_offset={0: [(ALWAYS, "a")], 1: [(5, "b"), (2, "c")]}).versions() == ["a", "c", "b"]
