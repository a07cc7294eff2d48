"""The demo from nothing to summary.json: Kafka, two versions of a model, both apps, real clicks, figures."""

import asyncio
import json
import shlex
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from streamrec.access import client_options
from streamrec.config import RegistrySettings, Settings
from streamrec.datasets import Clicks, bundled_clicks, split_by_day
from streamrec.demo.judge import Judge
from streamrec.demo.summary import K, Summary, summarise
from streamrec.demo.versions import (
    Successor,
    Versions,
    offline_recall,
    require_sources,
    train_beside,
    train_versions,
)
from streamrec.demo.view import LiveView, side_by_side
from streamrec.errors import DatasetError, WorkerError
from streamrec.events import Recommendation, Verdict
from streamrec.gate import headline
from streamrec.replay import ReplayReport, at_speed, replay
from streamrec.standalone import ROLES, Apps, Kafka, has_kafka, with_own_key
from streamrec.topics import connect, describe_topics

__all__ = ["DemoOptions", "run_demo"]

# Without a list for so long, those that are missing will not come.
_QUIET_S: Final = 20.0

_decode = msgspec.json.Decoder(Recommendation).decode


class DemoOptions(NamedTuple):
    """What can be chosen."""

    out: Path = Path("build/demo")
    """Folder for all that the demo writes."""
    days_first: float = 23.0
    """Days of clicks that the first version is trained on."""
    days_train: float = 24.0
    """Days of clicks that its successor is trained on; the later ones are replayed."""
    clicks: int | None = None
    """How many of those to replay, from the first on; None replays all."""
    rate: float = 500.0
    """Clicks a second, on average: the pace keeps the rhythm of the days."""
    sessions: int = 1000
    """Sessions of the traffic that the gate judges the successor by: the first fifth. Half of what it asks
    for by default, and enough for the difference that three more days of clicks make."""
    parameters: Mapping[str, Any] = {}
    """Hyperparameters of GRU4Rec on top of the quick ones."""
    beside: Sequence[str] = ()
    """Recommenders that are sources of the lists, too, trained on the same days."""


class Training(NamedTuple):
    """The clicks of the days before the traffic."""

    first: Clicks
    """Those of the first version."""
    all: Clicks


class _Outcome(NamedTuple):
    report: ReplayReport
    verdict: Verdict
    """About the second version."""
    seconds: float
    """From the first click to the last list."""
    codes: Mapping[str, int | None]
    """Exit codes of the apps."""
    newest: Recommendation | None
    """One of the last lists."""


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> Summary:
    """Run the demo and write summary.json.

    Raises a StreamrecError if a part fails. What is wrong with the figures is for the caller
    to ask (`Summary.faults`).
    """
    started = time.monotonic()
    train, live = _split(options)
    require_sources(options.beside, train.first)  # before the trainings, which take minutes
    speed_up = max(1.0, (live.last_ms - live.first_ms) / 1000 / (len(live) / options.rate))
    options.out.mkdir(parents=True, exist_ok=True)
    settings = _demo_settings(settings, options.out, speed_up, options.sessions)
    with _kafka(settings, options.out, console) as kafka:
        console.print("[bold]2.[/] Two versions of a model")
        versions = _train(kafka.settings, train, options, console)
        chosen = train_beside(kafka.settings, train.all, options.beside, console)
        judge = Judge(live, K)
        outcome = _serve(kafka, chosen, judge, versions, speed_up, options.out, console)
        dead_letters = _offsets(kafka.settings, "dead-letters")
    console.print(f"   the gate: {headline(outcome.verdict)}", highlight=False, soft_wrap=True)
    if outcome.verdict.released and versions.second.version not in judge.by_release():
        console.print("   It was passed after the last click: no list was made by it.", highlight=False)
    console.print("[bold]5.[/] Everything is stopped. GRU4Rec once more, offline on the same clicks ...")
    summary = summarise(
        judge.figures(),
        offline_recall=offline_recall(judge, versions),
        verdict=outcome.verdict,
        dead_letters=dead_letters,
        speed_up=speed_up,
        replay_s=outcome.seconds,
        behind_s=outcome.report.behind_s,
        train_s=versions.first.train_s + versions.second.train_s,
        total_s=time.monotonic() - started,
        beside=list(chosen.scoring.recommenders),
    )
    summary.write(options.out / "summary.json")
    console.print()
    console.print(summary.table())
    if outcome.newest is not None and chosen.scoring.recommenders:
        console.print()
        console.print(side_by_side(outcome.newest, list(chosen.scoring.recommenders)))
    console.print(f"\nAll figures are in {options.out / 'summary.json'}", highlight=False, soft_wrap=True)
    _print_afterwards(kafka.settings, options.out, console)
    unclean = [f"{role} ended with code {code}" for role, code in outcome.codes.items() if code != 0]
    if unclean:
        raise WorkerError(f"{', '.join(unclean)} when told to stop; the logs are in {options.out / 'logs'}")
    return summary


