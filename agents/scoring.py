"""The scoring app: visitor-states -> recommendations, batch by batch of each partition.

A pure function of what it reads: the partition's rows up to the last tick, the visitor's
row, the model version that the row names, which items are available, and, for an interleaved
list, the challenger that it names.
Thin wiring around `streamrec.ranking` and `streamrec.challengers`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, NoReturn

from streamrec import metrics
from streamrec.admission import require_fast
from streamrec.agents.shadows import Shadows
from streamrec.background import in_background
from streamrec.board_opener import board_opener
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.challengers import challenged, load_challenger
from streamrec.config import Settings
from streamrec.contenders import Contenders
from streamrec.contracts import ScoreModel
from streamrec.engine.app import create_app
from streamrec.engine.log import KafkaLog, Log, Out
from streamrec.engine.reader import BroadcastReader, read_range
from streamrec.engine.runner import Background, Batch, add_agent, run_worker
from streamrec.engine.web import OperatorsPages
from streamrec.events import Recommendation, encode
from streamrec.list_requests import Visitor, list_requests
from streamrec.ports import PAGES_PORTS
from streamrec.ranking import BySource, lists, others_proposals
from streamrec.registry import Registry
from streamrec.scorer import load_scorer
from streamrec.shelf import ModelShelf
from streamrec.topics import known_topics, require_topics, watch_topics

__all__ = ["ListMaker", "run_scoring"]

# Between two looks at what else is to be done, such as to stop: some ten milliseconds.
_SESSIONS_AT_ONCE: Final = 500
_RECORDS_AT_ONCE: Final = 200
# A recommender takes milliseconds for each, the slowest of them tens.
_VISITORS_AT_ONCE: Final = 8


class ListMaker:
    """Makes the lists of this worker's partitions. `handle` is the agent's handler.

    table_id: Kafka's id of visitor-states.
    missing: reads visitor-states again: (partition, start, end) -> batches of records.
    committed: the offset that the group had committed for a partition, or None.
    shadows: makes lists of the versions that are tried out, and knows the challenger; None: there are none.
    """

    def __init__(
        self,
        settings: Settings,
        log: Log,
        shelf: ModelShelf[ScoreModel],
        catalogue: Catalogue,
        *,
        table_id: str,
        missing: Callable[[int, int, int], AsyncIterator[list[Any]]],
        committed: Callable[[int], int | None],
        shadows: Shadows | None = None,
    ) -> None:
        self._settings = settings
        self._table_id = table_id
        self._log = log
        self._shelf = shelf
        self._catalogue = catalogue
        self._missing = missing
        self._committed = committed
        self._shadows = shadows
        self._open = board_opener(settings)
        self._boards: dict[int, Boards] = {}
        self._next: dict[int, int] = {}

    def keep(self, partitions: Collection[int]) -> None:
        """Let go what is known of all other partitions: they are another worker's now."""
        self._boards = {n: boards for n, boards in self._boards.items() if n in partitions}

    async def handle(self, batch: Batch) -> None:
        """Send a list for every row that asks for one, of the batch and of what was skipped before it."""
        with self._shadows.standing_still() if self._shadows else nullcontext():
            await self._handle(batch)
        metrics.batch_size.labels("scoring").observe(len(batch.records))

    async def _handle(self, batch: Batch) -> None:
        partition = batch.partition
        boards = self._boards.get(partition)
        if boards is None:
            boards = self._boards[partition] = self._open()
            self._next[partition] = 0
        if batch.start > self._next[partition]:
            await self._catch_up(partition, batch.start, boards)
        await self._answer(partition, batch.records, boards)

    async def _catch_up(self, partition: int, end: int, boards: Boards) -> None:
        """Read again what comes before the offset `end`, and answer what nobody has answered."""
        first, committed = self._next[partition], min(self._committed(partition) or 0, end)
        async for records in self._missing(partition, first, committed):
            for _ in self._requests(records, boards):
                pass  # only what the boards learn counts here: these visitors have their lists
        for _ in boards.sessions.learn(_SESSIONS_AT_ONCE):
            await asyncio.sleep(0)
        async for records in self._missing(partition, max(first, committed), end):
            await self._answer(partition, records, boards)
        self._next[partition] = end

    async def _answer(self, partition: int, rows: Sequence[Any], boards: Boards) -> None:
        """Send the lists that rows ask for; those that were answered here before are left out."""
        done = self._next[partition]
        records = [record for record in rows if record.offset >= done]
        answers: list[tuple[Sequence[Visitor], BySource, list[Recommendation]]] = []
        asked: dict[int, int] = {}
        for visitors in self._requests(records, boards):
            asked.update((row.offset, row.record_time) for _, row in visitors)
            versions = {row.model_version for _, row in visitors}
            models = {version: await self._shelf.ensure(version) for version in versions}
            await self._learn_items(boards)
            others, made = self._recommend(visitors, boards, models, partition)
            await asyncio.sleep(0)  # what else is to be done has its turn
            answers.append((visitors, others, await self._challenged(visitors, others, made)))
        if answers:
            await self._send(partition, [each for _, _, shown in answers for each in shown], asked)
        if self._shadows is not None:
            for answer in answers:
                self._shadows.offer(*answer)
        # Never back: after a rebalance older batches can come again.
        self._next[partition] = max(done, rows[-1].offset + 1)

    async def _learn_items(self, boards: Boards) -> None:
        """Let the recommenders take in what the items topic has said since the lists before."""
        for recommender in boards.recommenders.values():
            for _ in recommender.learn(self._catalogue, _RECORDS_AT_ONCE):
                await asyncio.sleep(0)

    def _requests(self, records: Iterable[Any], boards: Boards) -> Iterator[list[Visitor]]:
        most = self._settings.scoring.max_batch
        if boards.recommenders:
            most = min(most, _VISITORS_AT_ONCE)
        return list_requests(records, boards, self._table_id, most)

    def _recommend(
        self,
        visitors: Sequence[Visitor],
        boards: Boards,
        models: Mapping[str, ScoreModel | None],
        partition: int,
    ) -> tuple[BySource, list[Recommendation]]:
        with metrics.stage_seconds.labels("scoring").time():
            others = others_proposals(visitors, boards, self._catalogue, self._settings)
            made = lists(
                visitors,
                others,
                models.get,
                self._catalogue,
                self._settings,
                partition=partition,
                now_ms=time.time_ns() // 1_000_000,
            )
        return others, made

    async def _challenged(
        self, visitors: Sequence[Visitor], others: BySource, made: list[Recommendation]
    ) -> list[Recommendation]:
        """The lists to be shown: interleaved for the challenger's share of the visitors, if there is one."""
        contenders = None if self._shadows is None else self._shadows.contenders
        if contenders is None or (contender := contenders.challenger) is None:
            return made
        model, share = contender.model, contender.release.share or 0.0
        try:
            with metrics.stage_seconds.labels("challenger").time():
                shown = await asyncio.to_thread(
                    challenged, visitors, others, made, model, share, self._catalogue, self._settings
                )
        except Exception as error:  # the challenger's own fault, whatever it is: the lists are there
            contenders.refuse(contender, error)
            return made
        metrics.interleaved_lists.inc(sum(each.challenger is not None for each in shown))
        return shown

    async def _send(self, partition: int, lists: list[Recommendation], asked: dict[int, int]) -> None:
        with metrics.stage_seconds.labels("emit").time():
            await self._log.send(
                self._settings.kafka.topic("recommendations"),
                partition,
                [Out(each.visitor_id.encode(), encode(each)) for each in lists],
            )
        now = time.time_ns() // 1_000_000
        for each in lists:
            metrics.freshness.observe(max(0, now - asked[each.input_offset]) / 1000)
        for source, n in Counter([item.sources[0] for each in lists for item in each.items]).items():
            metrics.recommended_positions.labels(source).inc(n)
        metrics.recommendations.inc(len(lists))


