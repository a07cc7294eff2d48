"""From what was asked for to plans: the history of each run, and the releases it is under."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from streamrec.backtest.configuration import Configuration, parse_time
from streamrec.backtest.history import ArchivedHistory, ClicksHistory, History, TopicHistory
from streamrec.backtest.releases import ALWAYS, Releases, announced_releases, listed_releases
from streamrec.backtest.run import Plan
from streamrec.board_opener import board_opener
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.datasets import Clicks
from streamrec.errors import ConfigError, DatasetError, RegistryError
from streamrec.registry import Registry
from streamrec.state_opener import state_opener
from streamrec.topics import read_topic

__all__ = ["Wishes", "foresight", "make_plans"]

_MODEL: Final = "gru4rec"

# What `releases` may say instead of a version.
_OF_THE_LIVE_RUN: Final[dict[str, Callable[[Settings], Releases]]] = {
    "lists": listed_releases,
    "models": announced_releases,
}


class Wishes(NamedTuple):
    """What all runs have in common."""

    clicks: Clicks | None = None
    """The history; None for the interactions topic, or what of it is archived."""
    from_ms: int | None = None
    """What was recorded before is learned and not judged. None: under the releases that lists name,
    what was recorded before the first of them was made for; else nothing."""
    to_ms: int | None = None
    """What was recorded then or later is not read."""
    releases: str | None = None
    """Of the session model, where no file says: a version; `lists`, as the lists on recommendations
    name them; `models`, as announced on that topic; `none`. None: `lists` for the topic, and for clicks
    the newest version in the registry."""
    latency_ms: int = 0
    k: int = 20
    from_history: bool = False
    """Whether the interactions are those that are archived, and not those that the topic still has."""


def make_plans(configurations: Sequence[Configuration], wishes: Wishes) -> list[Plan]:
    """A plan for each configuration.

    Raises ConfigError, DatasetError, RegistryError, BrokerError or TopicError if it cannot be carried out.
    """
    first = configurations[0].settings
    for each in configurations:
        # Their faults are found out before the work, not after it.
        state_opener(each.settings)
        board_opener(each.settings)
        if wishes.clicks is None and each.settings.kafka != first.kafka:
            raise ConfigError("runs over one topic share the [kafka] settings; take them out of the files")
    if wishes.to_ms is not None and (wishes.from_ms or 0) >= wishes.to_ms:
        raise ConfigError(f"nothing lies from {_text(wishes.from_ms or 0)} to {_text(wishes.to_ms)}")
    named, catalogue = wishes.releases, Catalogue()
    histories: list[History]
    if wishes.clicks is None:
        named = named or "lists"
        of_topic = ArchivedHistory if wishes.from_history else TopicHistory
        histories = [of_topic(first, wishes.to_ms)] * len(configurations)
        read_topic(first, "items", partial(_take_items, catalogue))
    else:
        clicks = _between(wishes.clicks, wishes)
        histories = [ClicksHistory(clicks, each.settings.kafka.partitions) for each in configurations]
    live = None
    if named in _OF_THE_LIVE_RUN and any(each.releases is None for each in configurations):
        live = _OF_THE_LIVE_RUN[named](first)
    from_ms = wishes.from_ms if wishes.from_ms is not None else _known_from(live, histories[0], wishes)
    return [
        Plan(
            each.name,
            each.settings,
            history,
            each.releases or live or _of_registry(each.settings, named),
            catalogue,
            from_ms,
            wishes.latency_ms,
            wishes.k,
        )
        for each, history in zip(configurations, histories, strict=True)
    ]


def _take_items(catalogue: Catalogue, records: Sequence[Any]) -> None:
    for record in records:
        catalogue.on_record(record.key, record.value)


def _known_from(live: Releases | None, history: History, wishes: Wishes) -> int:
    """When the first interaction was recorded, ms, of which a list says under which release it was.

    0 without lists. Raises ConfigError if they are for nothing that there is of the history.
    """
    known = {} if live is None else live.known_from
    times_ms = [history.recorded_ms(partition, offset) for partition, offset in known.items()]
    there = [each for each in times_ms if each is not None and (wishes.to_ms is None or each < wishes.to_ms)]
    if known and not there:
        until = "" if wishes.to_ms is None else f" before {_text(wishes.to_ms)}"
        raise ConfigError(
            f"no list on recommendations says which release was live{until}; name a version with --releases, "
            "or say from when on to judge with --from"
        )
    return min(there, default=0)


def _between(clicks: Clicks, wishes: Wishes) -> Clicks:
    """The clicks before `to_ms`. Raises DatasetError if none of them is from `from_ms` on."""
    from_ms = wishes.from_ms or 0
    end = len(clicks) if wishes.to_ms is None else int(np.searchsorted(clicks.time_ms, wishes.to_ms))
    if end <= np.searchsorted(clicks.time_ms, from_ms):
        until = "" if wishes.to_ms is None else f" and before {_text(wishes.to_ms)}"
        raise DatasetError(
            f"there is no click from {_text(from_ms)} on{until}; there are clicks from "
            f"{_text(clicks.first_ms)} to {_text(clicks.last_ms)}"
        )
    return clicks.first(end)


def _of_registry(settings: Settings, version: str | None) -> Releases:
    if version == "none":
        return Releases.fixed("")
    try:
        return Releases.fixed(version or Registry.of(settings).latest(_MODEL))
    except RegistryError as error:
        raise RegistryError(
            f"{error} (--until DAYS keeps out of it what is to be judged); --releases none goes without"
        ) from None


def foresight(plan: Plan) -> list[str]:
    """A sentence for each version that was trained on clicks which it is judged with, or that may have been.

    Also finds out whether the versions are there: raises RegistryError or ArtifactError.
    """
    registry, found = Registry.of(plan.settings), []
    for version in plan.releases.versions():
        last = registry.manifest(_MODEL, version).data.get("last")
        starts = [start for start, each in _starts(plan.releases) if each == version]
        if starts and isinstance(last, str):
            found += _foreseen(version, last, max(starts[0], plan.from_ms))
    for name, chosen in plan.settings.scoring.recommenders.items():
        last = registry.manifest(name, chosen.version).data.get("last")
        if isinstance(last, str):
            found += _foreseen(f"{name} {chosen.version}", last, plan.from_ms)
        else:
            found.append(
                f"{name} {chosen.version} does not say up to when it was trained, so it may have seen what "
                "it is asked for; trained on interactions whose times are known it says so"
            )
    return found


def _foreseen(version: str, last: str, judged_ms: int) -> list[str]:
    """What there is to say of a version that was trained up to `last`."""
    if parse_time(last, f"{version}: end of the training data") < judged_ms:
        return []
    return [
        f"{version} was trained on clicks up to {last} and is judged from {_text(judged_ms)} on: it has seen "
        "what it is asked for"
    ]


def _starts(releases: Releases) -> list[tuple[int, str]]:
    """Where versions take effect by time, and which ones are taken for live before the first list.

    A list tells of its time: what made it had been trained by then, and has not seen what came later.
    """
    by_offset = (releases.by_offset or {}).values()
    return [*releases.by_time, *(start for starts in by_offset for start in starts if start[0] == ALWAYS)]


def _text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
