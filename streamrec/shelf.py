"""The model versions a worker holds: those that have a role, and one more that a late row names.

Announcements come from the models topic (`offer`). What is resident takes its role at once, so
going back to the previous version, or promoting a canary, loads nothing. Anything else is loaded,
hashed and probed in a thread while the others serve; the swap is one assignment between two batches.
A candidate that fails is refused in its own slot, counted and not tried again, unless it was its store
that could not be reached: that is asked again, less and less often. A worker that starts
loads the previous version first: it is what a live one is measured by, and what serves in its place if it
is refused, as it goes on serving in the workers that run.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from streamrec import metrics
from streamrec.admission import patiently
from streamrec.background import in_background
from streamrec.canary import Canary
from streamrec.errors import RecordError, SignatureError, StreamrecError, refusal
from streamrec.events import ModelRelease, decode_release
from streamrec.heap import give_back_memory
from streamrec.slots import CANARY, LIVE, PREVIOUS, ROLLED_BACK

__all__ = ["ModelShelf"]

log = logging.getLogger(__name__)
Model = TypeVar("Model")

_SLOTS: Final = (LIVE, CANARY, PREVIOUS)
"""In the order in which they are loaded."""
_SLOTS_AT_START: Final = (PREVIOUS, LIVE, CANARY)
"""The same while nothing is live."""
_OTHERS: Final = 1
"""Versions without a role that stay resident: one that late rows name."""
_REMEMBERED: Final = 16
"""Refused releases that are not tried again, in whatever slot they come."""
_FIRST_WAIT_S: Final = 5.0
_LONGEST_WAIT_S: Final = 300.0
"""Until a store that is away is asked again; each wait is twice the one before."""

_Name = tuple[str, str, int]
"""Version, digest and number: a version that is announced anew has another chance."""


class _Held(NamedTuple, Generic[Model]):
    """A loaded version, and the manifest digest it was announced with; None if a row has asked for it."""

    version: str
    digest: str | None
    model: Model


class ModelShelf(Generic[Model]):
    """Loaded versions of one model. What is announced in any order ends in the same roles.

    load: version and manifest digest (None: unknown) -> model; blocking; raises StreamrecError.
    admit: looks at a candidate beside the live one, if there is one; raises ArtifactError.
    beside: has a version loaded in a thread while another one serves.
    """

    def __init__(
        self,
        model: str,
        load: Callable[[str, str | None], Model],
        admit: Callable[[Model, Model | None], None] = lambda *_: None,
        beside: Callable[[Callable[[], Any]], Awaitable[Any]] = in_background,
    ) -> None:
        self._model = model
        self._load = load
        self._admit = admit
        self._beside = beside
        self._wanted: dict[str, ModelRelease] = {}
        self._rolled_back: set[str] = set()
        self._refused: deque[_Name] = deque(maxlen=_REMEMBERED)
        self._waits_s: dict[_Name, float] = {}
        self._loading: dict[str, asyncio.Future[Model]] = {}
        """Of the releases whose store is away, how long each waits."""
        self._taken: dict[str, ModelRelease] = {}
        self._held: dict[str, _Held[Model]] = {}
        self._others: list[_Held[Model]] = []
        self._offer = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._is_starting = True
        """Whether what there is to be loaded is still waited for."""
        self.live: Model | None = None
        self.live_release: ModelRelease | None = None
        self.canary: Canary[Model] | None = None
        """What serves a share of the visitors, if there is such a version and it could be loaded."""

    def on_record(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the models topic. Called by the broadcast reader."""
        model, _, slot = (key or b"").decode(errors="replace").partition("/")
        if model != self._model:
            return
        if slot.startswith(ROLLED_BACK):
            change = self._rolled_back.discard if value is None else self._rolled_back.add
            change(slot.removeprefix(ROLLED_BACK))
        if slot not in _SLOTS:
            return
        try:
            if value is not None:
                release = decode_release(value)
                if release.key != key:
                    raise RecordError("invalid", f"under {key!r} there is a release for {release.key!r}")
                self.offer(release)
            elif slot != LIVE:
                self._vacate(slot)
        except RecordError as error:
            metrics.model_swaps.labels("undecodable").inc()
            log.error("a model release is ignored: %s", error)

    def offer(self, release: ModelRelease) -> None:
        """Announce a release: taken at once if its version is here, else `run` loads it.

        Only the newest offer for a slot counts.
        """
        self._wanted[release.slot] = release
        held = self._find(release.version)
        if held is not None and held.digest == release.digest:
            self._take(release, held)
        elif self._next() is not None:
            self._settled.clear()
            self._offer.set()

    @property
    def is_settled(self) -> bool:
        """Whether every release offered so far is loaded or refused."""
        return self._settled.is_set()

    async def settled(self) -> None:
        """Wait until every release offered so far is loaded or refused."""
        await self._settled.wait()

    async def run(self) -> None:
        """Load what is offered, for as long as the worker lives.

        Raises StreamrecError if the first live release is refused, and the previous one cannot serve either.
        """
        while True:
            await self._offer.wait()
            self._offer.clear()
            while (release := self._next()) is not None:
                await self._try(release)
            if not self._offer.is_set():
                self._is_starting = False
                self._settled.set()

    def resident(self, version: str) -> Model | None:
        """A version that is loaded, else None."""
        held = self._find(version)
        return None if held is None else held.model

    async def ensure(self, version: str) -> Model | None:
        """A version that a row names, loaded if it is not; None for a row that names none.

        Who holds the result can use it, however many others are loaded meanwhile. Raises
        StreamrecError.
        """
        held = self._find(version)
        if held is not None or not version:
            return None if held is None else held.model
        if version not in self._loading:  # else the batch of another partition has asked for it, too
            load = asyncio.ensure_future(patiently(partial(self._load, version, None)))
            load.add_done_callback(lambda _: self._loading.pop(version))
            self._loading[version] = load
        model: Model = await asyncio.shield(self._loading[version])
        if self._find(version) is None:  # else it was given a role meanwhile
            self._retire(_Held(version, None, model))
        return model

    def _next(self) -> ModelRelease | None:
        """What is to be loaded next."""
        for slot in _SLOTS_AT_START if self.live is None else _SLOTS:
            release = self._wanted.get(slot)
            if release is None or release == self._taken.get(slot) or _name(release) in self._refused:
                continue
            return release
        return None

    async def _try(self, release: ModelRelease) -> None:
        """Load a release; take it if it is still wanted by then, or refuse it."""
        held = self._find(release.version)
        if held is None or held.digest != release.digest:
            try:
                load = partial(self._load, release.version, release.digest)
                is_repeat = _name(release) in self._waits_s
                run = asyncio.to_thread if self._is_starting else self._beside
                model = await (run(load) if is_repeat else patiently(load, run))
                # What followed the previous version is no measure for it: it has served.
                self._admit(model, None if release.slot == PREVIOUS else self._measure())
            except StreamrecError as error:
                self._refuse(release, error)
                return
            held = _Held(release.version, release.digest, model)
        self._waits_s.pop(_name(release), None)
        if self._wanted.get(release.slot) == release:
            self._take(release, held)
        else:
            self._retire(held)
        await asyncio.to_thread(give_back_memory)

    def _refuse(self, release: ModelRelease, error: StreamrecError) -> None:
        """Go on without it; other slots are not touched. Raises `error` if there is nothing to go on with."""
        reason = refusal(error)
        wait_s = self._waits_s.pop(_name(release), None)
        self._refused.append(_name(release))
        if reason == "unavailable" and wait_s is not None:
            self._ask_again(release, min(2 * wait_s, _LONGEST_WAIT_S))
            return
        metrics.model_refusals.labels(reason).inc()
        metrics.model_swaps.labels("untrusted" if isinstance(error, SignatureError) else "refused").inc()
        if release.slot == LIVE and self.live is None:
            if (before := self._before()) is None:
                log.error(
                    "release %r is refused (reason: %s) and there is no other to serve from; make a good one "
                    "live with `streamrec models release VERSION` and start this worker again",
                    *(release.version, reason),
                )
                raise error
            self._take(replace(self._taken[PREVIOUS], slot=LIVE), before)
        if reason == "unavailable":
            self._ask_again(release, _FIRST_WAIT_S)
        if release.slot == LIVE:
            log.error(
                "release %r is refused, the old one goes on serving: %s (reason: %s)",
                *(release.version, error, reason),
            )
            return
        log.error("%s %r is refused: %s (reason: %s)", release.slot, release.version, error, reason)
        if self._wanted.get(release.slot) == release:
            self._empty(release.slot)

    def _ask_again(self, release: ModelRelease, wait_s: float) -> None:
        """Have another look for a release whose store is away, if it is still wanted by then."""
        name = _name(release)
        self._waits_s[name] = wait_s

        def again() -> None:
            if name in self._refused:
                self._refused.remove(name)
            if all(_name(each) != name for each in self._wanted.values()):
                self._waits_s.pop(name, None)
            self._offer.set()

        _later(wait_s, again)

    def _measure(self) -> Model | None:
        """What a candidate is looked at beside."""
        if self.live is None and (before := self._before()) is not None:
            return before.model
        return self.live

    def _before(self) -> _Held[Model] | None:
        """The previous version, unless it was rolled back."""
        held = self._held.get(PREVIOUS)
        return None if held is None or held.version in self._rolled_back else held

    def _take(self, release: ModelRelease, held: _Held[Model]) -> None:
        """Give a version its role. Between two batches: nothing here waits."""
        slot, before, old = release.slot, self._taken.get(release.slot), self._held.get(release.slot)
        self._taken[slot], self._held[slot] = release, held
        if slot == LIVE:
            if old is not None and old.version != held.version:
                # What is announced as the previous one may come later, or has come already.
                replaced, self._held[PREVIOUS] = self._held.get(PREVIOUS), old
                self._retire(replaced)
            self.live, self.live_release = held.model, release
        elif slot == CANARY:
            self.canary = Canary(release.version, release.share or 1.0, held.model)
        self._retire(old)
        if slot != PREVIOUS and (old is not held or before is None or before.share != release.share):
            metrics.model_swaps.labels("swapped").inc()
            log.info("%s %s is %s", release.model, release.version, _told(release))
        if slot == LIVE and old is not held:
            metrics.model_loaded_timestamp.set(time.time())
        self._show()

    def _vacate(self, slot: str) -> None:
        """Nothing is wanted in a slot any more."""
        self._wanted.pop(slot, None)
        self._empty(slot)

    def _empty(self, slot: str) -> None:
        self._taken.pop(slot, None)
        if slot == CANARY:
            self.canary = None
        self._retire(self._held.pop(slot, None))
        self._show()

    def _retire(self, held: _Held[Model] | None) -> None:
        """Let a version go that has lost its role, unless it has another; the last one stays: late rows."""
        if held is not None:
            self._others = [held, *(each for each in self._others if each.version != held.version)]
        in_roles = {each.version for each in self._held.values()}
        self._others = [each for each in self._others if each.version not in in_roles][:_OTHERS]

    def _find(self, version: str) -> _Held[Model] | None:
        return next((each for each in (*self._held.values(), *self._others) if each.version == version), None)

    def _show(self) -> None:
        metrics.model_info.clear()
        for slot, held in self._held.items():
            metrics.model_info.labels(self._model, held.version, slot).set(1)
        metrics.canary_share.set(self.canary.share if self.canary is not None else 0)


def _later(wait_s: float, again: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(wait_s, again)


def _name(release: ModelRelease) -> _Name:
    return release.version, release.digest, release.sequence


def _told(release: ModelRelease) -> str:
    return (
        release.slot if release.share is None else f"{release.slot} for {release.share:.4g} of the visitors"
    )
