"""Announcing on the models topic which version of a model has which role (streamrec/slots.py).

What one call changes is one record batch: in the log whole or not at all. Of several calls at once the
slots end as if one had come after the other: the offset of a batch tells whether somebody else
wrote since the slots were read; who finds that looks again at what was before, and writes again
where that makes a difference. Between the two batches readers see those of one caller, whole.
"""

import logging
import time
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, Final

from kafka import KafkaProducer

from streamrec.access import client_options
from streamrec.config import Settings
from streamrec.errors import BrokerError, RecordError, ReleaseError
from streamrec.events import ModelRelease, decode_release, encode
from streamrec.registry import Registry
from streamrec.slots import CANARY, LIVE, Change, Slots
from streamrec.topics import answering, read_topic

__all__ = [
    "announce",
    "canary",
    "change_slots",
    "end_canary",
    "pin",
    "promote",
    "released",
    "rollback",
    "unpin",
]

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0
_ATTEMPTS: Final = 10
# Longer than it takes to hand over the records of one change: they are one batch when it is flushed.
_LINGER_MS: Final = 60_000
_BATCH_BYTES: Final = 1 << 18


def released(settings: Settings) -> dict[str, ModelRelease]:
    """The newest release in every slot, by key (`gru4rec/live`).

    Raises BrokerError or TopicError if the models topic cannot be read.
    """
    return _read(settings)[0]


def announce(settings: Settings, model: str, version: str, *, automatic: bool = False) -> ModelRelease:
    """Make a published version the live one; workers load it at once.

    automatic: nobody has asked for it: a pinned version is not replaced, nor does one come back that was
    rolled back. Raises ReleaseError then, RegistryError if the version does not exist, ArtifactError if it is
    damaged or not signed, BrokerError or TopicError if it cannot be announced.
    """
    digest = Registry.of(settings).digest(model, version)
    return _in_slot(
        LIVE,
        change_slots(settings, model, lambda slots: slots.make_live(version, digest, automatic=automatic)),
    )


def canary(
    settings: Settings, model: str, version: str, share: float, *, automatic: bool = False
) -> ModelRelease:
    """Have a version serve a share of the visitors.

    Errors as in `announce`; ReleaseError too if nothing is live beside it.
    """
    digest = Registry.of(settings).digest(model, version)
    return _in_slot(
        CANARY,
        change_slots(
            settings, model, lambda slots: slots.make_canary(version, digest, share, automatic=automatic)
        ),
    )


def promote(settings: Settings, model: str) -> ModelRelease:
    """Have the canary serve everybody. Raises ReleaseError if there is none, BrokerError, TopicError."""
    return _in_slot(LIVE, change_slots(settings, model, Slots.promote))


def end_canary(settings: Settings, model: str, *, reason: str | None = None, only: str | None = None) -> None:
    """Have the live version serve everybody, as Slots.end_canary says.

    Raises ReleaseError, BrokerError, TopicError.
    """
    change_slots(settings, model, lambda slots: slots.end_canary(reason=reason, only=only))


def rollback(
    settings: Settings, model: str, reason: str, *, only: str | None = None, automatic: bool = False
) -> ModelRelease:
    """Have the previous version serve again, as Slots.roll_back says.

    Raises ReleaseError, BrokerError, TopicError.
    """
    return _in_slot(
        LIVE,
        change_slots(settings, model, lambda slots: slots.roll_back(reason, only=only, automatic=automatic)),
    )


def pin(settings: Settings, model: str) -> ModelRelease:
    """Have what is live replaced by hand only. Raises ReleaseError, BrokerError, TopicError."""
    return _in_slot(LIVE, change_slots(settings, model, lambda slots: slots.pin(True)))


def unpin(settings: Settings, model: str) -> ModelRelease:
    """Undo `pin`. Errors as there."""
    return _in_slot(LIVE, change_slots(settings, model, lambda slots: slots.pin(False)))


def change_slots(settings: Settings, model: str, plan: Callable[[Slots], list[Change]]) -> list[Change]:
    """Write what `plan` makes of the slots as they are; returns what was written.

    plan: pure; called again where somebody else wrote at the same time. Raises what it raises: what it
    had written is taken back then. Raises BrokerError, TopicError.
    """
    releases, end = _read(settings)
    above, ours, written = 0, dict[str, ModelRelease | None](), set[int]()
    for _ in range(_ATTEMPTS):
        slots = _slots(model, releases, above)
        changes = plan(slots)
        planned = {slot for slot, _ in changes}
        # What an earlier attempt has changed and this one leaves alone is as the others had it.
        undone = slots.restored([each for each in ours.items() if each[0] not in planned])
        at = _write(settings, model, [*changes, *undone])
        if at == end:
            return changes
        # Somebody wrote in between: what would have been right after that?
        ours |= dict(changes)
        end = at + len(changes) + len(undone)
        written.update(range(at, end))
        above = max((each.sequence for each in ours.values() if each is not None), default=above)
        releases, _ = _read(settings, before=at, without=written)
        slots = _slots(model, releases, above)
        try:
            if _says(plan(slots)) == _says(changes):
                return changes
        except ReleaseError:
            _write(settings, model, slots.restored(list(ours.items())))
            raise
    raise BrokerError(
        f"others write to {settings.kafka.topic('models')} all the time: in {_ATTEMPTS} attempts they came "
        "in between; stop them, and look at `streamrec models list`"
    )


def _slots(model: str, releases: dict[str, ModelRelease], above: int) -> Slots:
    return Slots(model, releases, now_ms=time.time_ns() // 1_000_000, above=above)


def _says(changes: Sequence[Change]) -> list[tuple[Any, ...]]:
    """What changes say, but for their numbers and times."""
    return [
        (slot, each and (each.version, each.digest, each.share, each.pinned, each.reason))
        for slot, each in changes
    ]


def _in_slot(slot: str, changes: Sequence[Change]) -> ModelRelease:
    return next(each for name, each in changes if name == slot and each is not None)


def _read(
    settings: Settings, before: int | None = None, without: Container[int] = ()
) -> tuple[dict[str, ModelRelease], int]:
    """The releases by key, and the topic's end; only what stands before an offset, and not at others."""
    found: dict[str, ModelRelease] = {}
    places = read_topic(settings, "models", partial(_take, found, before, without))
    return found, max((end for _, end in places.values()), default=0)


def _take(
    found: dict[str, ModelRelease], before: int | None, without: Container[int], records: list[Any]
) -> None:
    for record in records:
        name = (record.key or b"").decode(errors="replace")
        late = before is not None and record.offset >= before
        if late or record.offset in without or "/verdict:" in name:
            continue
        if record.value is None:
            found.pop(name, None)
            continue
        try:
            found[name] = decode_release(record.value)
        except RecordError as error:
            log.warning("the models topic has a record under %.256r that is no release: %s", name, error)


def _write(settings: Settings, model: str, changes: Sequence[Change]) -> int:
    """Append changes as one record batch; returns the offset of the first."""
    topic = settings.kafka.topic("models")
    with answering(settings, "WRITE", topic):
        producer = KafkaProducer(
            **client_options(settings.kafka), acks="all", linger_ms=_LINGER_MS, batch_size=_BATCH_BYTES
        )
        try:
            sent = [
                producer.send(topic, key=f"{model}/{slot}".encode(), value=each and encode(each))
                for slot, each in changes
            ]
            producer.flush(timeout=_TIMEOUT_S)
            first: int = min(future.get(timeout=_TIMEOUT_S).offset for future in sent)
            return first
        finally:
            producer.close(timeout=_TIMEOUT_S)
