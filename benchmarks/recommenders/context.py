"""Whether it helps to know when, where and in whose company a film is seen: depaul-movie."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.recommenders.data import depaul_movie
from benchmarks.recommenders.names import BETTER_IN_CONTEXT, CONTEXTUAL
from benchmarks.recommenders.paired import Question, judge_gains
from benchmarks.recommenders.rows import Judged
from streamrec.feedback import NOTHING

__all__ = ["judge_context"]

_DATA: Final = "depaul-movie"
_SPLITS: Final = 3


def judge_context(names: Collection[str], folder: Path, on_step: Callable[[int, int], object]) -> Judged:
    """Errors of each model with and without contexts."""
    feedback = depaul_movie(folder / _DATA)
    models = [name for name in CONTEXTUAL if name in names]
    question = Question(_DATA, "context", models, BETTER_IN_CONTEXT, {"everybody": None}, _SPLITS)
    known, unknown = (feedback, NOTHING), (replace(feedback, contexts={}), NOTHING)
    return judge_gains(question, known, unknown, on_step)
