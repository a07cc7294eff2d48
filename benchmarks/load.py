"""What the contenders work on: real clicks as records, a model of real size, filled topics."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from streamrec.advance import partition_of
from streamrec.config import Settings, load_settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.engine.log import KafkaLog, Out
from streamrec.events import Interaction, encode
from streamrec.registry import Registry
from streamrec.topics import connect, create_topics

__all__ = ["MODEL", "N_PARTITIONS", "Load", "fill", "make_load", "own_settings", "own_topics", "train_model"]

MODEL: Final = "GRU4Rec, 100 units, trained for one epoch on the bundled clicks"

N_PARTITIONS: Final = 4

# Event times of a stream of 1,000 clicks a second: item rows go out at ticks of event time.
_APART_MS: Final = 1
# Batches as apps send them, far below what the topic allows.
_RECORDS_PER_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Load:
    """Records by partition, in the order of their events."""

    partitions: list[list[Out]]

    def __len__(self) -> int:
        return sum(map(len, self.partitions))

    @property
    def value_bytes(self) -> float:
        """Mean size of a value."""
        return sum(len(out.value or b"") for part in self.partitions for out in part) / len(self)


def make_load(n_events: int, n_partitions: int, start_ms: int) -> Load:
    """The first `n_events` bundled clicks as interactions; a session is a visitor."""
    clicks = bundled_clicks()
    partitions: list[list[Out]] = [[] for _ in range(n_partitions)]
    for n in range(min(n_events, len(clicks))):
        session_id = clicks.session_ids[n]
        key = session_id.encode()
        event = Interaction(
            event_id=f"{session_id}-{n}",
            type="click",
            visitor_id=session_id,
            session_id=session_id,
            item_id=clicks.item_ids[n],
            time=start_ms + n * _APART_MS,
        )
        partitions[partition_of(key, n_partitions)].append(Out(key, encode(event)))
    return Load(partitions)


def fill(settings: Settings, load: Load, n_events: int) -> int:
    """Write the same share of every partition to `interactions`; returns how many events."""

    async def write() -> int:
        log = KafkaLog(settings.kafka, "benchmarks")
        written = 0
        try:
            for partition, records in enumerate(load.partitions):
                share = records[: len(records) * n_events // len(load)]
                for first in range(0, len(share), _RECORDS_PER_BATCH):
                    await log.send(
                        settings.kafka.topic("interactions"),
                        partition,
                        share[first : first + _RECORDS_PER_BATCH],
                    )
                written += len(share)
        finally:
            await log.stop()
        return written

    return asyncio.run(write())


def train_model(settings: Settings, on_step: Callable[..., None]) -> str:
    """Train and publish a model of real size; returns its version."""
    from streamrec.contracts import TrainOptions
    from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig

    model = GRU4Rec(GRU4RecConfig(epochs=1, batch_size=256, n_sample=1024))
    model.train(click_sessions(bundled_clicks()), TrainOptions(device="cpu", on_step=on_step))
    return str(model.publish(Registry.of(settings)))


def own_settings(
    settings: Settings, bootstrap: str, name: str, *, partitions: int = N_PARTITIONS, online: bool = True
) -> Settings:
    """Settings with the same registry and topics of their own, whose names this process alone has."""
    return load_settings(
        kafka={"bootstrap": bootstrap, "prefix": f"{name}-{os.getpid()}.", "partitions": partitions},
        state={"online": online},
        registry=settings.registry,
        log_level="WARNING",
    )


@contextmanager
def own_topics(settings: Settings) -> Iterator[None]:
    """The topics under a prefix, gone at the end with all others that were made under it."""
    create_topics(settings)
    try:
        yield
    finally:
        with connect(settings.kafka) as admin:
            admin.delete_topics(
                [name for name in admin.list_topics() if name.startswith(settings.kafka.prefix)]
            )
