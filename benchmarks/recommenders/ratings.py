"""How far off the ratings are that models foretell: MovieLens 100k, five folds, beside published figures."""

from collections.abc import Callable, Collection, Mapping
from statistics import mean
from typing import Final, NamedTuple

from rich.table import Table

from benchmarks.recommenders.rows import Entry, Judged, entry, mark, new_table
from streamrec.evaluation.folds import cross_validate
from streamrec.feedback import Feedback
from streamrec.models import recommender, recommender_class

__all__ = ["judge_ratings"]

_DATA: Final = "movielens-100k"
_N_FOLDS: Final = 5
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
_ROOM: Final = 1.01
"""Folds are drawn anew: within one in a hundred."""


class _Rated(NamedTuple):
    """Means over the folds."""

    rmse: float
    mae: float
    unscored: float
    """Share of the ratings that it could not foretell, and that count as foretold by the mean."""


def judge_ratings(
    names: Collection[str], feedback: Feedback, on_step: Callable[[int, int], object]
) -> Judged:
    """RMSE and MAE of every model; the RMSE is held to the published one, where there is one."""
    raters = [name for name in names if "rating" in recommender_class(name).tasks]
    found: dict[str, _Rated] = {}
    for place, name in enumerate(raters):

        def on_fold(done: int, place: int = place) -> None:
            on_step(place * _N_FOLDS + done, len(raters) * _N_FOLDS)

        folds = cross_validate(
            lambda name=name: recommender(name), feedback, n_folds=_N_FOLDS, on_fold=on_fold
        )
        found[name] = _Rated(
            mean(fold.rmse for fold in folds),
            mean(fold.mae for fold in folds),
            mean(fold.unscored for fold in folds),
        )
    entries = {name: _entries(name, rated) for name, rated in found.items()}
    return Judged([row for rows in entries.values() for row in rows], [_table(found, entries)])


def _entries(name: str, rated: _Rated) -> list[Entry]:
    reference = _PUBLISHED.get(name)
    return [
        entry(
            name,
            _DATA,
            "rmse",
            rated.rmse,
            reference=reference,
            holds=reference is None or rated.rmse <= reference * _ROOM,
            required=reference is not None,
            claim="at most 1 % above",
        ),
        entry(name, _DATA, "mae", rated.mae),
    ]


def _table(found: Mapping[str, _Rated], entries: Mapping[str, list[Entry]]) -> Table:
    """A line for each model, the best first."""
    columns = ("RMSE", "published", "", "MAE", "unscored")
    table = new_table(f"{_DATA}: ratings foretold, five folds", *columns)
    for name, rated in sorted(found.items(), key=lambda each: each[1].rmse):
        published = _PUBLISHED.get(name)
        table.add_row(
            name,
            f"{rated.rmse:.4f}",
            "" if published is None else f"{published:.3f}",
            mark(entries[name][0]),
            f"{rated.mae:.4f}",
            f"{rated.unscored:.2%}",
        )
    return table
