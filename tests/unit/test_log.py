"""What the log makes of aiokafka's produce requests."""

from aiokafka.protocol import produce
from aiokafka.protocol.struct import Struct
from hypothesis import given
from hypothesis import strategies as st

import streamrec.engine.log  # noqa: F401 (changes how aiokafka encodes)

NAMES = st.text(max_size=9)
PARTITIONS = st.lists(st.tuples(st.integers(0, 99), st.none() | st.binary(max_size=200)), max_size=4)
NEWEST = produce.ProduceRequest._CLASSES[-1]


@given(
    transaction=st.none() | NAMES,
    acks=st.integers(-1, 1),
    topics=st.none() | st.lists(st.tuples(NAMES, PARTITIONS), max_size=3),
)
def test_a_request_joined_once_has_the_bytes_of_one_joined_on_every_level(
    transaction: str | None, acks: int, topics: list[tuple[str, list[tuple[int, bytes | None]]]] | None
) -> None:
    request = NEWEST(transaction, acks, 40_000, topics)

    assert request.encode() == Struct.encode(request)


def test_it_is_the_newest_request_that_is_joined_once() -> None:
    assert NEWEST.encode is not Struct.encode
