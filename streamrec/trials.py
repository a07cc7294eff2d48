"""Announcing which versions are tried out beside the live one: shadows, and a challenger."""

from streamrec.config import Settings
from streamrec.registry import Registry
from streamrec.releases import change_slots
from streamrec.slots import Slots

__all__ = ["challenge", "end_challenge", "end_shadow", "shadow"]


def challenge(settings: Settings, model: str, version: str, share: float) -> None:
    """Have the lists of a share of the visitors, 0 < share <= 1, interleaved with a version's.

    Raises ReleaseError if nothing is live or the version is, RegistryError, ArtifactError, BrokerError or
    TopicError.
    """
    digest = Registry.of(settings).digest(model, version)
    change_slots(settings, model, lambda slots: slots.challenge(version, digest, share))


def end_challenge(settings: Settings, model: str) -> None:
    """Have lists interleaved no more. Raises ReleaseError, BrokerError or TopicError."""
    change_slots(settings, model, Slots.end_challenge)


def shadow(settings: Settings, model: str, version: str) -> None:
    """Have a version make lists that nobody sees. Errors as in `challenge`."""
    digest = Registry.of(settings).digest(model, version)
    change_slots(settings, model, lambda slots: slots.shadow(version, digest))


def end_shadow(settings: Settings, model: str, version: str) -> None:
    """Have a version make such lists no more. Errors as in `end_challenge`."""
    change_slots(settings, model, lambda slots: slots.end_shadow(version))
