"""The law of the state: rows follow from the input alone, whatever happened in between."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_parts import BASE, Partition, Record, SmallOnline, SmallStep, click, seen_by_lists
from state_reference import Reference

from streamrec.advance import advance
from streamrec.canary import Canary
from streamrec.config import StateSettings
from streamrec.models.online_mf import OnlineMF, OnlineMFConfig

TICK_MS = 1000
SETTINGS = StateSettings(
    session_gap_s=10,
    session_items=4,
    recent_events=3,
    visitor_ttl_s=60,
    max_visitors=4,
    max_items=5,
    max_future_s=100,
    max_event_bytes=400,
    recent_sessions=3,
    popularity_half_life_s=20,
    seed=7,
)
N_NEGATIVES = 2

pauses = st.sampled_from([0, 1, 200, 700, 1500, 3000, 12_000, 70_000, -500, -4000, -15_000, -80_000])
broken = st.sampled_from(
    [
        {"value": None},
        {"key": None},
        {"key": b"other"},
        {"value": b"{"},
        {"value": b"{}"},
        {"value": b" " * 500},
        {"timestamp": BASE - 200_000},
    ]
)
actions = st.fixed_dictionaries(
    {
        "visitor": st.sampled_from("uvwxyz"),
        "item": st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "!", "unknown"]),
        "type": st.sampled_from(
            ["view", "view", "click", "purchase", "dislike", "impression", "rating", "wave"]
        ),
    },
    optional={
        "event_id": st.sampled_from(["same", "twice", "thrice"]),
        "session_id": st.sampled_from(["s1", "s2"]),
    },
)


@st.composite
def inputs(draw: Any) -> list[Record]:
    """Records with repeats, sessions, silences, late and broken ones; offsets with gaps."""
    records: list[Record] = []
    offset, clock = draw(st.integers(0, 3)), BASE
    for action, pause, fault, hop in draw(
        st.lists(
            st.tuples(actions, pauses, st.none() | st.none() | st.none() | broken, st.integers(1, 2)),
            min_size=1,
            max_size=60,
        )
    ):
        time = max(clock + pause, BASE - 100_000)
        clock = max(clock, time)
        record = click(offset, time=time, timestamp=time, **action)
        records.append(record._replace(**fault) if fault else record)
        offset += hop
    return records


@st.composite
def cuts(draw: Any) -> list[tuple[int, str, int]]:
    """What happens to each call: most records it is given, its fate, and the bound on its append."""
    return draw(
        st.lists(
            st.tuples(
                st.integers(1, 25),
                st.sampled_from(["goes on", "restored", "killed before the append", "read twice"]),
                st.sampled_from([1, 2000, 1 << 20]),
            ),
            min_size=1,
            max_size=30,
        )
    )


def models(swap: int | None, bad: str = "", versions: tuple[str, str] = ("v1", "v2")) -> Any:
    """The release at an offset: the first version, and the second from `swap` on; "" is none."""
    first, second = (SmallStep(version, bad) if version else None for version in versions)
    return lambda offset: first if swap is None or offset < swap else second


def undisturbed(records: list[Record], model: Any, options: dict[str, Any]) -> Partition:
    partition = Partition(SETTINGS, tick_ms=TICK_MS, **options)
    for group in by_release(records, model):
        partition.take_all(*group, model=model(group[0].offset))
    return partition


def by_release(records: list[Record], model: Any) -> list[list[Record]]:
    groups: list[list[Record]] = []
    for record in records:
        if groups and model(groups[-1][0].offset) is model(record.offset):
            groups[-1].append(record)
        else:
            groups.append([record])
    return groups


def disturbed(
    records: list[Record], model: Any, options: dict[str, Any], fates: list[tuple[int, str, int]]
) -> Partition:
    partition = Partition(SETTINGS, tick_ms=TICK_MS, **options)
    start = turn = 0
    while start < len(records):
        size, fate, max_bytes = fates[turn % len(fates)]
        turn += 1
        release = model(records[start].offset)
        given_ = by_release(records[start : start + size], model)[0]
        if fate == "killed before the append" and turn < 200:
            advance(given_, partition.state, release, max_append_bytes=max_bytes)
            partition.restore()
            continue
        if fate == "read twice":
            given_ = records[max(0, start - 5) : start] + given_
        changes = partition.take(*given_, model=release, max_append_bytes=max_bytes)
        if fate == "restored":
            partition.restore()
        start = next(
            (n for n, record in enumerate(records) if record.offset > changes.watermark.offset), len(records)
        )
    return partition


online_options = st.sampled_from(
    [
        {},
        {"make_online": SmallOnline, "n_negatives": N_NEGATIVES},
        {"make_online": lambda: SmallOnline(bad="b"), "n_negatives": N_NEGATIVES},
    ]
)
releases = st.builds(
    models,
    swap=st.none() | st.integers(0, 40),
    bad=st.sampled_from(["", "", "c"]),
    versions=st.sampled_from([("v1", "v2"), ("", "v1"), ("v1", "")]),
)


@settings(max_examples=300, deadline=None)
@given(records=inputs(), model=releases, options=online_options)
def test_batches_give_what_the_slow_reference_gives(
    records: list[Record], model: Any, options: dict[str, Any]
) -> None:
    partition = Partition(SETTINGS, tick_ms=TICK_MS, **options)
    reference = Reference(
        SETTINGS, options["make_online"]() if options else None, options.get("n_negatives", 0), TICK_MS
    )
    rejected = []
    for group in by_release(records, model):
        for changes in partition.take_all(*group, model=model(group[0].offset)):
            rejected += [(letter.record.offset, letter.reason) for letter in changes.rejected]
    for record in records:
        reference.take(record, model(record.offset))
    assert rejected == reference.rejected
    assert partition.visitor_log() == reference.visitor_log
    assert partition.rows == reference.rows()
    assert seen_by_lists(partition.log, TICK_MS) == reference.seen


@settings(max_examples=300, deadline=None)
@given(
    records=inputs(),
    model=releases,
    shares=st.lists(st.sampled_from([None, 0.3, 0.7]), min_size=1, max_size=4),
    bad=st.sampled_from(["", "", "c", "d"]),
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=9),
)
def test_with_a_canary_each_visitor_has_the_version_that_serves_it(
    records: list[Record], model: Any, shares: list[float | None], bad: str, sizes: list[int]
) -> None:
    """Canaries come, grow, shrink and go between calls; a call holds visitors of two versions."""
    partition = Partition(SETTINGS, tick_ms=TICK_MS)
    reference = Reference(SETTINGS, None, 0, TICK_MS)
    candidate = SmallStep("v3", bad)
    rejected: list[tuple[int, str]] = []
    turn, rest = 0, records
    while rest:
        share, live = shares[turn % len(shares)], model(rest[0].offset)
        canary = None if share is None else Canary("v3", share, candidate)
        given_ = by_release(rest[: sizes[turn % len(sizes)]], model)[0]
        changes = partition.take(*given_, model=live, canary=canary)
        rejected += [(letter.record.offset, letter.reason) for letter in changes.rejected]
        for record in given_[: changes.consumed]:
            served = canary is not None and canary.serves((record.key or b"").decode(errors="replace"))
            reference.take(record, candidate if served else live)
        rest = rest[changes.consumed :]
        turn += 1
    assert rejected == reference.rejected
    assert partition.visitor_log() == reference.visitor_log
    assert partition.rows == reference.rows()


@settings(max_examples=300, deadline=None)
@given(records=inputs(), model=releases, options=online_options, fates=cuts())
def test_rows_and_what_lists_see_do_not_depend_on_cuts_kills_and_restarts(
    records: list[Record], model: Any, options: dict[str, Any], fates: list[tuple[int, str, int]]
) -> None:
    expected = undisturbed(records, model, options)
    found = disturbed(records, model, options, [*fates, (3, "goes on", 1 << 20)])
    assert found.rows == expected.rows
    assert found.visitor_log() == expected.visitor_log()
    assert seen_by_lists(found.log, TICK_MS) == seen_by_lists(expected.log, TICK_MS)


@settings(max_examples=30, deadline=None)
@given(records=inputs(), fates=cuts())
def test_rows_of_the_real_online_model_do_not_depend_on_cuts_kills_and_restarts(
    records: list[Record], fates: list[tuple[int, str, int]]
) -> None:
    config = OnlineMFConfig(factors=4)
    options = {"make_online": lambda: OnlineMF(config, 7), "n_negatives": N_NEGATIVES}
    model = models(None)
    expected = undisturbed(records, model, options)
    found = disturbed(records, model, options, [*fates, (3, "goes on", 1 << 20)])
    assert found.rows == expected.rows


@pytest.mark.parametrize("size", [1, 7, 100])
def test_one_call_over_all_equals_one_call_for_each(size: int) -> None:
    records = [
        click(n, visitor=f"v{n % 9}", item="abcdefgh"[n * n % 8], time=BASE + 137 * n) for n in range(100)
    ]
    whole = Partition(SETTINGS, make_online=SmallOnline, n_negatives=2)
    parts = Partition(SETTINGS, make_online=SmallOnline, n_negatives=2)
    whole.take_all(*records, model=SmallStep())
    for start in range(0, 100, size):
        parts.take_all(*records[start : start + size], model=SmallStep())
    assert parts.rows == whole.rows
