"""JSON Schema of every record that apps see, and an AsyncAPI document of the topics.

In: the structs of streamrec.events and the topics at their default settings. Out: the
files of docs/schemas. Written anew with `streamrec topics schemas`.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from streamrec.config import Settings
from streamrec.events import (
    SCHEMA_VERSION,
    Interaction,
    Item,
    ModelRelease,
    Recommendation,
    ShadowRecommendation,
    Verdict,
)
from streamrec.metrics import DEAD_LETTER_REASONS
from streamrec.topics import TopicSpec, topic_specs

__all__ = ["ASYNCAPI_FILE", "RECORDS", "render_schemas", "schema_of", "write_schemas"]

ASYNCAPI_FILE: Final = "asyncapi.json"

RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    "interaction": Interaction,
    "recommendation": Recommendation,
    "shadow-recommendation": ShadowRecommendation,
    "item": Item,
    "model-release": ModelRelease,
    "verdict": Verdict,
}
"""Record types by the name of their file."""

_VERSION = f"{SCHEMA_VERSION}.0.0"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_BINDING = "0.5.0"

_UTF8_ID = {"type": "string", "minLength": 1, "maxLength": 256}
_DEAD_LETTER_HEADERS = {
    "type": "object",
    "description": "Where the record came from and why it was refused; the record's own headers follow.",
    "properties": {
        "topic": {"type": "string"},
        "partition": {"type": "string", "pattern": "^[0-9]+$"},
        "offset": {"type": "string", "pattern": "^[0-9]+$"},
        "timestamp": {"type": "string", "pattern": "^[0-9]+$", "description": "of the record in Kafka, ms"},
        "reason": {"type": "string", "enum": list(DEAD_LETTER_REASONS)},
        "message": {"type": "string", "description": "what is wrong and what to do"},
    },
    "required": ["topic", "partition", "offset", "timestamp", "reason", "message"],
}


def schema_of(record: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a record type, complete in itself."""
    _, components = msgspec.json.schema_components([record], ref_template="#/$defs/{name}")
    schema = {"$schema": _DRAFT, **components.pop(record.__name__)}
    return {**schema, "$defs": components} if components else schema


def render_schemas() -> dict[str, str]:
    """All files: text by name."""
    documents = {f"{name}.schema.json": schema_of(record) for name, record in RECORDS.items()}
    documents[ASYNCAPI_FILE] = _asyncapi()
    return {
        name: msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
        for name, document in documents.items()
    }


def write_schemas(folder: Path) -> list[Path]:
    """Write all files to `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in render_schemas().items():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def _asyncapi() -> dict[str, Any]:
    # Not from the environment: the document says what holds by default.
    settings = Settings.model_construct()
    specs = {spec.name.removeprefix(settings.kafka.prefix): spec for spec in topic_specs(settings)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "streamrec",
            "version": _VERSION,
            "description": "Clicks into Kafka, fresh recommendations out of it. Topic names begin with a "
            "prefix, `streamrec.` unless set otherwise. Unknown fields of a record are ignored.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"default": {"host": settings.kafka.bootstrap, "protocol": "kafka"}},
        "channels": {name: _channel(specs[name], name) for name in _MESSAGES},
        "operations": {
            name: {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [
                    {"$ref": f"#/channels/{name}/messages/{message['name']}"} for message in _messages(name)
                ],
            }
            for name, action in _ACTIONS.items()
        },
        "components": {
            "messages": {message["name"]: message for name in _MESSAGES for message in _messages(name)}
        },
    }


def _channel(spec: TopicSpec, name: str) -> dict[str, Any]:
    names = [message["name"] for message in _messages(name)]
    return {
        "address": spec.name,
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in names},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "replicas": spec.replication,
                "topicConfiguration": {
                    key: _typed(key, value) for key, value in sorted({**spec.defaults, **spec.config}.items())
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _messages(name: str) -> list[dict[str, Any]]:
    """All kinds of messages of a topic."""
    return [_MESSAGES[name], *_FURTHER.get(name, ())]


def _typed(key: str, value: str) -> Any:
    if key == "cleanup.policy":
        return [value]
    try:
        return int(value)
    except ValueError:
        return value


def _message(name: str, summary: str, key: dict[str, Any], file: str) -> dict[str, Any]:
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"$ref": f"./{file}.schema.json"},
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
    }


def _key(what: str) -> dict[str, Any]:
    return {**_UTF8_ID, "description": what}


_MESSAGES: Final[dict[str, dict[str, Any]]] = {
    "interactions": _message(
        "Interaction",
        "What a visitor did with an item. Partitioned by Kafka's default partitioner (murmur2).",
        _key("visitor_id, UTF-8"),
        "interaction",
    ),
    "recommendations": _message(
        "Recommendation",
        "A fresh list, one for each accepted interaction that asks for it. After a crash it may come again, "
        "under the same rec_id.",
        _key("visitor_id, UTF-8"),
        "recommendation",
    ),
    "shadow-recommendations": _message(
        "ShadowRecommendation",
        "What a version that is tried out would have shown: a list for each list and version. Nobody saw it.",
        _key("visitor_id, UTF-8"),
        "shadow-recommendation",
    ),
    "items": _message(
        "Item", "What is known of an item; the last record counts.", _key("item_id, UTF-8"), "item"
    ),
    "models": _message(
        "ModelRelease",
        "Which version of a model serves in a slot; the last record of a slot counts.",
        _key("model/slot, UTF-8"),
        "model-release",
    ),
    "dead-letters": {
        "name": "DeadLetter",
        "summary": "An interaction that was refused: its original bytes, or none if it was too large.",
        "contentType": "application/octet-stream",
        "headers": _DEAD_LETTER_HEADERS,
        "payload": {"description": "Whatever was sent."},
        "bindings": {"kafka": {"key": {"description": "Whatever was sent."}, "bindingVersion": _BINDING}},
    },
}
"""The message of every topic that apps see, by the topic's name without prefix."""

_FURTHER: Final[dict[str, list[dict[str, Any]]]] = {
    "models": [
        _message(
            "Verdict",
            "What the gate found out about a version; the last record of a version counts.",
            _key("model/verdict:version, UTF-8"),
            "verdict",
        )
    ]
}
"""Messages of another kind on the same topic."""

_ACTIONS: Final = {
    "interactions": "receive",
    "items": "receive",
    "models": "receive",
    "recommendations": "send",
    "shadow-recommendations": "send",
    "dead-letters": "send",
}
"""What streamrec does with each topic."""
