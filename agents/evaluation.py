"""The evaluation app: how good the lists are, while they are made.

Beside the hot path: it only reads. It follows recommendations in a group of its own, batch by
batch of each partition, and reads interactions as far as the lists need them, so that neither topic gets
ahead of the other in memory. A batch is committed once it is folded into the figures.

The figures are kept in memory alone. A worker that starts, or takes a partition over, folds the
lists of the last five windows before the first new one once more: then the pairs in flight are known, and
what is missing from the averages weighs little. Counters count new lists only.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from streamrec import metrics
from streamrec.agents.shadow_evaluation import ShadowFollower
from streamrec.agents.version_guard import VersionGuard
from streamrec.config import Settings
from streamrec.engine.app import create_app
from streamrec.engine.reader import BroadcastReader, RangeReader, read_range
from streamrec.engine.runner import Background, Batch, add_agent, run_worker
from streamrec.engine.web import OperatorsPages
from streamrec.evaluation.fading import NO_VERSION, Figures, figures
from streamrec.evaluation.prequential import Observer, Prequential
from streamrec.ports import PAGES_PORTS
from streamrec.topics import known_topics, require_topics, watch_topics

__all__ = ["ListJudge", "run_evaluation"]

_WINDOWS_AGAIN: Final = 5

Ranges = Callable[[int, int, int], AsyncIterator[list[Any]]]
"""Reads a topic: (partition, start, end) -> batches of records."""


class ListJudge:
    """Judges the lists of this worker's partitions. `handle` is the agent's handler.

    interactions: reads what lists are judged by. end: asks for the offset after a partition's last
    interaction. missing: reads recommendations again. observer: is told of what is judged, too; after a start
    of that in the last windows once more.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        interactions: Ranges,
        end: Callable[[int], Awaitable[int]],
        missing: Ranges,
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._interactions = interactions
        self._end = end
        self._missing = missing
        self._observer = observer
        self._judges: dict[int, Prequential] = {}
        self._next: dict[int, int] = {}

    def keep(self, partitions: Collection[int]) -> None:
        """Let go what is known of all other partitions: they are another worker's now."""
        self._judges = {n: judge for n, judge in self._judges.items() if n in partitions}

    def figures(self) -> Figures:
        """The figures of this worker's partitions together."""
        in_order = (self._judges[partition].sums for partition in sorted(self._judges))
        return figures(in_order, self._settings.evaluation)

    def interleaved(self) -> dict[tuple[str, ...], float]:
        """Interleaved lists with credits, by challenger, who has more of them, and visitors' own version."""
        found: Counter[tuple[str, ...]] = Counter()
        for judge in self._judges.values():
            for pair, results in judge.credits.results.items():
                for more, n in results.items():
                    found[pair.challenger, more, pair.version or NO_VERSION] += n
        return dict(found)

    async def handle(self, batch: Batch) -> None:
        """Take a batch of lists, and the interactions up to those that they answer."""
        partition = batch.partition
        judge = await self._judge(partition, batch.records[0].offset)
        counts, forgotten = judge.counts.copy(), judge.forgotten
        done = self._next[partition]
        with metrics.stage_seconds.labels("evaluation").time():
            await self._take(judge, partition, [each for each in batch.records if each.offset >= done])
        # Never back: after a rebalance older batches can come again.
        self._next[partition] = max(done, batch.records[-1].offset + 1)
        _count(judge.counts - counts)
        metrics.online_forgotten.inc(judge.forgotten - forgotten)
        metrics.batch_size.labels("evaluation").observe(len(batch.records))

    async def _judge(self, partition: int, first: int) -> Prequential:
        """The partition's judge as of the list at offset `first`."""
        judge = self._judges.get(partition)
        if judge is None:
            judge = self._judges[partition] = Prequential(self._settings, partition, self._observer)
            self._next[partition] = max(0, first - _WINDOWS_AGAIN * self._settings.evaluation.window)
        if first > self._next[partition]:
            async for records in self._missing(partition, self._next[partition], first):
                await self._take(judge, partition, records)
            self._next[partition] = first
        return judge

    async def _take(self, judge: Prequential, partition: int, lists: Sequence[Any]) -> None:
        judge.take_lists(lists, await self._end(partition))
        start, end = judge.wanted
        async for records in self._interactions(partition, start, end):
            judge.take_interactions(records, records[-1].offset + 1)
        judge.take_interactions((), end)


