"""Lists: what is in them, what is not, and that nothing else decides."""

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ranking_parts import SmallScorer, board, visitor
from state_parts import BASE, Partition, Record, SmallStep, click

from streamrec.board_opener import board_opener
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.config import SESSION_SOURCES, Settings
from streamrec.events import Item, Recommendation, encode, recommendation_id
from streamrec.item_board import ItemBoard
from streamrec.models.online_mf import OnlineMF, OnlineMFConfig
from streamrec.ranking import recommend
from streamrec.session_board import SessionBoard
from streamrec.state.rows import (
    ITEM,
    VISITOR,
    Factors,
    SessionRow,
    VisitorRow,
    decode_visitor_row,
    encode_row,
    session_key,
)

SCORER = SmallScorer()


def settings(**scoring: Any) -> Settings:
    return Settings.model_validate({"scoring": {"k": 8, **scoring}})


def only(source: str) -> dict[str, float]:
    return {name: float(name == source) for name in ("gru4rec", "online_mf", "popularity")}


def stranger(**fields: Any) -> tuple[str, VisitorRow]:
    """A visitor of whom no model knows anything."""
    return visitor(hidden=b"", factors=Factors(), **fields)


def catalogue(*items: Item) -> Catalogue:
    made = Catalogue()
    for item in items:
        made.on_record(item.item_id.encode(), encode(item))
    return made


def lists(
    visitors: Sequence[tuple[str, VisitorRow]],
    of_settings: Settings | None = None,
    *,
    items: ItemBoard | None = None,
    sessions: SessionBoard | None = None,
    known: Catalogue | None = None,
    scorers: Iterable[SmallScorer] = (SCORER,),
) -> list[Recommendation]:
    return recommend(
        visitors,
        Boards(board() if items is None else items, sessions or SessionBoard()),
        {scorer.version: scorer for scorer in scorers}.get,
        known or Catalogue(),
        of_settings or settings(),
        partition=3,
        now_ms=BASE + 5,
    )


def ids(recommendation: Recommendation) -> list[str]:
    return [item.item_id for item in recommendation.items]


def leads(recommendation: Recommendation) -> set[str]:
    return {item.sources[0] for item in recommendation.items}


def test_a_list_says_whose_it_is_and_where_it_comes_from() -> None:
    (made,) = lists([visitor()])
    assert made.rec_id == recommendation_id("streamrec.interactions", 3, 7)
    assert (made.visitor_id, made.session_id, made.event_id) == ("visitor-0", "s", "e7")
    assert (made.model, made.release) == ("gru4rec", "v1")
    assert (made.event_time, made.emit_time) == (BASE, BASE + 5)
    assert (made.input_partition, made.input_offset) == (3, 7)
    assert made.candidates is None


def test_every_source_has_a_place_and_no_item_two() -> None:
    for made in lists([visitor(seed) for seed in range(20)]):
        assert len(set(ids(made))) == len(made.items) == 8
        assert leads(made) == {"gru4rec", "online_mf", "popularity"}
        assert [item.score for item in made.items] == sorted(
            (item.score for item in made.items), reverse=True
        )


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_list_does_not_depend_on_the_batch(size: int) -> None:
    visitors = [visitor(seed, offset=seed) for seed in range(64)]
    of_settings = settings(trace=True)
    alone = [lists([one], of_settings)[0] for one in visitors]
    together = [
        made for start in range(0, 64, size) for made in lists(visitors[start : start + size], of_settings)
    ]
    assert together == alone


def test_reasons_name_the_item_viewed_last_by_its_title_if_it_has_one() -> None:
    untitled, titled = catalogue(), catalogue(Item(item_id="m2", title="Blue mug"))
    for known, name in ((untitled, "m2"), (titled, "Blue mug")):
        (made,) = lists([visitor()], known=known)
        assert {item.sources[0]: item.reason for item in made.items} == {
            "gru4rec": f"because you viewed {name}",
            "online_mf": "visitors like you chose it",
            "popularity": "popular now",
        }


