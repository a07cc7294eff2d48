"""What the models learn in the state app's step, and what happens when they fail."""

from typing import Any

import numpy as np
import pytest
from state_parts import BASE, Partition, SmallOnline, SmallStep, click, states

from streamrec.advance.learning import learning_target
from streamrec.config import StateSettings
from streamrec.contracts import FloatArray, IntArray
from streamrec.errors import StateError
from streamrec.models.online_mf import OnlineMF, OnlineMFConfig
from streamrec.state.rows import (
    Factors,
    LearnerRow,
    decode_item_row,
    decode_learner_row,
)


@pytest.mark.parametrize("kind", ["impression", "dislike"])
def test_what_has_no_positive_weight_asks_for_no_list_and_steps_no_model(kind: str) -> None:
    partition = Partition()
    model = SmallStep()
    partition.take(click(0, item="a"), click(1, item="b", type=kind), model=model)
    row = partition.visitor()
    assert (row.asks, row.items, row.hidden, row.model_version) == (False, ["a"], states("a"), "v1")
    assert b"i:b" not in partition.rows
    assert partition.take(click(2, item="c"), model=model).counts == {("view", "accepted"): 1}
    assert partition.visitor().asks


def test_an_impression_teaches_the_online_model_nothing() -> None:
    partition = Partition(make_online=SmallOnline, n_negatives=2)
    partition.take(click(0, type="impression"))
    assert sorted(partition.rows) == [b"v:v", b"w:"]
    assert partition.visitor().factors == Factors()


def test_a_dislike_is_learned_as_unwanted_without_negatives() -> None:
    partition = Partition(make_online=SmallOnline, n_negatives=2)
    partition.take(click(0, item="a"), click(1, item="b"))
    before = dict(partition.rows)
    n = decode_learner_row(before[b"g:"]).n
    partition.take(click(2, "w", "c", type="dislike"))
    assert decode_learner_row(partition.rows[b"g:"]).n == n + 1
    assert partition.rows[b"i:a"] == before[b"i:a"]
    assert decode_item_row(partition.rows[b"i:c"]).count == 0
    online, expected = SmallOnline(), SmallOnline()
    online.set_numbers(n, decode_learner_row(before[b"g:"]).mean)
    expected.set_numbers(n, decode_learner_row(before[b"g:"]).mean)
    assert partition.visitor("w").factors == online.learn_one("w", online.visitor("w"), "c", 0.0, [])


def test_targets_rise_with_the_weight_and_stay_below_two() -> None:
    targets = [learning_target(weight) for weight in (-1, 0, 0.5, 1, 2, 3, 1e9)]
    assert targets == sorted(targets)
    assert (targets[0], targets[3]) == (0, 1)
    assert targets[-1] <= 2


def test_without_online_learning_items_are_only_counted() -> None:
    partition = Partition(StateSettings(weights={"view": 2.0}))
    partition.take(click(0), click(1))
    row = decode_item_row(partition.rows[b"i:a"])
    assert (row.offset, row.slot, row.time, row.count, row.factors) == (1, 0, BASE, 4.0, Factors())
    assert b"g:" not in partition.rows


def test_the_learners_numbers_are_written_when_they_change() -> None:
    partition = Partition(make_online=SmallOnline)
    assert b"g:" in [key for key, _, _ in partition.take(click(0)).rows]
    assert b"g:" not in [key for key, _, _ in partition.take(click(1, type="impression")).rows]
    assert decode_learner_row(partition.rows[b"g:"]) == LearnerRow(1, 1.0)


def test_an_item_the_session_model_does_not_know_leaves_the_hidden_state() -> None:
    partition = Partition()
    partition.take(click(0, item="unknown"), model=SmallStep())
    assert (partition.visitor().hidden, partition.visitor().model_version) == (b"", "v1")
    partition.take(click(1, item="a"), click(2, item="unknown"), model=SmallStep())
    assert (partition.visitor().hidden, partition.visitor().items) == (
        states("a"),
        ["unknown", "a", "unknown"],
    )


def test_a_new_release_rebuilds_the_hidden_state_from_the_sessions_items() -> None:
    partition = Partition()
    partition.take(click(0, item="a"), click(1, item="unknown"), click(2, item="b"), model=SmallStep("v1"))
    partition.take(click(3, type="impression"), model=SmallStep("v2"))
    assert (partition.visitor().hidden, partition.visitor().model_version) == (states("ab"), "v1")
    partition.take(click(4, item="c"), click(5, item="d"), model=SmallStep("v2"))
    assert (partition.visitor().hidden, partition.visitor().model_version) == (states("abcd", "v2"), "v2")


def test_the_graph_runs_as_often_as_the_longest_chain_of_a_visitor() -> None:
    model = SmallStep()
    Partition().take(*(click(n, f"v{n % 10}") for n in range(30)), click(30, "v0"), model=model)
    assert model.calls == 4


