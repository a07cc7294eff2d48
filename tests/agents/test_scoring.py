"""The scoring app's list maker on the in-memory log: lists follow from the log alone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from memory_maker import LEARNING, LISTS, SETTINGS, STATES, MemoryMaker, cut, lists, states
from state_parts import BASE

from streamrec.config import SESSION_SOURCES, Settings, load_settings
from streamrec.engine.log import Out
from streamrec.engine.runner import Batch
from streamrec.engine.transport import Fetched
from streamrec.errors import RegistryError, StateError
from streamrec.events import Item, encode
from streamrec.feedback import Knowledge, make_feedback
from streamrec.proposals import Proposals
from streamrec.recommender_artifacts import train_recommender
from streamrec.recommender_source import RecommenderSource
from streamrec.registry import Registry
from streamrec.session_board import SessionBoard
from streamrec.state.rows import VISITOR, WATERMARK_KEY, Watermark, decode_visitor_row, encode_row

if TYPE_CHECKING:
    from session_models import Published


def test_every_row_that_asks_has_one_list_in_order(published: "Published") -> None:
    log = states(published)
    MemoryMaker(log, published).handle(*cut(log, [1000]))
    rows = [
        decode_visitor_row(each.value)
        for each in log.records(STATES, 0)
        if each.key.startswith(VISITOR) and each.value is not None
    ]
    assert [each["input_offset"] for each in lists(log)] == [row.offset for row in rows if row.asks]
    assert 0 < len(lists(log)) < len(rows)
    assert len({each["rec_id"] for each in lists(log)}) == len(lists(log))


with_and_without_sessions = pytest.mark.parametrize("settings", [SETTINGS, LEARNING], ids=["", "sessions"])


@with_and_without_sessions
@pytest.mark.parametrize("sizes", [[1], [2, 5, 3], [17]])
def test_lists_are_the_same_however_the_log_is_cut(
    published: "Published", sizes: list[int], settings: Settings
) -> None:
    log, whole = states(published, settings=settings), states(published, settings=settings)
    MemoryMaker(whole, published, settings).handle(*cut(whole, [1000]))
    MemoryMaker(log, published, settings).handle(*cut(log, sizes))
    assert lists(log) == lists(whole)


@with_and_without_sessions
@pytest.mark.parametrize("is_compacted", [False, True])
@pytest.mark.parametrize("committed", [1, 30, 90])
def test_a_new_worker_goes_on_with_the_same_lists(
    published: "Published", committed: int, is_compacted: bool, settings: Settings
) -> None:
    log, whole = states(published, settings=settings), states(published, settings=settings)
    MemoryMaker(whole, published, settings).handle(*cut(whole, [1000]))
    MemoryMaker(log, published, settings).handle(Batch(0, log.records(STATES, 0)[:committed]))
    later = MemoryMaker(log, published, settings)
    later.committed, later.is_compacted = committed, is_compacted
    later.handle(*cut(log, [13], start=committed))
    assert lists(log) == lists(whole)


def test_sources_that_learn_from_sessions_propose_items_of_the_lists(published: "Published") -> None:
    log = states(published, settings=LEARNING)
    keys = [each.key for each in log.records(STATES, 0)]
    assert keys.count(b"s:0") > 1, "the ring goes round"
    MemoryMaker(log, published, LEARNING).handle(*cut(log, [1000]))
    made = msgspec.to_builtins(lists(log))
    assert {name for each in made for item in each["items"] for name in item["sources"]} >= set(
        SESSION_SOURCES
    )


def test_a_new_worker_learns_a_little_at_a_time_and_all_before_the_first_list(
    published: "Published", monkeypatch: pytest.MonkeyPatch
) -> None:
    log, learned = states(published, settings=LEARNING), list[int]()
    learn, best = SessionBoard.learn, SessionBoard.best

    def noted(board: SessionBoard, at_once: int) -> Iterator[int]:
        for left in learn(board, at_once):
            learned.append(left)
            yield left

    def asked(board: SessionBoard, *arguments: Any) -> list[str]:
        learned.append(-1)
        return best(board, *arguments)

    monkeypatch.setattr(SessionBoard, "learn", noted)
    monkeypatch.setattr(SessionBoard, "best", asked)
    monkeypatch.setattr("streamrec.agents.scoring._SESSIONS_AT_ONCE", 1)
    worker = MemoryMaker(log, published, LEARNING)
    worker.committed = 60
    worker.handle(*cut(log, [1000], start=60))
    beforehand = learned[: learned.index(-1)]
    assert beforehand == list(reversed(range(len(beforehand))))
    assert len(beforehand) > 1


@pytest.fixture
def recommending(tmp_path: Path) -> Settings:
    """Settings with a recommender of contents among the sources, and ticks so long that many ask in one."""
    from session_models import RING

    liked = make_feedback(*zip(*((f"v{n % 6}", RING[n]) for n in range(11)), strict=True))
    known = Knowledge({item_id: Item(item_id=item_id, tags=[f"t{n % 3}"]) for n, item_id in enumerate(RING)})
    registry = Registry(tmp_path, trusted=None)
    trained = train_recommender({"model": "tfidf_content"}, liked, registry, knowledge=known)
    return load_settings(
        **SETTINGS.model_dump(include={"kafka", "online_mf", "state"}),
        registry={"path": str(tmp_path), "require_signature": False},
        scoring={
            "recommenders": {"tfidf_content": {"version": trained.version}},
            "tick_ms": 10**9,
            "trace": True,
        },
    )


def test_a_recommender_makes_a_few_lists_at_a_time_and_others_have_their_turn_in_between(
    published: "Published", recommending: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, whole = states(published), states(published)
    monkeypatch.setattr("streamrec.agents.scoring._VISITORS_AT_ONCE", 1000)
    MemoryMaker(whole, published, recommending).handle(*cut(whole, [1000]))
    assert any(each["candidates"]["tfidf_content"] for each in lists(whole))
    monkeypatch.setattr("streamrec.agents.scoring._VISITORS_AT_ONCE", 3)
    proposals, turns, asked = RecommenderSource.proposals, 0, list[tuple[int, int]]()

    def noted(source: RecommenderSource, visitors: Any, *arguments: Any) -> Proposals:
        asked.append((len(visitors), turns))
        return proposals(source, visitors, *arguments)

    monkeypatch.setattr(RecommenderSource, "proposals", noted)
    maker = MemoryMaker(log, published, recommending)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        beside = asyncio.create_task(others())
        for batch in cut(log, [1000]):
            await maker.maker.handle(batch)
        beside.cancel()

    asyncio.run(both())
    assert len(asked) > 5
    assert max(n for n, _ in asked) == 3
    assert len({turn for _, turn in asked}) == len(asked)
    assert lists(log) == lists(whole)


def test_recommenders_learn_the_items_a_few_at_a_time_before_the_first_list(
    published: "Published", recommending: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, learned = states(published), list[int]()
    learn, proposals = RecommenderSource.learn, RecommenderSource.proposals

    def noted(source: RecommenderSource, *arguments: Any) -> Iterator[int]:
        for left in learn(source, *arguments):
            learned.append(left)
            yield left

    def asked(source: RecommenderSource, *arguments: Any) -> Proposals:
        learned.append(-1)
        return proposals(source, *arguments)

    monkeypatch.setattr(RecommenderSource, "learn", noted)
    monkeypatch.setattr(RecommenderSource, "proposals", asked)
    monkeypatch.setattr("streamrec.agents.scoring._RECORDS_AT_ONCE", 1)
    maker = MemoryMaker(log, published, recommending)
    for n in range(20):
        maker.catalogue.on_record(b"new%d" % n, encode(Item(item_id=f"new{n}", tags=["t1"])))
    maker.handle(*cut(log, [1000]))
    # Those of training are not in the catalogue.
    assert learned[: learned.index(-1)] == list(reversed(range(20 + 40)))
    assert any("new1" in each["candidates"]["tfidf_content"] for each in lists(log))


def test_what_comes_again_to_the_same_worker_is_not_sent_again(published: "Published") -> None:
    log = states(published)
    maker = MemoryMaker(log, published)
    maker.handle(*cut(log, [20]))
    before = lists(log)
    maker.handle(*cut(log, [9], start=4))
    assert lists(log) == before


def test_rows_that_were_skipped_before_anything_was_committed_have_their_lists(
    published: "Published",
) -> None:
    log, whole = states(published), states(published)
    MemoryMaker(whole, published).handle(*cut(whole, [1000]))
    first, second, *rest = cut(log, [20])
    maker = MemoryMaker(log, published)
    maker.handle(second, first, second, *rest)
    assert lists(log) == lists(whole)


def test_rows_that_were_skipped_behind_what_is_committed_have_their_lists(published: "Published") -> None:
    log, whole = states(published), states(published)
    MemoryMaker(whole, published).handle(*cut(whole, [1000]))
    first, second, third, *rest = cut(log, [20])
    MemoryMaker(log, published).handle(first)
    maker = MemoryMaker(log, published)
    maker.committed = 20
    maker.handle(third)
    assert maker.reread == [0, 20]
    maker.handle(second, third, *rest)
    assert lists(log) == lists(whole)


def test_rows_that_another_worker_answered_meanwhile_are_not_answered_again(published: "Published") -> None:
    log, whole = states(published), states(published)
    MemoryMaker(whole, published).handle(*cut(whole, [1000]))
    first, second, third, *rest = cut(log, [20])
    stopped, other = MemoryMaker(log, published), MemoryMaker(log, published)
    stopped.handle(first)
    other.committed = 20
    other.handle(second, third)
    stopped.committed = 60
    stopped.handle(*rest)
    assert stopped.reread == [20]
    assert lists(log) == lists(whole)


def test_what_compaction_has_left_out_is_not_looked_for(published: "Published") -> None:
    log = states(published)
    records = log.records(STATES, 0)
    maker = MemoryMaker(log, published)
    maker.handle(Batch(0, records[:20]))
    rest = Fetched(records[27:])
    rest.start = 20
    maker.handle(Batch(0, rest))
    assert maker.reread == []


def test_what_comes_again_to_another_worker_has_the_same_ids(published: "Published") -> None:
    log = states(published)
    for _ in range(2):
        MemoryMaker(log, published).handle(*cut(log, [20]))
    sent = lists(log)
    assert sent[: len(sent) // 2] == sent[len(sent) // 2 :]


def test_the_items_of_a_partition_that_moved_away_are_let_go_and_read_anew(published: "Published") -> None:
    log, whole = states(published), states(published)
    MemoryMaker(whole, published).handle(*cut(whole, [1000]))
    maker = MemoryMaker(log, published)
    first, *rest = cut(log, [40])
    maker.handle(first)
    maker.maker.keep({0, 7})
    maker.handle(rest[0])
    assert maker.reread == []
    maker.maker.keep({7})
    maker.committed = rest[1].records[0].offset
    maker.handle(*rest[1:])
    assert maker.reread == [0]
    assert lists(log) == lists(whole)


def test_the_version_that_a_row_names_is_loaded_before_its_list_is_made(published: "Published") -> None:
    log = states(published)
    maker = MemoryMaker(log, published)
    assert maker.shelf.resident(published.version) is None
    maker.handle(*cut(log, [20]))
    assert maker.shelf.resident(published.version) is not None
    assert {each["release"] for each in lists(log)} == {published.version}


def test_a_version_that_is_gone_stops_the_worker(published: "Published", tmp_path: Any) -> None:
    log = states(published)
    empty = published._replace(registry=type(published.registry)(tmp_path))
    with pytest.raises(RegistryError, match=published.version):
        MemoryMaker(log, empty).handle(*cut(log, [20]))
    assert lists(log) == []


@pytest.mark.parametrize("key", [b"v:v0", b"i:i0", WATERMARK_KEY])
def test_a_row_that_cannot_be_read_ends_the_worker_and_tells_no_visitor(
    published: "Published", key: bytes
) -> None:
    log = states(published)
    end = log.publish(STATES, 0, Out(key, b"\xc1"))
    kind = key[:2].decode()
    with pytest.raises(StateError, match=rf"{kind}.* at offset {end} .*`streamrec state rebuild`") as caught:
        MemoryMaker(log, published).handle(*cut(log, [1000]))
    assert b"v:v0" not in str(caught.value).encode()
    assert not log.records(LISTS, 0)


def test_rows_written_to_another_topic_are_refused(published: "Published") -> None:
    log = states(published)
    log.publish(STATES, 0, Out(WATERMARK_KEY, encode_row(Watermark(1000, "topic-1", BASE, "another"))))
    with pytest.raises(StateError, match=r"another.*`streamrec state rebuild`"):
        MemoryMaker(log, published).handle(*cut(log, [1000]))
    assert not log.records(LISTS, 0)
