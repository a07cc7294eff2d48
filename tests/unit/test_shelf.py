"""Which versions a worker holds: the live one first, bad ones never, older ones on demand."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import permutations

import pytest
from msgspec.structs import replace

from streamrec import admission
from streamrec import shelf as shelf_module
from streamrec.errors import REFUSALS, ArtifactError, SignatureError, StorageError
from streamrec.events import ModelRelease, encode
from streamrec.metrics import REGISTRY
from streamrec.shelf import ModelShelf


def release(version: str, sequence: int = 1, model: str = "gru4rec", slot: str = "live") -> ModelRelease:
    return ModelRelease(
        model=model, slot=slot, version=version, sequence=sequence, digest=f"{sequence:064x}", time=0
    )


class Loader:
    """Loads every version that does not begin with `bad` or `unsigned`, as its name in capitals."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []

    def __call__(self, version: str, digest: str | None) -> str:
        self.calls.append((version, digest))
        if version.startswith("unsigned"):
            raise SignatureError(f"{version}: not signed")
        if version.startswith("bad"):
            raise ArtifactError(f"{version} is damaged")
        return version.upper()


@asynccontextmanager
async def running(shelf: ModelShelf[str]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(shelf.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def swaps(result: str) -> float:
    return REGISTRY.get_sample_value("streamrec_model_swaps_total", {"result": result}) or 0.0


async def settle(shelf: ModelShelf[str], *releases: ModelRelease) -> None:
    for each in releases:
        shelf.offer(each)
        await asyncio.wait_for(shelf.settled(), 10)


async def test_nothing_is_live_before_the_first_release() -> None:
    shelf = ModelShelf("gru4rec", Loader())
    await shelf.settled()
    assert shelf.live is None
    assert await shelf.ensure("") is None


async def test_a_release_is_loaded_by_its_digest_and_becomes_live() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"))
        assert (shelf.live, shelf.live_release) == ("V1", release("v1"))
        await settle(shelf, release("v2", 2))
        assert (shelf.live, shelf.live_release) == ("V2", release("v2", 2))
    assert load.calls == [("v1", f"{1:064x}"), ("v2", f"{2:064x}")]
    info = {"model": "gru4rec", "version": "v2", "slot": "live"}
    assert REGISTRY.get_sample_value("streamrec_model_info", info) == 1
    assert REGISTRY.get_sample_value("streamrec_model_info", {**info, "version": "v1"}) is None


async def test_a_version_is_loaded_out_of_the_way_of_the_one_that_serves() -> None:
    threads = []

    def load(version: str, _: str | None) -> str:
        threads.append(threading.current_thread().name)
        return version

    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"), release("v2", 2))
        await shelf.ensure("v3")  # a batch waits for it
    assert ["background" in name for name in threads] == [False, True, False]


async def test_while_one_loads_only_the_newest_of_the_next_counts() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        for n in range(1, 6):
            shelf.offer(release(f"v{n}", n))
        await asyncio.wait_for(shelf.settled(), 10)
    assert shelf.live == "V5"
    assert load.calls == [("v5", f"{5:064x}")]


async def test_a_refused_release_leaves_the_old_one_serving_and_is_not_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    before = swaps("refused")
    async with running(shelf) as task:
        await settle(shelf, release("v1"), release("bad", 2), release("bad", 2), release("bad", 2))
        assert (shelf.live, shelf.live_release) == ("V1", release("v1"))
        assert [version for version, _ in load.calls] == ["v1", "bad"]
        assert swaps("refused") == before + 1
        assert "'bad' is refused, the old one goes on serving: bad is damaged" in caplog.text
        await settle(shelf, release("v3", 3))
        assert shelf.live == "V3"
        assert not task.done()


async def test_an_unsigned_release_is_refused_and_counted_as_such(caplog: pytest.LogCaptureFixture) -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    untrusted, refused = swaps("untrusted"), swaps("refused")
    async with running(shelf):
        await settle(shelf, release("v1"), release("unsigned", 2), release("unsigned", 2))
        assert (shelf.live, shelf.live_release) == ("V1", release("v1"))
    assert [version for version, _ in load.calls] == ["v1", "unsigned"]
    assert (swaps("untrusted"), swaps("refused")) == (untrusted + 1, refused)
    assert "'unsigned' is refused, the old one goes on serving: unsigned: not signed" in caplog.text


async def test_a_refusal_is_counted_by_its_reason() -> None:
    def load(version: str, digest: str | None) -> str:
        if version.startswith("bad"):
            raise ArtifactError(version, "not_finite")
        return version

    def admit(candidate: str, live: str | None) -> None:
        if live is not None and candidate == "slow":
            raise ArtifactError(f"{candidate} beside {live}", "slow")

    def counts() -> dict[str, float]:
        name = "streamrec_model_refusals_total"
        return {each: REGISTRY.get_sample_value(name, {"reason": each}) or 0.0 for each in REFUSALS}

    before = counts()
    shelf = ModelShelf("gru4rec", load, admit)
    async with running(shelf):
        await settle(shelf, release("v1"), release("bad", 2), release("slow", 3), release("slow", 3))
        assert shelf.live == "v1"
    assert counts() == {**before, "not_finite": before["not_finite"] + 1, "slow": before["slow"] + 1}


async def test_announced_anew_a_refused_version_has_another_chance() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"), release("bad", 2), release("bad", 3))
    assert [version for version, _ in load.calls] == ["v1", "bad", "bad"]


async def test_the_same_release_again_is_not_loaded_again() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"), release("v1"))
    assert len(load.calls) == 1


async def test_without_a_model_to_serve_from_a_failing_release_ends_the_worker() -> None:
    shelf = ModelShelf("gru4rec", Loader())
    shelf.offer(release("bad"))
    with pytest.raises(ArtifactError, match="bad is damaged"):
        await asyncio.wait_for(shelf.run(), 10)
    assert shelf.live is None


async def test_an_older_version_is_loaded_on_demand_once_and_does_not_become_live() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v2"))
        assert shelf.resident("v1") is None
        assert [await shelf.ensure("v1"), await shelf.ensure("v1"), await shelf.ensure("v2")] == [
            "V1",
            "V1",
            "V2",
        ]
        assert (shelf.live, shelf.resident("v1")) == ("V2", "V1")
    assert load.calls == [("v2", f"{1:064x}"), ("v1", None)]


async def test_batches_that_ask_for_an_older_version_at_once_get_one() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v2"))
        found = await asyncio.gather(*(shelf.ensure("v1") for _ in range(8)))
        failed = await asyncio.gather(*(shelf.ensure("bad") for _ in range(3)), return_exceptions=True)
        again = await shelf.ensure("v1")
    assert [*found, again] == 9 * ["V1"]
    assert [type(each) for each in failed] == 3 * [ArtifactError]
    assert [version for version, _ in load.calls] == ["v2", "v1", "bad"]


async def test_a_version_that_a_row_names_and_that_cannot_be_loaded_is_an_error() -> None:
    shelf = ModelShelf("gru4rec", Loader())
    with pytest.raises(ArtifactError):
        await shelf.ensure("bad")


async def test_the_live_version_and_the_one_before_stay_whatever_else_is_asked_for() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v8"), release("v9", 2))
        for version in ("v1", "v2", "v3", "v2"):
            assert await shelf.ensure(version) == version.upper()
        assert [shelf.resident(version) for version in ("v8", "v9", "v2")] == ["V8", "V9", "V2"]
        assert [shelf.resident(version) for version in ("v1", "v3")] == [None, None]
        await settle(shelf, release("v10", 3))
        assert [shelf.resident(version) for version in ("v9", "v10")] == ["V9", "V10"]


async def test_releases_come_as_records_under_the_live_key_of_the_model() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    before = swaps("undecodable")
    async with running(shelf):
        shelf.on_record(None, encode(release("v1")))
        shelf.on_record(b"gru4rec/challenger", encode(release("v1", slot="challenger")))
        shelf.on_record(b"gru4rec/verdict:v1", b"another record")
        shelf.on_record(b"other/live", encode(release("v1", model="other")))
        shelf.on_record(b"gru4rec/live", None)
        shelf.on_record(b"gru4rec/live", b"{")
        shelf.on_record(b"gru4rec/live", encode(release("v1", slot="canary")))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (load.calls, shelf.live, shelf.canary) == ([], None, None)
        assert swaps("undecodable") == before + 2
        shelf.on_record(b"gru4rec/live", encode(release("v2")))
        await asyncio.wait_for(shelf.settled(), 10)
    assert shelf.live == "V2"


# -- roles --------------------------------------------------------------------------------------


def canary(version: str, sequence: int, share: float = 0.5) -> ModelRelease:
    return replace(release(version, sequence, slot="canary"), share=share)


def announced(shelf: ModelShelf[str], *releases: ModelRelease | str) -> None:
    """Records of one batch; a name of a slot empties it."""
    for each in releases:
        if isinstance(each, str):
            shelf.on_record(f"gru4rec/{each}".encode(), None)
        else:
            shelf.on_record(each.key, encode(each))


def info(version: str, slot: str) -> float | None:
    labels = {"model": "gru4rec", "version": version, "slot": slot}
    return REGISTRY.get_sample_value("streamrec_model_info", labels)


async def test_live_canary_and_previous_are_resident() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        announced(shelf, release("v1", 1, slot="previous"), canary("v3", 3), release("v2", 2))
        await asyncio.wait_for(shelf.settled(), 10)
        assert [version for version, _ in load.calls] == ["v1", "v2", "v3"]
        assert [shelf.resident(each) for each in ("v1", "v2", "v3")] == ["V1", "V2", "V3"]
        assert (shelf.live, shelf.canary and shelf.canary.model) == ("V2", "V3")
        assert REGISTRY.get_sample_value("streamrec_canary_share") == 0.5
        assert (info("v1", "previous"), info("v2", "live"), info("v3", "canary")) == (1, 1, 1)
        announced(shelf, "canary")
        assert (shelf.canary, info("v3", "canary")) == (None, None)
        assert REGISTRY.get_sample_value("streamrec_canary_share") == 0


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
async def test_the_way_back_and_a_promotion_load_nothing_in_any_order(order: tuple[int, ...]) -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"))
        announced(shelf, canary("v2", 2))
        await asyncio.wait_for(shelf.settled(), 10)
        loaded = list(load.calls)
        promoted = [release("v2", 3), release("v1", 1, slot="previous"), "canary"]
        promoted[0] = replace(promoted[0], digest=f"{2:064x}")
        announced(shelf, *(promoted[n] for n in order))
        assert (shelf.live, shelf.canary, shelf.is_settled) == ("V2", None, True)
        back = [
            replace(release("v1", 4), digest=f"{1:064x}"),
            replace(release("v2", 3, slot="previous"), digest=f"{2:064x}"),
            "canary",
        ]
        announced(shelf, *(back[n] for n in order))
        assert (shelf.live, shelf.is_settled) == ("V1", True)
        assert (info("v1", "live"), info("v2", "previous")) == (1, 1)
        assert load.calls == loaded


async def test_going_back_does_not_wait_for_what_is_being_loaded() -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(version: str, digest: str | None) -> str:
        if version == "slow":
            loading.set()
            assert go_on.wait(10)
        return version.upper()

    shelf: ModelShelf[str] = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"), release("v2", 2))
        announced(shelf, release("slow", 3))
        await asyncio.to_thread(loading.wait, 10)
        announced(shelf, replace(release("v1", 4), digest=f"{1:064x}"))
        assert (shelf.live, shelf.is_settled) == ("V1", False)
        taken = swaps("swapped")
        go_on.set()
        await asyncio.wait_for(shelf.settled(), 10)
        assert swaps("swapped") == taken, "what nobody wanted any more was live for a moment"
        assert (shelf.live, shelf.resident("slow")) == ("V1", "SLOW")


async def test_another_share_of_the_same_canary_or_a_pin_loads_nothing() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"))
        announced(shelf, canary("v2", 2, 0.1))
        await asyncio.wait_for(shelf.settled(), 10)
        before = swaps("swapped")
        announced(shelf, replace(canary("v2", 3, 0.7), digest=f"{2:064x}"))
        assert shelf.canary is not None
        assert (shelf.canary.model, shelf.canary.share) == ("V2", 0.7)
        announced(shelf, replace(release("v1", 4), digest=f"{1:064x}", pinned=True))
        assert shelf.live_release is not None
        assert (shelf.live_release.pinned, len(load.calls), swaps("swapped")) == (True, 2, before + 1)


async def test_a_refused_canary_leaves_the_others_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf) as task:
        await settle(shelf, release("v0", 1), release("v1", 2))
        announced(shelf, canary("bad", 3))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (shelf.live, shelf.canary, shelf.resident("v0")) == ("V1", None, "V0")
        assert "canary 'bad' is refused: bad is damaged" in caplog.text
        announced(shelf, canary("bad", 3), canary("v2", 4))
        await asyncio.wait_for(shelf.settled(), 10)
        assert shelf.canary is not None
        announced(shelf, canary("unsigned", 5), release("bad", 6))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (shelf.live, shelf.canary, task.done()) == ("V1", None, False)
    assert [version for version, _ in load.calls].count("bad") == 2


async def test_a_refused_previous_version_is_loaded_in_vain_once_and_nothing_else() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        announced(shelf, release("bad", 1, slot="previous"), release("v2", 2))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (shelf.live, shelf.is_settled) == ("V2", True)
        await settle(shelf, release("v3", 3))
        assert (shelf.live, shelf.resident("v2")) == ("V3", "V2")
    assert [version for version, _ in load.calls] == ["bad", "v2", "v3"]


async def test_what_was_refused_as_live_is_not_tried_again_as_the_previous_one() -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1"), release("unsigned", 2))
        announced(shelf, release("v3", 3), release("unsigned", 2, slot="previous"))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (shelf.live, shelf.resident("v1")) == ("V3", "V1")
    assert [version for version, _ in load.calls] == ["v1", "unsigned", "v3"]


async def test_what_has_no_role_any_more_goes_but_for_one() -> None:
    shelf = ModelShelf("gru4rec", Loader())
    async with running(shelf):
        for n in range(1, 30):
            announced(shelf, release(f"v{n}", 2 * n), canary(f"c{n}", 2 * n + 1))
            await asyncio.wait_for(shelf.settled(), 10)
            await shelf.ensure("v1")
        everything = [f"{kind}{n}" for n in range(1, 30) for kind in "vc"]
        held = [each for each in everything if shelf.resident(each) is not None]
    assert held == ["v1", "v28", "v29", "c29"]


# -- at the start, and the way back ---------------------------------------------------------------


def at_most_five_times(candidate: str, live: str | None) -> None:
    """Versions here cost what the figures at their end say."""
    if live is not None and int(candidate.split("-")[1]) > 5 * int(live.split("-")[1]):
        raise ArtifactError(f"{candidate} beside {live}", "slow")


async def test_the_version_to_go_back_to_is_not_measured_by_the_one_that_followed_it() -> None:
    """It has served; were it refused here, there would be no way back from a version that is fast and bad."""
    shelf = ModelShelf("gru4rec", Loader(), at_most_five_times)
    async with running(shelf):
        await settle(shelf, release("v2-1", 2), release("v1-90", 1, slot="previous"))
        announced(shelf, replace(release("v1-90", 3), digest=f"{1:064x}"))
        assert (shelf.live, shelf.is_settled) == ("V1-90", True)


async def test_a_worker_that_starts_refuses_what_those_that_run_have_refused() -> None:
    shelf = ModelShelf("gru4rec", Loader(), at_most_five_times)
    before = swaps("refused")
    async with running(shelf) as task:
        announced(shelf, release("v2-90", 2), release("v1-1", 1, slot="previous"))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (shelf.live, shelf.canary, task.done()) == ("V1-1", None, False)
        assert swaps("refused") == before + 1
        await settle(shelf, release("v3-2", 3))
        assert (shelf.live, shelf.resident("v1-1")) == ("V3-2", "V1-1")


@pytest.mark.parametrize("bad", ["bad", "unsigned"])
async def test_a_worker_that_starts_serves_from_the_version_before_a_bad_one(bad: str) -> None:
    load = Loader()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf) as task:
        announced(shelf, release(bad, 2), release("v1", 1, slot="previous"), canary("v3", 3))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (shelf.live, shelf.canary and shelf.canary.model, task.done()) == ("V1", "V3", False)
        assert info("v1", "live") == 1
        announced(shelf, replace(release("v1", 4), digest=f"{1:064x}"), release(bad, 2, slot="previous"))
        assert (shelf.live, shelf.is_settled) == ("V1", True)
    assert sorted(version for version, _ in load.calls) == sorted([bad, "v1", "v3"])


