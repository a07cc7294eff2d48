"""The order in which entries leave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.state.expiry import Expiry

# Several of a minute, and several minutes.
times_ms = st.integers(0, 25).map(lambda n: n * 13_000)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("see"), st.sampled_from("abcdefg"), times_ms),
        st.tuples(st.just("pop"), st.just(""), st.just(0)),
        st.tuples(st.just("pop before"), st.just(""), times_ms),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
    ),
    max_size=80,
)


@given(steps)
def test_the_oldest_by_time_and_id_leaves_first_whatever_was_noted(steps: list[tuple[str, str, int]]) -> None:
    times: dict[str, int] = {}
    expiry = Expiry(times.__getitem__)
    for action, name, time in steps:
        oldest = min(times, key=lambda entry: (times[entry], entry)) if times else None
        if action == "see":
            if name not in times:
                expiry.add(time, name)
            times[name] = max(time, times.get(name, 0))
            assert expiry.earliest <= min(times.values())
        elif action == "restart":
            expiry = Expiry(times.__getitem__, [(seen, entry) for entry, seen in times.items()])
        elif action == "pop" and oldest is not None:
            assert expiry.pop() == oldest
            del times[oldest]
        elif action == "pop before":
            due = oldest if oldest is not None and times[oldest] < time else None
            assert expiry.pop_before(time) == due
            times.pop(due or "", None)
        assert len(expiry) == len(times)


def test_there_is_nothing_to_pop_from_nothing() -> None:
    expiry = Expiry({}.__getitem__)
    assert expiry.pop_before(10**15) is None
    with pytest.raises(IndexError):
        expiry.pop()


def test_seeing_an_entry_again_and_again_takes_no_memory() -> None:
    times = {"a": 0, "b": 0}
    expiry = Expiry(times.__getitem__, [(0, "a"), (0, "b")])
    for time in range(1000):
        times["a"] = time
        assert expiry.pop_before(-1) is None
    assert len(expiry) == 2
    assert [expiry.pop(), expiry.pop()] == ["b", "a"]
