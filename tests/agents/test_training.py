"""The training app's conductor, with real child processes and without Kafka: what fails, and who leads."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamrec import metrics
from streamrec.agents.training import Retraining
from streamrec.config import RegistrySettings, Settings, TrainingSettings, load_settings
from streamrec.retraining import Outcome, Place, Plan
from streamrec.signing import SigningKey


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A schedule that is due at once, and no key to sign with: every run fails soon."""
    made = load_settings().model_copy(
        update={"training": TrainingSettings(schedule="0 0 1 1 *", folder=tmp_path / "training")}
    )
    long_ago = Outcome(run="earlier", reason="hand", start_ms=0, result="failed", end_ms=0)
    Place(made.training.folder).finish(long_ago)
    return made


def failed() -> float:
    labels = {"reason": "schedule", "result": "failed"}
    return metrics.REGISTRY.get_sample_value("streamrec_training_runs_total", labels) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 # files and gauges have no event
            await asyncio.sleep(0.05)


async def test_a_run_that_fails_is_counted_once_and_not_tried_again(settings: Settings) -> None:
    before, retraining = failed(), Retraining(settings)
    retraining.keep({0, 1})
    running = asyncio.ensure_future(retraining.run())
    await until(lambda: failed() == before + 1)
    place = Place(settings.training.folder)
    outcome = place.outcome()
    assert outcome is not None
    assert (outcome.result, outcome.reason) == ("failed", "schedule")
    assert "no key to sign with" in outcome.detail
    assert place.plan() is None
    await retraining.stop()
    await running
    assert failed() == before + 1


async def test_a_run_without_kafka_keeps_its_plan(settings: Settings, tmp_path: Path) -> None:
    key = SigningKey.create(tmp_path / "key")
    registry = RegistrySettings(
        path=tmp_path / "registry", signing_key=tmp_path / "key", trusted_keys=(key.public,)
    )
    kafka = settings.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    away = settings.model_copy(update={"registry": registry, "kafka": kafka})
    labels = {"reason": "schedule", "result": "killed"}

    def cut_short() -> float:
        return metrics.REGISTRY.get_sample_value("streamrec_training_runs_total", labels) or 0.0

    before, failures, retraining = cut_short(), failed(), Retraining(away)
    retraining.keep({0})
    running = asyncio.ensure_future(retraining.run())
    await until(lambda: cut_short() == before + 1)
    plan = Place(away.training.folder).plan()
    assert plan is not None
    assert plan.attempts == 1
    await retraining.stop()
    await running
    assert failed() == failures


async def test_who_does_not_have_partition_0_starts_nothing(settings: Settings) -> None:
    retraining = Retraining(settings)
    retraining.keep({1})
    running = asyncio.ensure_future(retraining.run())
    await asyncio.sleep(0)  # it has looked once
    assert Place(settings.training.folder).plan() is None
    retraining.keep({0, 1})
    await until(lambda: Place(settings.training.folder).plan() is not None)
    retraining.keep({1})  # it goes where the partition goes, and its plan stays
    await until(lambda: metrics.REGISTRY.get_sample_value("streamrec_training_running") == 0)
    await retraining.stop()
    await running


async def test_a_run_by_hand_is_left_alone(settings: Settings) -> None:
    place, retraining = Place(settings.training.folder), Retraining(settings)
    retraining.keep({0})
    by_hand = Plan(run="by-hand", reason="hand", start_ms=1)
    with place.locked():
        place.keep_plan(by_hand)
        running = asyncio.ensure_future(retraining.run())
        await asyncio.sleep(0)  # it has looked once
        assert place.plan() == by_hand
        await retraining.stop()
        await running
    assert place.plan() == by_hand


async def test_after_a_run_that_is_taken_up_none_is_due(settings: Settings) -> None:
    place, before = Place(settings.training.folder), failed()
    place.keep_plan(Plan(run="killed", reason="schedule", start_ms=time.time_ns() // 1_000_000))
    retraining = Retraining(settings)
    retraining.keep({0})
    running = asyncio.ensure_future(retraining.run())
    await until(lambda: failed() == before + 1)
    next_s = "streamrec_training_next_timestamp_seconds"
    await until(lambda: (metrics.REGISTRY.get_sample_value(next_s) or 0) > time.time())
    assert place.plan() is None
    outcome = place.outcome()
    assert outcome is not None
    assert outcome.run == "killed"
    await retraining.stop()
    await running