def _split(options: DemoOptions) -> tuple[Training, Clicks]:
    clicks = bundled_clicks()
    first, _ = split_by_day(clicks, options.days_first)
    train, live = split_by_day(clicks, options.days_train)
    live = live.first(options.clicks)
    if not 0 < len(first) < len(train) or not len(live):
        raise DatasetError(
            f"{options.days_first:g} and {options.days_train:g} days to train on are {len(first):,} and "
            f"{len(train):,} clicks, and leave {len(live):,} to replay; the bundled clicks cover 30 days"
        )
    return Training(first, train), live


def _demo_settings(settings: Settings, out: Path, speed_up: float, sessions: int) -> Settings:
    """The same settings at the speed of the replay, with what the judge needs on each list."""
    scaled = at_speed(settings, speed_up)
    kafka = scaled.kafka
    if has_kafka(settings):
        # Somebody's Kafka: topics of our own, which are removed afterwards.
        kafka = kafka.model_copy(update={"prefix": f"{kafka.prefix}demo-{uuid.uuid4().hex[:8]}."})
    return with_own_key(
        scaled.model_copy(
            update={
                "kafka": kafka,
                "registry": RegistrySettings(path=(out / "registry").resolve()),
                "gate": scaled.gate.model_copy(
                    update={"pages": (out / "gate").resolve(), "min_sessions": sessions}
                ),
                "scoring": scaled.scoring.model_copy(update={"trace": True, "k": K}),
            }
        )
    )


@contextmanager
def _kafka(settings: Settings, out: Path, console: Console) -> Iterator[Kafka]:
    """A Kafka with fresh topics, of which nothing is left afterwards."""
    console.print("[bold]1.[/] Apache Kafka")
    started = time.monotonic()
    data = Path(tempfile.mkdtemp(prefix="kafka-", dir=out))
    try:
        with Kafka(settings, data, port=0) as kafka:
            _print(console, f"up at {kafka.bootstrap}, topics made", time.monotonic() - started)
            try:
                yield kafka
            finally:
                if not kafka.embedded:
                    _clean_up(kafka.settings)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _clean_up(settings: Settings) -> None:
    """Remove the topics and consumer groups of this demo."""
    prefix = settings.kafka.prefix
    with connect(settings.kafka) as admin:
        admin.delete_topics([topic for topic in admin.list_topics() if topic.startswith(prefix)])
        admin.delete_groups([f"{prefix}{role}" for role in ROLES])


def _train(settings: Settings, train: Training, options: DemoOptions, console: Console) -> Versions:
    days = (options.days_first, options.days_train)
    for what, clicks, day in zip(
        ("GRU4Rec", "its successor, which goes on from there"), train, days, strict=True
    ):
        console.print(f"   {what}: {len(clicks):,} clicks of the first {day:g} days", highlight=False)
    versions = train_versions(settings, *train, options.parameters, console)
    first, second = versions
    rate = (first.events + second.events) / (first.train_s + second.train_s)
    released = f"{first.version} released, {second.version} has to pass the gate"
    _print(console, f"{rate:,.0f} events a second; {released}", first.train_s + second.train_s)
    return versions


