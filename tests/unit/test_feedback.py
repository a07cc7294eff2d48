"""Feedback: its columns, parts of it, and files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, checked_value, make_feedback
from streamrec.feedback_files import load_feedback

rows = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(1, 5), st.integers(0, 9)),
    max_size=20,
)


def told(feedback: Feedback) -> list[tuple[str, str, float, int]]:
    """Rows as they were given."""
    return [
        (feedback.user_ids[user], feedback.item_ids[item], float(value), int(time))
        for user, item, value, time in zip(
            feedback.users, feedback.items, feedback.values, feedback.time_ms, strict=True
        )
    ]


def made(given_rows: list[tuple[str, str, int, int]]) -> Feedback:
    users, items, values, times = zip(*given_rows, strict=True) if given_rows else ((), (), (), ())
    return make_feedback(users, items, values, times, {"mood": [f"m{value}" for value in values]})


@given(rows)
def test_it_holds_what_was_given_in_the_order_of_time(given_rows: list[tuple[str, str, int, int]]) -> None:
    feedback = made(given_rows)
    assert told(feedback) == sorted(given_rows, key=lambda row: row[3])
    assert feedback.contexts["mood"] == [f"m{value:g}" for value in feedback.values]
    for ids, indices in ((feedback.user_ids, feedback.users), (feedback.item_ids, feedback.items)):
        assert list(dict.fromkeys(indices.tolist())) == list(range(len(ids)))  # by first interaction


@given(rows, st.data())
def test_a_part_knows_only_its_own_ids(
    given_rows: list[tuple[str, str, int, int]], data: st.DataObject
) -> None:
    feedback = made(given_rows)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(feedback), max_size=len(feedback))), bool)
    part = feedback.take(mask)
    expected = [row for row, kept in zip(told(feedback), mask, strict=True) if kept]
    assert told(part) == expected
    assert list(part.user_ids) == list(dict.fromkeys(row[0] for row in expected))
    assert list(part.item_ids) == list(dict.fromkeys(row[1] for row in expected))
    assert part.contexts["mood"] == [f"m{row[2]:g}" for row in expected]
    assert told(feedback.take(np.flatnonzero(mask)[::-1])) == expected


@given(rows)
def test_no_part_is_a_part(given_rows: list[tuple[str, str, int, int]]) -> None:
    assert told(made(given_rows).take([])) == []


@given(rows)
def test_of_each_pair_the_last_interaction_is_kept_and_ids_stay(
    given_rows: list[tuple[str, str, int, int]],
) -> None:
    feedback = made(given_rows)
    once = feedback.without_repeats()
    last = {row[:2]: row for row in told(feedback)}
    assert sorted(told(once)) == sorted(last.values())
    assert once.time_ms.tolist() == sorted(once.time_ms.tolist())
    assert once.contexts["mood"] == [f"m{value:g}" for value in once.values]
    assert (once.user_ids, once.item_ids) == (feedback.user_ids, feedback.item_ids)


@given(rows)
def test_of_each_pair_the_mean_is_kept(given_rows: list[tuple[str, str, int, int]]) -> None:
    feedback = made(given_rows)
    values: dict[tuple[str, str], list[float]] = {}
    for user_id, item_id, value, _ in told(feedback):
        values.setdefault((user_id, item_id), []).append(value)
    means = [(row[:2], row[2]) for row in told(feedback.with_means())]
    assert dict(means) == pytest.approx({pair: np.mean(each) for pair, each in values.items()})
    assert len(means) == len(values)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e39])
def test_a_value_that_is_not_finite_in_single_precision_is_refused(value: float) -> None:
    with pytest.raises(DatasetError, match=r"user 'u' and item 'a' is .*; ratings are finite"):
        checked_value("u", "a", value)


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DatasetError, match="2 users but 1 items"):
        make_feedback(["u", "v"], ["a"])
    with pytest.raises(DatasetError, match="2 users but 3 mood"):
        make_feedback(["u", "v"], ["a", "b"], contexts={"mood": ["x", "y", "z"]})
    with pytest.raises(DatasetError, match="'v' and item 'b' is nan; ratings are finite"):
        make_feedback(["u", "v"], ["a", "b"], [1.0, float("nan")])


# -- files --------------------------------------------------------------------------------------

EXPECTED = [("1", "31", 2.5, 5_000), ("2", "40", 3.0, 7_500)]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("userId,movieId,rating,timestamp\n1,31,2.5,5\n2,40,3,7.5\n", None),
        ("user_id:token\titem_id:token\trating:float\ttimestamp:float\n2\t40\t3\t7.5\n1\t31\t2.5\t5\n", None),
        ("1::31::2.5::5\n2::40::3::7.5\n", ("user", "item", "rating", "time")),
        ("1 31 2.5 5\r\n\r\n2 40 3 7.5\r\n", ("user", "item", "rating", "time")),
        ('"rating";"User ID";"time";"Item"\n2.5;1;5;31\n3;2;7.5;"40"\n', None),
    ],
)
def test_files_of_many_forms_are_read(text: str, columns: tuple[str, ...] | None, tmp_path: Path) -> None:
    plain, packed = tmp_path / "ratings.csv", tmp_path / "ratings.csv.gz"
    plain.write_text(text, encoding="utf-8", newline="")
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        assert told(load_feedback(path, columns)) == EXPECTED


def test_further_columns_are_labels_and_values_and_times_may_lack(tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv"
    path.write_text('user,item,Time of day\nu,a,"late, or early"\nv,b,NA\n')
    feedback = load_feedback(path, contexts=["Time of day"])
    assert told(feedback) == [("u", "a", 1.0, 0), ("v", "b", 1.0, 0)]
    assert feedback.contexts == {"Time of day": ["late, or early", "NA"]}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("1,2,3\n", "no column user among 1, 2, 3; if the first line is no header"),
        ("user,item,rating\nu,a\n", "line 2: 2 cells, 3 are wanted"),
        ("user,item,rating\nu,a,3\nu,b,good\n", "line 3: the value 'good' is no number"),
        ("user,item,rating\nu,a,1e999\n", "line 2: the value '1e999' is not finite"),
        ("user,item,rating\nu,a,3\n,b,3\n", "line 3: the user is empty"),
        (
            "user,item,time\nu,a,1260759144000\n",
            "line 2: a time of .*; times are seconds since 1970, not milli",
        ),
        ("user,item,time\nu,a,nan\n", "line 2: the time 'nan' is not finite"),
        ("user,item,rating\nu,a, b,3\n", "line 2: 4 cells, 3 are wanted; one with a separator in it"),
    ],
)
def test_files_that_cannot_be_read_name_the_fault(text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=fault):
        load_feedback(path)
    with pytest.raises(DatasetError, match=r"none\.csv cannot be read: No such file"):
        load_feedback(tmp_path / "none.csv")
