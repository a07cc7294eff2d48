"""A run, from its plan to its outcome. It can be killed anywhere, and started again.

In: the plan in `training.folder`, if there is one. Out: a version in the registry, judged and perhaps
live, or none. What was done is seen from what is there: a version that names the run in its manifest is not
trained again, one that is live not judged again.
"""

import logging
import time
from typing import Any

import msgspec
import numpy as np

from streamrec.config import Settings
from streamrec.contracts import OnStep
from streamrec.datasets import Clicks, sessions
from streamrec.errors import ArtifactError, BrokerError, DatasetError, StorageError, StreamrecError
from streamrec.events import Verdict
from streamrec.gate import judge_and_release, newest_window
from streamrec.history import history_clicks
from streamrec.registry import Registry
from streamrec.releases import released
from streamrec.retraining.plan import Outcome, Place, Plan, Result, new_plan
from streamrec.topics import known_topics, topic_range
from streamrec.training import Trained, gru4rec_config, train_gru4rec

__all__ = ["carry_out", "hold_out", "settled"]

log = logging.getLogger(__name__)

_MODEL = "gru4rec"


def carry_out(settings: Settings, *, on_step: OnStep | None = None) -> Outcome:
    """Train, publish, judge, release: the run that is planned, wherever it was killed, else one by hand.

    Raises a StreamrecError if the run fails, and writes that down; BrokerError or StorageError if Kafka or
    the store is away: the plan and its checkpoint stay then, and the same call goes on with them.
    """
    place = Place(settings.training.folder)
    with place.locked():
        plan = place.plan() or new_plan(settings.training, "hand", time.time_ns() // 1_000_000)
        try:
            return place.finish(_carried_out(settings, place, plan, on_step))
        except (BrokerError, StorageError):
            raise
        except StreamrecError as error:
            place.finish(_outcome(plan, "failed", str(error)))
            raise


def _carried_out(settings: Settings, place: Place, plan: Plan, on_step: OnStep | None) -> Outcome:
    registry = Registry.of(settings)
    registry.require_trusted_signer()
    planned, plan = plan, settled(settings, plan)
    if planned.until != plan.until:
        place.checkpoint.unlink(missing_ok=True)  # of clicks that are in the topic no more
    place.keep_plan(plan)
    history = history_clicks(
        settings, until=plan.until, from_ms=plan.from_ms, earlier=plan.earlier, and_topic=True
    )
    # What is imported from here on is for the next run: a checkpoint goes on with the same clicks only.
    plan = msgspec.structs.replace(
        plan, earlier=tuple(each["id"] for each in history.data.get("earlier", ()))
    )
    place.keep_plan(plan)
    train, window = hold_out(history.clicks, settings.training.hold_out_sessions)
    version, trained = _published(registry, plan), None
    if version is None:
        log.info("run %s trains on %s clicks", plan.run, len(train))
        trained = _train(settings, registry, plan, place, train, history.data, on_step)
        version = trained.version
    verdict = _judged(settings, registry, version, window)
    if verdict is None:
        return _outcome(plan, "released", "it was live already", version, trained)
    result: Result = "refused" if verdict.released is None else "released"
    detail = "" if verdict.released is not None else verdict.note or verdict.outcome
    return msgspec.structs.replace(
        _outcome(plan, result, detail, version, trained),
        verdict=verdict.outcome,
        failed_checks=tuple(check.name for check in verdict.failed),
    )


def hold_out(clicks: Clicks, n: int) -> tuple[Clicks, Clicks]:
    """Clicks to train on, and the n sessions of two clicks or more that began last, to judge the result by.

    A session that is still going on when the first of these begins is left as it was until then, so
    that no training click is later than a judged one. Raises DatasetError if nothing is left to train on.
    """
    found = sessions(clicks)
    starts = sorted(
        # One click alone tells the gate nothing.
        ((clicks.time_ms[places[0]], name) for name, places in found.items() if len(places) > 1),
        reverse=True,
    )
    newest = {name for _, name in starts[:n]}
    if not newest:
        return clicks, clicks.first(0)
    cut_ms = starts[len(newest) - 1][0]
    is_new = np.fromiter((name in newest for name in clicks.session_ids), np.bool_, len(clicks))
    train = clicks.take(~is_new & (clicks.time_ms < cut_ms))
    if not len(train):
        raise DatasetError(
            f"the clicks are of {len(found):,} sessions, {n:,} are held out for the gate, none is left to "
            "train on; wait for more, or lower STREAMREC_TRAINING__HOLD_OUT_SESSIONS"
        )
    return train, clicks.take(is_new)


def settled(settings: Settings, plan: Plan) -> Plan:
    """The plan with its end and its parent, which stay from here on, unless the topic is made anew."""
    topic_id = known_topics(settings, ["interactions"])["interactions"]
    if plan.until is not None and plan.topic_id == topic_id:
        return plan
    until = {partition: end for partition, (_, end) in topic_range(settings, "interactions").items()}
    live = released(settings).get(f"{_MODEL}/live") if settings.training.warm_start else None
    return msgspec.structs.replace(
        plan, until=until, topic_id=topic_id, earlier=None, parent=live.version if live else None
    )


def _published(registry: Registry, plan: Plan) -> str | None:
    """The version that an earlier attempt of this run has published."""
    for version in reversed(registry.versions(_MODEL)):
        try:
            data = registry.manifest(_MODEL, version).data
        except ArtifactError:  # whose it is cannot be told: not ours
            continue
        if data.get("run") == plan.run:
            return version
    return None


def _train(
    settings: Settings,
    registry: Registry,
    plan: Plan,
    place: Place,
    clicks: Clicks,
    data: dict[str, Any],
    on_step: OnStep | None,
) -> Trained:
    training = settings.training
    about = {**data, "run": plan.run, "reason": plan.reason, "held_out_sessions": training.hold_out_sessions}
    return train_gru4rec(
        clicks,
        registry,
        config=gru4rec_config(training.parameters, quick=training.quick),
        seed=training.seed,
        device=training.device,
        threads=training.threads,
        on_step=on_step,
        data=about,
        checkpoint=place.checkpoint,
        checkpoint_every_s=training.checkpoint_s,
        start=plan.parent,
    )


def _judged(settings: Settings, registry: Registry, version: str, window: Clicks) -> Verdict | None:
    """What the gate says; None for a version that is live already."""
    live = released(settings).get(f"{_MODEL}/live")
    if live is not None and live.version == version:
        return None
    # What is live may have been trained by hand, on all there was.
    held = [version] if live is None else [version, live.version]
    window = newest_window(window, [registry.manifest(_MODEL, each) for each in held], settings)
    return judge_and_release(settings, version, window)


def _outcome(
    plan: Plan, result: Result, detail: str, version: str = "", trained: Trained | None = None
) -> Outcome:
    return Outcome(
        run=plan.run,
        reason=plan.reason,
        start_ms=plan.start_ms,
        result=result,
        end_ms=time.time_ns() // 1_000_000,
        detail=detail,
        version=version,
        events=trained.events if trained else 0,
        train_s=trained.train_s if trained else 0.0,
    )
