"""Which versions a worker holds: the live one first, bad ones never, older ones on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streamrec.errors import ArtifactError, SignatureError
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
    info = {"model": "gru4rec", "version": "v2"}
    assert REGISTRY.get_sample_value("streamrec_model_info", info) == 1
    assert REGISTRY.get_sample_value("streamrec_model_info", {**info, "version": "v1"}) is None


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
        shelf.on_record(b"gru4rec/previous", encode(release("v1", slot="previous")))
        shelf.on_record(b"other/live", encode(release("v1", model="other")))
        shelf.on_record(b"gru4rec/live", None)
        shelf.on_record(b"gru4rec/live", b"{")
        await asyncio.wait_for(shelf.settled(), 10)
        assert (load.calls, shelf.live) == ([], None)
        assert swaps("undecodable") == before + 1
        shelf.on_record(b"gru4rec/live", encode(release("v2")))
        await asyncio.wait_for(shelf.settled(), 10)
    assert shelf.live == "V2"
