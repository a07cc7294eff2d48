"""Whether it helps to know whom visitors trust, above all those who rated next to nothing: filmtrust."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from benchmarks.recommenders.data import filmtrust
from benchmarks.recommenders.names import BETTER_WITH_TRUST, TRUSTING
from benchmarks.recommenders.paired import Question, judge_gains
from benchmarks.recommenders.rows import Judged
from streamrec.feedback import NOTHING

__all__ = ["judge_trust"]

_DATA: Final = "filmtrust"
_VISITORS: Final = {"fewer than five ratings": 5, "everybody": None}
_SPLITS: Final = 5


def judge_trust(names: Collection[str], folder: Path, on_step: Callable[[int, int], object]) -> Judged:
    """Errors of each model with and without trust."""
    feedback, knowledge = filmtrust(folder / _DATA)
    models = [name for name in TRUSTING if name in names]
    question = Question(_DATA, "trust", models, BETTER_WITH_TRUST, _VISITORS, _SPLITS)
    return judge_gains(question, (feedback, knowledge), (feedback, NOTHING), on_step)
