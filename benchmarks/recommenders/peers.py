"""Other libraries' recommenders: their environment, and contenders run on the same files in turns.

Their versions are pinned in requirements/peers.txt. They are no part of the project's own environment, which
could not hold them: what they need contradicts what it needs.
"""

import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.recommenders.contender import Split
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError

__all__ = ["Answered", "PeerError", "make_peers", "run_contender", "write_split"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_PINNED: Final = _ROOT / "requirements" / "peers.txt"
_THEIRS: Final = frozenset({"lenskit", "surprise"})
"""Libraries that the project's environment has not; the others are asked there."""
_ONE_THREAD: Final = dict.fromkeys(
    (f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "RAYON", "LK")), "1"
) | {"LK_NUM_BACKEND_THREADS": "1"}
_LOOK_S: Final = 0.5


class PeerError(StreamrecError):
    """A peer cannot be had, or one of the contenders did not get to its end."""


class Answered(NamedTuple):
    """What a contender came to on a split."""

    train_s: float
    """CPU seconds."""
    answer_s: float
    """CPU seconds."""
    answers: NDArray[np.float64]
    """As contender.py has them."""


def make_peers(folder: Path) -> Path:
    """The interpreter of an environment with the peers, made anew if their versions changed.

    Raises PeerError if it cannot be made.
    """
    python, done = folder / "bin" / "python", folder / "installed.txt"
    pinned = _PINNED.read_text("utf-8")
    if done.exists() and done.read_text("utf-8") == pinned:
        return python
    uv = str(Path(sys.executable).parent / "uv")
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(_PINNED)],
    ):
        _run(command, log, "the peers cannot be installed; --only asks a question without them")
    done.write_text(pinned, "utf-8")
    return python


def write_split(path: Path, split: Split) -> None:
    """For contenders to read."""
    np.savez(path, **split._asdict())


def run_contender(name: str, split: Path, python: Path) -> Answered:
    """A contender, by its library and name, in a process of its own with one thread. python: the peers'.

    Raises PeerError if it fails.
    """
    interpreter = str(python) if name.split()[0] in _THEIRS else sys.executable
    answers = split.with_suffix(".answers.npz")
    command = [interpreter, "-m", "benchmarks.recommenders.contender", name, str(split), str(answers)]
    _run(command, split.with_suffix(".log"), f"{name} failed")
    with np.load(answers) as found:
        return Answered(float(found["train_s"]), float(found["answer_s"]), found["answers"])


def _run(command: list[str], log: Path, failed: str) -> None:
    child = Child(command, log, cwd=_ROOT, env={**os.environ, **_ONE_THREAD})
    try:
        while not child.wait(_LOOK_S):
            pass
    finally:
        child.kill()
    if child.exit_code:
        raise PeerError(f"{failed}:\n{log.read_text(errors='replace')[-2000:]}")
