"""Changes of slots while others write: the slots end as if one had come after the other."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streamrec import releases
from streamrec.config import Settings
from streamrec.errors import ReleaseError
from streamrec.events import encode
from streamrec.releases import change_slots, released
from streamrec.slots import Change, Slots

MODEL = "gru4rec"


class Log:
    """The models topic in memory. `others` write just before our next batches."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.others: list[Callable[[Slots], list[Change]]] = []

    def write(self, settings: Settings, model: str, changes: Sequence[Change]) -> int:
        if self.others:
            other = self.others.pop(0)
            self._append(other(Slots(MODEL, released(settings))))
        return self._append(changes)

    def _append(self, changes: Sequence[Change]) -> int:
        first = len(self.records)
        for slot, each in changes:
            value = None if each is None else encode(each)
            self.records.append(
                SimpleNamespace(key=f"{MODEL}/{slot}".encode(), value=value, offset=len(self.records))
            )
        return first

    def read(self, settings: Settings, name: str, take: Callable[[list[Any]], None]) -> dict[int, Any]:
        take(list(self.records))
        return {0: (0, len(self.records))}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(releases, "_write", made.write)
    monkeypatch.setattr(releases, "read_topic", made.read)
    return made


def live(version: str) -> Callable[[Slots], list[Change]]:
    return lambda slots: slots.make_live(version, "0" * 64, automatic=False)


def canary(version: str) -> Callable[[Slots], list[Change]]:
    return lambda slots: slots.make_canary(version, "0" * 64, 0.1, automatic=False)


def roll_back(slots: Slots) -> list[Change]:
    return slots.roll_back("worse", only="v2")


def slots(settings: Settings) -> dict[str, str]:
    return {key.removeprefix(f"{MODEL}/"): each.version for key, each in released(settings).items()}


def test_a_canary_that_another_announces_meanwhile_is_not_emptied(log: Log, settings: Settings) -> None:
    change_slots(settings, MODEL, live("v1"))
    change_slots(settings, MODEL, canary("v2"))
    log.others = [canary("v3")]
    change_slots(settings, MODEL, live("v2"))  # alone it would end v2's canary
    assert slots(settings) == {"live": "v2", "previous": "v1", "canary": "v3"}


def test_a_rollback_is_one_however_often_others_come_in_between(log: Log, settings: Settings) -> None:
    change_slots(settings, MODEL, live("v1"))
    change_slots(settings, MODEL, live("v2"))
    log.others = [canary("v3"), canary("v4")]
    change_slots(settings, MODEL, roll_back)
    found = slots(settings)
    assert (found["live"], found["rolled-back:v2"]) == ("v1", "v2")


def test_what_becomes_wrong_meanwhile_leaves_no_trace(log: Log, settings: Settings) -> None:
    change_slots(settings, MODEL, live("v1"))
    change_slots(settings, MODEL, live("v2"))
    log.others = [live("v5")]
    with pytest.raises(ReleaseError):
        change_slots(settings, MODEL, roll_back)
    assert slots(settings) == {"live": "v5", "previous": "v2"}
    numbers = [each.sequence for each in released(settings).values()]
    assert len(set(numbers)) == len(numbers)
