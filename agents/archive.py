"""The archive app: interactions -> files of history, beside the hot path.

Thin wiring around `streamrec.history.archiver`: it reads, in a group of its own, batch by
batch of each partition, and writes nothing to Kafka.
"""

from collections.abc import Collection
from functools import partial
from typing import Any, NoReturn

from aiokafka import TopicPartition

from streamrec import metrics
from streamrec.config import Settings
from streamrec.engine.app import create_app
from streamrec.engine.reader import open_consumer, read_range
from streamrec.engine.runner import Background, add_agent, run_worker
from streamrec.engine.web import OperatorsPages
from streamrec.history.archiver import Archiver
from streamrec.history.store import HistoryStore
from streamrec.ports import PAGES_PORTS
from streamrec.topics import known_topics, require_topics, watch_topics

__all__ = ["run_archive"]


def run_archive(settings: Settings) -> NoReturn:
    """Run an archive worker until it is told to stop.

    Raises BrokerError, TopicError, ConfigError, StorageError, EngineError before it starts; later faults
    end the process.
    """
    kafka = settings.kafka
    interactions = kafka.topic("interactions")
    require_topics(settings, ["interactions"])
    topic_ids = known_topics(settings, ["interactions"])
    store = HistoryStore(settings)
    store.names(interactions)  # a place that cannot be reached is told of now
    app = create_app(settings, "archive")

    async def log_start(partition: int) -> int:
        place = TopicPartition(interactions, partition)
        async with open_consumer(kafka, interactions) as consumer:
            first: int = (await consumer.beginning_offsets([place]))[place]
        return first

    archiver = Archiver(
        settings,
        store,
        topic_ids["interactions"],
        missing=partial(read_range, kafka, interactions),
        log_start=log_start,
    )

    async def assign(_: Any, assigned: Collection[Any], **__: Any) -> None:
        archiver.assign({place.partition for place in assigned if place.topic == interactions})

    app.on_partitions_assigned.connect(assign, weak=False)

    async def nothing() -> None:
        pass

    def ready() -> str | None:
        if not app.tables.actives_ready:
            return "joining the group"
        return None if archiver.has_caught_up else "reading what is not in history yet"

    metrics.archive_waiting.read_from(archiver.waiting)
    watchdog = add_agent(app, "archive", kafka, interactions, archiver.handle, before=nothing)
    topics_stay = partial(watch_topics, settings, topic_ids)
    web = settings.web
    pages = OperatorsPages(web.host, web.port or PAGES_PORTS["archive"], ready, web.fd)
    background: list[Background] = [archiver.run, watchdog, topics_stay]
    run_worker(app, settings, pages=pages, background=background, on_stop=[archiver.finish])
