"""The clicks that a verb works on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamrec.datasets import Clicks

__all__ = ["BundledOption", "DataOption", "FromTopicOption", "one_source"]

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
    from streamrec.datasets import bundled_clicks, load_clicks
    from streamrec.errors import ConfigError

    if data is not None and not bundled:
        return load_clicks(data)
    if data is None and bundled:
        return bundled_clicks()
    raise ConfigError("which clicks? give one of --data FILE and --bundled")
