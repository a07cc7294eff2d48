"""An answer is found by its id and made again; one version of the model is enough for it."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_models import RING, TINY, ring_sessions
from state_parts import BASE, Record, click

from streamrec.advance import InputRecord
from streamrec.backtest.partition import Models, PartitionRun
from streamrec.backtest.releases import Releases
from streamrec.canary import Canary
from streamrec.catalogue import Catalogue
from streamrec.challengers import challenged, load_challenger
from streamrec.config import Settings, load_settings
from streamrec.errors import RecordError, RegistryError
from streamrec.events import Recommendation, encode, find_offset, recommendation_id
from streamrec.explaining import past
from streamrec.explaining.finding import Answered, find_answered
from streamrec.explaining.past import Past
from streamrec.explaining.rebuilding import NoList, Rebuilt, rebuild
from streamrec.history import Covered
from streamrec.models.gru4rec import GRU4Rec
from streamrec.ranking import lists, others_proposals
from streamrec.registry import Registry

if TYPE_CHECKING:
    from session_models import Published

VERSIONS = ["v1", "v2"]


@given(st.integers(0, 3), st.integers(0, 400))
def test_an_answer_is_found_by_its_id(partition: int, offset: int) -> None:
    rec_id = recommendation_id("t", partition, offset)
    tried: list[int] = []
    assert find_answered(rec_id, "t", dict.fromkeys(range(4), 401), tried.append) == Answered(
        partition, offset
    )
    assert find_answered(rec_id, "t", {partition: offset}) is None
    assert find_answered(rec_id, "other", dict.fromkeys(range(4), 401)) is None
    assert find_offset(rec_id.upper(), "t", partition, [offset]) == offset


def test_the_newest_offsets_are_tried_first_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrec.explaining.finding._AT_ONCE", 10)
    tried: list[int] = []
    ends = {0: 25, 1: 0, 2: 7}
    assert find_answered(recommendation_id("t", 2, 3), "t", ends, tried.append) == Answered(2, 3)
    assert tried == [10, 0]
    tried.clear()
    assert find_answered(recommendation_id("t", 0, 25), "t", ends, tried.append) is None
    assert sum(tried) == 32
    with pytest.raises(RecordError, match="is no rec_id"):
        find_answered("r1", "t", ends)


@pytest.fixture(scope="module")
def settings(published: "Published", tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Sessions are kept short, so that what a version made of the whole session differs from what it makes of
    what is kept; two versions, and of a third one only the name."""
    registry = Registry(tmp_path_factory.mktemp("registry"), trusted=None)
    other = GRU4Rec(TINY)
    other.train(ring_sessions(seed=9))
    for version, model in zip(VERSIONS, (published.model, other), strict=True):
        registry.publish("gru4rec", version, partial(model.export, version=version))
    return load_settings(
        kafka={"partitions": 1, "max_poll_records": 40},
        state={"session_items": 2, "recent_sessions": 100},
        scoring={
            "weights": {"gru4rec": 1.0, "online_mf": 0.5, "popularity": 0.2, "markov": 0.3},
            "trace": True,
        },
        online_mf={"factors": 4},
        registry={"path": registry.path, "require_signature": False},
    )


