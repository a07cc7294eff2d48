"""Lists of a second version: its hidden states are those of the items in the row, whatever is remembered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking_parts import SmallScorer, board, visitor
from state_parts import BASE, SmallStep, states

from streamrec.advance.records import ModelError
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.challengers import Challenger, challenged, load_challenger
from streamrec.config import Settings
from streamrec.events import Recommendation, encode
from streamrec.interleaving import interleaved
from streamrec.list_requests import Visitor
from streamrec.ranking import Proposals, lists, others_proposals
from streamrec.session_board import SessionBoard

if TYPE_CHECKING:
    from session_models import Published

SETTINGS = Settings.model_validate({"scoring": {"k": 8}})
OTHER = SmallScorer("v2", seed=5, h=3)
OWN = SmallScorer("v1", h=3)


def challenger(most_visitors: int = 100, bad: str = "") -> Challenger:
    return Challenger(SmallStep("v2", bad), OTHER, most_visitors)


def who(n: int, items: str, offset: int = 7) -> Visitor:
    fields = {"items": list(items), "hidden": states(items), "offset": offset}
    return f"visitor-{n}", visitor(n, **fields)[1]


def proposals(visitors: Sequence[Visitor]) -> Proposals:
    return others_proposals(visitors, Boards(board(), SessionBoard()), Catalogue(), SETTINGS)


def own_lists(visitors: Sequence[Visitor]) -> list[Recommendation]:
    return lists(
        visitors, proposals(visitors), {"v1": OWN}.get, Catalogue(), SETTINGS, partition=3, now_ms=BASE
    )


def test_a_row_is_as_if_the_other_version_had_made_it() -> None:
    asked = [who(0, "abc"), who(1, "b"), who(2, "")]
    rows = challenger().rows(asked)
    for (visitor_id, row), (same_id, theirs) in zip(asked, rows, strict=True):
        wanted = states("".join(row.items), "v2") if row.items else b""
        assert theirs == msgspec.structs.replace(row, model_version="v2", hidden=wanted)
        assert visitor_id == same_id
    assert [row.model_version for _, row in asked] == ["v1"] * 3, "the visitors' own rows stay"


walks = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abcde?"), st.booleans()), max_size=40)


@given(walks, st.integers(1, 4), st.sampled_from([1, 3, 100]))
def test_states_are_those_of_the_items_however_visitors_come_and_are_forgotten(
    walk: list[tuple[int, str, bool]], most_visitors: int, batch: int
) -> None:
    """Sessions grow, begin anew and lose their oldest item beyond five; some items nobody knows."""
    model = challenger(most_visitors)
    items: dict[int, str] = {}
    asked: list[Visitor] = []
    for n, item, is_new in walk:
        items[n] = (("" if is_new else items.get(n, "")) + item)[-5:]
        asked.append(who(n, items[n].replace("?", "")) if item != "?" else _with_unknown(n, items[n]))
    for first in range(0, len(asked), batch):
        part = asked[first : first + batch]
        for (_, row), (_, theirs) in zip(part, model.rows(part), strict=True):
            known = "".join(item for item in row.items if len(item) == 1)
            assert theirs.hidden == (states(known, "v2") if known else b"")


def _with_unknown(n: int, items: str) -> Visitor:
    visitor_id, row = who(n, items.replace("?", ""))
    return visitor_id, msgspec.structs.replace(
        row, items=["unknown" if each == "?" else each for each in items]
    )


def test_usually_a_visitor_takes_one_step_more() -> None:
    step = SmallStep("v2")
    model = Challenger(step, OTHER, 10)
    model.rows([who(n, "abcd") for n in range(5)])
    assert step.calls == 4
    model.rows([who(n, "abcde") for n in range(5)])
    assert step.calls == 5


def test_after_a_failure_nothing_is_taken_for_known() -> None:
    model = challenger(bad="x")
    model.rows([who(0, "ab")])
    with pytest.raises(ModelError):
        model.rows([who(0, "abc"), who(1, "x")])
    ((_, row),) = model.rows([who(0, "abcd")])
    assert row.hidden == states("abcd", "v2")


def test_real_graphs_give_the_states_that_the_state_app_gives(published: "Published") -> None:
    from session_models import RING

    model = load_challenger(published.registry, published.version, most_visitors=3)
    hidden = np.zeros((1, model._step.hidden_size), np.float32)
    for n in range(1, 30):
        items = RING[:n]
        hidden = model._step.step(np.array([model._step.item_index(items[-1])]), hidden)
        asked = [(f"v{who}", msgspec.structs.replace(visitor(0)[1], items=items)) for who in range(n % 5 + 1)]
        for _, row in model.rows(asked):
            assert row.hidden == hidden.tobytes(), "bit for bit"


def test_its_lists_are_those_that_ranking_makes_of_its_rows() -> None:
    asked = [who(0, "abc"), who(1, "b")]
    made = challenger().lists(asked, proposals(asked), Catalogue(), SETTINGS, partition=3, now_ms=BASE)
    rows = [
        (name, msgspec.structs.replace(row, model_version="v2", hidden=states("".join(row.items), "v2")))
        for name, row in asked
    ]
    assert made == lists(
        rows, proposals(asked), {"v2": OTHER}.get, Catalogue(), SETTINGS, partition=3, now_ms=BASE
    )
    assert {each.release for each in made} == {"v2"}
    assert made != own_lists(asked)


def test_a_share_of_the_lists_is_interleaved_and_the_others_stay_as_they_are() -> None:
    asked = [who(n, "abc", offset=n) for n in range(60)]
    own, model = own_lists(asked), challenger()
    shown = challenged(asked, proposals(asked), own, model, 0.3, Catalogue(), SETTINGS)
    theirs = challenger().lists(asked, proposals(asked), Catalogue(), SETTINGS, partition=3, now_ms=BASE)
    inside = [n for n, each in enumerate(shown) if each.challenger]
    assert 5 < len(inside) < 35
    for n, (before, after) in enumerate(zip(own, shown, strict=True)):
        if n not in inside:
            assert encode(before) == encode(after)
            continue
        assert after.release == "v1"
        assert after.challenger == "v2"
        assert after.items == interleaved(before.items, theirs[n].items, after.rec_id, SETTINGS.scoring.k)
        assert {item.team for item in after.items} == {"live", "challenger"}
    again = challenged(asked, proposals(asked), own, challenger(), 0.3, Catalogue(), SETTINGS)
    assert list(map(encode, again)) == list(map(encode, shown))


def test_visitors_of_the_challenger_and_of_no_version_keep_their_lists() -> None:
    rows = [who(n, "abc", offset=n) for n in range(4)]
    asked = [
        (name, msgspec.structs.replace(row, model_version="v2" if name[-1] in "01" else ""))
        for name, row in rows
    ]
    own = lists(asked, proposals(asked), {"v2": OTHER}.get, Catalogue(), SETTINGS, partition=3, now_ms=BASE)
    assert challenged(asked, proposals(asked), own, challenger(), 1.0, Catalogue(), SETTINGS) == own
