"""The training app: judges live lists as evaluation does, and starts a run when one is due.

Beside the hot path: it only reads. The worker that has partition 0 starts runs, so that there is one at a
time in the cluster; what it takes for a drift is what it sees in its own partitions. A run is a child
process, which gives way to everything else; it ends with this one, and is taken up by the next.

What this worker knows is in memory and in the files of `training.folder` alone.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final, NoReturn

import msgspec

from streamrec import metrics
from streamrec.agents.evaluation import ListJudge
from streamrec.config import Settings
from streamrec.engine.app import create_app
from streamrec.engine.child import Child
from streamrec.engine.reader import RangeReader, read_range
from streamrec.engine.runner import Background, add_agent, run_worker
from streamrec.engine.web import OperatorsPages
from streamrec.evaluation.fading import Verdict
from streamrec.ports import PAGES_PORTS
from streamrec.registry import Registry
from streamrec.retraining import DriftWatch, Outcome, Place, Plan, RunDesk, new_plan
from streamrec.topics import known_topics, require_topics, watch_topics

__all__ = ["Retraining", "run_training"]

log = logging.getLogger(__name__)

_POLL_S: Final = 0.5
_AGAIN_S: Final = 10.0
"""From the end of a run that was cut short to its next attempt: Kafka or a store may be away."""
_STOP_TIMEOUT_S: Final = 5.0
_LEADING_PARTITION: Final = 0


class Retraining:
    """Starts runs and counts what becomes of them. It observes the judged clicks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._place = Place(settings.training.folder)
        last = self._place.outcome()
        self._desk = RunDesk(settings.training, last.start_ms if last else _now_ms())
        self.drift = DriftWatch(settings.training)
        self._leads = False
        self._stopping = False
        self._again_ms = 0
        self._under_way: tuple[Child, Plan] | None = None
        metrics.training_success_timestamp.set(_now_ms() / 1000)
        if last is not None:
            _show(last)
        self._show_next()

    def keep(self, partitions: Collection[int]) -> None:
        """This worker's partitions are these now."""
        self.drift.keep(partitions)
        self._leads = _LEADING_PARTITION in partitions

    def judged(self, partition: int, visitor_id: str, verdict: Verdict) -> None:
        """Take a judged click."""
        signal = self.drift.take(partition, verdict)
        if signal is None:
            return
        metrics.training_drifts.labels("drop" if signal.is_drop else "other").inc()
        log.warning(
            "drift in partition %s: hit rate %.3f, before %.3f", partition, signal.after, signal.before
        )
        if signal.is_drop:
            self._desk.on_drop(signal.time_ms)

    def listed(self, version: str, emit_ms: int, late_ms: int) -> None:
        """Nothing is due because of a list."""

    async def run(self) -> None:
        """Start what is due and see to its end, until cancelled."""
        while not self._stopping:
            if self._under_way is not None:
                await self._watch(*self._under_way)
            elif self._leads:
                self._start_if_due()
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """End the run that is under way; its plan stays for who comes next."""
        self._stopping = True
        if self._under_way is not None:
            await asyncio.to_thread(self._under_way[0].stop, _STOP_TIMEOUT_S)

    def _show_next(self) -> None:
        metrics.training_next_timestamp.set((self._desk.next_ms or 0) / 1000)

    def _start_if_due(self) -> None:
        if self._place.is_held() or _now_ms() < self._again_ms:
            return  # one by hand, or of a worker that is about to end: its plan is not ours yet
        plan = self._place.plan()
        for begun in (plan, self._place.outcome()):
            if begun is not None:
                self._desk.on_start(begun.start_ms)
        self._show_next()
        if plan is None:
            reason = self._desk.due(_now_ms())
            if reason is None:
                return
            plan = new_plan(self._settings.training, reason, _now_ms())
        if plan.attempts >= self._settings.training.attempts:
            self._fail(plan, f"cut short {plan.attempts} times; {self._last_words()}")
            return
        plan = msgspec.structs.replace(plan, attempts=plan.attempts + 1)
        self._place.keep_plan(plan)
        child = Child(
            # -P: a folder named streamrec where we happen to run is not the one that is installed.
            [sys.executable, "-P", "-m", "streamrec.cli", "training", "--once"],
            self._place.log,
            env={**_without_settings(os.environ), **self._settings.environment()},
        )
        self._under_way = child, plan
        metrics.training_running.set(1)
        log.info("run %s (%s) starts, attempt %s", plan.run, plan.reason, plan.attempts)

    async def _watch(self, child: Child, plan: Plan) -> None:
        late = _now_ms() > plan.start_ms + self._settings.training.timeout_s * 1000
        if child.running and self._leads and not late:
            return
        await asyncio.to_thread(child.stop, _STOP_TIMEOUT_S)
        self._under_way = None
        metrics.training_running.set(0)
        outcome = self._place.outcome()
        if outcome is not None and outcome.run == plan.run:
            _count(outcome)
        elif not self._leads:
            log.info("run %s goes on where partition %s went", plan.run, _LEADING_PARTITION)
        elif late:
            self._fail(plan, f"not done after {self._settings.training.timeout_s:g} s")
        else:
            metrics.training_runs.labels(plan.reason, "killed").inc()
            code = child.exit_code or 0
            why = f"signal {-code}" if code < 0 else self._last_words()
            log.warning("run %s was cut short (%s) and goes on in %g s", plan.run, why, _AGAIN_S)
            self._again_ms = _now_ms() + round(_AGAIN_S * 1000)

    def _fail(self, plan: Plan, detail: str) -> None:
        _count(
            self._place.finish(
                Outcome(
                    run=plan.run,
                    reason=plan.reason,
                    start_ms=plan.start_ms,
                    result="failed",
                    end_ms=_now_ms(),
                    detail=detail,
                )
            )
        )

    def _last_words(self) -> str:
        lines = self._place.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else f"nothing in {self._place.log}"