def run_scoring(settings: Settings) -> NoReturn:
    """Run a scoring worker until it is told to stop.

    Raises BrokerError, TopicError, StateError, EngineError before it starts; later faults end the process.
    """
    kafka = settings.kafka
    visitor_states = kafka.topic("visitor-states")
    require_topics(
        settings, ["visitor-states", "recommendations", "shadow-recommendations", "models", "items"]
    )
    topic_ids = known_topics(settings, ["visitor-states"])
    app = create_app(settings, "scoring")
    log = KafkaLog(kafka, app.conf.id)
    load = partial(load_scorer, Registry.of(settings), threads=settings.scoring.threads)
    # A graph of several threads starts them when it is loaded, and they serve afterwards.
    beside = in_background if settings.scoring.threads == 1 else asyncio.to_thread
    shelf: ModelShelf[ScoreModel] = ModelShelf(
        "gru4rec", load, partial(require_fast, settings.admission), beside
    )
    catalogue = Catalogue()
    contenders = Contenders(
        "gru4rec",
        partial(
            load_challenger,
            Registry.of(settings),
            threads=settings.scoring.threads,
            most_visitors=settings.contest.visitors,
        ),
        lambda made: require_fast(settings.admission, made, shelf.live),
        beside,
    )
    shadows = Shadows(settings, log, contenders, catalogue)

    def on_release(key: bytes | None, value: bytes | None) -> None:
        shelf.on_record(key, value)
        contenders.on_record(key, value)

    models = BroadcastReader(kafka, kafka.topic("models"), on_release)
    items = BroadcastReader(kafka, kafka.topic("items"), catalogue.on_record)
    maker = ListMaker(
        settings,
        log,
        shelf,
        catalogue,
        table_id=topic_ids["visitor-states"],
        missing=partial(read_range, kafka, visitor_states),
        committed=lambda partition: app.consumer.committed(visitor_states, partition),
        shadows=shadows,
    )

    async def try_out() -> None:
        await models.caught_up.wait()
        await shelf.settled()  # what is live is what the others are measured by
        await contenders.run()

    async def keep_what_is_ours(_: Any, assigned: Collection[Any], **__: Any) -> None:
        maker.keep({place.partition for place in assigned if place.topic == visitor_states})

    app.on_partitions_assigned.connect(keep_what_is_ours, weak=False)

    async def broadcasts_known() -> None:
        await models.caught_up.wait()
        await items.caught_up.wait()
        await shelf.settled()
        await contenders.settled()

    def ready() -> str | None:
        if not (models.caught_up.is_set() and items.caught_up.is_set()):
            return "reading the models and items topics"
        if not shelf.is_settled:
            return "loading the model"
        return None if app.tables.actives_ready else "joining the group"

    watchdog = add_agent(app, "scoring", kafka, visitor_states, maker.handle, before=broadcasts_known)
    topics_stay = partial(watch_topics, settings, topic_ids)
    web = settings.web
    pages = OperatorsPages(web.host, web.port or PAGES_PORTS["scoring"], ready, web.fd)
    background: list[Background] = [
        models.run,
        items.run,
        shelf.run,
        try_out,
        shadows.run,
        watchdog,
        topics_stay,
    ]
    run_worker(app, settings, pages=pages, background=background, on_stop=[log.stop])
