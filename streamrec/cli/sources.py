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

__all__ = [
    "BundledOption",
    "DataOption",
    "FromHistoryOption",
    "FromTopicOption",
    "named_source",
    "one_source",
    "require_one",
    "source_or_topic",
]

DataOption = Annotated[
    Path | None,
    typer.Option(help="A tab-separated file of clicks: SessionId, ItemId, Time in seconds; .gz or not."),
]
BundledOption = Annotated[bool, typer.Option("--bundled", help="The clicks that come with streamrec.")]
FromTopicOption = Annotated[
    bool, typer.Option("--from-topic", help="The interactions topic, up to its present end.")
]

FromHistoryOption = Annotated[
    bool,
    typer.Option(
        "--from-history",
        help="History, as `streamrec archive` and `streamrec import` wrote it, as far as it reaches.",
    ),
]


def one_source(data: Path | None, bundled: bool, from_history: bool = False) -> "Clicks":
    """The clicks of a file, of history, or those that come with streamrec.

    Raises ConfigError if not one is asked for.
    """
    require_one(
        {"--data FILE": data is not None, "--from-history": from_history, "--bundled": bundled},
    )
    if from_history:
        from streamrec.config import load_settings
        from streamrec.history import history_clicks

        return history_clicks(load_settings()).clicks
    return _read(data)


def source_or_topic(
    data: Path | None, bundled: bool, from_topic: bool, from_history: bool
) -> "Clicks | None":
    """As one_source; None if the topic or history is asked for."""
    require_one(
        {
            "--data FILE": data is not None,
            "--bundled": bundled,
            "--from-topic": from_topic,
            "--from-history": from_history,
        }
    )
    return None if from_topic or from_history else _read(data)


def named_source(
    settings: "Settings",
    data: Path | None,
    bundled: bool,
    from_topic: bool,
    console: "Console",
    from_history: bool = False,
) -> tuple["Clicks", Mapping[str, Any]]:
    """Clicks, and where they are from, for a manifest. Raises ConfigError as one_source."""
    clicks = source_or_topic(data, bundled, from_topic, from_history)
    if clicks is not None:
        return clicks, {"source": data.name if data is not None else "bundled clicks"}
    with console.status("reading the interactions") if console.is_terminal else nullcontext():
        if from_history:
            from streamrec.history import history_clicks

            return history_clicks(settings)
        from streamrec.topic_clicks import read_clicks

        return read_clicks(settings)


def require_one(asked: Mapping[str, bool], what: str = "clicks") -> None:
    """Raises ConfigError if not one is asked for."""
    from streamrec.errors import ConfigError

    if sum(asked.values()) != 1:
        *others, last = asked
        raise ConfigError(f"which {what}? give one of {', '.join(others)} and {last}")


def _read(data: Path | None) -> "Clicks":
    from streamrec.datasets import bundled_clicks, load_clicks

    return bundled_clicks() if data is None else load_clicks(data)
