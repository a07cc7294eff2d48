"""The guard: takes a version back when what visitors do, or how late lists come, speaks against it.

Part of the evaluation app, which tells it of every judged click and every list. It looks every few seconds
(streamrec/evaluation/guard.py says when it is convinced), and what it does anybody could do by hand. What it
takes back is marked, and nothing automatic releases it again; so it never goes to and fro.
"""

import asyncio
import logging

from streamrec import metrics
from streamrec.config import Settings
from streamrec.errors import BrokerError, RecordError, ReleaseError, TopicError
from streamrec.evaluation.fading import Verdict
from streamrec.evaluation.guard import Action, Watch
from streamrec.events import ModelRelease, decode_release
from streamrec.releases import end_canary, rollback
from streamrec.slots import Slots

__all__ = ["VersionGuard"]

log = logging.getLogger(__name__)


class VersionGuard:
    """Watches the canary and what is live of one model."""

    def __init__(self, settings: Settings, model: str) -> None:
        self._settings = settings
        self._model = model
        self._k = max(settings.evaluation.cutoffs)
        self._watch = Watch(settings.guard, model)
        self._releases: dict[str, ModelRelease] = {}

    def on_record(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the models topic. Called by the broadcast reader."""
        name = (key or b"").decode(errors="replace")
        if not name.startswith(f"{self._model}/") or "/verdict:" in name:
            return
        if value is None:
            self._releases.pop(name, None)
        else:
            try:
                self._releases[name] = decode_release(value)
            except RecordError as error:
                log.warning("a record of the models topic is passed over: %s", error)
                return
        self._watch.roles(Slots(self._model, self._releases))

    def judged(self, partition: int, visitor_id: str, verdict: Verdict) -> None:
        """Take a judged click. See prequential.Observer."""
        self._watch.judged(visitor_id, verdict.version, verdict.time_ms, 0 < verdict.rank <= self._k)

    def listed(self, version: str, emit_ms: int, late_ms: int) -> None:
        """Take a list. See prequential.Observer."""
        self._watch.listed(version, emit_ms, late_ms)

    async def run(self) -> None:
        """Look again and again, and act, for as long as the worker lives."""
        while True:
            await asyncio.sleep(self._settings.guard.every_s)
            action = self._watch.verdict()
            if action is not None:
                await self.act(action)

    async def act(self, action: Action) -> None:
        """End the canary, or roll back what is live, unless somebody has changed the roles meanwhile."""
        try:
            await asyncio.to_thread(self._take_back, action)
        except (ReleaseError, BrokerError, TopicError) as error:
            log.warning("%s %s is not taken back: %s", action.role, action.version, error)
            return
        metrics.guard_actions.labels(action.label).inc()
        log.error("%s %s is taken back: %s", action.role, action.version, action.reason)

    def _take_back(self, action: Action) -> None:
        if action.role == "canary":
            end_canary(self._settings, self._model, reason=action.reason, only=action.version)
        else:
            rollback(self._settings, self._model, action.reason, only=action.version, automatic=True)
