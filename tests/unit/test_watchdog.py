"""When a worker is said to stand still."""

from streamrec.engine.watchdog import StallClock


def test_time_counts_from_the_first_look_that_finds_work_and_no_step() -> None:
    clock = StallClock()
    assert [clock.look(now, "a", working=True) for now in (100.0, 110.0, 125.0)] == [0, 10, 25]


def test_a_step_begins_anew() -> None:
    clock = StallClock()
    clock.look(100.0, "a", working=True)
    assert clock.look(110.0, "b", working=True) == 0
    assert clock.look(120.0, "b", working=True) == 10


def test_without_work_no_time_counts() -> None:
    clock = StallClock()
    clock.look(100.0, "a", working=True)
    assert clock.look(200.0, "a", working=False) == 0
    assert clock.look(300.0, "a", working=True) == 0
    assert clock.look(301.0, "a", working=True) == 1


def test_time_in_which_nothing_was_known_does_not_count() -> None:
    clock = StallClock()
    clock.look(100.0, "a", working=True)
    clock.forget()
    assert clock.look(500.0, "a", working=True) == 0
