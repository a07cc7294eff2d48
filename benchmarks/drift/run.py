"""One run on a real Kafka with the real apps: clicks live, and the two logs that say what became of them."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from benchmarks.drift.stream import Stream
from benchmarks.drift.verdict import Hits
from benchmarks.pages import samples
from streamrec.config import RegistrySettings, Settings, TrainingSettings
from streamrec.engine.child import Child
from streamrec.errors import WorkerError
from streamrec.evaluation.fading import Verdict
from streamrec.evaluation.prequential import Prequential
from streamrec.publishing import Sent
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.replay import replay
from streamrec.retraining import Outcome, Place
from streamrec.standalone import Apps, Kafka, with_own_key
from streamrec.topics import read_topic
from streamrec.training import gru4rec_config, train_gru4rec

__all__ = ["Finished", "Options", "run_scenario", "scenario_settings"]

_SOURCE: Final = "gru4rec"
_K: Final = 20
_POLL_S: Final = 0.5


class Options(NamedTuple):
    """What can be chosen."""

    out: Path = Path("build/drift")
    rate: float = 300.0
    """Clicks a second."""
    base: int = 12_000
    """Clicks that the first model is trained on."""
    before: int = 20_000
    """Live clicks before the drift."""
    settle: int = 10_000
    """Judged clicks of a partition from the change to the signal."""
    after: int = 8000
    """Clicks that are sent after the release."""
    most: int | None = None
    """Live clicks at most; None: as many as there are."""
    held_out: int = 2400
    """Sessions that the gate judges by."""
    window: int = 1500
    """Judged clicks that a hit rate is of."""
    partitions: int = 2

    @property
    def history_s(self) -> int:
        """What a run trains on: as long as the signal takes, and little from before the change."""
        judged_s = self.settle * self.partitions / (0.75 * self.rate)
        return max(5, round(judged_s * 1.05))


class Finished(NamedTuple):
    """A run's logs, read to their end."""

    hits: Hits
    drift_ms: int
    sent: int
    outcomes: list[Outcome]
    drops: int
    """Drift signals of a drop."""


def scenario_settings(settings: Settings, options: Options, folder: Path) -> Settings:
    """Settings of one run in a folder of its own."""
    training = TrainingSettings(
        drift_source=_SOURCE,
        drift_k=_K,
        drift_clicks=1000,
        drift_settle_clicks=options.settle,
        cool_down_s=5.0,
        hold_out_sessions=options.held_out,
        history_s=options.history_s,
        quick=True,
        folder=(folder / "training").resolve(),
    )
    return with_own_key(
        settings.model_copy(
            update={
                "kafka": settings.kafka.model_copy(update={"partitions": options.partitions}),
                "registry": RegistrySettings(path=(folder / "registry").resolve()),
                "scoring": settings.scoring.model_copy(update={"trace": True, "k": _K}),
                "training": training,
            }
        )
    )


def run_scenario(
    settings: Settings, options: Options, stream: Stream, folder: Path, *, retrain: bool, clicks: int | None
) -> Finished:
    """Train, serve, send; with `retrain` until `after` clicks after the release, else `clicks` of them.

    Raises a StreamrecError if a part fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Kafka(scenario_settings(settings, options, folder), folder / "kafka", port=0) as kafka:
        train_gru4rec(stream.base, registry := Registry.of(kafka.settings), config=gru4rec_config(quick=True))
        announce(kafka.settings, "gru4rec", registry.latest("gru4rec"))
        with Apps(kafka.settings, folder / "logs") as apps:
            apps.wait_until_ready()
            with _training(kafka.settings, folder, retrain) as app:
                sent = asyncio.run(_send(kafka, apps, app, stream, options, clicks))
            return Finished(
                _hits(kafka.settings),
                sent.drift_ms,
                sent.n,
                app.outcomes if app else [],
                app.drops if app else 0,
            )


class _Training:
    """The training app, and what its runs came to."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.outcomes: list[Outcome] = []
        self.drops = 0
        """Drift signals of a drop, as its metrics say at the end."""
        self._place = Place(settings.training.folder)
        self._log = folder / "logs" / "training.log"
        with socket.create_server(("127.0.0.1", 0)) as pages:
            web = settings.web.model_copy(update={"fd": pages.fileno()})
            own = settings.model_copy(update={"web": web})
            self._page = f"http://127.0.0.1:{pages.getsockname()[1]}/metrics"
            self._child = Child(
                [sys.executable, "-P", "-m", "streamrec.cli", "training"],
                self._log,
                env={**os.environ, **own.environment()},
                files=[pages.fileno()],
            )

    def check(self) -> None:
        """Take a new outcome; raises WorkerError if the app has ended."""
        if not self._child.running:
            raise WorkerError(f"training ended with code {self._child.exit_code}; its log is {self._log}")
        outcome = self._place.outcome()
        if outcome is not None and outcome not in self.outcomes:
            self.outcomes.append(outcome)

    def stop(self) -> None:
        try:
            if self._child.running:
                self.drops = self._drops()
        finally:
            self._child.stop(10.0)

    def _drops(self) -> int:
        return sum(
            int(each.value)
            for each in samples(self._page)
            if each.name == "streamrec_training_drifts_total" and each.labels["kind"] == "drop"
        )


