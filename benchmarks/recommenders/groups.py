"""What groups say of films, out of what their members say of others: camra2011.

Nothing of the groups' own ratings is learned from; a simple guess that is set beside the strategies
neither. Errors count for strategies that are meant to foretell what a group says; for all of them, which of
two films that a group rated comes first.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.recommenders.data import camra2011
from benchmarks.recommenders.names import GROUP_STRATEGIES, NEAR_THE_GROUP
from benchmarks.recommenders.rows import Entry, Judged, entry, mark, new_table
from streamrec.evaluation.folds import foretell
from streamrec.evaluation.metrics import rmse
from streamrec.feedback import Feedback
from streamrec.models import recommender

__all__ = ["judge_groups", "pairs_in_order"]

Numbers = NDArray[np.float64]

_DATA: Final = "camra2011"
_MODEL: Final = "group_recommender"
_MISERY: Final = 40.0
"""Of 100."""
_RANKS: Final = "borda"
"""Points, not ratings."""


def judge_groups(names: Collection[str], folder: Path, on_step: Callable[[int, int], object]) -> Judged:
    """Errors and order of every strategy, beside simple guesses."""
    if _MODEL not in names:
        return Judged([], [])
    members, groups, knowledge = camra2011(folder / _DATA)
    guesses = _guesses(members, groups, knowledge.groups)
    found: dict[str, tuple[float | None, float, float]] = {}
    for done, strategy in enumerate(GROUP_STRATEGIES, 1):
        model = recommender(_MODEL, {"strategy": strategy, "misery": _MISERY})
        model.train(members, knowledge)
        expected, unscored = foretell(model, members, groups)
        # Out of lists altogether, or of a group of which nothing is known.
        in_order = pairs_in_order(np.where(unscored, -np.inf, expected), groups)
        error = None if strategy == _RANKS else rmse(expected, groups.values)
        found[strategy] = (error, in_order, float(unscored.mean()))
        on_step(done, len(GROUP_STRATEGIES))
    simple = {
        name: (rmse(each, groups.values), pairs_in_order(each, groups)) for name, each in guesses.items()
    }
    best_error = min(error for error, _ in simple.values())
    best_order = max(in_order for _, in_order in simple.values())
    entries: list[Entry] = []
    table = new_table(
        f"{_DATA}: what {len(groups.user_ids)} groups said of films",
        *("RMSE", "", "pairs in order", "", "unscored"),
        caption=f"Of 100. A guess is beaten below {best_error:.2f}, in order above {best_order:.1%}.",
    )
    for strategy, (error, in_order, unscored_share) in found.items():
        ordered = entry(
            _MODEL,
            _DATA,
            "pairs in order",
            in_order,
            setting=strategy,
            reference=best_order,
            holds=in_order > best_order,
            required=True,
            claim="above simple guesses'",
        )
        row = [] if error is None else [_error_entry(strategy, error, best_error)]
        entries += [*row, ordered]
        of_error = ("", "") if error is None else (f"{error:.2f}", mark(row[0]))
        table.add_row(strategy, *of_error, f"{in_order:.1%}", mark(ordered), f"{unscored_share:.1%}")
    for name, (error_of_guess, in_order) in simple.items():
        table.add_row(name, f"{error_of_guess:.2f}", "", f"{in_order:.1%}", "", "")
    return Judged(entries, [table])


def pairs_in_order(scores: Numbers, said: Feedback) -> float:
    """Share of the pairs of items of one visitor, of which it liked one better, that scores put so too.

    scores: (n,). Ties count half. NaN without such pairs.
    """
    right = pairs = 0.0
    for user in range(len(said.user_ids)):
        own = said.users == user
        better = said.values[own][:, None] > said.values[own][None, :]
        # Of ranks, not of scores, as of two infinite ones there is no difference.
        ranks = np.unique(scores[own], return_inverse=True)[1]
        above = ranks[:, None] - ranks[None, :]
        right += float((above[better] > 0).sum() + (above[better] == 0).sum() / 2)
        pairs += float(better.sum())
    return right / pairs if pairs else float("nan")


def _guesses(
    members: Feedback, groups: Feedback, who: Mapping[str, Collection[str]]
) -> Mapping[str, Numbers]:
    """Means of all ratings, of those of the film, and of those by the members, (n,) each."""
    mean = float(members.values.mean(dtype=np.float64))
    of_items = _means(members.items, members.values, members.item_ids)
    of_users = _means(members.users, members.values, members.user_ids)
    films = [groups.item_ids[item] for item in groups.items.tolist()]
    of_groups = {
        group: np.mean([of_users.get(member, mean) for member in who[group]]) for group in groups.user_ids
    }
    return {
        "the mean of all": np.full(len(groups), mean),
        "the film's mean": np.array([of_items.get(film, mean) for film in films]),
        "the members' mean": np.array([of_groups[groups.user_ids[user]] for user in groups.users.tolist()]),
    }


def _means(of: NDArray[np.int64], values: NDArray[np.float32], ids: Collection[str]) -> dict[str, float]:
    return dict(zip(ids, (np.bincount(of, values) / np.bincount(of)).tolist(), strict=True))


def _error_entry(strategy: str, error: float, reference: float) -> Entry:
    return entry(
        _MODEL,
        _DATA,
        "rmse",
        error,
        setting=strategy,
        reference=reference,
        holds=error < reference,
        required=strategy in NEAR_THE_GROUP,
        claim="below simple guesses'",
    )