def test_unavailable_items_are_in_no_list() -> None:
    everything = settings(trace=True)
    before = {item_id for made in lists([visitor(), stranger()], everything) for item_id in ids(made)}
    known = catalogue(*(Item(item_id=item_id, available=False) for item_id in before))
    for made in lists([visitor(), stranger()], everything, known=known):
        assert len(made.items) == 8
        assert not before & set(ids(made))
        assert made.candidates is not None
        assert not before & {item_id for own in made.candidates.values() for item_id in own}


def test_a_model_is_asked_again_if_most_of_its_items_are_unavailable() -> None:
    alone = settings(weights=only("gru4rec"))
    (everything,) = lists([visitor()], settings(k=200, weights=only("gru4rec")))
    known = catalogue(*(Item(item_id=item_id, available=False) for item_id in ids(everything)[:180]))
    (made,) = lists([visitor()], alone, known=known)
    assert ids(made) == ids(everything)[180:188]


def test_the_sessions_items_are_left_out_only_if_so_configured() -> None:
    (usual,) = lists([visitor()], settings(trace=True))
    seen = ids(usual)[:4]
    (same,) = lists([visitor(items=seen)], settings(trace=True))
    (without,) = lists([visitor(items=seen)], settings(trace=True, exclude_session_items=True))
    assert ids(same) == ids(usual)
    assert len(without.items) == 8
    assert not set(seen) & set(ids(without))
    assert without.candidates is not None
    assert not set(seen) & {item_id for own in without.candidates.values() for item_id in own}


@pytest.mark.parametrize("source", ["gru4rec", "online_mf", "popularity"])
def test_weight_zero_switches_a_source_off(source: str) -> None:
    (made,) = lists([visitor()], settings(weights=only(source), trace=True))
    assert leads(made) == {source}
    assert made.candidates is not None
    assert list(made.candidates) == [source]
    assert made.candidates[source] == ids(made)


def test_without_a_known_item_the_list_is_filled_from_what_is_popular() -> None:
    (made,) = lists([stranger()])
    assert leads(made) == {"popularity"}
    assert ids(made) == board().popular(8, set(), [set()]).names(0)


def test_then_from_the_models_vocabulary_and_then_from_the_catalogue() -> None:
    few = SmallScorer(items=["g0", "m0", "gone", "g3"])
    known = catalogue(*(Item(item_id=item_id, available=item_id != "gone") for item_id in ("z", "gone", "c")))
    (made,) = lists([stranger()], items=board(1), known=known, scorers=[few])
    assert ids(made) == ["m0", "g0", "g3", "c", "z"]
    assert [item.sources for item in made.items] == [["popularity"], *[["catalogue"]] * 4]
    assert made.items[-1].reason == "from the catalogue"


def test_with_nothing_known_at_all_the_list_is_empty() -> None:
    (made,) = lists([stranger(model_version="")], items=ItemBoard(1000, 60.0), scorers=[])
    assert made.items == []


def test_rows_are_scored_by_the_version_that_they_name() -> None:
    old, new = SmallScorer("v1", seed=1), SmallScorer("v2", seed=2)
    visitors = [visitor(seed, model_version="v1" if seed % 3 else "v2") for seed in range(9)]
    mixed = lists(visitors, scorers=[old, new])
    assert (old.runs, new.runs) == ([6], [3])
    assert mixed == [lists([one], scorers=[old, new])[0] for one in visitors]
    assert {made.release for made in mixed} == {"v1", "v2"}


def test_a_row_whose_version_is_gone_gets_a_list_from_the_other_sources() -> None:
    (made,) = lists([visitor(model_version="v0")])
    assert len(made.items) == 8
    assert leads(made) == {"online_mf", "popularity"}


def test_the_trace_holds_each_sources_own_list() -> None:
    (made,) = lists([visitor()], settings(trace=True))
    assert made.candidates == {
        source: ids(lists([visitor()], settings(weights=only(source)))[0])
        for source in ("gru4rec", "online_mf", "popularity")
    }


