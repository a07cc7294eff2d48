"""What interactions teach: popularity of the items, factors of the online model."""

from streamrec.advance.changes import Changes
from streamrec.advance.partition import Held, PartitionState
from streamrec.advance.records import BatchError, ModelError
from streamrec.errors import StateError
from streamrec.events import Interaction
from streamrec.state.expiry import MOST_LEAVING
from streamrec.state.items import NO_FACTORS
from streamrec.state.rows import Factors, Row

__all__ = ["Learning", "learning_target"]


def learning_target(weight: float) -> float:
    """What the online model shall predict for an interaction of this weight.

    0 for an unwanted item; 1 for weight 1; rising with the weight towards 2, so that no
    weight, however large, makes a step of learning that overshoots.
    """
    return 2 * weight / (1 + weight) if weight > 0 else 0.0


class Learning:
    """The item side of a partition's state, for the length of one call.

    What the online model learns waits until rows need it, unless one_by_one.
    """

    def __init__(self, state: PartitionState, *, one_by_one: bool) -> None:
        self._items = state.items
        self._online = state.online
        self._n_negatives = state.n_negatives
        self._targets = {label: learning_target(weight) for label, weight in state.settings.weights.items()}
        self._one_by_one = one_by_one
        self._outcomes: list[Factors] = []
        self._offsets: list[int] = []
        """Of the records whose interactions wait."""

    def flush(self) -> list[Row]:
        """Rows of the items changed since the last flush. Raises as `run` does."""
        self.run()
        return self._items.flush(None if self._online is None else self._online.item)

    def run(self) -> list[Factors]:
        """Learn what waits; returns the visitors' factors after all interactions learned in the call.

        Raises ModelError if the online model fails on the one that waits, BatchError if it fails on several.
        """
        if self._online is not None and self._offsets:
            try:
                self._outcomes += self._online.run()
            except (MemoryError, StateError):
                raise
            except Exception as error:  # whatever else the model raises, it is a record that it fails on
                if len(self._offsets) > 1:
                    raise BatchError(f"{len(self._offsets)} records: {error}") from error
                raise _failure(self._offsets[0], error) from error
            self._offsets.clear()
        return self._outcomes

    def learn(
        self, event: Interaction, weight: float, offset: int, held: Held | None, changes: Changes
    ) -> tuple[Factors, int | None]:
        """Learn one interaction; returns the visitor's new factors, or their place in what `run` will return.

        held: the visitor before. Weight 0 teaches nothing. Above 0 the item's count grows, and the online
        model learns it against drawn negatives; below 0 the online model learns it as unwanted.
        Raises ModelError if the online model fails on it, and what `run` raises.
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
            return NO_FACTORS, None
        factors, learns = (NO_FACTORS, None) if held is None else (held.row.factors, held.learns)
        if not weight:
            return factors, learns
        negatives = items.draw(self._n_negatives, offset, item_id) if weight > 0 else []
        n_learned = len(self._outcomes)
        before: Factors | int = factors
        if learns is not None:
            before = self._outcomes[learns] if learns < n_learned else learns - n_learned
        try:
            learns = n_learned + online.learn(
                event.visitor_id, before, item_id, self._targets[event.type], negatives
            )
        except (MemoryError, StateError):
            raise
        except Exception as error:  # as above
            raise _failure(offset, error) from error
        self._offsets.append(offset)
        items.touch(item_id, offset)
        for negative in negatives:
            items.touch(negative, offset)
        if self._one_by_one:
            self.run()
        return NO_FACTORS, learns

    def _make_room(self, offset: int, changes: Changes) -> None:
        for _ in range(MOST_LEAVING):
            if not self._items.is_full:
                return
            evicted = self._items.evict(offset)
            changes.evictions["item_bound"] += 1
            if self._online is not None:
                self._online.drop_item(evicted)


def _failure(offset: int, error: Exception) -> ModelError:
    return ModelError(offset, f"{type(error).__name__}: {error}")
