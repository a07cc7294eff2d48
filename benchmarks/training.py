"""Training beside the official GRU4Rec, in turns: the same clicks, hyperparameters and core."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.meter import Measured, read_measured
from benchmarks.workloads import Comparison
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError

__all__ = ["COMPARISONS", "LOSSES", "OFFICIAL", "TrainingError", "measure_training", "official_path"]

OFFICIAL: Final = "OFFICIAL_GRU4REC"
LOSSES: Final[dict[str, dict[str, float]]] = {
    "cross-entropy": {"dropout_hidden": 0.4, "logq": 1.0},
    "bpr-max": {"dropout_hidden": 0.0, "momentum": 0.3, "bpreg": 0.5, "elu": 1.0},
}
_OURS: Final = {loss: f"GRU4Rec training, {loss}" for loss in LOSSES}
_OFFICIAL: Final = {loss: f"official GRU4Rec training, {loss}" for loss in LOSSES}
COMPARISONS: Final = tuple(Comparison(_OURS[loss], _OFFICIAL[loss], 2.0) for loss in LOSSES)
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

    work: a folder for results. on_done: called with the name of each that is done.
    """
    rounds: dict[str, list[Measured]] = {}
    for n in range(n_rounds):
        for loss in LOSSES:
            for whose, name in ("ours", _OURS[loss]), ("official", _OFFICIAL[loss]):
                rounds.setdefault(name, []).append(_train(whose, loss, work / f"{whose}-{loss}-{n}.json"))
                on_done(name)
    return rounds


def _train(whose: str, loss: str, result: Path) -> Measured:
    log = result.with_suffix(".log")
    child = Child(
        [sys.executable, "-m", "benchmarks.trainer", whose, loss, str(result)],
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
