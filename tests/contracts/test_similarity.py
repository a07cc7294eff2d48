"""Similarities against examples worked out by hand; sums kept one by one against those made at once."""

from typing import get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.spatial.distance import cosine
from scipy.stats import pearsonr

from streamrec.models import _co_ratings, _pair_table
from streamrec.models._co_ratings import CoRatings
from streamrec.models._pair_table import PairTable
from streamrec.models._similarity import ADDITIVE, Scale, Similarity, statistics

ALL: tuple[Similarity, ...] = get_args(Similarity)
GAP = np.nan

# Jannach et al., "Recommender Systems: An Introduction", 2010, section 2.1: Alice and four more, five items.
ALICE = np.array([[5, 3, 4, 4, GAP], [3, 1, 2, 3, 3], [4, 3, 4, 3, 5], [3, 3, 1, 5, 4], [1, 5, 5, 2, 1]])
# In common: the first and the third column.
TWO = np.array([[5.0, 3.0, 1.0, GAP], [4.0, GAP, 2.0, 3.0]])


def of(kind: Similarity, table: NDArray[np.float64], significance: int = 0) -> NDArray[np.float64]:
    """Similarities of all rows of a table, as a dense matrix; NaN for what was not rated, and for none."""
    rows, columns = np.nonzero(~np.isnan(table))
    made = CoRatings(kind, significance)
    made.fill(rows, columns, table[rows, columns], lambda _: None)
    return dense(made)


def dense(made: CoRatings) -> NDArray[np.float64]:
    n = len(made.rows)
    found = np.full((n, n), np.nan)
    places, others, similarity = made.of_rows(np.arange(n))
    found[places, others] = similarity
    return found


def random_table(n_rows: int = 14, n_columns: int = 11, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    table = rng.uniform(0.5, 5, (n_rows, n_columns))
    table[rng.random(table.shape) < 0.4] = np.nan
    table[0], table[:, 0] = 2.5, 3.25
    return table


# -- known answers ------------------------------------------------------------------------------


def test_pearson_of_alice_and_the_others_is_that_of_the_textbook() -> None:
    # With user 1: deviations (1, -1, 0, 0) and (.75, -1.25, -.25, .75), so 2 / √(2 · 2.75).
    assert_allclose(of("pcc", ALICE)[0, 1:], [2 / np.sqrt(5.5), 1 / np.sqrt(2), 0, -0.792118], atol=1e-6)


def test_adjusted_cosine_of_items_1_and_5_is_that_of_the_textbook() -> None:
    # Deviations from the users' means 2.4, 3.8, 3.2, 2.8: (.6, .2, -.2, -1.8) and (.6, 1.2, .8, -1.8).
    assert_allclose(of("adjusted_cosine", ALICE.T)[4, 0], 3.68 / np.sqrt(3.68 * 5.68))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cosine", 22 / np.sqrt(35 * 29)),
        ("msd", 1 / (1 + 1)),
        ("euclidean", 1 / (1 + np.sqrt(2))),
        ("jaccard", 2 / 4),
        ("pcc", 1.0),
    ],
)
def test_two_rows_with_two_columns_in_common(kind: Similarity, expected: float) -> None:
    assert_allclose(of(kind, TWO), [[np.nan, expected], [expected, np.nan]])


@pytest.mark.parametrize(
    ("own", "other", "mean", "pip"),
    [
        # Both like it: (9 - 1)² · (2 + 1)(1 + 1) · (1 + (4.5 - 3.5)²).
        (5.0, 4.0, 3.5, 64 * 6 * 2),
        # They disagree: (9 - 2 · 4)² · 1 / ((2 + 1)(2 + 1)) · 1.
        (1.0, 5.0, 3.0, 1 / 9),
        # One is indifferent, and the mean lies between: (9 - 2)² · (0 + 1)(2 + 1) · 1.
        (3.0, 5.0, 4.0, 49 * 3),
    ],
)
def test_proximity_impact_popularity(own: float, other: float, mean: float, pip: float) -> None:
    added = statistics("pip", np.array([own]), np.array([other]), np.array([mean]), Scale(1, 5))
    assert_allclose(added[:, 0], [1, pip])


def test_proximity_significance_singularity() -> None:
    # (1 - σ(1)) σ(2 · 1) (1 - σ(1)).
    added = statistics("pss", np.array([5.0]), np.array([4.0]), np.array([3.5]), Scale(1, 5))
    assert_allclose(added[:, 0], [1, 0.2689414**2 * 0.8807971], rtol=1e-6)


def test_pip_and_pss_are_sums_over_shared_columns() -> None:
    # Columns' means are 4.5 and 1.5, the scale is 1 to 5. Column 1: 8² · 3 · 2, mean on their middle.
    # Column 3: 8² · 3 · 2 as well.
    assert_allclose(of("pip", TWO)[0, 1], 2 * 64 * 6)
    assert_allclose(of("pss", TWO)[0, 1], 2 * 0.2689414 * 0.8807971 * 0.5, rtol=1e-6)


def test_pearson_and_cosine_are_those_of_scipy() -> None:
    table = random_table()
    pcc, by_cosine = of("pcc", table), of("cosine", table)
    for a in range(1, 6):
        for b in range(6, 14):
            both = ~np.isnan(table[a]) & ~np.isnan(table[b])
            if both.sum() > 2:
                assert_allclose(pcc[a, b], pearsonr(table[a, both], table[b, both])[0], atol=1e-12)
            filled = np.nan_to_num(table)
            assert_allclose(by_cosine[a, b], 1 - cosine(filled[a], filled[b]), atol=1e-12)


