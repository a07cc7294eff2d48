"""Which version of the session model is live at which record of the history.

A version takes effect with the first record that reaches its start: a time, as in a schedule
or in the announcements on the models topic, or an offset, as the lists of a live run tell. A canary
takes effect for its share of the visitors: by the announcements those that its hash chooses, as in the
state app; the lists name the version of each visitor anyway.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import msgspec

from streamrec.advance import InputRecord
from streamrec.canary import Canary
from streamrec.config import Settings
from streamrec.errors import RecordError
from streamrec.events import ModelRelease, decode_release
from streamrec.topics import read_topic

__all__ = ["ALWAYS", "Listed", "Releases", "Schedule", "announced_releases", "listed_releases"]

ALWAYS: Final = -1
"""Before every offset and time: Kafka's timestamps begin at -1."""

_MODEL: Final = "gru4rec"
_ANNOUNCED: Final = (f"{_MODEL}/live".encode(), f"{_MODEL}/previous".encode())
_CANARY: Final = f"{_MODEL}/canary".encode()

Start = tuple[int, str]
"""Where a version takes effect, and the version; "" is none."""
CanaryStart = tuple[int, str, float]
"""When a canary takes effect, the version and its share; "" ends it."""


@dataclass(frozen=True)
class Releases:
    """Versions in turn: by time, ms, or by offset in each partition."""

    by_time: Sequence[Start] = ()
    by_offset: Mapping[int, Sequence[Start]] | None = None
    known_from: Mapping[int, int] = field(default_factory=dict)
    """By partition, the offset from which on lists say so; before it their first version is taken as live."""
    canaries: Sequence[CanaryStart] = ()
    """By time. Where offsets are given, they tell of canaries, too."""

    @classmethod
    def fixed(cls, version: str) -> "Releases":
        """One version for all; "" for none."""
        return cls([(ALWAYS, version)])

    def schedule(self, partition: int) -> "Schedule":
        """The versions of a partition, to be gone through once."""
        if self.by_offset is None:
            return Schedule(self.by_time, lambda record: record.timestamp, self.canaries)
        return Schedule(self.by_offset.get(partition, ()), lambda record: record.offset)

    def at(self, record: InputRecord) -> str:
        """The version that served the record's visitor by time; "" if none, or if offsets alone are known."""
        return Schedule(self.by_time, lambda record: record.timestamp, self.canaries).at(record)

    def versions(self) -> list[str]:
        """All versions, in order of their first start."""
        by_offset = self.by_offset or {}
        starts = sorted(
            [
                *self.by_time,
                *((each[0], each[1]) for each in self.canaries),
                *(each for starts in by_offset.values() for each in starts),
            ]
        )
        return list(dict.fromkeys(version for _, version in starts if version))


class Schedule:
    """Versions as they take effect along the records of one partition."""

    def __init__(
        self,
        starts: Iterable[Start],
        reached: Callable[[InputRecord], int],
        canaries: Iterable[CanaryStart] = (),
    ) -> None:
        self._starts = deque(sorted(starts, key=lambda start: start[0]))
        self._canaries = deque(sorted(canaries, key=lambda start: start[0]))
        self._reached = reached
        self._live = self._version = ""
        self._canary: Canary[None] | None = None

    def cut(self, records: Sequence[InputRecord]) -> Iterator[tuple[str, Sequence[InputRecord]]]:
        """The partition's next records, cut where another version takes effect, each part with its own.

        While there is a canary, that is wherever a visitor of one version follows one of the other.
        """
        first = 0
        for n, record in enumerate(records if self._starts or self._canaries or self._canary else ()):
            version = self.at(record)
            if version != self._version:
                if n > first:
                    yield self._version, records[first:n]
                first, self._version = n, version
        if records[first:]:
            yield self._version, records[first:]

    def at(self, record: InputRecord) -> str:
        """The version that the next record's visitor is served by."""
        reached = self._reached(record)
        while self._starts and reached >= self._starts[0][0]:
            self._live = self._starts.popleft()[1]
        while self._canaries and reached >= self._canaries[0][0]:
            _, version, share = self._canaries.popleft()
            self._canary = Canary(version, share, None) if version else None
        if self._canary is not None and self._canary.serves((record.key or b"").decode(errors="replace")):
            return self._canary.version
        return self._live


class _List(msgspec.Struct):
    """What a recommendation tells of its release."""

    input_partition: int
    input_offset: int
    release: str


_decode_list: Final = msgspec.json.Decoder(_List).decode
_offset: Final[Callable[[Start], int]] = itemgetter(0)


class Listed:
    """The versions that the lists of one partition name: where they change is all that is kept."""

    def __init__(self) -> None:
        self.starts: list[Start] = []
        """Where a version begins, by offset; the first one is the first list's."""
        self._reached = ALWAYS

    def take(self, offset: int, version: str) -> None:
        """Take the next list in the order of recommendations.

        offset: of the interaction that it answers.
        """
        starts = self.starts
        if offset <= self._reached:
            place = max(1, bisect_right(starts, offset, key=_offset)) - 1
            if starts[place][1] == version:  # it came again
                starts[0] = (min(offset, starts[0][0]), starts[0][1])
                return
            # Under another version lists are only made again all from here on: the state was rebuilt.
            del starts[bisect_left(starts, offset, key=_offset) :]
        if not starts or starts[-1][1] != version:
            starts.append((offset, version))
        self._reached = offset


def listed_releases(settings: Settings) -> Releases:
    """The releases of a live run, by offset, as the lists on the recommendations topic name them.

    What came before a partition's first list gets that one's release. Raises BrokerError or TopicError.
    """
    found: dict[int, Listed] = {}

    def take(records: list[Any]) -> None:
        for record in records:
            try:
                made = _decode_list(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):  # none of the scoring app's
                continue
            found.setdefault(made.input_partition, Listed()).take(made.input_offset, made.release)

    read_topic(settings, "recommendations", take)
    return Releases(
        by_offset={each: [(ALWAYS, lists.starts[0][1]), *lists.starts[1:]] for each, lists in found.items()},
        known_from={each: lists.starts[0][0] for each, lists in found.items()},
    )


def announced_releases(settings: Settings) -> Releases:
    """The releases that the models topic still holds, each from the time of its announcement on.

    Raises BrokerError or TopicError.
    """
    found: dict[int, ModelRelease] = {}
    canaries: list[CanaryStart] = []

    def take(records: list[Any]) -> None:
        for record in records:
            if record.key == _CANARY and record.value is None:
                canaries.append((record.timestamp, "", 0.0))
            elif record.key in (*_ANNOUNCED, _CANARY) and record.value:
                try:
                    release = decode_release(record.value)
                except RecordError:  # workers pass it over, too
                    continue
                if record.key == _CANARY:
                    canaries.append((release.time, release.version, release.share or 1.0))
                else:
                    found[release.sequence] = release

    read_topic(settings, "models", take)
    return Releases([(each.time, each.version) for _, each in sorted(found.items())], canaries=canaries)
