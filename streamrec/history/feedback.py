"""Feedback out of history: what visitors did, or how they rated.

In: settings that say where it is. Out: Feedback of the interactions that the state app accepts.
"""

from typing import Any

from streamrec.config import Settings
from streamrec.errors import DatasetError
from streamrec.history.sources import find_sources, import_sources
from streamrec.history.store import HistoryStore
from streamrec.topic_feedback import FeedbackCollector, TopicFeedback, nothing

__all__ = ["history_feedback"]


def history_feedback(settings: Settings, *, ratings: bool = False) -> TopicFeedback:
    """All feedback of history: of imported files, and of the topic, that of before it was made anew too.

    ratings: as FeedbackCollector. Raises StorageError or ConfigError; DatasetError for a damaged file, or if
    there is nothing.
    """
    store = HistoryStore(settings)
    sources = [*(source for _, source in import_sources(store)), *find_sources(store, settings)]
    parts = []
    told: list[dict[str, Any]] = []
    for source in sources:
        kafka = settings.kafka.model_copy(
            update={"partitions": source.n_partitions or settings.kafka.partitions}
        )
        collector = FeedbackCollector(settings.model_copy(update={"kafka": kafka}), ratings=ratings)
        for partition in source.covered():
            for record in source.records(store, partition):
                collector.take(record)
        parts.append(collector)
        offsets = {str(n): [found.first, found.end] for n, found in source.covered().items()}
        told.append({"id": source.topic_id, "offsets": offsets, "left_out": collector.left_out})
    feedback = FeedbackCollector.joined(parts)
    if not len(feedback):
        raise DatasetError(
            f"{store.url}: {nothing(ratings)} in history; `streamrec archive` brings the topic into it, and "
            "`streamrec import` files"
        )
    return TopicFeedback(feedback, {"source": settings.kafka.topic("interactions"), "history": told})
