"""Which versions are tried out in a worker: the challenger, and the shadows by version.

Releases come from the models topic (`on_record`), under `challenger` and `shadow:VERSION`; they are
loaded in a thread while others go on. One that cannot be loaded, is slow, or fails on a visitor, is refused,
counted and not tried again until it is announced anew; nothing else waits for it or ends with it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from streamrec import metrics
from streamrec.admission import patiently
from streamrec.background import in_background
from streamrec.challengers import Challenger
from streamrec.errors import RecordError
from streamrec.events import ModelRelease, decode_release
from streamrec.slots import CHALLENGER, SHADOW

__all__ = ["Contender", "Contenders"]

log = logging.getLogger(__name__)


class Contender(NamedTuple):
    """A version that is tried out, and what was announced of it."""

    release: ModelRelease
    model: Challenger


class Contenders:
    """The contenders of one model.

    load: version and manifest digest -> the version; blocking. admit: looks at what is loaded;
        raises ArtifactError. beside: has a version loaded in a thread.
    """

    def __init__(
        self,
        model: str,
        load: Callable[[str, str | None], Challenger],
        admit: Callable[[Challenger], None] = lambda _: None,
        beside: Callable[[Callable[[], Challenger]], Awaitable[Challenger]] = in_background,
    ) -> None:
        self._beside = beside
        self._load = load
        self._admit = admit
        self._prefix = f"{model}/"
        self._offered: dict[str, ModelRelease] = {}
        self._loaded: dict[str, Contender] = {}
        self._refused: dict[str, ModelRelease] = {}
        self._offer = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    @property
    def challenger(self) -> Contender | None:
        """The version that lists are interleaved with."""
        return self._loaded.get(CHALLENGER)

    @property
    def shadows(self) -> list[Contender]:
        """The versions whose lists nobody sees."""
        return [each for slot, each in self._loaded.items() if slot != CHALLENGER]

    def on_record(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the models topic; a null value ends the slot's trial."""
        name = (key or b"").decode(errors="replace")
        slot = name.removeprefix(self._prefix)
        if slot == name or not (slot == CHALLENGER or slot.startswith(SHADOW)):
            return
        self._offered.pop(slot, None)
        if value is not None:
            try:
                release = decode_release(value)
                if release.key != key:
                    raise RecordError("invalid", f"it is a release for {release.key!r}")
                self._offered[slot] = release
            except RecordError as error:
                metrics.contenders_refused.labels("undecodable").inc()
                log.error("a release under %.256r is ignored: %s", name, error)
        self._settled.clear()
        self._offer.set()

    async def settled(self) -> None:
        """Wait until every release so far is loaded, refused or ended."""
        await self._settled.wait()

    async def run(self) -> None:
        """Load what is offered and let go what is not, for as long as the worker lives."""
        while True:
            await self._offer.wait()
            self._offer.clear()
            for slot in [slot for slot in self._loaded if slot not in self._offered]:
                self._let_go(slot)
            for slot, release in list(self._offered.items()):
                await self._take(slot, release)
            if not self._offer.is_set():
                self._settled.set()

    def refuse(self, contender: Contender, error: Exception) -> None:
        """Take no more lists of a version that failed on a visitor."""
        slot = contender.release.slot
        if self._loaded.get(slot) is contender:
            self._let_go(slot)
            self._refuse(slot, contender.release, "score", error)

    async def _take(self, slot: str, release: ModelRelease) -> None:
        loaded = self._loaded.get(slot)
        if release in (self._refused.get(slot), loaded and loaded.release):
            return
        try:
            model = await patiently(partial(self._load, release.version, release.digest), self._beside)
            self._admit(model)
        except Exception as error:  # whatever it is, the live version goes on
            self._let_go(slot)
            self._refuse(slot, release, "load", error)
            return
        self._let_go(slot)
        self._refused.pop(slot, None)
        self._loaded[slot] = Contender(release, model)
        metrics.contender_info.labels(_role(slot), release.version).set(1)
        log.info("%s is tried out as %s", release.version, _role(slot))

    def _let_go(self, slot: str) -> None:
        contender = self._loaded.pop(slot, None)
        if contender is not None:
            metrics.contender_info.remove(_role(slot), contender.release.version)

    def _refuse(self, slot: str, release: ModelRelease, stage: str, error: Exception) -> None:
        self._refused[slot] = release
        metrics.contenders_refused.labels(stage).inc()
        log.error("%s is refused as %s, lists go on without it: %s", release.version, _role(slot), error)


def _role(slot: str) -> str:
    return "challenger" if slot == CHALLENGER else "shadow"