def test_pearson_with_a_row_that_rates_all_the_same_is_0_whatever_rounding_leaves() -> None:
    table = np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 4.0]])
    assert of("pcc", table)[0, 1] == 0


@pytest.mark.parametrize("kind", ALL)
def test_similarity_is_mutual_and_of_rows_that_share_a_column_only(kind: Similarity) -> None:
    table = random_table()
    found = of(kind, table)
    assert_array_equal(found, found.T)
    there = (~np.isnan(table)).astype(int)
    assert_array_equal(np.isnan(found), (there @ there.T == 0) | np.eye(len(table), dtype=bool))


def test_few_columns_in_common_count_for_less() -> None:
    assert_allclose(of("msd", TWO, significance=8)[0, 1], 0.5 * 2 / 8)
    assert_allclose(of("msd", TWO, significance=2)[0, 1], 0.5)


@pytest.mark.parametrize("kind", ALL)
def test_a_stranger_is_as_alike_as_if_it_were_there(kind: Similarity) -> None:
    table = random_table()
    rows, columns = np.nonzero(~np.isnan(table))
    made = CoRatings(kind)
    made.fill(rows, columns, table[rows, columns], lambda _: None)
    others, found = made.of_stranger(made.rows.indices[3], made.rows.values[3])
    known = np.delete(np.arange(len(table)), 3)
    assert_allclose(found[np.isin(others, known)], dense(made)[3, known], atol=1e-12)


# -- one by one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("recent", [0, 40, 10_000])
@pytest.mark.parametrize("kind", ALL)
def test_one_by_one_comes_to_what_all_at_once_does(
    kind: Similarity, recent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pair_table, "_RECENT", recent)
    table, rng = random_table(), np.random.default_rng(1)
    rows, columns = np.nonzero(~np.isnan(table))
    # Some are rated again: the last word counts.
    events = [(r, c, rng.uniform(1, 4)) for r, c in zip(rows[:40], columns[:40], strict=True)]
    events += [(r, c, table[r, c]) for r, c in zip(rows, columns, strict=True)]
    made = CoRatings(kind)
    for row, column, value in events:
        made.put(int(row), int(column), float(value))
    assert_allclose(dense(made), of(kind, table), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ALL)
def test_sums_of_pairs_are_kept_where_a_rating_adds_to_its_own_only(kind: Similarity) -> None:
    made = CoRatings(kind)
    for row, column, value in [(0, 0, 4.0), (1, 0, 5.0), (1, 1, 3.0), (0, 1, 2.0)]:
        made.put(row, column, value)
    assert bool(made.arrays()["kept"]) == (kind in ADDITIVE)


def test_pairs_are_found_whether_they_are_old_or_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pair_table, "_RECENT", 2)
    table = PairTable(1)
    none = (np.empty(0, np.int64), np.empty((1, 0)))
    table.fill([(np.array([1]), np.array([[1.0]])), none, (np.array([0]), np.array([[2.0]]))])
    table.add(np.array([2, 0]), np.array([3, 1]), np.array([[4.0, 8.0]]))
    table.add(np.array([5, 2]), np.array([0, 3]), np.array([[16.0, 32.0]]))
    assert len(table) == 4
    places, others, sums = table.of_rows(np.array([2, 7, 0, 5]))
    found = list(zip(places.tolist(), others.tolist(), sums[0].tolist(), strict=True))
    assert found == [(0, 0, 2.0), (0, 3, 36.0), (2, 1, 9.0), (3, 0, 16.0)]
    places, others, sums = table.of_rows(np.array([2, 0]), among=np.arange(4) == 3)
    assert (places.tolist(), others.tolist(), sums.tolist()) == ([0], [3], [[36.0]])


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_a_table_filled_in_blocks_has_all_pairs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pair_table, "_BLOCK", block)
    rng = np.random.default_rng(0)
    lines = [(np.flatnonzero(rng.random(9) < 0.5), n) for n in range(9)]
    table = PairTable(2)
    table.fill((others, np.array([others + 0.5, others * 0 + n])) for others, n in lines)
    places, others, sums = table.of_rows(np.arange(9))
    assert_array_equal(places, np.repeat(np.arange(9), [len(each) for each, _ in lines]))
    assert_array_equal(others, np.concatenate([each for each, _ in lines]))
    assert_array_equal(sums, [others + 0.5, places])


def test_sums_are_kept_in_single_precision_until_that_would_change_one() -> None:
    table = PairTable(1)
    table.fill([(np.array([1, 2]), np.array([[0.5, 2.0**24]])), (np.array([0]), np.array([[0.25]]))])
    one, two = np.array([0]), np.array([2])
    assert table.arrays()["sum0"].dtype == np.float32
    table.add(one, two, np.array([[2.0]]))
    assert table.arrays()["sum0"].dtype == np.float32
    table.add(one, two, np.array([[1.0]]))  # 2²⁴ + 3 has 25 digits
    assert table.of_rows(one)[2].tolist() == [[0.5, 2.0**24 + 3]]
    assert table.arrays()["sum0"].dtype == np.float64
    exact = PairTable(1)
    exact.fill([(np.array([1]), np.array([[0.1]]))])
    assert exact.of_rows(one)[2].tolist() == [[0.1]]


@pytest.mark.parametrize("kind", ALL)
def test_similarities_are_the_same_however_many_rows_are_at_once(
    kind: Similarity, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = of(kind, random_table())
    monkeypatch.setattr(_co_ratings, "_PAIRS_AT_ONCE", 30)
    assert_array_equal(of(kind, random_table()), whole)
