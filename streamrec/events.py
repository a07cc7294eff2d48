"""The records on the topics that apps see, and how their bytes are read.

In: bytes from Kafka. Out: msgspec structs, or a RecordError with a reason.
The JSON Schema and AsyncAPI files under docs/schemas are generated from here.
"""

import uuid
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from streamrec.errors import RecordError

__all__ = [
    "MAX_ITEM_BYTES",
    "MAX_KEY_BYTES",
    "MAX_RELEASE_BYTES",
    "SCHEMA_VERSION",
    "Interaction",
    "Item",
    "ModelRelease",
    "Recommendation",
    "RecommendedItem",
    "decode_interaction",
    "decode_item",
    "decode_release",
    "encode",
    "recommendation_id",
]

SCHEMA_VERSION: Final = 1
MAX_ITEM_BYTES: Final = 1 << 20
"""Larger records of the items topic are refused before they are decoded."""
MAX_RELEASE_BYTES: Final = 16 << 10
"""The same for the models topic."""
MAX_KEY_BYTES: Final = 1024
"""The longest id: 256 characters of at most four bytes."""
_REC_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "recommendations.streamrec")

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
# 9999-12-31 in milliseconds: beyond it no calendar library follows.
TimeMs = Annotated[int, Meta(ge=0, le=253_402_300_799_000, description="milliseconds since 1970, UTC")]
Short = Annotated[str, Meta(max_length=1024)]
# What every store of columns can hold.
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


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


class RecommendedItem(msgspec.Struct, frozen=True):
    """One place in a list: which item, how good, who proposed it and why."""

    item_id: str
    score: float
    sources: list[str]
    reason: str


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
    """Which version of a model serves in a slot. Key of the record: model/slot."""

    model: Label
    slot: Label
    version: Id
    sequence: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    digest: Annotated[
        str, Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="sha256 of manifest.json")
    ]
    time: TimeMs
    schema: Annotated[int, Meta(ge=1, le=1)] = SCHEMA_VERSION

    @property
    def key(self) -> bytes:
        """Key of the record on the models topic."""
        return f"{self.model}/{self.slot}".encode()


encode = msgspec.json.Encoder().encode
_interaction = msgspec.json.Decoder(Interaction).decode
_item = msgspec.json.Decoder(Item).decode
_release = msgspec.json.Decoder(ModelRelease).decode


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


def _check_size(value: bytes, max_bytes: int, what: str) -> None:
    if len(value) > max_bytes:
        raise RecordError("oversized", f"{what}: {len(value)} bytes, {max_bytes} are allowed")


def recommendation_id(topic: str, partition: int, offset: int) -> str:
    """The id of the list that the interaction at this place of the log asks for."""
    return str(uuid.uuid5(_REC_NAMESPACE, f"{topic}/{partition}/{offset}"))
