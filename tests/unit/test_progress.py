"""Progress: a bar where there is a terminal, else a line now and then."""

import io

import pytest
from rich.console import Console

from streamrec import progress
from streamrec.progress import progress_bar


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_a_bar_on_a_terminal_and_nothing_elsewhere(terminal: bool) -> None:
    out = io.StringIO()
    with progress_bar(Console(file=out, force_terminal=terminal, width=120)) as on_step:
        on_step(500, 1000, 1.25)
    assert ("50%" in out.getvalue() and "loss 1.250" in out.getvalue()) == terminal
    assert bool(out.getvalue()) == terminal


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr(progress, "time", Clock)
    out = io.StringIO()
    with progress_bar(Console(file=out, width=120), "counting") as on_step:
        for now in (1.0, 9.9, 10.0, 12.0, 20.0):
            on_step(round(10 * now), 1000, float("nan"))
    assert out.getvalue().splitlines() == ["   counting: 10%, 10/s", "   counting: 20%, 10/s"]
