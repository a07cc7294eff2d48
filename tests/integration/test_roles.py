"""Who has which role, on a real Kafka: several at once, canaries, and the way back."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from app_processes import App, click, publish, read, running
from session_models import RING, Published, misled

from streamrec import releases
from streamrec.access import client_options
from streamrec.canary import Canary
from streamrec.config import Settings
from streamrec.errors import ReleaseError
from streamrec.events import Recommendation, decode_release
from streamrec.registry import Registry
from streamrec.releases import announce, canary, end_canary, pin, promote, released, rollback, unpin

VERSIONS = ("v1", "v2", "v3")


@pytest.fixture
def registry(settings: Settings, published: Published) -> Registry:
    """The settings' registry, with three versions of the same model."""
    registry = Registry.of(settings)
    for name in VERSIONS:
        registry.publish(
            "gru4rec", name, lambda place, name=name: published.model.export(place, version=name)
        )
    return registry


def versions(settings: Settings) -> dict[str, str]:
    return {key.partition("/")[2]: each.version for key, each in released(settings).items()}


# -- announcing ---------------------------------------------------------------------------------


def test_roles_are_given_and_taken(settings: Settings, registry: Registry) -> None:
    announce(settings, "gru4rec", "v1")
    assert canary(settings, "gru4rec", "v2", 0.25).share == 0.25
    assert versions(settings) == {"live": "v1", "canary": "v2"}
    end_canary(settings, "gru4rec")
    canary(settings, "gru4rec", "v3", 0.25)
    assert promote(settings, "gru4rec").sequence == 5
    assert versions(settings) == {"live": "v3", "previous": "v1"}
    assert rollback(settings, "gru4rec", "worse").version == "v1"
    assert versions(settings) == {"live": "v1", "previous": "v3", "rolled-back:v3": "v3"}
    pin(settings, "gru4rec")
    with pytest.raises(ReleaseError, match="v1 is pinned"):
        announce(settings, "gru4rec", "v2", automatic=True)
    unpin(settings, "gru4rec")
    with pytest.raises(ReleaseError, match=r"v3 was rolled back \(worse\)"):
        announce(settings, "gru4rec", "v3", automatic=True)
    announce(settings, "gru4rec", "v3")
    assert versions(settings) == {"live": "v3", "previous": "v1"}


