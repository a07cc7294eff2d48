"""Training beside the official code: what is measured of two trainings each, without training here."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks.training, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.training")


def test_what_is_set_up_before_the_first_pass_is_not_measured(bench: Any) -> None:
    # Four seconds to set up, ten for each pass of 1,000 events.
    shorter = bench.Measured(1000, 15.0, 14.0, [14_000.0], 5)
    longer = bench.Measured(3000, 35.0, 34.0, [11_333.3], 7)
    found = bench.beyond(shorter, longer)
    assert found == bench.Measured(2000, 20.0, 20.0, [10_000.0], 7)
    assert found.cpu_us == 10_000.0
    with pytest.raises(bench.TrainingError, match=r"1,000 events took 15\.0 s .* 3,000 no less with 35\.0"):
        bench.beyond(longer, shorter)


def test_they_take_turns_in_who_goes_first(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[tuple[str, str, int]] = []

    def train(whose: str, loss: str, epochs: int, result: Path) -> Any:
        assert result.parent == tmp_path
        begun.append((whose, loss, epochs))
        return bench.Measured(1000 * epochs, 10.0 * epochs, 10.0 * epochs + 4, [], 7)

    monkeypatch.setattr(bench, "_train", train)
    done: list[str] = []
    rounds = bench.measure_training(tmp_path, 2, done.append)
    assert [whose for whose, loss, epochs in begun if loss == "bpr-max" and epochs == 1] == [
        "ours",
        "official",
        "official",
        "ours",
    ]
    assert [epochs for *_, epochs in begun] == [1, 3] * 8
    assert {each.cpu_us for measured in rounds.values() for each in measured} == {10_000.0}
    assert sorted(done) == sorted([*rounds] * 2)