def test_without_a_session_model_rows_carry_no_hidden_state() -> None:
    partition = Partition()
    partition.take(click(0), model=SmallStep())
    partition.take(click(1))
    assert (partition.visitor().hidden, partition.visitor().model_version) == (b"", "")


def test_beyond_the_bound_the_item_unused_the_longest_makes_room_and_is_unlearned() -> None:
    online = SmallOnline()
    partition = Partition(StateSettings(max_items=2), make_online=lambda: online)
    partition.take(*(click(n, item=item, time=BASE + n) for n, item in enumerate("aba")))
    changes = partition.take(click(3, item="c", time=BASE + 3))
    assert changes.evictions == {"item_bound": 1}
    assert sorted(key for key in partition.rows if key[:2] == b"i:") == [b"i:a", b"i:c"]
    assert sorted(online.items) == ["a", "c"]


def test_the_record_that_the_online_model_fails_on_is_refused_and_leaves_no_trace() -> None:
    failing = Partition(make_online=lambda: SmallOnline(bad="x"), n_negatives=2)
    spared = Partition(make_online=SmallOnline, n_negatives=2)
    records = [click(n, "uvw"[n % 3], item) for n, item in enumerate("abxcxd")]
    changes = failing.take_all(*records, model=SmallStep())
    assert [part.consumed for part in changes] == [3, 2, 1]
    rejected = [letter for part in changes for letter in part.rejected]
    assert [(letter.record.offset, letter.reason) for letter in rejected] == [
        (2, "model_failed"),
        (4, "model_failed"),
    ]
    assert "ArithmeticError: diverged" in rejected[0].message
    spared.take_all(*(record for record in records if record.offset not in (2, 4)), model=SmallStep())
    assert failing.rows == spared.rows


def test_of_records_that_the_session_model_fails_on_each_is_refused_alone() -> None:
    partition = Partition()
    records = [click(n, "uvw"[n % 3], item) for n, item in enumerate("abxcxd")]
    changes = partition.take_all(*records, model=SmallStep(bad="x"))
    assert [letter.record.offset for part in changes for letter in part.rejected] == [2, 4]
    assert partition.visitor("u").items == ["a", "c"]
    assert partition.visitor("u").hidden == states("ac")


def test_a_hidden_state_that_is_not_finite_is_a_failure_of_the_model() -> None:
    class Exploding(SmallStep):
        def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
            return np.where(items[:, None] == ord("x"), np.float32("nan"), super().step(items, hidden))

    changes = Partition().take(click(0, item="x"), model=Exploding())
    assert [letter.reason for letter in changes.rejected] == ["model_failed"]
    assert "not finite" in changes.rejected[0].message


def test_a_batch_that_the_online_model_fails_on_where_its_records_do_not_is_learned_one_by_one() -> None:
    class Narrow(SmallOnline):
        def run(self) -> list[Factors]:
            if len(self.outcomes) > 1:
                raise RuntimeError("too wide")
            return super().run()

    narrow, wide = Partition(make_online=Narrow), Partition(make_online=SmallOnline)
    records = [click(n, f"v{n % 3}", "abcdef"[n]) for n in range(6)]
    assert not narrow.take(*records).rejected
    wide.take(*records)
    assert narrow.rows == wide.rows


@pytest.mark.parametrize("make_online", [SmallOnline, lambda: OnlineMF(OnlineMFConfig(factors=4), 7)])
@pytest.mark.parametrize("tick_ms", [2, 1000])
def test_items_that_leave_and_come_back_within_a_call_begin_afresh(make_online: Any, tick_ms: int) -> None:
    options = {"settings": StateSettings(max_items=2), "make_online": make_online, "n_negatives": 2}
    whole, alone = Partition(**options, tick_ms=tick_ms), Partition(**options, tick_ms=tick_ms)
    records = [click(n, "uvw"[n % 3], item, time=BASE + n) for n, item in enumerate("abcabcab")]
    changes = whole.take(*records)
    assert changes.evictions == {"item_bound": 6}
    for record in records:
        alone.take(record)
    assert whole.rows == alone.rows
    assert whole.visitor_log() == alone.visitor_log()


def test_a_batch_that_fails_where_its_rows_do_not_is_stepped_row_by_row() -> None:
    class Narrow(SmallStep):
        def step(self, items: IntArray, hidden: FloatArray) -> FloatArray:
            if len(items) > 1:
                raise RuntimeError("too wide")
            return super().step(items, hidden)

    narrow, wide = Partition(), Partition()
    records = [click(n, f"v{n % 3}", "abcdef"[n]) for n in range(6)]
    assert not narrow.take(*records, model=Narrow()).rejected
    wide.take(*records, model=SmallStep())
    assert narrow.rows == wide.rows


def test_a_state_that_does_not_fit_its_model_is_no_fault_of_the_record() -> None:
    class Refusing(SmallOnline):
        def learn(self, *_: Any) -> int:
            raise StateError("another number of factors")

    with pytest.raises(StateError, match="another number"):
        Partition(make_online=Refusing).take(click(0))
