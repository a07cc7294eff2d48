"""Files of clicks: what is read, in which order, and what is said of a bad file."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.datasets import (
    DAY_MS,
    Clicks,
    bundled_clicks,
    click_sessions,
    load_clicks,
    make_clicks,
    sessions,
    split_by_time,
    write_clicks,
)
from streamrec.errors import DatasetError

HEADER = "SessionId\tItemId\tTime\n"


def file_with(folder: Path, text: str) -> Path:
    path = folder / "clicks.tsv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_clicks_are_sorted_by_time_then_session_then_order_in_the_file(tmp_path):
    path = file_with(tmp_path, HEADER + "b\ti1\t2\na\ti2\t2\nb\ti3\t1.5\nb\ti4\t2\na\ti5\t2\n")
    clicks = load_clicks(path)
    assert clicks.item_ids == ["i3", "i2", "i5", "i1", "i4"]
    assert clicks.session_ids == ["b", "a", "a", "b", "b"]
    assert clicks.time_ms.tolist() == [1500, 2000, 2000, 2000, 2000]
    assert (clicks.first_ms, clicks.last_ms) == (1500, 2000)


def test_columns_may_stand_in_any_order_among_others(tmp_path):
    path = file_with(tmp_path, "Time\tPrice\tItemId\tSessionId\n7\t9.99\tshoe\ts1\n")
    clicks = load_clicks(path)
    assert (clicks.session_ids, clicks.item_ids, clicks.time_ms.tolist()) == (["s1"], ["shoe"], [7000])


def test_line_ends_of_windows_a_byte_order_mark_and_blank_lines_are_taken(tmp_path):
    path = file_with(tmp_path, "\ufeffSessionId\tItemId\tTime\r\ns\ti\t1\r\n\r\ns\tj\t2\r\n")
    assert load_clicks(path).item_ids == ["i", "j"]


def test_ids_may_hold_unicode_line_separators(tmp_path):
    assert load_clicks(file_with(tmp_path, HEADER + "s\ti\u2028\x0bj\t1\n")).item_ids == ["i\u2028\x0bj"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        (HEADER, "not one click"),
        ("SessionId\tTime\ns\t1\n", "line 1: no column ItemId"),
        (HEADER + "s\ti\t1\ns\ti\tsoon\n", "line 3: Time 'soon' is not a number"),
        (HEADER + "s\ti\tnan\n", "line 2: Time 'nan' is not within"),
        (HEADER + "s\ti\t1593536687000\n", "line 2: Time '1593536687000' is not within"),
        (HEADER + "s\ti\t-1\n", "line 2: Time '-1' is not within"),
        (HEADER + "s\ti\n", "line 2: 2 cells"),
        (HEADER + "s\t\t1\n", "line 2: an empty session or item id"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, text, says):
    with pytest.raises(DatasetError, match=says):
        load_clicks(file_with(tmp_path, text))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        load_clicks(tmp_path / "absent.tsv")
    whole = gzip.compress((HEADER + "s\ti\t1\n").encode())
    for name, data in {"plain.gz": b"SessionId", "short.gz": whole[:-9]}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DatasetError, match="cannot be read"):
            load_clicks(tmp_path / name)
    (tmp_path / "latin.tsv").write_bytes(HEADER.encode() + "s\té\t1\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="not UTF-8"):
        load_clicks(tmp_path / "latin.tsv")
    with pytest.raises(DatasetError, match="cannot be read"):
        load_clicks(tmp_path)


def test_columns_of_different_length_are_refused():
    with pytest.raises(DatasetError, match="differ in length"):
        make_clicks(["s"], ["i", "j"], [1])


def test_no_clicks_have_no_first_time():
    with pytest.raises(DatasetError, match="no clicks"):
        _ = make_clicks([], [], []).first_ms


clicks_of_few_sessions = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from(["x", "y", "z"]), st.integers(0, 100_000)),
    max_size=30,
)


@given(rows=clicks_of_few_sessions.filter(bool))
def test_a_written_file_reads_back_the_same(tmp_path_factory, rows):
    clicks = make_clicks(*zip(*rows, strict=True))
    path = tmp_path_factory.mktemp("clicks") / "clicks.tsv.gz"
    write_clicks(path, clicks)
    again = load_clicks(path)
    assert (again.session_ids, again.item_ids) == (clicks.session_ids, clicks.item_ids)
    np.testing.assert_array_equal(again.time_ms, clicks.time_ms)
    written = path.read_bytes()
    write_clicks(path, again)
    assert path.read_bytes() == written


@given(rows=clicks_of_few_sessions, cut_ms=st.integers(0, 100_000))
def test_the_split_keeps_sessions_whole_and_drops_only_those_across_the_cut(rows, cut_ms):
    clicks = make_clicks(*(zip(*rows, strict=True) if rows else ([], [], [])))
    train, test = split_by_time(clicks, cut_ms)
    assert all(train.time_ms < cut_ms)
    assert all(test.time_ms >= cut_ms)
    in_train, in_test = set(train.session_ids), set(test.session_ids)
    assert not in_train & in_test
    for name, places in sessions(clicks).items():
        times = clicks.time_ms[places]
        assert (name in in_train) == (max(times) < cut_ms)
        assert (name in in_test) == (min(times) >= cut_ms)
        kept = train if name in in_train else test
        if name in in_train | in_test:
            assert kept.session_ids.count(name) == len(places)


def test_sessions_hold_places_oldest_first_in_order_of_their_first_click():
    clicks = Clicks(["b", "a", "b"], ["i", "j", "k"], np.array([1, 2, 3]))
    assert sessions(clicks) == {"b": [0, 2], "a": [1]}
    assert [session.items for session in click_sessions(clicks)] == [["i", "k"], ["j"]]


def test_the_bundled_clicks_are_those_of_the_notice():
    clicks = bundled_clicks()
    assert len(clicks) == 113_601
    assert len(set(clicks.item_ids)) == 18_009
    assert len(sessions(clicks)) == 23_753
    assert 29 * DAY_MS < clicks.last_ms - clicks.first_ms < 30 * DAY_MS
