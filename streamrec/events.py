"""The records on the topics that apps see, and how their bytes are read.

In: bytes from Kafka. Out: msgspec structs, or a RecordError with a reason.
The JSON Schema and AsyncAPI files under docs/schemas are generated from here.
"""

import hashlib
import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from streamrec.errors import RecordError

__all__ = [
    "MAX_ITEM_BYTES",
    "MAX_KEY_BYTES",
    "MAX_RELEASE_BYTES",
    "MAX_VERDICT_BYTES",
    "SCHEMA_VERSION",
    "Check",
    "Interaction",
    "Item",
    "ModelRelease",
    "Recommendation",
    "RecommendedItem",
    "ShadowRecommendation",
    "Team",
    "Verdict",
    "Window",
    "decode_interaction",
    "decode_item",
    "decode_release",
    "decode_verdict",
    "encode",
    "find_offset",
    "recommendation_id",
]

SCHEMA_VERSION: Final = 1
MAX_ITEM_BYTES: Final = 1 << 20
"""Larger records of the items topic are refused before they are decoded."""
MAX_RELEASE_BYTES: Final = 16 << 10
"""The same for the models topic."""
MAX_VERDICT_BYTES: Final = 512 << 10
"""The same for verdicts, which are on that topic too."""
MAX_KEY_BYTES: Final = 1024
"""The longest id: 256 characters of at most four bytes."""
_REC_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "recommendations.streamrec")

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
# 9999-12-31 in milliseconds: beyond it no calendar library follows.
TimeMs = Annotated[int, Meta(ge=0, le=253_402_300_799_000, description="milliseconds since 1970, UTC")]
Short = Annotated[str, Meta(max_length=1024)]
# A role, or a role and the version that has it: `shadow:VERSION`.
Slot = Annotated[str, Meta(min_length=1, max_length=288)]
# What every store of columns can hold.
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]


class Interaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a visitor did with an item. Key of the record: the visitor id, UTF-8."""

    event_id: Id
    type: Label
    visitor_id: Id
    item_id: Id
    time: TimeMs
    session_id: Id | None = None
    value: float | None = None
    context: Annotated[dict[Label, str | Int64 | float | bool | None], Meta(max_length=32)] | None = None
    rec_id: Id | None = None
    schema: Annotated[int, Meta(ge=1, le=1)] = SCHEMA_VERSION


Team = Literal["live", "challenger"]


class RecommendedItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place in a list: which item, how good, who proposed it and why."""

    item_id: str
    score: float
    sources: list[str]
    reason: str
    team: Annotated[
        Team | None,
        Meta(
            description="of an interleaved list: which of the two lists it was drawn from, and is credited to"
        ),
    ] = None


