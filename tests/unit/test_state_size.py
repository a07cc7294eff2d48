"""What the metrics say of a state's size is the size of its rows, and clicks on lists are counted."""

import random

from state_parts import BASE, ONE_PARTITION, click

from streamrec.advance import PartitionState, advance
from streamrec.config import StateSettings


def test_size_follows_the_rows_through_changes_evictions_and_a_restart():
    settings = StateSettings(max_visitors=20, max_items=7, recent_sessions=5)
    state = PartitionState({}, ONE_PARTITION, settings)
    draw = random.Random(1)
    records = [
        click(n, f"v{draw.randrange(40)}", f"i{draw.randrange(12)}", BASE + 500 * n, session_id=f"s{n // 90}")
        for n in range(400)
    ]
    while records:
        changes = advance(records[: draw.randint(1, 60)], state, None)
        records = records[changes.consumed :]
        state.commit(changes)
        assert state.size_bytes == sum(len(key) + len(value) for key, value in state.rows.items())
    assert len(state.visitors) == 20
    assert PartitionState(dict(state.rows), ONE_PARTITION, settings).size_bytes == state.size_bytes


def test_clicks_that_name_their_list_are_counted_and_impressions_are_not():
    state = PartitionState({}, ONE_PARTITION, StateSettings())
    records = [
        click(0),
        click(1, rec_id="r1"),
        click(2, rec_id="r1", type="impression"),
        click(3, rec_id="r1", event_id="e1"),
        click(4, rec_id="r2", type="purchase"),
    ]
    assert advance(records, state, None).clicked == 2
