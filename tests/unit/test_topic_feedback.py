"""Feedback of the topic is what the state app accepts of it, with values that say how much was liked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from state_parts import BASE, Record, click

from streamrec.config import load_settings
from streamrec.topic_feedback import FeedbackCollector

SETTINGS = load_settings(kafka={"partitions": 1})


class Consumed(NamedTuple):
    """A record as kafka-python gives it: with its partition."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 0


def collected(*records: Record, ratings: bool = False) -> FeedbackCollector:
    collector = FeedbackCollector(SETTINGS, ratings=ratings)
    for record in records:
        collector.take(Consumed(*record))
    return collector


def rows(collector: FeedbackCollector) -> list[tuple[Any, ...]]:
    feedback = collector.feedback()
    return [
        (feedback.user_ids[user], feedback.item_ids[item], value, time - BASE)
        for user, item, value, time in zip(
            feedback.users.tolist(),
            feedback.items.tolist(),
            feedback.values.tolist(),
            feedback.time_ms.tolist(),
            strict=True,
        )
    ]


def test_an_interaction_counts_by_the_weight_of_its_type_or_a_rating_by_what_it_says() -> None:
    records = (
        click(0, "v", "a"),
        click(1, "v", "b", BASE + 1, type="purchase"),
        click(2, "w", "a", BASE + 2, type="rating", value=4.5),
        click(3, "w", "b", BASE + 3, type="rating"),
        click(4, "w", "c", BASE + 4, type="purchase", value=99.0),
    )
    assert rows(collected(*records, ratings=True)) == [("w", "a", 4.5, 2)]
    assert rows(collected(*records)) == [
        ("v", "a", 1.0, 0),
        ("v", "b", 3.0, 1),
        ("w", "a", 1.0, 2),
        ("w", "b", 1.0, 3),
        ("w", "c", 3.0, 4),
    ]


def test_what_state_refuses_repeats_and_what_nobody_wanted_is_left_out() -> None:
    collector = collected(
        click(0, "v", "a"),
        click(1, "v", "a", event_id="e0"),
        click(2, "v", "b", type="impression"),
        click(3, "v", "c", type="dislike"),
        click(4, "v", "d", type="unheard of"),
        Record(5, BASE, b"v", b"{"),
    )
    assert rows(collector) == [("v", "a", 1.0, 0)]
    assert collector.left_out == 5


def test_of_several_sources_a_visitor_is_the_same_and_time_decides() -> None:
    later, earlier = collected(click(0, "v", "a", BASE + 9)), collected(click(0, "v", "b", BASE + 1))
    feedback = FeedbackCollector.joined([later, earlier])
    assert feedback.user_ids == ["v"]
    assert [feedback.item_ids[item] for item in feedback.items] == ["b", "a"]
