"""The clicks that a verb works on."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrec.datasets import Clicks

__all__ = ["one_source"]


def one_source(data: Path | None, bundled: bool) -> "Clicks":
    """The clicks of a file, or those that come with streamrec. Raises ConfigError if not one is asked for."""
    from streamrec.datasets import bundled_clicks, load_clicks
    from streamrec.errors import ConfigError

    if data is not None and not bundled:
        return load_clicks(data)
    if data is None and bundled:
        return bundled_clicks()
    raise ConfigError("which clicks? give one of --data FILE and --bundled")