@contextmanager
def _training(settings: Settings, folder: Path, wanted: bool) -> Iterator[_Training | None]:
    app = _Training(settings, folder) if wanted else None
    try:
        yield app
    finally:
        if app is not None:
            app.stop()


class _Sent:
    n = 0
    drift_ms = 0


async def _send(
    kafka: Kafka, apps: Apps, app: _Training | None, stream: Stream, options: Options, clicks: int | None
) -> _Sent:
    sent, released_at = _Sent(), None

    def on_sent(each: Sent) -> None:
        sent.n += 1
        if each.place == stream.drift:
            sent.drift_ms = each.time_ms

    live = stream.live.first(clicks or options.most)
    publishing = asyncio.ensure_future(replay(kafka.settings, live, speed_up=1.0, on_sent=on_sent))
    try:
        while not publishing.done():
            await asyncio.sleep(_POLL_S)
            kafka.check()
            apps.check()
            if app is None:
                continue
            app.check()
            if released_at is None and any(each.result == "released" for each in app.outcomes):
                released_at = sent.n
            if released_at is not None and sent.n >= released_at + options.after:
                break
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    return sent


class _Judged:
    """Times of judged clicks, and whether they were hits; a prequential.Observer."""

    def __init__(self) -> None:
        self.found: list[tuple[int, bool]] = []

    def judged(self, partition: int, visitor_id: str, verdict: Verdict) -> None:
        self.found.append((verdict.time_ms, 0 < verdict.own.get(_SOURCE, 0) <= _K))

    def listed(self, version: str, emit_ms: int, late_ms: int) -> None:
        pass


def _hits(settings: Settings) -> Hits:
    """All judged clicks, once scoring has answered what was sent."""
    n = _settled(settings)
    judged = _Judged()
    logs: dict[str, dict[int, list[Any]]] = {"interactions": {}, "recommendations": {}}
    for name, parts in logs.items():
        read_topic(settings, name, partial(_keep, parts))
    for partition, records in logs["interactions"].items():
        judge = Prequential(settings, partition, judged)
        judge.take_lists(logs["recommendations"].get(partition, []), records[-1].offset + 1)
        judge.take_interactions(records, records[-1].offset + 1)
    if not n or not judged.found:
        raise WorkerError("no click could be judged; the logs of the apps say why")
    times, hit = zip(*sorted(judged.found, key=lambda each: each[0]), strict=True)
    return Hits(np.array(times, np.int64), np.array(hit, np.bool_))


def _keep(parts: dict[int, list[Any]], records: list[Any]) -> None:
    parts.setdefault(records[0].partition, []).extend(records)


def _settled(settings: Settings) -> int:
    """Lists there are when no more come."""
    n, deadline = -1, time.monotonic() + 120
    while time.monotonic() < deadline:
        lists: dict[int, list[Any]] = {}
        read_topic(settings, "recommendations", partial(_keep, lists))
        now = sum(map(len, lists.values()))
        if now == n:
            return n
        n = now
        time.sleep(2.0)
    raise WorkerError(f"scoring does not come to an end: {n:,} lists so far")


def plain(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """For a report."""
    return [msgspec.structs.asdict(each) for each in outcomes]
