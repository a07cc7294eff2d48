"""The items topic in memory: what there is, and what must not be shown.

Fed by the broadcast reader; a change takes effect with the next list.
"""

import logging
from collections.abc import Sequence
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import RecordError
from streamrec.events import MAX_KEY_BYTES, Item, decode_item

__all__ = ["Catalogue"]

log = logging.getLogger(__name__)
IntArray = NDArray[np.int64]

_MODELS: Final = 16
"""That ask at a time: versions that serve, one tried out, and recommenders."""


class Catalogue:
    """Known items by id, and the ids of those that must not be shown."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        """By id, those that changed last at the end."""
        self.unavailable: set[str] = set()
        self.revision = 0
        """How often an item came or changed."""
        self.removals = 0
        """How often one went."""
        self._places: dict[int, tuple[Sequence[str], IntArray]] = {}

    def places_unavailable(self, items: Sequence[str]) -> IntArray:
        """Indices of those of a model's items that must not be shown, ascending.

        Found once for a model and a change: of a million items that takes a sixth of a second.
        """
        if id(items) not in self._places:
            while len(self._places) >= _MODELS:
                del self._places[next(iter(self._places))]
            places = np.flatnonzero([item_id in self.unavailable for item_id in items])
            self._places[id(items)] = items, places
        return self._places[id(items)][1]

    def since(self, revision: int) -> list[Item]:
        """The items that came or changed after a revision, oldest change first; perhaps a few before them."""
        return list(islice(reversed(self.items.values()), self.revision - revision))[::-1]

    def on_record(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the items topic; a null value forgets the item.

        A record that cannot be read is logged and changes nothing.
        """
        try:
            if key is None:
                raise RecordError("no_key", "the key of an item record is the item id")
            if len(key) > MAX_KEY_BYTES:
                raise RecordError("oversized", f"the key has {len(key)} bytes, {MAX_KEY_BYTES} are allowed")
            item_id = key.decode()
            item = None if value is None else decode_item(value)
            if item is not None and item.item_id != item_id:
                raise RecordError("wrong_key", f"the key is {item_id!r}, the item's id {item.item_id!r}")
        except (RecordError, UnicodeDecodeError) as error:
            log.warning("an item record is ignored: %s", error)
            return
        self._put(item_id, item)

    def _put(self, item_id: str, item: Item | None) -> None:
        was = self.items.pop(item_id, None)
        if item is not None:
            self.items[item_id] = item
            self.revision += 1
        elif was is not None:
            self.removals += 1
        may_be_shown = item is None or item.available
        if may_be_shown == (item_id in self.unavailable):  # it changes
            self._places.clear()
            self.unavailable ^= {item_id}
