"""How far off the ratings are that models foretell: MovieLens 100k, five folds.

Held to what is published, where something is; else it has to be below the baseline predictor, which knows
nothing of who likes what. How they stand beside other libraries on the same folds, `speed` says.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

import numpy as np
from rich.table import Table

from benchmarks.recommenders.rows import Entry, Judged, entry, mark, new_table
from streamrec.contracts import TrainOptions
from streamrec.evaluation.folds import folds, foretell
from streamrec.evaluation.metrics import mae, rmse
from streamrec.feedback import Feedback
from streamrec.models import recommender, recommender_class

__all__ = ["ROOM", "judge_ratings"]

_DATA: Final = "movielens-100k"
_N_FOLDS: Final = 5
_BESIDE: Final = "baseline_predictor"
_PUBLISHED: Final[Mapping[str, float]] = {
    "baseline_predictor": 0.944,
    "biased_mf": 0.934,
    "svdpp": 0.919,
    "nmf": 0.963,
    "slope_one": 0.946,
    "co_clustering": 0.963,
    "user_based_cf": 0.951,
}
"""RMSE as published by scikit-surprise: SVD as biased_mf, centred k-NN as user_based_cf."""
ROOM: Final = 1.01
"""Folds are drawn anew, and libraries differ in what they leave open: within one in a hundred."""


class _Rated(NamedTuple):
    """Means over the folds."""

    rmse: float
    mae: float
    unscored: float
    """Share of the ratings that it could not foretell, and that count as foretold by the mean."""


def judge_ratings(
    names: Collection[str], feedback: Feedback, on_step: Callable[[int, int], object]
) -> Judged:
    """RMSE and MAE of every model, the baseline predictor's always among them."""
    asked = [name for name in names if "rating" in recommender_class(name).tasks]
    if not asked:
        return Judged([], [])
    raters = list(dict.fromkeys([_BESIDE, *asked]))
    found: dict[str, _Rated] = {}
    for place, name in enumerate(raters):

        def on_fold(done: int, place: int = place) -> None:
            on_step(place * _N_FOLDS + done, len(raters) * _N_FOLDS)

        found[name] = _rated(name, feedback, on_fold)
    entries = {name: _entries(name, rated, found[_BESIDE].rmse) for name, rated in found.items()}
    return Judged([row for rows in entries.values() for row in rows], [_table(found, entries)])


def _rated(name: str, feedback: Feedback, on_fold: Callable[[int], object]) -> _Rated:
    of_folds = []
    for number, (train, test) in enumerate(folds(feedback, _N_FOLDS, seed=0), 1):
        model = recommender(name)
        model.train(train, options=TrainOptions(seed=0))
        expected, unscored = foretell(model, train, test)
        of_folds.append((rmse(expected, test.values), mae(expected, test.values), unscored.mean()))
        on_fold(number)
    return _Rated(*np.mean(of_folds, axis=0).tolist())


def _entries(name: str, rated: _Rated, beside: float) -> list[Entry]:
    published = _PUBLISHED.get(name)
    return [
        entry(
            name,
            _DATA,
            "rmse",
            rated.rmse,
            reference=beside if published is None else published,
            holds=rated.rmse < beside if published is None else rated.rmse <= published * ROOM,
            required=True,
            claim=f"below {_BESIDE}'s" if published is None else "at most 1 % above",
        ),
        entry(name, _DATA, "mae", rated.mae),
    ]


def _table(found: Mapping[str, _Rated], entries: Mapping[str, list[Entry]]) -> Table:
    """A line for each model, the best first."""
    table = new_table(
        f"{_DATA}: ratings foretold, five folds",
        *("RMSE", "wanted", "", "MAE", "unscored"),
        caption=f"Wanted is at most 1 % above what is published; else less than {_BESIDE} has.",
    )
    for name, rated in sorted(found.items(), key=lambda each: each[1].rmse):
        published = _PUBLISHED.get(name)
        table.add_row(
            name,
            f"{rated.rmse:.4f}",
            f"< {found[_BESIDE].rmse:.4f}" if published is None else f"{published:.3f} + 1 %",
            mark(entries[name][0]),
            f"{rated.mae:.4f}",
            f"{rated.unscored:.2%}",
        )
    return table
