"""Which versions are tried out: those that can be loaded, until they fail or are ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ranking_parts import SmallScorer
from state_parts import SmallStep

from streamrec import admission, metrics
from streamrec.challengers import Challenger
from streamrec.contenders import Contenders
from streamrec.errors import ArtifactError, StorageError
from streamrec.events import ModelRelease, encode


class Loader:
    """Loads every version that does not begin with `bad`."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, version: str, digest: str | None) -> Challenger:
        self.calls.append(version)
        if version.startswith("bad"):
            raise ArtifactError(f"{version} is damaged")
        if version.startswith("odd"):
            raise ZeroDivisionError
        return Challenger(SmallStep(version), SmallScorer(version), 10)


def release(slot: str, version: str, sequence: int = 1, **fields: Any) -> ModelRelease:
    return ModelRelease(
        model="gru4rec", slot=slot, version=version, sequence=sequence, digest="0" * 64, time=0, **fields
    )


@asynccontextmanager
async def running(
    loader: Loader, admit: Callable[[Challenger], None] = lambda _: None
) -> AsyncIterator[Contenders]:
    contenders = Contenders("gru4rec", loader, admit)
    task = asyncio.create_task(contenders.run())
    try:
        yield contenders
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def announce(contenders: Contenders, *releases: ModelRelease) -> None:
    for each in releases:
        contenders.on_record(each.key, encode(each))
    await asyncio.wait_for(contenders.settled(), 10)


def refused() -> dict[str, float]:
    return {at: metrics.contenders_refused.labels(at)._value.get() for at in metrics.REFUSED_AT}


def shown() -> set[tuple[str, str]]:
    (family,) = metrics.contender_info.collect()
    return {(each.labels["role"], each.labels["version"]) for each in family.samples}


async def test_a_challenger_and_several_shadows_are_loaded_and_ended_one_by_one() -> None:
    async with running(Loader()) as contenders:
        await announce(
            contenders,
            release("shadow:a", "a"),
            release("challenger", "c", share=0.2),
            release("shadow:b", "b"),
            release("live", "l"),
            release("canary", "k", share=0.2),
        )
        assert [each.model.version for each in contenders.shadows] == ["a", "b"]
        assert contenders.challenger is not None
        assert contenders.challenger.release.share == 0.2
        assert shown() >= {("challenger", "c"), ("shadow", "a"), ("shadow", "b")}
        contenders.on_record(b"gru4rec/shadow:a", None)
        contenders.on_record(b"gru4rec/challenger", None)
        await asyncio.wait_for(contenders.settled(), 10)
        assert contenders.challenger is None
        assert [each.model.version for each in contenders.shadows] == ["b"]
        assert not shown() & {("challenger", "c"), ("shadow", "a")}
        contenders.on_record(b"gru4rec/shadow:b", None)
        await asyncio.wait_for(contenders.settled(), 10)


async def test_one_that_cannot_be_loaded_is_refused_once_and_the_others_go_on() -> None:
    loader, before = Loader(), refused()
    async with running(loader) as contenders:
        await announce(contenders, release("shadow:bad", "bad"), release("shadow:odd", "odd"))
        await announce(contenders, release("shadow:a", "a"), release("shadow:bad", "bad"))
        assert [each.model.version for each in contenders.shadows] == ["a"]
        assert loader.calls.count("bad") == loader.calls.count("odd") == 1
        await announce(contenders, release("shadow:bad", "bad", 2))
        assert loader.calls.count("bad") == 2, "announced anew, it is tried anew"
    assert refused()["load"] - before["load"] == 3


async def test_a_challenger_that_cannot_be_loaded_takes_the_place_of_the_one_before() -> None:
    """The one before was ended by it: nobody shall think that the new one is on trial."""
    async with running(Loader()) as contenders:
        await announce(contenders, release("challenger", "c", share=0.2))
        await announce(contenders, release("challenger", "bad", 2, share=0.2))
        assert contenders.challenger is None


async def test_one_that_fails_on_a_visitor_is_let_go_until_it_is_announced_anew() -> None:
    before = refused()
    async with running(Loader()) as contenders:
        await announce(contenders, release("shadow:a", "a"), release("shadow:b", "b"))
        failed = contenders.shadows[0]
        contenders.refuse(failed, ValueError("not finite"))
        contenders.refuse(failed, ValueError("not finite"))
        assert [each.model.version for each in contenders.shadows] == ["b"]
        await announce(contenders, release("shadow:a", "a"))
        assert len(contenders.shadows) == 1
        await announce(contenders, release("shadow:a", "a", 2))
        assert len(contenders.shadows) == 2
    assert refused()["score"] - before["score"] == 1


async def test_a_record_that_is_no_release_is_counted_and_ends_the_trial() -> None:
    before = refused()
    async with running(Loader()) as contenders:
        await announce(contenders, release("challenger", "c", share=0.2))
        contenders.on_record(b"gru4rec/challenger", b"{")
        contenders.on_record(b"another/challenger", b"{")
        contenders.on_record(b"gru4rec/shadow:a", encode(release("shadow:b", "b")))
        contenders.on_record(None, b"{")
        await asyncio.wait_for(contenders.settled(), 10)
        assert (contenders.challenger, contenders.shadows) == (None, [])
    assert refused()["undecodable"] - before["undecodable"] == 2


async def test_one_that_is_not_admitted_is_refused_once() -> None:
    """Lists that are shown wait for a challenger, and every shadow takes what processor time they leave."""

    def admit(made: Challenger) -> None:
        if made.version == "slow":
            raise ArtifactError("slow takes 10 ms", "slow")

    loader, before = Loader(), refused()
    async with running(loader, admit) as contenders:
        await announce(contenders, release("challenger", "slow", share=0.2), release("shadow:a", "a"))
        await announce(contenders, release("challenger", "slow", share=0.2))
        assert contenders.challenger is None
        assert [each.model.version for each in contenders.shadows] == ["a"]
    assert loader.calls.count("slow") == 1
    assert refused()["load"] - before["load"] == 1


async def test_a_store_may_be_away_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_WAITS_S", (0.0, 0.0))
    attempts = iter([StorageError("away"), StorageError("away"), None])

    class Back(Loader):
        def __call__(self, version: str, digest: str | None) -> Challenger:
            if (error := next(attempts)) is not None:
                raise error
            return super().__call__(version, digest)

    before = refused()
    async with running(Back()) as contenders:
        await announce(contenders, release("challenger", "c", share=0.2))
        assert contenders.challenger is not None
    assert refused() == before
