"""The roles of one model's versions, and what changes when one is given another role.

In: the releases of the models topic. Out: changes to them, pure: which record goes under which slot.

    live          serves; `pinned`: replaced by hand only
    previous      served before; workers hold it, so that going back loads nothing
    canary        serves a share of the visitors
    challenger    its lists are interleaved with those of a share of the visitors
    shadow:VERSION       makes lists that nobody sees
    rolled-back:VERSION  was taken back for a reason: nothing automatic releases it again

Sequence numbers only rise: going back is a new release of an old version.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from streamrec.errors import ReleaseError
from streamrec.events import ModelRelease

__all__ = ["CANARY", "CHALLENGER", "LIVE", "PREVIOUS", "ROLLED_BACK", "SHADOW", "Change", "Slots"]

LIVE: Final = "live"
PREVIOUS: Final = "previous"
CANARY: Final = "canary"
CHALLENGER: Final = "challenger"
SHADOW: Final = "shadow:"
ROLLED_BACK: Final = "rolled-back:"

Change = tuple[str, ModelRelease | None]
"""A slot, and what stands in it from now on; None empties it."""


class Slots:
    """The releases of one model, by slot. Its methods give changes, and change nothing.

    releases: of all models, by key. above: sequence numbers of changes are higher than it, too.
    """

    def __init__(
        self, model: str, releases: Mapping[str, ModelRelease], *, now_ms: int = 0, above: int = 0
    ) -> None:
        self.model = model
        self._slots = {
            key.partition("/")[2]: each for key, each in releases.items() if key.startswith(f"{model}/")
        }
        self._sequence = 1 + max((above, *(each.sequence for each in self._slots.values())))
        self._now_ms = now_ms

    def __getitem__(self, slot: str) -> ModelRelease | None:
        """What stands in a slot."""
        return self._slots.get(slot)

    def rolled_back(self, version: str) -> ModelRelease | None:
        """The mark of a version that was taken back, with its reason."""
        return self[ROLLED_BACK + version]

    def make_live(self, version: str, digest: str, *, automatic: bool) -> list[Change]:
        """A version serves from now on; what is live becomes the previous one.

        automatic: nobody has asked for it. Raises ReleaseError if it may not be then.
        """
        if automatic:
            self._may_replace_live()
            self._may_come_back(version)
        return [
            (LIVE, self._release(LIVE, version, digest)),
            *self._after_live(version),
            *([(CANARY, None)] if self._serves(CANARY, version) else []),
            *([(ROLLED_BACK + version, None)] if self.rolled_back(version) else []),
        ]

    def make_canary(self, version: str, digest: str, share: float, *, automatic: bool) -> list[Change]:
        """A version serves a share of the visitors; one that does already gets another share.

        Raises ReleaseError if there is nothing live beside it, or it may not be.
        """
        live = self._live()
        if live.version == version:
            raise ReleaseError(f"{version} is live: as a canary it would be compared with itself")
        if automatic:
            self._may_come_back(version)
        return [
            *([(ROLLED_BACK + version, None)] if self.rolled_back(version) else []),
            (CANARY, replace(self._release(CANARY, version, digest), share=share)),
        ]

    def promote(self) -> list[Change]:
        """The canary serves everybody. Raises ReleaseError if there is none."""
        canary = self._canary()
        return self.make_live(canary.version, canary.digest, automatic=False)

    def end_canary(self, *, reason: str | None = None, only: str | None = None) -> list[Change]:
        """Everybody is served by the live version.

        reason: why the canary may not be released automatically again. only: the version that has to be the
        canary. Raises ReleaseError if there is none.
        """
        canary = self._canary(only)
        live = self._live()
        return [
            *([] if reason is None else [self._mark(canary, reason)]),
            (CANARY, None),
            # Emptied slots keep no number: without this one the next canary would get the same again.
            (LIVE, replace(self._release(LIVE, live.version, live.digest), pinned=live.pinned)),
        ]

    def roll_back(self, reason: str, *, only: str | None = None, automatic: bool = False) -> list[Change]:
        """The previous version serves again, and what was live is remembered as taken back.

        only: the version that has to be live. Raises ReleaseError if there is nothing to go back to.
        """
        live, previous = self._live(only), self[PREVIOUS]
        if previous is None or previous.version == live.version:
            raise ReleaseError(
                f"{live.version} is live and none was before it; `streamrec models release VERSION` names one"
            )
        if mark := self.rolled_back(previous.version):
            raise ReleaseError(
                f"before {live.version} there was {previous.version}, which was rolled back ({mark.reason}); "
                "`streamrec models release VERSION` names one"
            )
        if automatic:
            self._may_replace_live()
        return [
            (LIVE, self._release(LIVE, previous.version, previous.digest)),
            *self._after_live(previous.version),
            self._mark(live, reason),
            *([(CANARY, None)] if self._serves(CANARY, previous.version) else []),
        ]

    def pin(self, pinned: bool) -> list[Change]:
        """Whether what is live may be replaced by hand only. Raises ReleaseError if nothing is live."""
        live = self._live()
        return [(LIVE, replace(self._release(LIVE, live.version, live.digest), pinned=pinned))]

    def challenge(self, version: str, digest: str, share: float) -> list[Change]:
        """Lists of a share of the visitors are interleaved with a version's; it takes the place of another.

        Raises ReleaseError if nothing is live, or the version is.
        """
        self._other_than_live(version)
        return [(CHALLENGER, replace(self._release(CHALLENGER, version, digest), share=share))]

    def end_challenge(self) -> list[Change]:
        """Lists are interleaved no more. Raises ReleaseError if there is no challenger."""
        if self[CHALLENGER] is None:
            raise ReleaseError(
                f"there is no challenger of {self.model}; `streamrec models challenge VERSION` makes one"
            )
        return [(CHALLENGER, None)]

    def shadow(self, version: str, digest: str) -> list[Change]:
        """A version makes lists that nobody sees. Errors as in `challenge`."""
        self._other_than_live(version)
        slot = SHADOW + version
        return [(slot, self._release(slot, version, digest))]

    def end_shadow(self, version: str) -> list[Change]:
        """A version makes such lists no more. Raises ReleaseError if it makes none."""
        if self[SHADOW + version] is None:
            raise ReleaseError(f"{version} is no shadow; `streamrec models list` shows which versions are")
        return [(SHADOW + version, None)]

    def restored(self, changes: Sequence[Change]) -> list[Change]:
        """What makes the slots of these changes as they are here.

        With a new number, but for the previous version, whose number is of when it was live.
        """
        held = ((slot, self[slot]) for slot, _ in changes)
        return [
            (slot, each if each is None or slot == PREVIOUS else replace(each, sequence=self._sequence))
            for slot, each in held
        ]

    def _release(self, slot: str, version: str, digest: str) -> ModelRelease:
        return ModelRelease(
            model=self.model,
            slot=slot,
            version=version,
            sequence=self._sequence,
            digest=digest,
            time=self._now_ms,
        )

    def _mark(self, release: ModelRelease, reason: str) -> Change:
        slot = ROLLED_BACK + release.version
        return slot, replace(self._release(slot, release.version, release.digest), reason=reason)

    def _after_live(self, version: str) -> list[Change]:
        """What is live becomes the previous one, unless it is the one that comes."""
        live = self[LIVE]
        if live is None or live.version == version:
            return []
        return [(PREVIOUS, replace(live, slot=PREVIOUS, pinned=False))]

    def _other_than_live(self, version: str) -> None:
        if self._live().version == version:
            raise ReleaseError(f"{version} is live: it would be compared with itself")

    def _serves(self, slot: str, version: str) -> bool:
        release = self[slot]
        return release is not None and release.version == version

    def _live(self, only: str | None = None) -> ModelRelease:
        live = self[LIVE]
        if live is None:
            raise ReleaseError(f"no version of {self.model} is live; `streamrec models release` makes one so")
        if only is not None and live.version != only:
            raise ReleaseError(f"{only} is not live any more, {live.version} is")
        return live

    def _canary(self, only: str | None = None) -> ModelRelease:
        canary = self[CANARY]
        if canary is None:
            raise ReleaseError(
                f"there is no canary of {self.model}; `streamrec models canary VERSION` makes one"
            )
        if only is not None and canary.version != only:
            raise ReleaseError(f"{only} is not the canary any more, {canary.version} is")
        return canary

    def _may_replace_live(self) -> None:
        live = self[LIVE]
        if live is not None and live.pinned:
            raise ReleaseError(
                f"{live.version} is pinned: it is replaced by hand only, or after `streamrec models unpin`"
            )

    def _may_come_back(self, version: str) -> None:
        if mark := self.rolled_back(version):
            raise ReleaseError(
                f"{version} was rolled back ({mark.reason}); `streamrec models release {version}` brings it "
                "back by hand"
            )
