"""The demo from nothing to summary.json: Kafka, a model, both apps, real clicks, figures."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from streamrec.config import Settings
from streamrec.datasets import DAY_MS, Clicks, bundled_clicks, item_sequences, split_by_time
from streamrec.demo.judge import Judge
from streamrec.demo.view import LiveView, summary_table
from streamrec.errors import StreamrecError
from streamrec.evaluation import recall_at_k, session_ranks
from streamrec.events import Recommendation
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.replay import replay
from streamrec.scorer import load_scorer, load_step
from streamrec.standalone import ROLES, Apps, kafka
from streamrec.training import gru4rec_config, progress_bar, train_gru4rec

__all__ = ["DemoOptions", "run_demo"]

_QUIET_S = 20.0
# Replayed time runs thousands of times faster: the ticks at which lists see what was learned follow.
_TICK_MS = 50

_decode = msgspec.json.Decoder(Recommendation).decode


class DemoOptions(NamedTuple):
    """What can be chosen."""

    out: Path = Path("build/demo")
    days_train: float = 24.0
    """Days of clicks that the model is trained on; the later ones are replayed."""
    clicks: int | None = None
    """How many of those to replay; None replays all."""
    duration_s: float = 45.0
    """Time the replay of all of them takes; fewer take their share."""


class _Took(NamedTuple):
    replay_s: float
    """Until the last click was written."""
    answered_s: float
    """Until the last list was there."""
    codes: Mapping[str, int | None]
    """Exit codes of the apps."""


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> dict[str, Any]:
    """Run the demo; returns what is in summary.json.

    Raises StreamrecError if a part fails, or if a list was lost or doubled.
    """
    started = time.monotonic()
    train, live = _split(options)
    speed_up = max(1.0, (live.last_ms - live.first_ms) / 1000 / _duration_s(options, live))
    settings = _demo_settings(settings, options.out, speed_up)
    console.print("[bold]1.[/] Apache Kafka: starting")
    with kafka(settings) as pointed:
        console.print(f"   up at {pointed.kafka.bootstrap}, topics made")
        version, train_s = _train(pointed, train, console)
        console.print(f"[bold]3.[/] apps: starting, with {version} released")
        with Apps(pointed, options.out / "logs") as apps:
            console.print(
                f"[bold]4.[/] {len(live):,} clicks of later days, {speed_up:,.0f} times their speed"
            )
            judge = Judge(live, settings.scoring.k)
            took = asyncio.run(_live(pointed, apps, live, speed_up, judge, console))
        dead_letters = asyncio.run(_count(pointed, "dead-letters"))
    summary = judge.summary() | {
        f"offline_recall_at_{settings.scoring.k}": _offline(settings, version, live),
        "clicks_per_s": len(judge.sent) / took.answered_s,
        "speed_up": speed_up,
        "dead_letters": dead_letters,
        "train_s": train_s,
        "replay_s": took.replay_s,
        "total_s": time.monotonic() - started,
    }
    path = options.out / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console.print("[bold]5.[/] everything stopped; the figures:\n")
    console.print(summary_table(summary))
    console.print(f"\nwritten to {path}")
    _require_right(summary, took.codes)
    return summary


def _split(options: DemoOptions) -> tuple[Clicks, Clicks]:
    clicks = bundled_clicks()
    train, live = split_by_time(clicks, clicks.first_ms + round(options.days_train * DAY_MS))
    if options.clicks is not None:
        n = options.clicks
        live = Clicks(live.session_ids[:n], live.item_ids[:n], live.time_ms[:n])
    if not len(train) or not len(live):
        raise StreamrecError(
            f"{options.days_train:g} training days leave {len(train)} clicks to train on and {len(live)} to "
            "replay; the bundled clicks cover 30 days"
        )
    return train, live


def _duration_s(options: DemoOptions, live: Clicks) -> float:
    if options.clicks is None:
        return options.duration_s
    return max(5.0, options.duration_s * len(live) / 22_000)


def _demo_settings(settings: Settings, out: Path, speed_up: float) -> Settings:
    """The same settings, with traces for the judge and times scaled by the speed-up."""
    half_life_s = settings.state.popularity_half_life_s / speed_up
    return settings.model_copy(
        update={
            "registry": settings.registry.model_copy(update={"path": (out / "registry").resolve()}),
            "state": settings.state.model_copy(update={"popularity_half_life_s": half_life_s}),
            "scoring": settings.scoring.model_copy(update={"trace": True, "tick_ms": _TICK_MS}),
        }
    )


def _train(settings: Settings, clicks: Clicks, console: Console) -> tuple[str, float]:
    console.print(f"[bold]2.[/] GRU4Rec: training on {len(clicks):,} clicks")
    registry = Registry(settings.registry.path)
    with progress_bar(console, label="  ") as on_step:
        trained = train_gru4rec(
            clicks,
            registry,
            config=gru4rec_config(quick=True),
            on_step=on_step,
            data={"source": "bundled clicks"},
        )
    announce(settings, "gru4rec", trained.version)
    console.print(f"   {trained.events / trained.train_s:,.0f} events per second, {trained.train_s:.0f} s")
    return trained.version, trained.train_s


async def _live(
    settings: Settings, apps: Apps, clicks: Clicks, speed_up: float, judge: Judge, console: Console
) -> _Took:
    """Replay, and collect until every click has its list; then stop the apps and look for more."""
    started = last = time.monotonic()
    async with _reader(settings, "recommendations") as consumer:
        publishing = asyncio.ensure_future(replay(settings, clicks, speed_up=speed_up, on_sent=judge.on_sent))
        with LiveView(console, judge, {role: apps.address(role) for role in ROLES}) as view:
            try:
                while not (publishing.done() and judge.done) and time.monotonic() - last < _QUIET_S:
                    newest = await _collect(consumer, judge)
                    if newest is not None or not publishing.done():
                        last = time.monotonic()
                    view.update(newest)
                    apps.check()
            finally:
                publishing.cancel()
        answered = time.monotonic()
        codes = await asyncio.to_thread(apps.stop)
        tps = consumer.assignment()
        ends = await consumer.end_offsets(tps)
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            await _collect(consumer, judge)
    return _Took(await publishing, answered - started, codes)


async def _collect(consumer: Any, judge: Judge) -> Recommendation | None:
    """Take what has arrived; returns one of the lists."""
    newest = None
    for records in (await consumer.getmany(timeout_ms=250)).values():
        for record in records:
            newest = _decode(record.value)
            judge.on_list(newest, record.timestamp)
    return newest


async def _count(settings: Settings, topic: str) -> int:
    async with _reader(settings, topic) as consumer:
        return sum((await consumer.end_offsets(consumer.assignment())).values())


def _offline(settings: Settings, version: str, clicks: Clicks) -> float:
    """Recall of the same model on the same pairs, without the stream."""
    registry = Registry(settings.registry.path)
    ranks = session_ranks(
        load_step(registry, version),
        load_scorer(registry, version),
        list(item_sequences(clicks)),
        n=settings.scoring.k,
    )
    return recall_at_k(ranks.ranks, settings.scoring.k)


@asynccontextmanager
async def _reader(settings: Settings, topic: str) -> AsyncIterator[Any]:
    """A consumer of all partitions of a topic, from the beginning."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap.split(","), group_id=None)
    await consumer.start()
    try:
        name = settings.kafka.topic(topic)
        tps = [TopicPartition(name, partition) for partition in range(settings.kafka.partitions)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        yield consumer
    finally:
        await consumer.stop()


def _require_right(summary: Mapping[str, Any], codes: Mapping[str, int | None]) -> None:
    wrong = [
        f"{summary[name]} {name}" for name in ("lost", "doubled", "unasked", "dead_letters") if summary[name]
    ]
    wrong += [f"{role} ended with code {code}" for role, code in codes.items() if code != 0]
    if wrong:
        raise StreamrecError("the demo went wrong: " + ", ".join(wrong))
