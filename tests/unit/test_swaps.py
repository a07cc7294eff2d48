"""What the swap test claims, on known answers: each claim holds for a sound run and falls with one fault."""

from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrec.contracts import FloatArray, IntArray, Session
from streamrec.traffic import woven

# benchmarks is no part of what is installed.
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(Path(__file__).parents[2]))
    claims: Any = import_module("benchmarks.swaps.claims")
    found_in: Any = import_module("benchmarks.swaps.found")
    traffic: Any = import_module("benchmarks.swaps.traffic")

N = 400
SEQUENCES = {"v1": 5, "v2": 6, "v3": 7}
SWAPPED = {"state": 2, "scoring": 2}


class Adding:
    """A step model whose hidden state is the sum of item numbers times a factor of its version."""

    hidden_size = 3

    def __init__(self, version: str, factor: float) -> None:
        self.version = version
        self._factor = factor
        self.costs_s: dict[str, float] = {}

    def item_index(self, item_id: str) -> int:
        return int(item_id) if item_id.isdigit() else -1

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        return (hidden + self._factor * items[:, None]).astype(np.float32)


STEPS = {"v1": Adding("v1", 0.5), "v2": Adding("v2", 0.25), "v3": Adding("v3", 0.125)}


def version_of(n: int) -> str:
    return ["v1", "v2", "v3"][3 * n // N]


def sound() -> Any:
    """A run of N clicks of 100 visitors in turn, with two swaps."""
    clicks = {(n % 4, n): 1000 + n for n in range(N)}
    rows, lists = {}, []
    for place in clicks:
        n, version = place[1], version_of(place[1])
        hidden = np.zeros((1, 3), np.float32)
        items = [str(1 + n % 7), "unknown", str(1 + n % 5)]
        for item in (1 + n % 7, 1 + n % 5):
            hidden = STEPS[version].step(np.array([item]), hidden)
        rows[place] = found_in.RowFound(version, items, hidden[0].tobytes())
        lists.append(found_in.ListFound(place, f"visitor-{n % 100}", version, 1010 + n))
    return found_in.Found(clicks, rows, lists)


def test_a_sound_run_shows_all_of_it() -> None:
    found = sound()
    assert claims.one_list_each(found.clicks, found.lists).holds
    assert claims.same_version(found, found.lists).holds
    assert claims.made_by_its_version(found, STEPS, 50).holds
    assert claims.always_forward(found.lists, SEQUENCES, SWAPPED).holds


def test_a_click_without_a_list_is_found() -> None:
    found = sound()
    del found.lists[17]
    claim = claims.one_list_each(found.clicks, found.lists)
    assert (claim.holds, claim.measured["missing"], claim.measured["doubled"]) == (False, 1, 0)


def test_a_list_twice_is_found() -> None:
    found = sound()
    found.lists.append(found.lists[17])
    claim = claims.one_list_each(found.clicks, found.lists)
    assert (claim.holds, claim.measured["missing"], claim.measured["doubled"]) == (False, 0, 1)


def test_a_list_for_no_click_is_found() -> None:
    found = sound()
    found.lists.append(found.lists[17]._replace(place=(0, 10**6)))
    assert not claims.one_list_each(found.clicks, found.lists).holds


def test_nothing_at_all_shows_nothing() -> None:
    nothing = found_in.Found({}, {}, [])
    assert not claims.one_list_each({}, []).holds
    assert not claims.same_version(nothing, []).holds
    assert not claims.made_by_its_version(nothing, STEPS, 50).holds
    assert not claims.always_forward([], SEQUENCES, SWAPPED).holds
    assert not claims.same_lists({}, {}).holds


@pytest.mark.parametrize("release", ["v1", ""])
def test_a_list_of_another_version_than_the_row_is_found(release: str) -> None:
    found = sound()
    found.lists[200] = found.lists[200]._replace(release=release)
    assert not claims.same_version(found, found.lists).holds


def test_a_hidden_state_of_another_version_is_found() -> None:
    found = sound()
    place = (0, 200)
    assert found.rows[place].version == "v2"
    found.rows[place] = found.rows[place]._replace(version="v3")
    assert not claims.made_by_its_version(found, STEPS, 50).holds


def test_versions_that_nobody_can_tell_apart_prove_nothing() -> None:
    alike = {name: Adding(name, 0.5) for name in STEPS}
    found = sound()
    rows = {place: row._replace(version="v1") for place, row in found.rows.items() if row.version == "v1"}
    assert not claims.made_by_its_version(found._replace(rows=rows), alike, 50).holds


def test_a_release_that_comes_back_is_found() -> None:
    found = sound()
    found.lists[-1] = found.lists[-1]._replace(release="v1")
    claim = claims.always_forward(found.lists, SEQUENCES, SWAPPED)
    assert (claim.holds, claim.measured["back"]) == (False, 1)


def test_a_release_that_was_passed_over_is_found() -> None:
    found = sound()
    assert not claims.always_forward(found.lists, SEQUENCES, {"state": 2, "scoring": 1}).holds
    assert not claims.always_forward(found.lists, {**SEQUENCES, "v4": 8}, {"state": 3, "scoring": 3}).holds


LISTS: dict[Any, Any] = {(0, n): ("v1", [("a", 0.5), ("b", 0.25)]) for n in range(100)}


def test_lists_made_again_are_compared_item_by_item() -> None:
    again = {place: ("v1", [("a", 0.500009), ("b", 0.25)]) for place in LISTS}
    assert claims.same_lists(LISTS, again).holds


@pytest.mark.parametrize(
    "other",
    [
        ("v2", [("a", 0.5), ("b", 0.25)]),
        ("v1", [("b", 0.5), ("a", 0.25)]),
        ("v1", [("a", 0.50002), ("b", 0.25)]),
        ("v1", [("a", 0.5)]),
    ],
    ids=["version", "order", "score", "length"],
)
def test_a_list_that_differs_is_found(other: Any) -> None:
    assert not claims.same_lists(LISTS, {**LISTS, (0, 7): other}).holds


def test_a_list_that_was_not_made_again_is_found() -> None:
    assert not claims.same_lists(
        LISTS, {place: each for place, each in LISTS.items() if place != (0, 7)}
    ).holds


def test_freshness_may_be_twice_what_it_is_without_swaps() -> None:
    quick = [10] * 95 + [20] * 5
    no_lag = {"without": 0.1, "with": 0.2}
    assert claims.as_fast(quick, [2 * each for each in quick], no_lag).holds
    assert not claims.as_fast(quick, [10] * 95 + [41] * 5, no_lag).holds
    assert not claims.as_fast(quick, quick, {"without": 0.1, "with": 1.5}).holds
    assert not claims.as_fast(quick, [], no_lag).holds


def test_a_percentile_is_one_of_the_values() -> None:
    assert claims.percentile(range(1, 101), 0.99) == 99
    assert claims.percentile([7], 0.99) == 7


def test_memory_that_grows_with_the_swaps_is_found() -> None:
    warm = [300.0 + min(n, 50) for n in range(200)]
    assert claims.growth_per_swap(warm) == pytest.approx(0)
    assert claims.level({"state": warm, "scoring": warm}, 8).holds
    leaking = [each + 1.3 * n for n, each in enumerate(warm)]
    assert claims.growth_per_swap(leaking) == pytest.approx(1.3)
    assert not claims.level({"state": warm, "scoring": leaking}, 8).holds
    kept = [each + 30 * (n >= 120) for n, each in enumerate(warm)]  # one version, once
    assert not claims.level({"state": warm, "scoring": kept}, 8).holds
    assert not claims.level({"state": warm[:10], "scoring": warm[:10]}, 8).holds


def test_the_same_visitors_click_on_without_end() -> None:
    sessions = [Session(["a", "b"]), Session(["c"]), Session(["d"])]
    clicks = list(islice(traffic.same_visitors(sessions, 2), 6))
    assert clicks == [(f"again-{n % 2}", item) for n, item in enumerate(["a", "c", "b", "c", "a", "c"])]


def test_paced_clicks_are_apart_alike() -> None:
    clicks = traffic.paced(woven([Session(["a", "b"])], at_once=1), per_s=50, seconds=2)
    assert len(clicks) == 100
    assert set(np.diff(clicks.time_ms)) == {20}