@pytest.mark.parametrize("first", [True, False])
async def test_what_was_rolled_back_is_neither_a_measure_nor_served_from(first: bool) -> None:
    mark = release("v2-1", 3, slot="rolled-back:v2-1")
    back = [release("v1-90", 3), release("v2-1", 2, slot="previous")]
    shelf = ModelShelf("gru4rec", Loader(), at_most_five_times)
    async with running(shelf):
        announced(shelf, *([mark, *back] if first else [*back, mark]))
        await asyncio.wait_for(shelf.settled(), 10)
        assert (shelf.live, shelf.resident("v2-1")) == ("V1-90", "V2-1")
    shelf = ModelShelf("gru4rec", Loader())
    announced(shelf, release("bad", 3), *back[1:], mark)
    with pytest.raises(ArtifactError, match="bad is damaged"):
        await asyncio.wait_for(shelf.run(), 10)


# -- a store that is away --------------------------------------------------------------------------


class Away(Loader):
    """Has no store for as long as `is_away`; each wait for the next attempt is over at once, and noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.is_away = False
        self.waits_s: list[float] = []
        self.back_after = 0
        monkeypatch.setattr(admission, "_WAITS_S", ())
        monkeypatch.setattr(shelf_module, "_later", self._later)

    def _later(self, wait_s: float, again: Callable[[], None]) -> None:
        self.waits_s.append(wait_s)
        self.is_away = len(self.waits_s) < self.back_after
        if self.back_after:
            asyncio.get_running_loop().call_soon(again)

    def __call__(self, version: str, digest: str | None) -> str:
        if self.is_away:
            self.calls.append((version, digest))
            raise StorageError(f"the store of {version} is away")
        return super().__call__(version, digest)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 # nothing is set by what is waited for
            await asyncio.sleep(0)


def unavailable() -> float:
    return REGISTRY.get_sample_value("streamrec_model_refusals_total", {"reason": "unavailable"}) or 0.0


@pytest.mark.parametrize("slot", ["live", "canary", "previous"])
async def test_a_version_whose_store_was_away_is_taken_when_it_is_back(
    slot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, before = Away(monkeypatch), unavailable()
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1", 1))
        load.is_away, load.back_after = True, 12
        await settle(shelf, release("v2", 2, slot=slot))
        await until(lambda: shelf.resident("v2") is not None)
        assert shelf.live == ("V2" if slot == "live" else "V1")
        assert shelf.is_settled
    assert load.waits_s == sorted(load.waits_s)
    assert (len(load.waits_s), load.waits_s[0], load.waits_s[-1]) == (12, 5, 300)
    assert unavailable() == before + 1, "it is told of once"


async def test_a_version_that_nobody_wants_any_more_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = Away(monkeypatch)
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1", 1))
        load.is_away = True
        agains: list[Callable[[], None]] = []
        monkeypatch.setattr(shelf_module, "_later", lambda _, again: agains.append(again))
        announced(shelf, canary("v2", 2))
        await asyncio.wait_for(shelf.settled(), 10)
        announced(shelf, "canary")
        load.is_away = False
        agains.pop()()
        await settle(shelf, release("v3", 3))
    assert [version for version, _ in load.calls] == ["v1", "v2", "v3"]
    assert not agains


async def test_what_was_found_damaged_once_the_store_was_back_is_refused_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load, before, refused = Away(monkeypatch), unavailable(), swaps("refused")
    shelf = ModelShelf("gru4rec", load)
    async with running(shelf):
        await settle(shelf, release("v1", 1))
        load.is_away, load.back_after = True, 1
        await settle(shelf, release("bad", 2))
        await until(lambda: swaps("refused") == refused + 2)
        assert shelf.live == "V1"
    assert [version for version, _ in load.calls] == ["v1", "bad", "bad"]
    assert (unavailable(), len(load.waits_s)) == (before + 1, 1)