def _serve(
    kafka: Kafka,
    settings: Settings,
    judge: Judge,
    versions: Versions,
    speed_up: float,
    out: Path,
    console: Console,
) -> _Outcome:
    console.print("[bold]3.[/] The apps, state and scoring, a process each")
    started = time.monotonic()
    with Apps(settings, out / "logs") as apps:
        apps.wait_until_ready()
        _print(console, f"ready; logs in {apps.folder}", time.monotonic() - started)
        for role, address in apps.pages.items():
            console.print(f"   {address}/metrics ({role})", highlight=False)
        clicks = f"{len(judge.clicks):,} clicks of the days after"
        console.print(f"[bold]4.[/] Live traffic: {clicks}, {speed_up:,.0f} times as fast as life")
        view = LiveView(console, judge, apps.pages, list(settings.scoring.recommenders))
        outcome = asyncio.run(_replay_and_judge(kafka, apps, judge, versions, speed_up, view))
    _print(console, f"{judge.sent:,} clicks, {judge.listed:,} lists", outcome.seconds)
    return outcome


def _print(console: Console, text: str, seconds: float) -> None:
    console.print(f"   {text} [dim]({seconds:.1f} s)[/]", highlight=False, soft_wrap=True)


async def _replay_and_judge(
    kafka: Kafka, apps: Apps, judge: Judge, versions: Versions, speed_up: float, view: LiveView
) -> _Outcome:
    """Replay until every click has its list; then stop the apps and look for more lists."""
    settings = kafka.settings
    async with _reader(settings, "recommendations") as consumer:
        publishing = asyncio.ensure_future(
            replay(settings, judge.clicks, speed_up=speed_up, on_sent=judge.on_sent)
        )
        successor = Successor(settings, versions)
        started = answered = time.monotonic()
        try:
            with view:
                while not (publishing.done() and judge.done):
                    newest = await _collect(consumer, judge)
                    now = time.monotonic()
                    if newest is not None or not publishing.done():
                        answered = now
                    elif publishing.exception() is not None or now - answered > _QUIET_S:
                        break
                    view.news = successor.update(judge, is_last=publishing.done())
                    view.update(newest)
                    apps.check()
                    kafka.check()
        finally:
            publishing.cancel()
        report = await publishing
        verdict = await successor.verdict(judge)
        codes = await asyncio.to_thread(apps.stop)
        await _collect_rest(consumer, judge)
    return _Outcome(report, verdict, answered - started, codes, view.newest)


async def _collect(consumer: Any, judge: Judge) -> Recommendation | None:
    """Take what has arrived; returns one of the lists."""
    newest = None
    for records in (await consumer.getmany(timeout_ms=100)).values():
        for record in records:
            newest = _decode(record.value)
            judge.on_list(newest, record.timestamp)
    return newest


async def _collect_rest(consumer: Any, judge: Judge) -> None:
    """Take what is there up to the end of the topic."""
    ends = await consumer.end_offsets(consumer.assignment())
    for partition, end in ends.items():
        while await consumer.position(partition) < end:
            await _collect(consumer, judge)


@asynccontextmanager
async def _reader(settings: Settings, topic: str) -> AsyncIterator[Any]:
    """A consumer of all partitions of a topic, from the beginning."""
    consumer = AIOKafkaConsumer(**client_options(settings.kafka), group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        name = settings.kafka.topic(topic)
        consumer.assign([TopicPartition(name, each) for each in range(settings.kafka.partitions)])
        yield consumer
    finally:
        # Where the broker is gone it raises the cancellation of its own tasks.
        with suppress(asyncio.CancelledError):
            await consumer.stop()


def _offsets(settings: Settings, topic: str) -> int:
    """Records that were written to a topic."""
    name = settings.kafka.topic(topic)
    return sum(each.offsets for each in describe_topics(settings) if each.name == name)


def _print_afterwards(settings: Settings, out: Path, console: Console) -> None:
    """How to look at both versions once Kafka is gone."""
    registry = settings.registry
    variables = {
        # Gone by then; another Kafka knows nothing of these versions, and the pages tell of their verdicts.
        "STREAMREC_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "STREAMREC_REGISTRY__PATH": registry.path,
        "STREAMREC_REGISTRY__TRUSTED_KEYS": json.dumps(registry.trusted_keys),
        "STREAMREC_GATE__PAGES": settings.gate.pages,
    }
    lines = [f"export {name}={shlex.quote(str(value))}\n" for name, value in variables.items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n')
    (out / "settings.sh").write_text("".join(lines), "utf-8")
    command = f". {shlex.quote(str(out / 'settings.sh'))} && streamrec models list"
    console.print(f"Both versions, and what the gate said: {command}", highlight=False, soft_wrap=True)