class Recommendation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A fresh list for a visitor. `rec_id` is the same again after any repeat."""

    rec_id: str
    visitor_id: str
    session_id: str
    event_id: str
    items: list[RecommendedItem]
    model: str
    release: str
    event_time: int
    emit_time: int
    input_partition: int
    input_offset: int
    candidates: dict[str, list[str]] | None = None
    challenger: Annotated[
        str | None,
        Meta(description="the other version of an interleaved list; `release` is the visitor's own"),
    ] = None
    schema: int = SCHEMA_VERSION


class ShadowRecommendation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A list that nobody saw: what another version would have shown in place of the list `rec_id`."""

    rec_id: str
    visitor_id: str
    session_id: str
    event_id: str
    items: list[RecommendedItem]
    model: str
    release: Annotated[str, Meta(description="the shadow's version")]
    shown: Annotated[list[str], Meta(description="item ids of the list that was shown, in its order")]
    shown_release: Annotated[str, Meta(description="the version that the shown list names")]
    event_time: int
    emit_time: int
    input_partition: int
    input_offset: int
    schema: int = SCHEMA_VERSION


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an item. Key of the record: the item id, UTF-8."""

    item_id: Id
    available: bool = True
    title: Short | None = None
    text: Annotated[str, Meta(max_length=65536)] | None = None
    tags: Annotated[list[Label], Meta(max_length=256)] = []
    categories: Annotated[list[Label], Meta(max_length=64)] = []
    price: float | None = None
    time: TimeMs | None = None
    schema: Annotated[int, Meta(ge=1, le=1)] = SCHEMA_VERSION


class ModelRelease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which version of a model serves in a slot. Key of the record: model/slot.

    share: of the visitors who get it (canary, challenger). pinned: what is live is replaced by hand only.
    reason: why it was rolled back (rolled-back:VERSION).
    """

    model: Label
    slot: Slot
    version: Id
    sequence: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    digest: Annotated[
        str, Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="sha256 of manifest.json")
    ]
    time: TimeMs
    share: Annotated[float, Meta(gt=0, le=1, description="of the visitors")] | None = None
    pinned: bool = False
    reason: Short | None = None
    schema: Annotated[int, Meta(ge=1, le=1)] = SCHEMA_VERSION

    @property
    def key(self) -> bytes:
        """Key of the record on the models topic."""
        return f"{self.model}/{self.slot}".encode()


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that the gate asks of a candidate, and what it found."""

    name: Label
    passed: bool
    text: Annotated[str, Meta(max_length=2048, description="the same for people")]
    value: Annotated[float | None, Meta(description="what was measured")] = None
    bound: Annotated[float | None, Meta(description="what value may at most, or has to at least, be")] = None
    candidate: Annotated[float | None, Meta(description="of the candidate alone")] = None
    live: Annotated[float | None, Meta(description="of the live version alone")] = None
    low: Annotated[float | None, Meta(description="lower bound of the interval around value")] = None
    high: Annotated[float | None, Meta(description="upper bound of it")] = None


class Window(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The clicks that a candidate was judged on."""

    sessions: Count
    clicks: Count
    digest: Annotated[Digest, Meta(description="sha256 of the clicks: the same ones again have the same")]
    first: TimeMs | None = None
    last: TimeMs | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the gate found out about a version. Key of the record: model/verdict:version."""

    model: Label
    version: Id
    outcome: Annotated[
        Literal["passed", "refused", "undecided"],
        Meta(description="undecided: too few sessions to tell; no fault of the candidate"),
    ]
    checks: Annotated[list[Check], Meta(max_length=32)]
    window: Window
    rules: Annotated[Digest, Meta(description="sha256 of the gate's settings")]
    time: TimeMs
    digest: Annotated[Digest | None, Meta(description="sha256 of manifest.json; none if unreadable")] = None
    against: Annotated[Id | None, Meta(description="the live version it was held against")] = None
    against_digest: Digest | None = None
    released: Annotated[Count | None, Meta(description="sequence of the release that came of it")] = None
    note: Annotated[Short | None, Meta(description="why it was not released")] = None
    schema: Annotated[int, Meta(ge=1, le=1)] = SCHEMA_VERSION

    @property
    def key(self) -> bytes:
        """Key of the record on the models topic."""
        return f"{self.model}/verdict:{self.version}".encode()

    @property
    def failed(self) -> list[Check]:
        """The checks that were not passed."""
        return [check for check in self.checks if not check.passed]


encode = msgspec.json.Encoder().encode
_interaction = msgspec.json.Decoder(Interaction).decode
_item = msgspec.json.Decoder(Item).decode
_release = msgspec.json.Decoder(ModelRelease).decode
_verdict = msgspec.json.Decoder(Verdict).decode


def decode_interaction(value: bytes) -> Interaction:
    """Interaction from the bytes of a record's value.

    Raises RecordError with reason `undecodable` (no JSON, or nested too deep) or
    `invalid` (JSON that breaks the schema).
    """
    try:
        return _interaction(value)
    except msgspec.ValidationError as error:
        raise RecordError("invalid", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("undecodable", str(error)) from None


def decode_item(value: bytes) -> Item:
    """Item from the bytes of a record's value. Raises RecordError: oversized, invalid."""
    _check_size(value, MAX_ITEM_BYTES, "item")
    try:
        return _item(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("invalid", f"item: {error}") from None


def decode_release(value: bytes) -> ModelRelease:
    """ModelRelease from the bytes of a record's value. Raises RecordError: oversized, invalid."""
    _check_size(value, MAX_RELEASE_BYTES, "model release")
    try:
        return _release(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("invalid", f"model release: {error}") from None


def decode_verdict(value: bytes) -> Verdict:
    """Verdict from the bytes of a record's value. Raises RecordError: oversized, invalid."""
    _check_size(value, MAX_VERDICT_BYTES, "verdict")
    try:
        return _verdict(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("invalid", f"verdict: {error}") from None


def _check_size(value: bytes, max_bytes: int, what: str) -> None:
    if len(value) > max_bytes:
        raise RecordError("oversized", f"{what}: {len(value)} bytes, {max_bytes} are allowed")


def recommendation_id(topic: str, partition: int, offset: int) -> str:
    """The id of the list that the interaction at this place of the log asks for: a UUID of version 5.

    Python's uuid5 takes eight times as long, to hash what is always the same and to check its own numbers.
    """
    digest = _begun(topic, partition).copy()
    digest.update(b"%d" % offset)
    name = digest.hexdigest()
    variant = "89ab"[int(name[16], 16) & 3]
    return f"{name[:8]}-{name[8:12]}-5{name[13:16]}-{variant}{name[17:20]}-{name[20:32]}"


@lru_cache(maxsize=1024)
def _begun(topic: str, partition: int) -> Any:
    """RFC 9562's hash of namespace and name, up to the offset."""
    return hashlib.sha1(_REC_NAMESPACE.bytes + f"{topic}/{partition}/".encode(), usedforsecurity=False)


def find_offset(rec_id: str, topic: str, partition: int, offsets: Iterable[int]) -> int | None:
    """The first of the offsets whose interaction asks for the list `rec_id`; None if none does.

    Raises RecordError if `rec_id` is no such id.
    """
    try:
        wanted = uuid.UUID(rec_id)
    except ValueError:
        raise RecordError("invalid", f"{rec_id!r} is no rec_id; one reads like {_REC_NAMESPACE}") from None
    end = wanted.bytes[9:]  # behind the bytes in which uuid5 notes its version
    begun = _begun(topic, partition)
    for offset in offsets:
        digest = begun.copy()
        digest.update(b"%d" % offset)
        if digest.digest()[9:16] == end and recommendation_id(topic, partition, offset) == str(wanted):
            return offset
    return None
