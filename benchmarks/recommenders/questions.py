"""What is asked of recommenders, each question by its name.

In: names of models, and folders. Out: what each comes to, and whether that is what it should be.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.recommenders.context import judge_context
from benchmarks.recommenders.data import movielens_100k, movielens_small
from benchmarks.recommenders.groups import judge_groups
from benchmarks.recommenders.lists import judge_lists
from benchmarks.recommenders.new_items import judge_new_items
from benchmarks.recommenders.ratings import judge_ratings
from benchmarks.recommenders.rows import Judged
from benchmarks.recommenders.speed import judge_speed
from benchmarks.recommenders.trust import judge_trust

__all__ = ["QUESTIONS", "Folders"]

OnStep = Callable[[int, int], object]


class Folders(NamedTuple):
    """Where things are."""

    data: Path
    """The data sets."""
    out: Path
    """What is fetched and installed for a question, too."""


def _small(data: Path) -> Path:
    return data / "ml-latest-small"


QUESTIONS: Final[Mapping[str, Callable[[Collection[str], Folders, OnStep], Judged]]] = {
    "ratings": lambda names, at, step: judge_ratings(names, movielens_100k(at.out / "data"), step),
    "lists": lambda names, at, step: judge_lists(names, movielens_small(_small(at.data)), step),
    "trust": lambda names, at, step: judge_trust(names, at.data, step),
    "context": lambda names, at, step: judge_context(names, at.data, step),
    "groups": lambda names, at, step: judge_groups(names, at.data, step),
    "new-items": lambda names, at, step: judge_new_items(names, at.data, step),
    "speed": lambda names, at, step: judge_speed(
        names, movielens_100k(at.out / "data"), movielens_small(_small(at.data))[0], at.out, step
    ),
}
"""Raise StreamrecError if there is no data, or a model or a peer fails. The peers are installed for `speed`
once, into an environment of their own; scikit-surprise is built there, which takes a C compiler."""
