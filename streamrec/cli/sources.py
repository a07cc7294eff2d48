"""The clicks that a verb works on."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from streamrec.config import Settings
    from streamrec.datasets import Clicks

__all__ = ["BundledOption", "DataOption", "FromTopicOption", "named_source", "one_source", "source_or_topic"]

DataOption = Annotated[
    Path | None,
    typer.Option(help="A tab-separated file of clicks: SessionId, ItemId, Time in seconds; .gz or not."),
]
BundledOption = Annotated[bool, typer.Option("--bundled", help="The clicks that come with streamrec.")]
FromTopicOption = Annotated[
    bool, typer.Option("--from-topic", help="The interactions topic, up to its present end.")
]


def one_source(data: Path | None, bundled: bool) -> "Clicks":
    """The clicks of a file, or those that come with streamrec. Raises ConfigError if not one is asked for."""
    _require_one({"--data FILE": data is not None, "--bundled": bundled})
    return _read(data)


def source_or_topic(data: Path | None, bundled: bool, from_topic: bool) -> "Clicks | None":
    """As one_source; None if the topic is asked for."""
    _require_one({"--data FILE": data is not None, "--bundled": bundled, "--from-topic": from_topic})
    return None if from_topic else _read(data)


def named_source(
    settings: "Settings", data: Path | None, bundled: bool, from_topic: bool, console: "Console"
) -> tuple["Clicks", Mapping[str, Any]]:
    """Clicks, of the topic too, and where they are from, for a manifest. Raises ConfigError as one_source."""
    clicks = source_or_topic(data, bundled, from_topic)
    if clicks is not None:
        return clicks, {"source": data.name if data is not None else "bundled clicks"}
    from streamrec.topic_clicks import read_clicks

    with console.status("reading the interactions") if console.is_terminal else nullcontext():
        return read_clicks(settings)


def _require_one(asked: Mapping[str, bool]) -> None:
    from streamrec.errors import ConfigError

    if sum(asked.values()) != 1:
        *others, last = asked
        raise ConfigError(f"which clicks? give one of {', '.join(others)} and {last}")


def _read(data: Path | None) -> "Clicks":
    from streamrec.datasets import bundled_clicks, load_clicks

    return bundled_clicks() if data is None else load_clicks(data)
