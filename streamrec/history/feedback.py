"""Feedback out of history: what visitors did, or how they rated.

In: settings that say where it is. Out: Feedback of the interactions that the state app accepts.
"""

from collections.abc import Iterator

from streamrec.config import Settings
from streamrec.errors import DatasetError
from streamrec.events import Interaction
from streamrec.feedback import Feedback, make_feedback
from streamrec.history.sources import find_sources, import_sources
from streamrec.history.store import HistoryStore
from streamrec.visits import Visits

__all__ = ["history_feedback"]

_RATING = "rating"
"""The type of interactions whose value is a rating; that of others may be anything, a price for instance."""


def history_feedback(settings: Settings, *, ratings: bool = False) -> Feedback:
    """All of history: interactions of a weight above 0, 1 each; or ratings of any weight, with their values.

    Raises StorageError or ConfigError; DatasetError for a damaged file, or if there is none.
    """
    store = HistoryStore(settings)
    found = [
        event
        for event, asks in _interactions(store, settings)
        if ((event.type == _RATING and event.value is not None) if ratings else asks)
    ]
    if not found:
        what = "interaction of type rating that has a value" if ratings else "interaction of a weight above 0"
        raise DatasetError(
            f"{store.url}: no {what} in history; `streamrec archive` brings the topic into it, and "
            "`streamrec import` files"
        )
    return make_feedback(
        (event.visitor_id for event in found),
        (event.item_id for event in found),
        [event.value or 0.0 for event in found] if ratings else None,
        [event.time for event in found],
    )


def _interactions(store: HistoryStore, settings: Settings) -> Iterator[tuple[Interaction, bool]]:
    """What is accepted, and whether its weight is above 0."""
    kafka = settings.kafka
    for source in (*(each for _, each in import_sources(store)), *find_sources(store, settings)):
        n_partitions = source.n_partitions or kafka.partitions
        of_source = settings.model_copy(
            update={"kafka": kafka.model_copy(update={"partitions": n_partitions})}
        )
        for partition in range(n_partitions):
            visits = Visits(of_source, partition)
            for record in source.records(store, partition):
                visit = visits.take(record)
                if visit is not None:
                    yield visit.event, visit.asks
