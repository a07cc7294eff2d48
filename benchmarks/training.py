"""Training beside the official GRU4Rec, in turns: the same clicks, hyperparameters and core.

What is measured are the passes that a longer training has more than a shorter one: both set up as much
before their first pass, and that is not what grows with the clicks.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.meter import Measured, read_measured
from benchmarks.workloads import Comparison
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError

__all__ = [
    "COMPARISONS",
    "LOSSES",
    "OFFICIAL",
    "TrainingError",
    "beyond",
    "measure_training",
    "official_path",
]

OFFICIAL: Final = "OFFICIAL_GRU4REC"
LOSSES: Final[dict[str, dict[str, float]]] = {
    "cross-entropy": {"dropout_hidden": 0.4, "logq": 1.0},
    "bpr-max": {"dropout_hidden": 0.0, "momentum": 0.3, "bpreg": 0.5, "elu": 1.0},
}
_OURS: Final = {loss: f"GRU4Rec training, {loss}" for loss in LOSSES}
_OFFICIAL: Final = {loss: f"official GRU4Rec training, {loss}" for loss in LOSSES}
COMPARISONS: Final = tuple(Comparison(_OURS[loss], _OFFICIAL[loss], 2.0) for loss in LOSSES)
_SHORTER: Final = 1
_LONGER: Final = 3
"""Epochs."""
_LOOK_S: Final = 1.0
_ROOT: Final = Path(__file__).resolve().parent.parent


class TrainingError(StreamrecError):
    """A training did not get to its end."""


def official_path() -> Path | None:
    """The checkout of the official code, outside the project; None if none is named.

    Raises TrainingError if there is none at the place that is named.
    """
    name = os.environ.get(OFFICIAL)
    if not name:
        return None
    if not (Path(name) / "gru4rec_pytorch.py").is_file():
        raise TrainingError(
            f"{OFFICIAL}={name}: there is no gru4rec_pytorch.py; give a checkout of GRU4Rec_PyTorch_Official"
        )
    return Path(name)


def measure_training(
    work: Path, n_rounds: int, on_done: Callable[[str], object]
) -> dict[str, list[Measured]]:
    """What each training came to, by its name; one after the other, round by round.

    In every other round the official one goes first. work: a folder for results. on_done: called with
    the name of each that is done.
    """
    rounds: dict[str, list[Measured]] = {}
    for n in range(n_rounds):
        for loss in LOSSES:
            pair = [("ours", _OURS[loss]), ("official", _OFFICIAL[loss])]
            for whose, name in reversed(pair) if n % 2 else pair:
                shorter, longer = (
                    _train(whose, loss, epochs, work / f"{whose}-{loss}-{epochs}-{n}.json")
                    for epochs in (_SHORTER, _LONGER)
                )
                rounds.setdefault(name, []).append(beyond(shorter, longer))
                on_done(name)
    return rounds


def beyond(shorter: Measured, longer: Measured) -> Measured:
    """What the longer of two trainings took for the events that it has more.

    Raises TrainingError if that is nothing: something else was at work.
    """
    events = longer.events - shorter.events
    wall_s, cpu_s = longer.wall_s - shorter.wall_s, longer.cpu_s - shorter.cpu_s
    if min(wall_s, cpu_s) <= 0:
        raise TrainingError(
            f"{longer.events:,} events took {longer.wall_s:.1f} s and {longer.cpu_s:.1f} CPU seconds, "
            f"{shorter.events:,} no less with {shorter.wall_s:.1f} and {shorter.cpu_s:.1f}: the machine is "
            "too busy to measure on"
        )
    return Measured(events, wall_s, cpu_s, [cpu_s / events * 1e6], longer.rss_bytes)


def _train(whose: str, loss: str, epochs: int, result: Path) -> Measured:
    log = result.with_suffix(".log")
    child = Child(
        [sys.executable, "-m", "benchmarks.trainer", whose, loss, str(epochs), str(result)],
        log,
        cwd=_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    try:
        while not child.wait(_LOOK_S):
            pass
    finally:
        child.kill()
    if child.exit_code:
        raise TrainingError(f"{whose} training, {loss}, failed:\n{log.read_text(errors='replace')[-2000:]}")
    return read_measured(result)
