"""What was found on the topics, beside what the oracle expects."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
from app_processes import read
from oracle import Expected, replay, without_emission
from system import System

from streamrec.advance import Place
from streamrec.catalogue import Catalogue
from streamrec.contracts import ScoreModel, StepModel
from streamrec.events import Recommendation
from streamrec.state.rows import VISITOR, decode_visitor_row
from streamrec.topics import topic_id

_decode_list = msgspec.json.Decoder(Recommendation).decode


@dataclass
class Verdict:
    """Figures of a run, and what is wrong with it."""

    clicks: int = 0
    """Sent, and acknowledged by Kafka."""
    recommendations_expected: int = 0
    recommendations_found: int = 0
    """Different ones, by rec_id."""
    repeats: int = 0
    """Copies of lists beyond the first."""
    dead_letters: int = 0
    dead_letter_repeats: int = 0
    rows: int = 0
    rows_differing: int = 0
    recovery_s: float | None = None
    """Longest time in which a partition emitted no list, from the first fault on."""
    exits: list[int] = field(default_factory=list)
    """Exit codes of the processes that ended."""
    wrong: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raises AssertionError that names everything that is wrong."""
        assert not self.wrong, "\n".join(self.wrong)


def judge(
    system: System,
    steps: dict[str, StepModel],
    scorers: dict[str, ScoreModel],
    *,
    compacted: bool = False,
    since_ms: int = 0,
    inputs: list[Any] | None = None,
) -> Verdict:
    """Compare everything on the topics with the oracle.

    steps, scorers: the models by version; "" is none. compacted: rows are missing in the log, so
    that only the last ones can be compared; given one version, which made them all.
    since_ms: leave out lists and dead letters written before. inputs: the records that were
    handled, if they are not those on the topic.
    """
    settings = system.settings
    verdict = Verdict(clicks=system.sent, exits=[code for each in system.workers for code in each.exits])
    handled = _by_partition(read(settings, "interactions") if inputs is None else inputs)
    states = _by_partition(read(settings, "visitor-states"))
    made = [each for each in read(settings, "recommendations") if each.timestamp >= since_ms]
    lists = [_decode_list(each.value) for each in made]
    letters = _by_partition(each for each in read(settings, "dead-letters") if each.timestamp >= since_ms)
    found_lists = _by_partition(lists, lambda each: each.input_partition)
    catalogue = Catalogue()
    for item in read(settings, "items"):
        catalogue.on_record(item.key, item.value)
    topic, table = topic_id(settings, "interactions"), topic_id(settings, "visitor-states")
    for partition in range(settings.kafka.partitions):
        place = Place(topic, partition, settings.kafka.partitions, table)
        versions = _versions(states[partition])
        # A record without a row, compacted away or refused: the release is known if there was but one.
        only = next(iter(steps)) if len(steps) == 1 else ""
        expected = replay(
            settings,
            place,
            handled[partition],
            lambda offset, versions=versions, only=only: steps.get(versions.get(offset, only)),
            scorers.get,
            catalogue,
        )
        _judge_rows(verdict, partition, states[partition], expected, compacted)
        _judge_lists(verdict, partition, found_lists[partition], expected)
        _judge_letters(verdict, partition, letters[partition], expected)
    if verdict.clicks > sum(len(records) for records in handled.values()):
        verdict.wrong.append("acknowledged clicks are missing on the input topic")
    if system.fault_s is not None:
        verdict.recovery_s = _longest_silence(found_lists.values(), system.fault_s)
    return verdict


def _by_partition(
    records: Iterable[Any], partition: Callable[[Any], int] = lambda record: record.partition
) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for record in records:
        found[partition(record)].append(record)
    return found


def _versions(states: Iterable[Any]) -> dict[int, str]:
    """The release that made the row of each input offset."""
    rows = [each.value for each in states if each.key.startswith(VISITOR) and each.value is not None]
    return {row.offset: row.model_version for row in map(decode_visitor_row, rows)}


def _judge_rows(
    verdict: Verdict, partition: int, states: list[Any], expected: Expected, compacted: bool
) -> None:
    newest = {each.key: each.value for each in states}
    rows = {key: value for key, value in newest.items() if value is not None}
    differing = [key for key in rows.keys() | expected.rows.keys() if rows.get(key) != expected.rows.get(key)]
    verdict.rows += len(expected.rows)
    verdict.rows_differing += len(differing)
    if differing:
        verdict.wrong.append(
            f"partition {partition}: {len(differing)} rows differ, as {sorted(differing)[:3]}"
        )
    log = [(each.key, each.value) for each in states if each.key.startswith(VISITOR)]
    if not compacted and log != expected.visitor_log:
        verdict.wrong.append(
            f"partition {partition}: {len(log)} visitor rows were written, {len(expected.visitor_log)} "
            "expected, not the same or in another order"
        )


def _judge_lists(verdict: Verdict, partition: int, found: list[Recommendation], expected: Expected) -> None:
    first: dict[str, Recommendation] = {}
    for each in found:
        first.setdefault(each.rec_id, each)
    verdict.recommendations_expected += len(expected.lists)
    verdict.recommendations_found += len(first)
    verdict.repeats += len(found) - len(first)
    missing = expected.lists.keys() - first.keys()
    strange = first.keys() - expected.lists.keys()
    other = [each for each in found if each.rec_id in expected.lists]
    other = [each for each in other if without_emission(each) != expected.lists[each.rec_id]]
    for what, number in (
        ("missing", len(missing)),
        ("not expected", len(strange)),
        ("different", len(other)),
    ):
        if number:
            verdict.wrong.append(f"partition {partition}: {number} recommendations are {what}")
    order: dict[str, list[int]] = defaultdict(list)
    for each in first.values():
        order[each.visitor_id].append(each.input_offset)
    if any(later < earlier for offsets in order.values() for earlier, later in pairwise(offsets)):
        verdict.wrong.append(f"partition {partition}: a visitor's lists are out of order")


def _judge_letters(verdict: Verdict, partition: int, letters: list[Any], expected: Expected) -> None:
    headers = [dict(each.headers) for each in letters]
    found = Counter((int(each["offset"]), each["reason"].decode()) for each in headers)
    verdict.dead_letters += len(found)
    verdict.dead_letter_repeats += found.total() - len(found)
    differing = found.keys() ^ set(expected.refused)
    if differing:
        verdict.wrong.append(
            f"partition {partition}: {len(found)} dead letters, {len(expected.refused)} expected; "
            f"they differ in {sorted(differing)[:3]}"
        )


def _longest_silence(partitions: Iterable[list[Recommendation]], start_s: float) -> float:
    silences = [0.0]
    for lists in partitions:
        times = sorted(each.emit_time / 1000 for each in lists if each.emit_time / 1000 >= start_s)
        silences += [later - earlier for earlier, later in pairwise([start_s, *times])]
    return round(max(silences), 2)
