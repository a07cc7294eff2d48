"""Team drafts: both teams are equal on average, and a list made again is the same list."""

import random
import uuid
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.evaluation.teams import preference
from streamrec.events import RecommendedItem, encode
from streamrec.interleaving import CHALLENGER, LIVE, _coin, in_share, interleaved

K = 6
rankings = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=8)


def ranked(items: Sequence[str], score: float = 1.0) -> list[RecommendedItem]:
    return [RecommendedItem(item, score, ["gru4rec"], "") for item in items]


def draft(live: Sequence[str], challenger: Sequence[str], rec_id: str, k: int = K) -> list[RecommendedItem]:
    return interleaved(ranked(live), ranked(challenger, 2.0), rec_id, k)


def rec_ids(n: int) -> list[str]:
    return [str(uuid.UUID(int=random.Random(each).getrandbits(128))) for each in range(n)]


@given(rankings, rankings, st.uuids(), st.integers(1, 8))
def test_a_draft_is_a_list_of_both_in_the_order_of_each(
    live: list[str], challenger: list[str], rec_id: uuid.UUID, k: int
) -> None:
    found = draft(live, challenger, str(rec_id), k)
    ids = [each.item_id for each in found]
    assert len(set(ids)) == len(ids) == min(k, len({*live, *challenger}))
    assert set(ids) <= {*live, *challenger}
    sizes = Counter[str | None]()
    for n, each in enumerate(found):
        if each.team is None:
            rest = [live, challenger][each.score == 2.0]
            assert each.item_id == next(item for item in rest if item not in ids[:n])
            continue
        own = live if each.team == LIVE else challenger
        assert each.item_id == next(item for item in own if item not in ids[:n]), "its best that is left"
        assert each.score == (1.0 if each.team == LIVE else 2.0), "as it stands in the list of its team"
        sizes[each.team] += 1
        assert abs(sizes[LIVE] - sizes[CHALLENGER]) <= 1
    assert found == draft(live, challenger, str(rec_id), k)


def test_the_teams_take_turns_and_the_id_throws_the_coins() -> None:
    first = Counter(draft("abcdef", "uvwxyz", each)[0].team for each in rec_ids(2000))
    assert first[LIVE] == pytest.approx(1000, abs=120)
    orders = {tuple(place.team for place in draft("abcdef", "uvwxyz", each)) for each in rec_ids(200)}
    assert len(orders) == 8, "three rounds, each with a coin of its own"


@pytest.mark.parametrize("k", [5, 6])
@pytest.mark.parametrize(
    ("live", "challenger"), [("abcdef", "abcdef"), ("abcdef", "bcadgh"), ("ab", "cdefgh")]
)
def test_over_all_coins_it_makes_no_difference_who_is_called_live(
    live: str, challenger: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The law behind fairness: with the lists on the other sides every outcome comes as often."""
    monkeypatch.setattr("streamrec.interleaving._coin", lambda rec_id, n: int(rec_id) >> n & 1)

    def outcomes(one: str, other: str, swapped: bool) -> Counter[tuple[tuple[str, bool | None], ...]]:
        return Counter(
            tuple(
                (place.item_id, place.team and (place.team == LIVE) != swapped)
                for place in draft(one, other, str(coins), k)
            )
            for coins in range(8)
        )

    assert outcomes(live, challenger, False) == outcomes(challenger, live, True)


def test_the_coins_are_fair_and_each_is_its_own() -> None:
    coins = np.array([[_coin(each, n) for n in range(10)] for each in rec_ids(4000)])
    assert coins.mean(axis=0) == pytest.approx(np.full(10, 0.5), abs=4 * 0.5 / 4000**0.5)
    assert np.abs(np.corrcoef(coins.T) - np.eye(10)).max() < 5 / 4000**0.5


def simulated(quality: tuple[float, float], n: int = 3000, seed: int = 0) -> list[Counter[str]]:
    """Visitors who click the item they want where it stands, over lists of rankers of a given quality.

    quality: how likely the item wanted is among the first three of live and of the challenger.
    """
    rng = random.Random(seed)
    results = []
    for rec_id in rec_ids(n):
        items = rng.sample([f"i{each}" for each in range(30)], 30)
        wanted, rest = items[0], items[1:]
        lists = []
        for each in quality:
            rng.shuffle(rest)
            place = rng.randrange(3) if rng.random() < each else rng.randrange(10, 20)
            lists.append([*rest[:place], wanted, *rest[place:]][:10])
        clicked = [each for each in draft(*lists, rec_id, 10) if each.item_id == wanted]
        if clicked:
            results.append(Counter([clicked[0].team or "tie"]))
    return results


def test_of_two_equal_rankers_neither_is_preferred() -> None:
    found = preference(simulated((0.5, 0.5)))
    assert found.wins + found.losses > 1000
    assert found.low < 0 < found.high
    assert found.p > 0.05


def test_the_same_ranker_twice_is_not_preferred_to_itself() -> None:
    teams = Counter(place.team for each in rec_ids(3000) for place in draft("abcdef", "abcdef", each)[:1])
    assert teams[LIVE] == pytest.approx(1500, abs=5 * 3000**0.5 / 2)


def test_a_better_ranker_wins_and_a_worse_one_loses() -> None:
    better, worse = preference(simulated((0.4, 0.6))), preference(simulated((0.6, 0.4)))
    assert better.low > 0
    assert better.p < 0.001
    assert worse.high < 0


def test_lists_that_are_not_interleaved_do_not_change_by_a_byte() -> None:
    place = RecommendedItem("a", 0.5, ["gru4rec"], "why")
    assert encode(place) == b'{"item_id":"a","score":0.5,"sources":["gru4rec"],"reason":"why"}'


@given(st.text(min_size=1, max_size=20), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_share_is_sticky_and_grows_without_leaving_anybody_out(who: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert in_share(who, large, "s") >= in_share(who, small, "s")
    assert in_share(who, 1.0, "s")


def test_a_share_is_as_large_as_it_says_and_salts_are_independent() -> None:
    who = [f"visitor-{n}" for n in range(10_000)]
    one, other = ({each for each in who if in_share(each, 0.2, salt)} for salt in ("one", "other"))
    assert len(one) == pytest.approx(2000, abs=200)
    assert len(one & other) == pytest.approx(400, abs=100)
