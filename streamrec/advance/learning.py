"""What one interaction teaches: popularity of the item, factors of the online model."""

from typing import Final

from streamrec.advance.changes import Changes
from streamrec.advance.partition import PartitionState
from streamrec.advance.records import ModelError
from streamrec.errors import StateError
from streamrec.events import Interaction
from streamrec.state.expiry import MOST_LEAVING
from streamrec.state.items import NO_FACTORS
from streamrec.state.rows import Factors, Row

__all__ = ["Learning", "learning_target"]

# A float64 and the frame of both, in msgpack.
_BIAS_BYTES: Final = 16


def learning_target(weight: float) -> float:
    """What the online model shall predict for an interaction of this weight.

    0 for an unwanted item; 1 for weight 1; rising with the weight towards 2, so that no
    weight, however large, makes a step of learning that overshoots.
    """
    return 2 * weight / (1 + weight) if weight > 0 else 0.0


class Learning:
    """The item side of a partition's state, for the length of one call."""

    def __init__(self, state: PartitionState) -> None:
        self._items = state.items
        self._online = state.online
        self._n_negatives = state.n_negatives
        self._targets = {label: learning_target(weight) for label, weight in state.settings.weights.items()}

    def flush(self) -> list[Row]:
        """Rows of the items changed since the last flush."""
        return self._items.flush(None if self._online is None else self._online.item)

    def learn(
        self, event: Interaction, weight: float, offset: int, factors: Factors, changes: Changes
    ) -> Factors:
        """Learn one interaction; returns the visitor's new factors.

        Weight 0 teaches nothing. Above 0 the item's count grows, and the online model learns
        it against drawn negatives; below 0 the online model learns it as unwanted.
        Raises ModelError if the online model fails on it.
        """
        online, items, item_id = self._online, self._items, event.item_id
        if weight > 0:
            if not items.count(item_id, weight, event.time, offset):
                self._make_room(offset, changes)
                items.add(item_id, weight, event.time, offset)
        elif weight and online is not None and item_id not in items:
            self._make_room(offset, changes)
            items.add(item_id, 0.0, event.time, offset)
        if online is None:
            return NO_FACTORS
        if not weight:
            return factors
        negatives = items.draw(self._n_negatives, offset, item_id) if weight > 0 else []
        try:
            before = factors if factors.vector else online.visitor(event.visitor_id)
            learned = online.learn_one(
                event.visitor_id, before, item_id, self._targets[event.type], negatives
            )
        except (MemoryError, StateError):
            raise
        except Exception as error:  # whatever else the model raises, it is this record that it fails on
            raise ModelError(offset, f"{type(error).__name__}: {error}") from error
        items.factors_bytes = len(learned.vector) + _BIAS_BYTES
        items.touch(item_id, offset)
        for negative in negatives:
            items.touch(negative, offset)
        return learned

    def _make_room(self, offset: int, changes: Changes) -> None:
        for _ in range(MOST_LEAVING):
            if not self._items.is_full:
                return
            evicted = self._items.evict(offset)
            changes.evictions["item_bound"] += 1
            if self._online is not None:
                self._online.drop_item(evicted)