def _count(counts: Counter[str]) -> None:
    metrics.online_judged.inc(counts["judged"])
    metrics.online_no_list.inc(counts["no_list"])
    for reason in metrics.IGNORED_LISTS:
        metrics.online_ignored_lists.labels(reason).inc(counts[reason])


def run_evaluation(settings: Settings) -> NoReturn:
    """Run an evaluation worker until it is told to stop.

    Raises BrokerError, TopicError, EngineError before it starts; later faults end the process.
    """
    kafka = settings.kafka
    recommendations = kafka.topic("recommendations")
    topics = ["interactions", "recommendations", "shadow-recommendations"]
    require_topics(settings, [*topics, *(["models"] if settings.guard.on else [])])
    topic_ids = known_topics(settings, topics)
    app = create_app(settings, "evaluation")
    interactions = RangeReader(kafka, kafka.topic("interactions"))
    guard = VersionGuard(settings, "gru4rec") if settings.guard.on else None
    models = None if guard is None else BroadcastReader(kafka, kafka.topic("models"), guard.on_record)
    judge = ListJudge(
        settings,
        interactions=interactions.read,
        end=interactions.end,
        missing=partial(read_range, kafka, recommendations),
        observer=guard,
    )
    # Readers of its own: it is elsewhere in the log of interactions.
    beside = RangeReader(kafka, kafka.topic("interactions"))
    shadow_lists = RangeReader(kafka, kafka.topic("shadow-recommendations"))
    readers = (interactions, beside, shadow_lists)
    shadows = ShadowFollower(settings, lists=shadow_lists, interactions=beside)

    async def handle(batch: Batch) -> None:
        await judge.handle(batch)
        await shadows.follow(batch.partition)

    async def keep_what_is_ours(_: Any, assigned: Collection[Any], **__: Any) -> None:
        ours = {place.partition for place in assigned if place.topic == recommendations}
        judge.keep(ours)
        shadows.keep(ours)
        for reader in readers:
            reader.keep(ours)

    app.on_partitions_assigned.connect(keep_what_is_ours, weak=False)

    async def connected() -> None:
        for reader in readers:
            await reader.connected.wait()
        if models is not None:  # else the guard would miss the clicks that are folded again
            await models.caught_up.wait()

    def ready() -> str | None:
        if not all(reader.connected.is_set() for reader in readers):
            return "connecting to the interactions topic"
        return None if app.tables.actives_ready else "joining the group"

    metrics.online_recall.read_from(lambda: judge.figures().recall)
    metrics.online_mrr.read_from(lambda: judge.figures().mrr)
    metrics.online_ndcg.read_from(lambda: judge.figures().ndcg)
    metrics.online_led_recall.read_from(lambda: judge.figures().led_recall)
    metrics.online_window_clicks.read_from(lambda: judge.figures().clicks)
    metrics.interleaving_lists.read_from(judge.interleaved)
    metrics.shadow_recall.read_from(lambda: shadows.figures().recall)
    metrics.shadow_clicks.read_from(lambda: shadows.figures().clicks)
    watchdog = add_agent(app, "evaluation", kafka, recommendations, handle, before=connected)
    topics_stay = partial(watch_topics, settings, topic_ids)
    web = settings.web
    pages = OperatorsPages(web.host, web.port or PAGES_PORTS["evaluation"], ready, web.fd)
    background: list[Background] = [*(reader.run for reader in readers), watchdog, topics_stay]
    if guard is not None and models is not None:
        background += [models.run, guard.run]
    run_worker(app, settings, pages=pages, background=background)
