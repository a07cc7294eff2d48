"""A column of numbers that grows at its end, for models that learn from a stream."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Growing"]

T = TypeVar("T", bound=np.generic)


class Growing(Generic[T]):
    """Numbers in a row; one more takes constant time on average, as the room for them doubles."""

    def __init__(self, values: NDArray[T]) -> None:
        self._room = values.copy()
        self._length = len(values)

    @property
    def values(self) -> NDArray[T]:
        """(n,) as they are now: a view, to read or to write to."""
        return self._room[: self._length]

    def append(self, value: Any) -> None:
        """Put one more at the end."""
        if self._length == len(self._room):
            room = np.zeros(max(16, 2 * self._length), self._room.dtype)
            room[: self._length] = self._room
            self._room = room
        self._room[self._length] = value
        self._length += 1