def _count(outcome: Outcome) -> None:
    metrics.training_runs.labels(outcome.reason, outcome.result).inc()
    if outcome.verdict:
        metrics.gate_verdicts.labels(outcome.verdict).inc()
    for check in outcome.failed_checks:
        metrics.gate_failed_checks.labels(check).inc()
    metrics.training_seconds.observe((outcome.end_ms - outcome.start_ms) / 1000)
    _show(outcome)
    tell = log.error if outcome.result == "failed" else log.info
    tell(
        "run %s (%s): %s %s %s", outcome.run, outcome.reason, outcome.result, outcome.version, outcome.detail
    )


def _show(outcome: Outcome) -> None:
    if outcome.success_ms is not None:
        metrics.training_success_timestamp.set(outcome.success_ms / 1000)
    if outcome.train_s:
        metrics.training_events_per_second.set(outcome.events / outcome.train_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    # They are in the settings already, and would win.
    return {name: value for name, value in environment.items() if not name.upper().startswith("STREAMREC_")}


def run_training(settings: Settings) -> NoReturn:
    """Run a training worker until it is told to stop.

    Raises ConfigError, BrokerError, TopicError, EngineError before it starts; later faults end the process.
    """
    # What a run would refuse is found out now, and not at three at night.
    Registry.of(settings).require_trusted_signer()
    kafka = settings.kafka
    recommendations = kafka.topic("recommendations")
    require_topics(settings, ["interactions", "recommendations", "models"])
    topic_ids = known_topics(settings, ["interactions", "recommendations"])
    app = create_app(settings, "training")
    retraining = Retraining(settings)
    interactions = RangeReader(kafka, kafka.topic("interactions"))
    judge = ListJudge(
        settings,
        interactions=interactions.read,
        end=interactions.end,
        missing=partial(read_range, kafka, recommendations),
        observer=retraining,
    )

    async def keep_what_is_ours(_: Any, assigned: Collection[Any], **__: Any) -> None:
        ours = {place.partition for place in assigned if place.topic == recommendations}
        judge.keep(ours)
        retraining.keep(ours)
        interactions.keep(ours)

    app.on_partitions_assigned.connect(keep_what_is_ours, weak=False)

    async def connected() -> None:
        await interactions.connected.wait()

    def ready() -> str | None:
        if not interactions.connected.is_set():
            return "connecting to the interactions topic"
        return None if app.tables.actives_ready else "joining the group"

    metrics.training_hit_rate.read_from(
        lambda: {(str(partition),): rate for partition, rate in retraining.drift.hit_rates().items()}
    )
    watchdog = add_agent(app, "training", kafka, recommendations, judge.handle, before=connected)
    topics_stay = partial(watch_topics, settings, topic_ids)
    web = settings.web
    pages = OperatorsPages(web.host, web.port or PAGES_PORTS["training"], ready, web.fd)
    background: list[Background] = [interactions.run, retraining.run, watchdog, topics_stay]
    run_worker(app, settings, pages=pages, background=background, on_stop=[retraining.stop])
