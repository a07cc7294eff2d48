"""Shadows and a challenger beside the list maker, on the in-memory log."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from memory_maker import LISTS, SETTINGS, STATES, MemoryMaker, cut, lists, states

from streamrec import metrics
from streamrec.agents.shadows import Shadows
from streamrec.catalogue import Catalogue
from streamrec.challengers import Challenger, load_challenger
from streamrec.config import Settings, load_settings
from streamrec.contenders import Contenders
from streamrec.contracts import FloatArray, IntArray, TrainOptions
from streamrec.engine.log import Record
from streamrec.engine.memory import MemoryLog
from streamrec.engine.runner import Batch
from streamrec.errors import BrokerError
from streamrec.events import ModelRelease, ShadowRecommendation, encode, recommendation_id
from streamrec.interleaving import in_share
from streamrec.registry import Registry
from streamrec.state.rows import VISITOR, decode_visitor_row

if TYPE_CHECKING:
    from session_models import Published

SHADOWS = SETTINGS.kafka.topic("shadow-recommendations")


def with_contest(**contest: Any) -> Settings:
    return load_settings(**SETTINGS.model_dump(include={"kafka", "state", "online_mf"}), contest=contest)


EVERYBODY = with_contest(shadow_share=1.0)


@pytest.fixture(scope="module")
def second(published: "Published", tmp_path_factory: pytest.TempPathFactory) -> "Published":
    """Another version, of other weights, in a registry of its own."""
    from session_models import TINY, Published, ring_sessions

    from streamrec.models.gru4rec import GRU4Rec

    model = GRU4Rec(TINY)
    model.train(ring_sessions(seed=1), TrainOptions(seed=1))
    registry = Registry(
        tmp_path_factory.mktemp("second"),
        trusted=published.registry._trusted,
        signing_key=published.registry._signing_key,
    )
    return Published(model, registry, model.publish(registry))


class Broken(Challenger):
    """A version whose score graph fails."""

    def __init__(self, second: "Published") -> None:
        good = load_challenger(second.registry, second.version, most_visitors=10)
        super().__init__(good._step, self, 10)
        self.items: list[str] = []

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        raise RuntimeError("graph failed")


class Trial:
    """A scoring worker that has just started, with versions that are tried out."""

    def __init__(
        self,
        log: MemoryLog,
        published: "Published",
        models: dict[str, Challenger],
        settings: Settings = EVERYBODY,
        *,
        share: float = 0.5,
    ) -> None:
        self.contenders = Contenders("gru4rec", lambda version, digest: models[version])
        self.shadows = Shadows(settings, log, self.contenders, Catalogue())
        self.maker = MemoryMaker(log, published, settings, self.shadows)
        self._models, self._share = models, share

    def handle(self, slots: dict[str, str], batches: Iterable[Batch], *, settle_each: bool = True) -> None:
        """slots: slot -> name of a model. settle_each: let shadows finish after each batch."""

        async def all_of_them() -> None:
            loading = asyncio.create_task(self.contenders.run())
            working = asyncio.create_task(self.shadows.run())
            for slot, version in slots.items():
                share = self._share if slot == "challenger" else None
                release = ModelRelease(
                    model="gru4rec",
                    slot=slot,
                    version=version,
                    sequence=1,
                    digest="0" * 64,
                    time=0,
                    share=share,
                )
                self.contenders.on_record(release.key, encode(release))
            await self.contenders.settled()
            for batch in batches:
                await self.maker.maker.handle(batch)
                if settle_each:
                    await asyncio.wait_for(self.shadows.settled(), 30)
            await asyncio.wait_for(self.shadows.settled(), 30)
            for task in (loading, working):
                task.cancel()
            await asyncio.gather(loading, working, return_exceptions=True)

        asyncio.run(all_of_them())


def shadow_lists(log: MemoryLog) -> list[ShadowRecommendation]:
    return [msgspec.json.decode(each.value, type=ShadowRecommendation) for each in log.records(SHADOWS, 0)]


def asking(log: MemoryLog) -> dict[int, Any]:
    """Rows that ask, by input offset."""
    rows = [
        (each.key[len(VISITOR) :].decode(), decode_visitor_row(each.value))
        for each in log.records(STATES, 0)
        if each.key.startswith(VISITOR) and each.value is not None
    ]
    return {row.offset: (who, row) for who, row in rows if row.asks}


def challenger(second: "Published") -> Challenger:
    return load_challenger(second.registry, second.version, most_visitors=10)


def dropped(reason: str) -> float:
    return float(metrics.shadow_lists_dropped.labels(reason)._value.get())


def test_every_list_has_its_shadow_and_is_what_it_was_without(
    published: "Published", second: "Published"
) -> None:
    log, alone = states(published), states(published)
    MemoryMaker(alone, published).handle(*cut(alone, [13]))
    models = {second.version: challenger(second)}
    Trial(log, published, models).handle({f"shadow:{second.version}": second.version}, cut(log, [13]))
    assert lists(log) == lists(alone)
    made = shadow_lists(log)
    assert [each.input_offset for each in made] == [each["input_offset"] for each in lists(log)]
    for shadow, shown in zip(made, lists(log), strict=True):
        assert shadow.rec_id == shown["rec_id"]
        assert shadow.shown == [item.item_id for item in shown["items"]]
        assert (shadow.release, shadow.shown_release) == (second.version, published.version)
    assert any([item.item_id for item in each.items] != each.shown for each in made)


def test_a_shadow_list_is_that_of_a_worker_where_its_version_is_live(
    published: "Published", second: "Published"
) -> None:
    """State under the second version all along gives the same lists as the shadow makes beside the first."""
    log, under_second = states(published), states(second)
    slots = {f"shadow:{second.version}": second.version}
    Trial(log, published, {second.version: challenger(second)}).handle(slots, cut(log, [9]))
    MemoryMaker(under_second, second).handle(*cut(under_second, [1000]))
    short = {offset for offset, (_, row) in asking(log).items() if len(row.items) < 4}
    wanted = {each["input_offset"]: each["items"] for each in lists(under_second)}
    made = {each.input_offset: each.items for each in shadow_lists(log)}
    assert len(short) > 10
    # Beyond the four items of a row, the state app's hidden state knows more of the session.
    assert {offset: made[offset] for offset in short} == {offset: wanted[offset] for offset in short}


@pytest.mark.parametrize("sizes", [[1], [2, 5, 3], [1000]])
def test_shadow_lists_are_the_same_however_the_log_is_cut_and_batches_wait(
    published: "Published", second: "Published", sizes: list[int]
) -> None:
    log, whole = states(published), states(published)
    slots = {f"shadow:{second.version}": second.version}
    Trial(whole, published, {second.version: challenger(second)}).handle(slots, cut(whole, [17]))
    trial = Trial(log, published, {second.version: challenger(second)})
    trial.handle(slots, cut(log, sizes), settle_each=False)
    timeless = [
        [msgspec.structs.replace(each, emit_time=0) for each in shadow_lists(one)] for one in (log, whole)
    ]
    assert timeless[0] == timeless[1]


def test_a_share_of_the_visitors_has_shadows(published: "Published", second: "Published") -> None:
    log = states(published)
    trial = Trial(log, published, {second.version: challenger(second)}, with_contest(shadow_share=0.5))
    trial.handle({f"shadow:{second.version}": second.version}, cut(log, [20]))
    who = {each.visitor_id for each in shadow_lists(log)}
    everybody = {each["visitor_id"] for each in lists(log)}
    assert who == {each for each in everybody if in_share(each, 0.5, "shadow")}
    assert 0 < len(who) < len(everybody)


def test_shadows_stand_still_while_rows_wait_and_what_finds_no_room_is_dropped(
    published: "Published", second: "Published"
) -> None:
    log, before = states(published), dropped("busy")
    trial = Trial(
        log, published, {second.version: challenger(second)}, with_contest(shadow_share=1.0, shadow_lists=20)
    )
    at_end: list[int] = []
    handle = trial.maker.maker.handle

    async def watched(batch: Batch) -> None:
        with trial.shadows.standing_still():
            await handle(batch)
            await asyncio.sleep(0.05)  # whoever does not stand still has the time to be seen
            at_end.append(len(log.records(SHADOWS, 0)))

    trial.maker.maker.handle = watched  # type: ignore[method-assign]
    trial.handle({f"shadow:{second.version}": second.version}, [*cut(log, [1000])], settle_each=False)
    n = len(lists(log))
    assert at_end == [0], "none is made before the batch is done"
    assert len(log.records(SHADOWS, 0)) + dropped("busy") - before == n
    assert 0 < len(log.records(SHADOWS, 0)) <= 20


def test_a_batch_waits_for_one_shadow_at_most(
    published: "Published", second: "Published", monkeypatch: pytest.MonkeyPatch
) -> None:
    log = states(published)
    trial = Trial(log, published, {"one": challenger(second), "two": challenger(second)})
    send, batches, seen = log.send, [], []

    async def with_a_batch_at_once(topic: str, partition: int, records: Iterable[Record]) -> None:
        await send(topic, partition, records)
        if topic == SHADOWS and not batches:
            still = trial.shadows.standing_still()
            still.__enter__()
            batches.append(asyncio.create_task(batch(still)))

    async def batch(still: Any) -> None:
        at_start = len(log.records(SHADOWS, 0))
        await asyncio.sleep(0.05)  # whoever does not stand still has the time to be seen
        seen.append(len(log.records(SHADOWS, 0)) - at_start)
        still.__exit__(None, None, None)

    monkeypatch.setattr(log, "send", with_a_batch_at_once)
    trial.handle({"shadow:one": "one", "shadow:two": "two"}, cut(log, [20]))
    assert seen == [0]
    assert len(shadow_lists(log)) == 2 * len(lists(log))


def test_several_shadows_work_and_a_broken_one_is_let_go(published: "Published", second: "Published") -> None:
    log, failed = states(published), dropped("failed")
    refused = metrics.contenders_refused.labels("score")._value.get()
    models = {"one": challenger(second), "broken": Broken(second), "two": challenger(second)}
    trial = Trial(log, published, models)
    trial.handle({f"shadow:{name}": name for name in models}, cut(log, [20]))
    assert len(lists(log)) == len(asking(log))
    assert len(shadow_lists(log)) == 2 * len(lists(log))
    assert metrics.contenders_refused.labels("score")._value.get() == refused + 1
    assert 0 < dropped("failed") - failed <= 20
    assert [each.release.version for each in trial.contenders.shadows] == ["one", "two"]


def test_lists_of_shadows_that_cannot_be_written_are_counted(
    published: "Published", second: "Published", monkeypatch: pytest.MonkeyPatch
) -> None:
    log, before = states(published), dropped("unsent")
    send = log.send

    async def only_lists(topic: str, partition: int, records: Iterable[Record]) -> None:
        if topic == SHADOWS:
            raise BrokerError("not now")
        await send(topic, partition, records)

    monkeypatch.setattr(log, "send", only_lists)
    Trial(log, published, {"s": challenger(second)}).handle({"shadow:s": "s"}, cut(log, [20]))
    assert len(lists(log)) == len(asking(log)) == dropped("unsent") - before


def test_a_share_of_the_lists_is_interleaved_the_same_way_whenever_it_is_made(
    published: "Published", second: "Published"
) -> None:
    alone = states(published)
    MemoryMaker(alone, published).handle(*cut(alone, [13]))
    logs = [states(published) for _ in range(2)]
    for log, sizes in zip(logs, ([7], [1000]), strict=True):
        trial = Trial(log, published, {second.version: challenger(second)})
        trial.handle({"challenger": second.version}, cut(log, sizes))
    assert lists(logs[0]) == lists(logs[1])
    interleaved = [each for each in lists(logs[0]) if each["challenger"]]
    everybody = {each["visitor_id"] for each in lists(alone)}
    salt = f"challenger/{second.version}"
    assert {each["visitor_id"] for each in interleaved} == {
        each for each in everybody if in_share(each, 0.5, salt)
    }
    assert 0 < len(interleaved) < len(lists(alone))
    for shown, own in zip(lists(logs[0]), lists(alone), strict=True):
        assert shown["release"] == own["release"]
        if not shown["challenger"]:
            assert shown == own
            continue
        assert {item.team for item in shown["items"]} == {"live", "challenger"}
        drafted = [item.item_id for item in shown["items"] if item.team == "live"]
        assert set(drafted) <= {item.item_id for item in own["items"]}


def test_a_challenger_that_fails_is_let_go_and_every_visitor_has_a_list(
    published: "Published", second: "Published"
) -> None:
    log, alone = states(published), states(published)
    MemoryMaker(alone, published).handle(*cut(alone, [13]))
    trial = Trial(log, published, {"broken": Broken(second)}, share=1.0)
    trial.handle({"challenger": "broken"}, cut(log, [20]))
    assert lists(log) == lists(alone)
    assert trial.contenders.challenger is None


def test_bytes_are_the_same_after_a_repeat(published: "Published", second: "Published") -> None:
    log = states(published)
    for _ in range(2):
        trial = Trial(log, published, {second.version: challenger(second)}, share=1.0)
        trial.handle({"challenger": second.version}, cut(log, [20]))
    bodies = [msgspec.json.decode(each.value) | {"emit_time": 0} for each in log.records(LISTS, 0)]
    assert bodies[: len(bodies) // 2] == bodies[len(bodies) // 2 :]
    assert bodies[0]["rec_id"] == recommendation_id(SETTINGS.kafka.topic("interactions"), 0, 0)
    assert bodies[0]["challenger"] == second.version