def test_one_change_is_one_record_batch(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[set[Any]] = []

    class Watched(releases.KafkaProducer):  # type: ignore[misc, name-defined]
        def send(self, *arguments: Any, **options: Any) -> Any:
            future = super().send(*arguments, **options)
            batches[-1].add(future._produce_future)
            return future

        def __init__(self, **options: Any) -> None:
            batches.append(set())
            super().__init__(**options)

    monkeypatch.setattr(releases, "KafkaProducer", Watched)
    announce(settings, "gru4rec", "v1")
    announce(settings, "gru4rec", "v2")
    rollback(settings, "gru4rec", "worse")
    assert [len(each) for each in batches] == [1, 1, 1]
    assert len(read(settings, "models")) == 1 + 2 + 3


def test_who_comes_in_between_is_the_one_before(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(settings, "gru4rec", "v1")
    after_first_read(monkeypatch, lambda: announce(settings, "gru4rec", "v2"))
    announced = announce(settings, "gru4rec", "v3")
    slots = released(settings)
    assert slots["gru4rec/live"] == announced
    assert (slots["gru4rec/previous"].version, versions(settings)["live"]) == ("v2", "v3")
    live = [decode_release(each.value) for each in read(settings, "models") if each.key == b"gru4rec/live"]
    # The second v3 says what it comes after; whoever reads between the two sees one caller's slots, whole.
    assert [each.version for each in live] == ["v1", "v2", "v3", "v3"]
    assert live[-1].sequence > max(each.sequence for each in live[:-1])


def test_what_may_not_be_after_all_is_taken_back(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(settings, "gru4rec", "v1")
    after_first_read(monkeypatch, lambda: pin(settings, "gru4rec"))
    with pytest.raises(ReleaseError, match="v1 is pinned"):
        announce(settings, "gru4rec", "v2", automatic=True)
    slots = released(settings)
    assert (slots["gru4rec/live"].version, slots["gru4rec/live"].pinned) == ("v1", True)
    assert "gru4rec/previous" not in slots


def test_many_at_once_leave_whole_slots(settings: Settings, registry: Registry) -> None:
    announce(settings, "gru4rec", "v1")
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(announce, settings, "gru4rec", VERSIONS[n % 3]) for n in range(6)]
        announced = [each.result() for each in asked]
    slots = released(settings)
    live, previous = slots["gru4rec/live"], slots["gru4rec/previous"]
    assert live.version != previous.version
    assert live.sequence == max(each.sequence for each in slots.values())
    assert {live.version, previous.version} <= {each.version for each in announced}
    assert live in announced


def after_first_read(monkeypatch: pytest.MonkeyPatch, other: Any) -> None:
    """Have somebody else announce once the slots were read for the next change."""
    read_slots = releases._read

    def read_then_other(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(releases, "_read", read_slots)
        found = read_slots(*arguments, **options)
        other()
        return found

    monkeypatch.setattr(releases, "_read", read_then_other)


# -- served by the apps -------------------------------------------------------------------------

# One source, and few places: what a list holds is the version's alone.
ALONE = {"k": 5, "weights": {"gru4rec": 1.0}}
SERVING = {"scoring": ALONE, "kafka": {"commit_interval_s": 0.1}}
GUARDED = {
    **SERVING,
    "evaluation": {"cutoffs": [5]},
    "guard": {"min_clicks": 150, "live_clicks": 1500, "every_s": 0.3},
}


def walk(visitors: range, rounds: range, name: str = "walker") -> list[tuple[bytes, bytes]]:
    """Clicks of visitors who go round the ring, all a step in each round."""
    now = time.time_ns() // 1_000_000
    return [
        click(f"{name}-{each}", RING[(each + step) % len(RING)], f"{name}-{each}-{step}", now + step)
        for step in rounds
        for each in visitors
    ]


def lists(settings: Settings, n: int, from_round: int = 0) -> list[Recommendation]:
    """Of n lists those for clicks from a round on."""
    records = read(settings, "recommendations", n=n)
    made = [msgspec.json.decode(each.value, type=Recommendation) for each in records]
    return [each for each in made if int(each.event_id.rpartition("-")[2]) >= from_round]


def of_visitors(made: list[Recommendation]) -> dict[str, set[str]]:
    """The versions of each visitor's lists."""
    found: dict[str, set[str]] = {}
    for each in made:
        found.setdefault(each.visitor_id, set()).add(each.release)
    return found


def shown(app: App, name: str) -> float:
    [value] = [line.split()[-1] for line in app.page("metrics")[1].splitlines() if line.startswith(name)]
    return float(value)


@pytest.mark.parametrize("settings", [SERVING], indirect=True)
def test_a_canary_serves_its_share_and_always_the_same_visitors(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    n, share = 500, 0.3
    announce(settings, "gru4rec", "v1")
    with running("state", settings, tmp_path) as state, running("scoring", settings, tmp_path) as scoring:
        canary(settings, "gru4rec", "v2", share)
        for app in (state, scoring):
            app.wait(lambda app=app: shown(app, "streamrec_canary_share") == share)
        publish(settings, "interactions", walk(range(n), range(4)))
        versions_of = of_visitors(lists(settings, 4 * n))
        assert len(versions_of) == n
        assert all(len(each) == 1 for each in versions_of.values()), "not sticky"
        served = {visitor for visitor, each in versions_of.items() if each == {"v2"}}
        assert {each for each in versions_of if Canary("v2", share, None).serves(each)} == served
        assert abs(len(served) - n * share) < 3 * (n * share * (1 - share)) ** 0.5

        canary(settings, "gru4rec", "v2", 0.6)
        state.wait(lambda: shown(state, "streamrec_canary_share") == 0.6)
        publish(settings, "interactions", walk(range(n), range(4, 6)))
        more = of_visitors(lists(settings, 6 * n, from_round=4))
        grown = {visitor for visitor, each in more.items() if each == {"v2"}}
        assert all(len(each) == 1 for each in more.values())
        assert served < grown
        assert abs(len(grown) - n * 0.6) < 3 * (n * 0.6 * 0.4) ** 0.5

        promote(settings, "gru4rec")
        state.wait(lambda: shown(state, "streamrec_canary_share") == 0)
        publish(settings, "interactions", walk(range(n), range(6, 7)))
        assert {each.release for each in lists(settings, 7 * n, from_round=6)} == {"v2"}
        # Loaded: v1 when it began, v2 as the canary. The promotion loaded nothing.
        assert "refused" not in state.log + scoring.log


@contextmanager
def steady_clicks(settings: Settings, per_s: float) -> Iterator[None]:
    """Clicks at a steady pace meanwhile."""
    stop = threading.Event()

    async def feed() -> None:
        producer = AIOKafkaProducer(**client_options(settings.kafka))
        await producer.start()
        try:
            step = 0
            while not stop.is_set():
                for key, value in walk(range(1), range(step, step + 1), name=f"steady{step % 20}"):
                    await producer.send_and_wait(settings.kafka.topic("interactions"), value, key)
                step += 1
                await asyncio.sleep(1 / per_s)
        finally:
            await producer.stop()

    thread = threading.Thread(target=lambda: asyncio.run(feed()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("settings", [SERVING], indirect=True)
def test_going_back_takes_less_than_a_second(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    announce(settings, "gru4rec", "v1")
    announce(settings, "gru4rec", "v2")
    with (
        running("state", settings, tmp_path) as state,
        running("scoring", settings, tmp_path),
        steady_clicks(settings, 100),
    ):
        lists(settings, 50)
        took: list[float] = []
        for version in ("v1", "v2") * 3:
            if version == "v1":
                rollback(settings, "gru4rec", "worse")
            else:
                announce(settings, "gru4rec", version)
            live = [each for each in read(settings, "models") if each.key == b"gru4rec/live"][-1]
            state.wait(partial(_first_list, settings, version, live.timestamp))
            first = _first_list(settings, version, live.timestamp)
            assert first is not None
            took.append((first - live.timestamp) / 1000)
    assert max(took) < 1.0, took


def _first_list(settings: Settings, version: str, after_ms: int) -> int | None:
    """When the first list of a version was emitted after a time."""
    made = [
        msgspec.json.decode(each.value, type=Recommendation) for each in read(settings, "recommendations")
    ]
    return min(
        (each.emit_time for each in made if each.release == version and each.emit_time >= after_ms),
        default=None,
    )


@pytest.mark.parametrize("settings", [GUARDED], indirect=True)
def test_the_guard_takes_back_a_bad_version_and_leaves_an_equal_one_alone(
    settings: Settings, registry: Registry, published: Published, tmp_path: Path
) -> None:
    registry.publish("gru4rec", "bad", partial(misled, published.model, version="bad"))
    announce(settings, "gru4rec", "v1")
    names = iter(f"round{n}" for n in range(100))

    def live_clicks(n: int = 200) -> None:
        publish(settings, "interactions", walk(range(n), range(5), name=next(names)))

    with (
        running("state", settings, tmp_path) as state,
        running("scoring", settings, tmp_path),
        running("evaluation", settings, tmp_path) as evaluation,
    ):

        def try_canary(version: str) -> None:
            canary(settings, "gru4rec", version, 0.5)
            state.wait(lambda: shown(state, "streamrec_canary_share") == 0.5)

        def judged() -> float:
            return shown(evaluation, "streamrec_online_judged_total")

        def actions(reason: str) -> float:
            return shown(evaluation, f'streamrec_guard_actions_total{{reason="{reason}"}}')

        try_canary("v2")
        for _ in range(3):
            before = judged()
            live_clicks()
            evaluation.wait(lambda before=before: judged() >= before + 600)
        assert versions(settings) == {"live": "v1", "canary": "v2"}
        end_canary(settings, "gru4rec")

        try_canary("bad")
        evaluation.wait(lambda: live_clicks() or "canary" not in versions(settings))
        assert versions(settings) == {"live": "v1", "rolled-back:bad": "bad"}
        evaluation.wait(lambda: actions("canary_hit_rate") == 1)
        assert "canary bad is taken back: hit rate 0." in evaluation.log
        with pytest.raises(ReleaseError, match=r"bad was rolled back \(hit rate 0\."):
            canary(settings, "gru4rec", "bad", 0.1, automatic=True)

        announce(settings, "gru4rec", "bad")
        evaluation.wait(lambda: live_clicks() or versions(settings)["live"] == "v1")
        assert versions(settings) == {"live": "v1", "previous": "bad", "rolled-back:bad": "bad"}
        evaluation.wait(lambda: actions("live_hit_rate") == 1)
        for _ in range(3):
            before = judged()
            live_clicks()
            evaluation.wait(lambda before=before: judged() >= before + 600)
        assert versions(settings)["live"] == "v1"
        assert sum(actions(each) for each in ("canary_latency", "live_latency")) == 0
