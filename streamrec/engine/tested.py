"""What the batch engine was tested with: it leans on the insides of both.

Apart from `streamrec.engine.app`, so that who only asks for the versions need not import Faust.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["TESTED"]

TESTED: Final[Mapping[str, frozenset[str]]] = {
    "faust-streaming": frozenset({"0.15.3"}),
    "aiokafka": frozenset({"0.14.0"}),
}
"""Versions by package."""
