"""The items topic in memory: what there is, and what must not be shown.

Fed by the broadcast reader; a change takes effect with the next list.
"""

import logging

from streamrec.errors import RecordError
from streamrec.events import MAX_KEY_BYTES, Item, decode_item

__all__ = ["Catalogue"]

log = logging.getLogger(__name__)


class Catalogue:
    """Known items by id, and the ids of those that must not be shown."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.unavailable: set[str] = set()

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
        if item is None:
            self.items.pop(item_id, None)
        else:
            self.items[item_id] = item
        if item is not None and not item.available:
            self.unavailable.add(item_id)
        else:
            self.unavailable.discard(item_id)
