"""Which visitors a canary serves: a share of them, by a hash of their ids, always the same ones.

The hash is salted with the version. So a growing share keeps those who are in and a shrinking one only
lets go; and the next canary meets other visitors, not those whom the last one may have put off.
"""

from typing import Generic, TypeVar

import xxhash

__all__ = ["Canary"]

Model = TypeVar("Model")

_HASHES = 1 << 64


class Canary(Generic[Model]):
    """A version that serves a share of the visitors, 0 < share <= 1.

    model: what a worker runs of it.
    """

    __slots__ = ("_below", "_seed", "model", "share", "version")

    def __init__(self, version: str, share: float, model: Model) -> None:
        self.version = version
        self.share = share
        self.model = model
        self._seed = xxhash.xxh3_64_intdigest(version.encode())
        self._below = round(share * _HASHES)

    def serves(self, visitor_id: str) -> bool:
        """Whether the visitor is among the share."""
        return xxhash.xxh3_64_intdigest(visitor_id.encode(), self._seed) < self._below
