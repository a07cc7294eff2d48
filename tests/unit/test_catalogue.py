"""What may be shown is what the items topic said last."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.catalogue import Catalogue
from streamrec.events import Item, encode

item_ids = st.sampled_from("abc")
records = st.lists(st.tuples(item_ids, st.sampled_from(["available", "unavailable", "forgotten"])))


def put(catalogue: Catalogue, item_id: str, **fields: object) -> None:
    catalogue.on_record(item_id.encode(), encode(Item(item_id=item_id, **fields)))  # type: ignore[arg-type]


@given(records)
def test_the_last_record_of_an_item_counts(said: list[tuple[str, str]]) -> None:
    catalogue = Catalogue()
    for item_id, what in said:
        if what == "forgotten":
            catalogue.on_record(item_id.encode(), None)
        else:
            put(catalogue, item_id, available=what == "available")
    last = dict(said)
    assert set(catalogue.items) == {item_id for item_id, what in last.items() if what != "forgotten"}
    assert catalogue.unavailable == {item_id for item_id, what in last.items() if what == "unavailable"}


@given(records, records)
def test_what_changed_since_a_revision_is_told_last_change_last(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    catalogue = Catalogue()

    def take(said: list[tuple[str, str]]) -> None:
        for item_id, what in said:
            if what == "forgotten":
                catalogue.on_record(item_id.encode(), None)
            else:
                put(catalogue, item_id, available=what == "available")

    take(before)
    revision = catalogue.revision
    take(after)
    told = [item.item_id for item in catalogue.since(revision)]
    last_change = {item_id: n for n, (item_id, _) in enumerate(after)}
    changed = [
        item_id
        for item_id in sorted(last_change, key=lambda each: last_change[each])
        if dict(after)[item_id] != "forgotten"
    ]
    assert told[len(told) - len(changed) :] == changed
    assert len(told) == len(set(told))
    assert catalogue.since(catalogue.revision) == []


@given(records)
def test_whether_an_item_went_is_told(said: list[tuple[str, str]]) -> None:
    catalogue, removals = Catalogue(), 0
    for item_id, what in said:
        before = set(catalogue.items)
        if what == "forgotten":
            catalogue.on_record(item_id.encode(), None)
        else:
            put(catalogue, item_id, available=what == "available")
        removals += before > set(catalogue.items)
        assert catalogue.removals == removals


@given(st.lists(records))
def test_places_of_what_must_not_be_shown_follow_every_change(said: list[list[tuple[str, str]]]) -> None:
    catalogue, models = Catalogue(), [list("cab"), list("bd"), list("xyz"), ["a"], list("abc"), []]
    for changes in said:
        for item_id, what in changes:
            put(catalogue, item_id, available=what == "available")
        for items in models + models[:2]:
            expected = [n for n, item_id in enumerate(items) if item_id in catalogue.unavailable]
            assert catalogue.places_unavailable(items).tolist() == expected


def test_what_is_known_of_an_item_is_kept() -> None:
    catalogue = Catalogue()
    put(catalogue, "a", title="A kettle", price=19.5)
    assert catalogue.items["a"] == Item(item_id="a", title="A kettle", price=19.5)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        (None, encode(Item(item_id="a", available=True)), "the key of an item record is the item id"),
        (b"\xff", None, "utf-8"),
        (b"k" * 1025, None, "1025 bytes, 1024 are allowed"),
        (b"a", b"[" * ((1 << 20) + 1), "1048577 bytes, 1048576 are allowed"),
        (b"b", encode(Item(item_id="a", available=True)), "the key is 'b', the item's id 'a'"),
        (b"a", b"{", "item: "),
        (b"a", b'{"item_id": "a", "price": "much"}', "price"),
    ],
)
def test_a_record_that_cannot_be_read_is_logged_and_changes_nothing(
    key: bytes | None, value: bytes | None, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = Catalogue()
    put(catalogue, "a", available=False)
    with caplog.at_level(logging.WARNING):
        catalogue.on_record(key, value)
    assert fault in caplog.text
    assert (list(catalogue.items), catalogue.unavailable) == (["a"], {"a"})
