"""What visitors did, out of history: their own ids, and ratings with their values."""

from pathlib import Path

import pytest
from memory_archive import BASE, MemoryArchive, MemoryTopic, at, value

from streamrec.config import Settings
from streamrec.engine.log import Out
from streamrec.errors import DatasetError
from streamrec.history import history_feedback


def archived(settings: Settings, bodies: list[tuple[str, bytes]]) -> None:
    topic = MemoryTopic(settings)
    for visitor, body in bodies:
        topic.publish(0, Out(visitor.encode(), body), BASE + 3_600_000)
    worker = MemoryArchive(topic, settings)
    worker.handle(0, 0, len(bodies))
    worker.finish()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = at(tmp_path)
    bodies = [
        ("v", value(0, "v", session_id="one")),
        ("v", value(1, "v", session_id="two")),
        ("v", value(1, "v", session_id="two")),  # a repeat
        ("w", value(2, "w", type="purchase", value=99.5)),
        ("w", value(3, "w", type="impression")),
        ("w", b"{"),
        ("w", value(4, "w", type="rating", value=4.5)),
        ("v", value(5, "v", type="rating", value=0.0)),
        ("v", value(6, "v", type="rating")),
    ]
    archived(settings, bodies)
    return settings


def test_every_interaction_of_a_weight_counts_once(settings: Settings) -> None:
    found, told = history_feedback(settings)
    assert list(found.user_ids) == ["v", "w"]
    assert [found.item_ids[item] for item in found.items] == ["i0", "i1", "i2", "i4", "i0", "i1"]
    assert sorted(set(found.values.tolist())) == [1.0, 3.0]
    assert told["history"][0]["left_out"] == 3
    assert (found.time_ms - BASE).tolist() == [0, 1000, 2000, 4000, 5000, 6000]


def test_ratings_are_interactions_of_that_type_with_a_value(settings: Settings) -> None:
    found, _ = history_feedback(settings, ratings=True)
    assert [found.user_ids[user] for user in found.users] == ["w", "v"]
    assert found.values.tolist() == [4.5, 0.0]


def test_a_history_without_any_says_how_to_fill_it(tmp_path: Path) -> None:
    settings = at(tmp_path)
    archived(settings, [("v", value(0))])
    with pytest.raises(DatasetError, match="no interaction of type rating with a value in history"):
        history_feedback(settings, ratings=True)
    with pytest.raises(DatasetError, match="no interaction of a weight above 0 in history"):
        history_feedback(at(tmp_path / "empty"))