def records() -> list[Record]:
    """Visitors who go round the ring, several at a time, and come back with another session."""
    clicks = sorted(
        (number // 4 * 60_000 + place * 700, f"s{number % 7}", f"{number}", item)
        for number, session in enumerate(ring_sessions(40, seed=5))
        for place, item in enumerate(session.items)
    )
    return [
        click(n, visitor, item, BASE + time_ms, session_id=session, type="click")
        for n, (time_ms, visitor, session, item) in enumerate(clicks)
    ]


def live_run(settings: Settings, under: Callable[[Record], str]) -> Iterator[Recommendation]:
    """The lists of a run in which every visitor's record is under a version of its own."""
    models = Models(settings)
    run = PartitionRun(settings, 0, models, Catalogue(), from_ms=0, latency_ms=0)
    for record in records():
        for asked in run.take([record], under(record)):
            assert asked.made is not None
            yield asked.made


def version_by_visitor(record: InputRecord) -> str:
    """A canary: some visitors have the other version, and halfway all change over; then none is live."""
    assert record.key is not None
    canary = record.key in (b"s1", b"s4")
    if record.offset % 50 > 40:
        return ""
    return VERSIONS[canary ^ (record.offset > 60)]


@pytest.mark.parametrize("under", [version_by_visitor, lambda record: VERSIONS[record.offset // 3 % 2]])
def test_every_answer_of_a_run_is_made_again(settings: Settings, under: Any) -> None:
    everything = records()
    sent = list(live_run(settings, under))
    assert {each.release for each in sent} >= set(VERSIONS)
    assert len(sent) == len(everything) > 120
    for offset in range(0, len(everything), 5):
        found = rebuild(settings, 0, everything[: offset + 1], everything[offset], under, Catalogue())
        assert isinstance(found, Rebuilt)
        assert encode(found.made) == encode(sent[offset])
        for item, voices in zip(found.made.items, found.voices, strict=True):
            assert sum(voice.points for voice in voices.values()) == pytest.approx(item.score)
            for source, voice in voices.items():
                assert (source in item.sources) == (voice.rank is not None)
                if voice.rank is not None and found.made.candidates is not None and voice.rank <= 20:
                    assert found.made.candidates[source][voice.rank - 1] == item.item_id
                    assert voice.score is not None


def test_without_lists_a_canary_is_known_by_its_announcement() -> None:
    canary = Canary("v2", 0.5, None)
    releases = Releases(
        [(BASE, "v1"), (BASE + 20, "v3")], canaries=[(BASE + 10, "v2", 0.5), (BASE + 30, "", 0.0)]
    )
    for visitor in map(str, range(20)):
        found = [releases.at(click(0, visitor, timestamp=BASE + at)) for at in (-1, 0, 10, 20, 30)]
        in_share = canary.serves(visitor)
        assert found == (["", "v1", "v2", "v2", "v3"] if in_share else ["", "v1", "v1", "v3", "v3"])


def test_an_interleaved_answer_is_made_again(settings: Settings) -> None:
    everything = records()
    registry = Registry.of(settings)
    challenger = load_challenger(registry, "v2", most_visitors=100)
    models = Models(settings)
    run = PartitionRun(settings, 0, models, Catalogue(), from_ms=0, latency_ms=0)
    sent = []
    for record in everything:
        for visitors in run.asking([record], "v1"):
            others = others_proposals(visitors, run.boards, Catalogue(), settings)
            own = lists(visitors, others, models.scorer, Catalogue(), settings, partition=0, now_ms=BASE)
            sent += challenged(visitors, others, own, challenger, 0.5, Catalogue(), settings)
    named = [each.challenger for each in sent]
    assert set(named) == {None, "v2"}
    for offset in range(0, len(everything), 3):
        found = rebuild(
            settings,
            0,
            everything[: offset + 1],
            everything[offset],
            lambda _: "v1",
            Catalogue(),
            challenger=named[offset],
        )
        assert isinstance(found, Rebuilt)
        found.made.emit_time = BASE
        assert encode(found.made) == encode(sent[offset])
        for item, voices in zip(found.made.items, found.voices, strict=True):
            assert sum(voice.points for voice in voices.values()) == pytest.approx(item.score)


def test_of_two_versions_only_the_one_that_the_list_names_has_to_be_there(settings: Settings) -> None:
    everything = records()

    def under(record: InputRecord) -> str:
        return "gone" if record.offset < 100 else "v1"

    offset = next(n for n in range(101, 150) if any(r.key == everything[n].key for r in everything[95:100]))
    found = rebuild(settings, 0, everything, everything[offset], under, Catalogue())
    assert isinstance(found, Rebuilt)
    assert found.made.release == "v1"
    with pytest.raises(RegistryError, match="gone"):
        rebuild(settings, 0, everything, everything[99], under, Catalogue())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"type": "dislike"}, "type dislike asks for no list"),
        ({"event_id": "e0"}, "a repeat"),
        ({"item_id": ""}, r"refused \(invalid\)"),
    ],
)
def test_an_interaction_without_a_list_says_why(settings: Settings, change: Any, why: str) -> None:
    both = [click(0, item=RING[0]), click(1, item=RING[1], **change)]
    found = rebuild(settings, 0, both, both[1], lambda _: "v1", Catalogue())
    assert isinstance(found, NoList)
    assert re.search(why, found.why)


@pytest.fixture
def kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Past]:
    """A partition whose topic begins at an offset, with some of the records in history."""

    def kept(topic_start: int, history: Sequence[int], covered: Covered, end: int = 20) -> Past:
        def of_topic(_: Settings, name: str, partition: int, start: int, end: int) -> Iterator[list[Record]]:
            assert (name, partition) == ("interactions", 0)
            yield from ([click(n)] for n in range(start, end))

        def of_history(_: Settings, partition: int, start: int, *, topic_id: str) -> Iterator[Record]:
            assert topic_id == "present"
            return (click(n) for n in history if n >= start)

        monkeypatch.setattr(past, "topic_range", lambda *_: {0: (topic_start, 100)})
        monkeypatch.setattr(past, "read_partition", of_topic)
        monkeypatch.setattr(past, "history_records", of_history)
        monkeypatch.setattr(past, "known_topics", lambda *_: {"interactions": "present"})
        monkeypatch.setattr(past, "history_coverage", lambda _, topic_id: {0: covered})
        return Past(settings, 0, end)

    return kept


@pytest.mark.parametrize(
    ("topic_start", "history", "covered", "offsets", "lost"),
    [
        (0, range(5, 15), Covered(5, 15), range(20), []),
        (10, range(15), Covered(0, 15), range(20), []),
        (10, range(3, 15), Covered(3, 15), range(3, 20), [(0, 3)]),
        (10, range(7), Covered(0, 7), [*range(7), *range(10, 20)], [(7, 10)]),
        (10, [0, 1, 4, 5, 6, 7, 8, 9], Covered(0, 10), [0, 1, *range(4, 20)], []),
        (10, [0, 1, *range(4, 12)], Covered(0, 12, ((2, 4),)), [0, 1, *range(4, 20)], [(2, 4)]),
        (10, [0, *range(14, 16)], Covered(0, 16, ((1, 14),)), [0, *range(10, 20)], [(1, 10)]),
        (10, [], Covered(), range(10, 20), [(0, 10)]),
        (30, range(18), Covered(0, 18), range(18), [(18, 20)]),
    ],
)
def test_history_has_what_the_topic_has_lost(
    kept: Any, topic_start: int, history: Sequence[int], covered: Covered, offsets: Sequence[int], lost: Any
) -> None:
    found = kept(topic_start, history, covered)
    assert [record.offset for record in found.records()] == list(offsets)
    assert found.lost == lost
