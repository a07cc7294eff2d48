"""The model versions a worker holds: the live one, and others that rows still name.

Announcements come from the models topic (`offer`); loading, hashing and probing happen
in a thread while the old version serves; the swap is one assignment between two batches.
A candidate that fails is refused, counted and not tried again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from streamrec import metrics
from streamrec.errors import RecordError, SignatureError, StreamrecError
from streamrec.events import ModelRelease, decode_release

__all__ = ["ModelShelf"]

log = logging.getLogger(__name__)
Model = TypeVar("Model")

# The live version, the one before it and one more that a late row may name.
_RESIDENT = 3


class ModelShelf(Generic[Model]):
    """Loaded versions of one model.

    load: version and manifest digest (None: unknown) -> model; blocking; raises StreamrecError.
    """

    def __init__(self, model: str, load: Callable[[str, str | None], Model]) -> None:
        self._model = model
        self._load = load
        self._loaded: dict[str, Model] = {}
        self._offered: ModelRelease | None = None
        self._refused: ModelRelease | None = None
        self._previous: str | None = None
        self._offer = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self.live: Model | None = None
        self.live_release: ModelRelease | None = None

    def on_record(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the models topic. Called by the broadcast reader."""
        if key != f"{self._model}/live".encode() or value is None:
            return
        try:
            self.offer(decode_release(value))
        except RecordError as error:
            metrics.model_swaps.labels("undecodable").inc()
            log.error("a model release is ignored: %s", error)

    def offer(self, release: ModelRelease) -> None:
        """Announce a release; `run` loads it. Only the newest offer counts."""
        self._offered = release
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

        Raises StreamrecError if the first release cannot be loaded: there is nothing to serve from.
        """
        while True:
            await self._offer.wait()
            self._offer.clear()
            release = self._offered
            if release is not None and release not in (self.live_release, self._refused):
                await self._swap(release)
            if not self._offer.is_set():
                self._settled.set()

    async def _swap(self, release: ModelRelease) -> None:
        try:
            model = await asyncio.to_thread(self._load, release.version, release.digest)
        except StreamrecError as error:
            refused = "untrusted" if isinstance(error, SignatureError) else "refused"
            metrics.model_swaps.labels(refused).inc()
            self._refused = release
            if self.live is None:
                raise
            log.error("release %r is refused, the old one goes on serving: %s", release.version, error)
            return
        if self.live_release is not None and self.live_release.version != release.version:
            self._previous = self.live_release.version
        self.live, self.live_release = model, release
        self._keep(release.version, model)
        metrics.model_swaps.labels("swapped").inc()
        metrics.model_info.clear()
        metrics.model_info.labels(release.model, release.version).set(1)
        metrics.model_loaded_timestamp.set(time.time())
        log.info("%s %s is live", release.model, release.version)

    def _keep(self, version: str, model: Model) -> None:
        self._loaded.pop(version, None)
        self._loaded[version] = model
        live = self.live_release.version if self.live_release else None
        while len(self._loaded) > _RESIDENT:
            self._loaded.pop(
                next(held for held in self._loaded if held not in (live, self._previous, version))
            )

    def resident(self, version: str) -> Model | None:
        """A version that is loaded, else None."""
        return self._loaded.get(version)

    async def ensure(self, version: str) -> Model | None:
        """A version that a row names, loaded if it is not; None for a row that names none.

        Who holds the result can use it, however many others are loaded meanwhile. Raises
        StreamrecError.
        """
        if not version or version in self._loaded:
            return self._loaded.get(version)
        model = await asyncio.to_thread(self._load, version, None)
        self._keep(version, model)
        return model
