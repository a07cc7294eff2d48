"""The ports that are taken where none is asked for. Prometheus and the README know them too."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["KAFKA_PORT", "PAGES_PORTS"]

KAFKA_PORT: Final = 9092
"""Of an embedded broker, and of the one that is looked for."""

PAGES_PORTS: Final[Mapping[str, int]] = MappingProxyType(
    {"state": 9101, "scoring": 9102, "evaluation": 9103, "training": 9105, "archive": 9104}
)
"""Of each app's operators' pages."""
