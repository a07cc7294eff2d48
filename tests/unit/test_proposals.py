"""Proposals of a batch: keys, and what is left when some are taken away."""

from uuid import NAMESPACE_DNS, uuid5

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrec.proposals import item_keys, of_lists

LISTS = st.lists(st.lists(st.sampled_from("abcdefg"), unique=True, max_size=6), min_size=1, max_size=5)


def test_a_key_is_the_hash_of_the_id_and_never_the_sign_of_nothing() -> None:
    ids = [str(uuid5(NAMESPACE_DNS, str(n))) for n in range(1000)]
    keys = item_keys(ids)
    assert keys.dtype == np.uint64
    assert len(set(keys.tolist())) == 1000
    assert 0 not in keys
    # XXH3 of the empty string, as its specification has it.
    assert item_keys([""]).tolist() == [0x2D06800538D394C2]


@given(LISTS)
def test_lists_come_back_as_they_were(lists: list[list[str]]) -> None:
    found = of_lists(lists)
    assert [found.names(n) for n in range(len(lists))] == lists
    assert found.lengths().tolist() == [len(each) for each in lists]
    assert [found.first(2).names(n) for n in range(len(lists))] == [each[:2] for each in lists]


@given(LISTS, st.data())
def test_some_of_the_visitors_and_back_again(lists: list[list[str]], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.integers(0, len(lists) - 1), unique=True))
    found = of_lists(lists).of(some)
    assert [found.names(n) for n in range(len(some))] == [lists[n] for n in some]
    spread = found.spread(some, len(lists))
    assert [spread.names(n) for n in range(len(lists))] == [
        lists[n] if n in some else [] for n in range(len(lists))
    ]


@given(LISTS, st.sets(st.tuples(st.integers(0, 4), st.sampled_from("abcdefg"))))
def test_those_behind_what_is_barred_move_up(lists: list[list[str]], barred: set[tuple[int, str]]) -> None:
    excluded = [{each for n, each in barred if n == visitor} for visitor in range(len(lists))]
    for_nobody = set.intersection(*excluded)
    found = of_lists(lists).without(for_nobody, [each - for_nobody for each in excluded])
    assert [found.names(n) for n in range(len(lists))] == [
        [each for each in items if (n, each) not in barred] for n, items in enumerate(lists)
    ]
