"""Records that no app should send, a record that a model fails on, and a visitor who never stops."""

import dataclasses
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError
from app_processes import read
from bench import Bench
from junk import junk, send
from system import System
from traffic import real_clicks

from streamrec.contracts import FloatArray, IntArray, StepModel
from streamrec.events import Recommendation

REASONS = {
    "null_value", "no_key", "oversized", "undecodable", "invalid", "wrong_key", "wrong_partition",
    "unknown_type", "future", "late", "model_failed",
}  # fmt: skip


class FailingOnCursed:
    """A step model, with the fault that worker.py builds into the worker's."""

    def __init__(self, model: StepModel) -> None:
        self.version, self.hidden_size, self.item_index = model.version, model.hidden_size, model.item_index
        self._step = model.step

    def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
        if self.item_index("cursed") in items:
            raise RuntimeError
        return self._step(items, hidden)


def test_bad_records_are_dead_letters_and_the_others_go_on(bench: Bench) -> None:
    bench = dataclasses.replace(
        bench, steps={version: FailingOnCursed(model) for version, model in bench.steps.items()}
    )
    assert all(model.item_index("cursed") >= 0 for model in bench.steps.values())
    refused = []
    with bench.system() as system:
        state = system.start("state", faults=["model"])
        system.start("scoring")
        bad = junk(system.settings, bench.seed, 200)
        with system.traffic(per_s=100):
            system.wait_until_flowing()
            system.fault()
            for start in range(0, len(bad), 20):
                refused += send(system.settings, bad[start : start + 20]).refused
                system.pause(0.1, 0.5)
            system.wait_until_flowing()
        system.settle()
        counted = state.page("metrics")
        letters = read(system.settings, "dead-letters")
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert set(verdict.exits) == {0}
    assert set(refused) == {InvalidTimestampError, MessageSizeTooLargeError}
    _check_letters(system, letters)
    assert float(re.findall(r'outcome="repeat",type="click"} (.*)', counted)[0]) >= 2
    for reason in REASONS:
        n = sum(dict(each.headers)["reason"] == reason.encode() for each in letters)
        assert f'streamrec_dlq_total{{reason="{reason}"}} {float(n)}' in counted


def _check_letters(system: System, letters: list[Any]) -> None:
    """Every reason is among them, and they hold what was sent."""
    sent = {(each.partition, each.offset): each for each in read(system.settings, "interactions")}
    reasons = set()
    for letter in letters:
        headers = dict(letter.headers)
        original = sent[int(headers["partition"]), int(headers["offset"])]
        reasons.add(headers["reason"].decode())
        if headers["reason"] == b"oversized":
            assert letter.value is None
        else:
            assert (letter.key, letter.value) == (original.key, original.value)
            assert letter.headers[-len(original.headers) :] == original.headers or not original.headers
    assert reasons == REASONS


def _flood(seed: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    for n in count():
        yield {
            "event_id": f"flood-{n}",
            "type": "click",
            "visitor_id": "flood",
            "item_id": f"item-{draw.randrange(500)}",
        }


@pytest.mark.chaos
def test_a_visitor_who_never_stops_does_not_stop_the_others(bench: Bench) -> None:
    with bench.system() as system:
        for role in ("state", "scoring"):
            system.start(role)
        with system.traffic(per_s=40, events=real_clicks(bench.seed)):
            system.wait_until_flowing()
            system.fault()
            with system.traffic(per_s=1000, events=_flood(bench.seed)):
                system.pause(10, 10)
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.repeats == 0
    by_partition: dict[int, list[Recommendation]] = defaultdict(list)
    for record in read(system.settings, "recommendations"):
        made = msgspec.json.decode(record.value, type=Recommendation)
        by_partition[made.input_partition].append(made)
    for made_here in by_partition.values():
        offsets = [each.input_offset for each in made_here]
        assert offsets == sorted(offsets)
    (flooded,) = (lists for lists in by_partition.values() if any(x.visitor_id == "flood" for x in lists))
    floods = [n for n, each in enumerate(flooded) if each.visitor_id == "flood"]
    assert len(floods) > 5000
    between = [each for each in flooded[floods[0] : floods[-1]] if each.visitor_id != "flood"]
    assert len(between) > 10
