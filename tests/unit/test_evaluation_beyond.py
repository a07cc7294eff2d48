"""How varied, novel and fair lists are, by hand and by what has to hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.evaluation import beyond
from streamrec.evaluation.beyond import (
    average_popularity,
    catalogue_coverage,
    exposure_by_group,
    gini,
    intra_list_diversity,
    item_clicks,
    largest_gap,
    long_tail,
    long_tail_share,
    means_by_group,
    novelty,
    popularity_bands,
    session_incidence,
)

TRAIN = [Session(items) for items in ("aab", "abx", "c", "ca", "d")]
CLICKS = np.array([4, 2, 2, 1])
"""On a, b, c and d."""
EMPTY = np.full((2, 3), -1)

some_lists = st.lists(
    st.lists(st.integers(0, 7), unique=True, max_size=4).map(lambda each: each + [-1] * (4 - len(each))),
    min_size=1,
    max_size=12,
).map(lambda lists: np.array(lists, np.int64))


def test_what_training_saw_is_counted() -> None:
    assert item_clicks(TRAIN, "abcd").tolist() == CLICKS.tolist()
    assert session_incidence(TRAIN, "abcd").toarray().tolist() == [
        [1, 1, 0, 1, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    assert item_clicks([], "ab").tolist() == [0, 0]
    assert session_incidence([], "ab").shape == (2, 0)


def test_coverage_is_the_share_of_the_items_in_any_list() -> None:
    assert catalogue_coverage(np.array([[0, 1], [1, -1]]), 8) == 2 / 8
    assert catalogue_coverage(EMPTY, 8) == 0


def test_gini_is_none_for_equal_shares_and_most_for_one_item() -> None:
    assert gini(np.array([[0, 1], [2, 3]]), 4) == 0
    assert gini(np.array([[2], [2], [2]]), 4) == 3 / 4
    # Listed 0, 1, 1 and 2 times: (-3·0 - 1·1 + 1·1 + 3·2) / (4·4).
    assert gini(np.array([[0, 1], [0, 2]]), 4) == 6 / 16
    assert math.isnan(gini(EMPTY, 4))


@given(some_lists.filter(lambda tops: (tops >= 0).any()))
def test_gini_is_half_the_relative_mean_difference(tops: np.ndarray) -> None:
    times = np.bincount(tops[tops >= 0], minlength=8)
    assert gini(tops, 8) == pytest.approx(np.abs(times[:, None] - times).mean() / (2 * times.mean()))


def test_diversity_is_one_less_the_cosine_of_the_sessions() -> None:
    # a is in three sessions, b in two and c in two; a and b share two, a and c one, b and c none.
    ab, ac, bc = 2 / math.sqrt(6), 1 / math.sqrt(6), 0
    tops = np.array([[0, 1, 2], [1, 0, -1], [3, -1, -1], [-1, -1, -1]])
    found = intra_list_diversity(tops, session_incidence(TRAIN, "abcd"))
    assert found == pytest.approx([1 - (ab + ac + bc) / 3, 1 - ab, math.nan, math.nan], nan_ok=True)


def test_an_item_without_sessions_is_like_no_other() -> None:
    assert intra_list_diversity(np.array([[0, 1]]), session_incidence(TRAIN, ["a", "new"])).tolist() == [1]


@given(lists=some_lists, sessions=st.lists(st.text(alphabet="abcdefgh", min_size=1, max_size=4).map(Session)))
def test_diversity_is_that_of_dense_vectors_however_many_lists(
    lists: np.ndarray, sessions: list[Session]
) -> None:
    incidence = session_incidence(sessions, "abcdefgh")
    dense = incidence.toarray()
    lengths = np.linalg.norm(dense, axis=1, keepdims=True)
    unit = np.divide(dense, lengths, out=np.zeros_like(dense), where=lengths > 0)
    wanted = []
    for items in lists:
        rows = unit[items[items >= 0]]
        pairs = np.triu_indices(len(rows), 1)
        wanted.append(np.mean(1 - (rows @ rows.T)[pairs]) if len(rows) > 1 else math.nan)
    for at_once in (beyond._SUMS_AT_ONCE, 3 * 8, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(beyond, "_SUMS_AT_ONCE", at_once)
            assert intra_list_diversity(lists, incidence) == pytest.approx(wanted, nan_ok=True)


def test_diversity_of_lists_of_one_item_and_of_a_thousand() -> None:
    rng = np.random.default_rng(3)
    sessions = [Session([str(item) for item in rng.integers(0, 1200, 5)]) for _ in range(800)]
    items = [str(item) for item in range(1200)]
    incidence = session_incidence(sessions, items)
    assert np.isnan(intra_list_diversity(np.array([[3], [-1]]), incidence)).all()
    long = np.stack([rng.permutation(1200)[:1000] for _ in range(3)])
    dense = incidence.toarray()
    dense /= np.maximum(1, np.linalg.norm(dense, axis=1, keepdims=True))
    pairs = np.triu_indices(1000, 1)
    wanted = [np.mean(1 - (dense[each] @ dense[each].T)[pairs]) for each in long]
    assert intra_list_diversity(long, incidence) == pytest.approx(wanted)


def test_novelty_is_the_information_in_being_recommended() -> None:
    clicks = np.array([4, 2, 1, 1, 0])
    found = novelty(np.array([[0, 1], [2, -1], [4, 0], [-1, -1]]), clicks)
    # 1 and 2 bits; 3 bits; never clicked is taken for once, 3 bits, and 1 bit; nothing.
    assert found == pytest.approx([1.5, 3, 2, math.nan], nan_ok=True)


def test_average_popularity_is_in_training_clicks() -> None:
    found = average_popularity(np.array([[0, 1], [3, -1], [-1, -1]]), CLICKS)
    assert found == pytest.approx([3, 1, math.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("clicks", "tail"),
    [
        ([8, 1, 1], [False, True, True]),  # the first holds 80 % exactly
        ([1, 7, 2], [True, False, False]),
        ([5, 5, 5, 5, 5], [False, False, False, False, True]),
        ([0, 10], [True, False]),
        ([1, 2] * 50, [False] * 40 + [True, False] * 30),
    ],
)
def test_the_long_tail_is_what_the_head_does_not_need(clicks: list[int], tail: list[bool]) -> None:
    assert long_tail(np.array(clicks)).tolist() == tail


@given(st.lists(st.integers(0, 20), min_size=1).filter(any), st.floats(0.1, 1))
def test_the_head_holds_its_share_and_would_not_without_its_last_item(clicks: list[int], head: float) -> None:
    counts = np.array(clicks)
    tail = long_tail(counts, head)
    wanted, in_head = head * counts.sum(), counts[~tail]
    assert in_head.sum() >= wanted - 1e-9
    assert in_head.sum() - in_head.min() < wanted
    assert not tail.any() or counts[tail].max() <= in_head.min()


def test_the_share_of_the_long_tail_is_one_of_the_list() -> None:
    tail = np.array([False, True, True, False])
    found = long_tail_share(np.array([[0, 1], [2, -1], [-1, -1]]), tail)
    assert found == pytest.approx([1 / 2, 1, math.nan], nan_ok=True)


def test_exposure_falls_with_the_place_in_the_list() -> None:
    found = exposure_by_group(np.array([[0, 1, 2], [2, -1, -1]]), ["big", "small", "big", "never"])
    first, second, third = 1, 1 / math.log2(3), 1 / 2
    whole = 2 * first + second + third
    assert found == pytest.approx({"big": (2 * first + third) / whole, "small": second / whole, "never": 0})


def test_without_lists_there_is_no_exposure_to_share() -> None:
    found = exposure_by_group(EMPTY, ["big", "small"])
    assert list(found) == ["big", "small"]
    assert all(math.isnan(share) for share in found.values())


def test_users_are_compared_by_their_groups() -> None:
    means = means_by_group(np.array([1.0, 0.0, 0.5, 0.25]), ["new", "old", "new", "old"])
    assert means == {"new": 0.75, "old": 0.125}
    assert largest_gap(means) == 0.625
    assert largest_gap({"all": 0.3}) == 0


def test_bands_hold_about_equal_shares_of_the_clicks() -> None:
    # Of 12 clicks each band holds 4: the first item two bands' worth, then what begins in a band.
    assert popularity_bands(np.array([1, 6, 2, 2, 1]), 3).tolist() == [2, 0, 1, 2, 2]
    assert popularity_bands(np.array([5, 5]), 2).tolist() == [0, 1]
    assert popularity_bands(np.zeros(2, np.int64), 2).tolist() == [0, 0]