def with_session_sources(**scoring: Any) -> Settings:
    weights = {"gru4rec": 1.0, **dict.fromkeys(SESSION_SOURCES, 1.0)}
    return Settings.model_validate(
        {"state": {"recent_sessions": 9}, "scoring": {"k": 12, "weights": weights, **scoring}}
    )


def sessions_of(of_settings: Settings, *sessions: str) -> SessionBoard:
    made = board_opener(of_settings)().sessions
    for slot, items in enumerate(sessions):
        made.apply(session_key(slot), encode_row(SessionRow(slot, BASE + slot, items.split())))
    made.begin_tick()
    return made


def test_sources_that_learn_from_sessions_have_places_and_reasons() -> None:
    of_settings = with_session_sources(min_share=1 / 6, trace=True)
    sessions = sessions_of(of_settings, *(f"m2 s{n} t{n}" for n in range(9)))
    (made,) = lists([visitor()], of_settings, sessions=sessions)
    assert leads(made) == {"gru4rec", *SESSION_SOURCES}
    reasons = {item.sources[0]: item.reason for item in made.items}
    assert (reasons["item_knn"], reasons["markov"]) == (
        "visitors who viewed m2 also viewed it",
        "often viewed after m2",
    )
    assert {reasons[name] for name in ("vs_knn", "stan", "vmis_knn")} == {"viewed in sessions like yours"}
    assert made.candidates is not None
    for source in SESSION_SOURCES:
        assert made.candidates[source] == sessions.best(source, ["g1", "m2"], 12)


def test_what_is_left_out_of_lists_no_session_brings_back() -> None:
    of_settings = with_session_sources(exclude_session_items=True, trace=True)
    sessions = sessions_of(of_settings, "g1 m2 gone", "m2 gone left g1")
    known = catalogue(Item(item_id="gone", available=False))
    (made,) = lists([visitor()], of_settings, sessions=sessions, known=known)
    assert made.candidates is not None
    for source in SESSION_SOURCES:
        assert made.candidates[source] == ["left"]


TICK_MS = 1000


def read_lists(log: Iterable[tuple[bytes, bytes | None]]) -> list[Recommendation]:
    """The lists that a log of rows asks for, made the way the scoring app reads it."""
    scorer = SmallScorer("v1", items=list("abcdefgh"), h=SmallStep.hidden_size)
    of_settings = settings(k=5, trace=True)
    items = ItemBoard(TICK_MS, 60.0)
    made: list[Recommendation] = []
    for key, value in log:
        if key.startswith(ITEM):
            items.apply(key, value)
        elif key.startswith(VISITOR) and value is not None:
            row = decode_visitor_row(value)
            items.advance_to(row.clock_ms)
            made += lists([(key.decode(), row)], of_settings, items=items, scorers=[scorer])
    return made


clicks = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcdexyz"), st.sampled_from([0, 1, 300, 1500])),
    min_size=1,
    max_size=40,
)


@hypothesis_settings(deadline=None)
@given(clicks=clicks, cuts=st.sets(st.integers(1, 40)))
def test_lists_are_a_function_of_the_input_however_it_is_cut(
    clicks: list[tuple[str, str, int]], cuts: set[int]
) -> None:
    time, records = BASE, list[Record]()
    for offset, (who, item, pause) in enumerate(clicks):
        time += pause
        records.append(click(offset, visitor=who, item=item, time=time))
    of_state = Settings().state.model_copy(update={"max_items": 5})
    made = []
    for bounds in ([0, len(records)], [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]):
        online = partial(OnlineMF, OnlineMFConfig(factors=3), 0)
        partition = Partition(of_state, make_online=online, n_negatives=1, tick_ms=TICK_MS)
        for start, end in itertools.pairwise(bounds):
            partition.take_all(*records[start:end], model=SmallStep())
            partition.restore()
        made.append(read_lists(partition.log))
    assert len(made[0]) == len(records)
    assert made[1] == made[0]
