"""What was measured as claims: a value, the figure beside it, and whether the claim holds."""

from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table

from benchmarks.recommenders.judged import Listed, Rated

__all__ = ["PUBLISHED", "list_entries", "lists_table", "rating_entries", "ratings_table"]

PUBLISHED: Final[Mapping[str, float]] = {
    "baseline_predictor": 0.944,
    "biased_mf": 0.934,
    "svdpp": 0.919,
    "nmf": 0.963,
    "slope_one": 0.946,
    "co_clustering": 0.963,
    "user_based_cf": 0.951,
}
"""RMSE on MovieLens 100k, five folds, as published by scikit-surprise: SVD as biased_mf, centred k-NN as
user_based_cf."""
_ROOM: Final = 1.01
"""Folds are drawn anew: within one in a hundred."""
_JUDGED: Final = "ndcg@10"
_BESIDE: Final = "item_popularity"
_NOT_HERE: Final = {
    "content_classifier",
    "group_recommender",
    "tag_profile",
    "tfidf_content",
    "trending_items",
}
"""Made for what this data does not ask: items that nobody has had, lists for groups, what is new today."""

Entry = dict[str, Any]


def rating_entries(data: str, found: Mapping[str, Rated]) -> list[Entry]:
    """RMSE and MAE of every model; the RMSE is held to the published one, where there is one."""
    return [
        {
            "model": name,
            "data": data,
            "metric": metric,
            "value": round(getattr(rated, metric), 4),
            "reference": (reference := PUBLISHED.get(name) if metric == "rmse" else None),
            "holds": reference is None or rated.rmse <= reference * _ROOM,
            "required": reference is not None,
            "claim": "at most 1 % above",
        }
        for name, rated in found.items()
        for metric in ("rmse", "mae")
    ]


def list_entries(data: str, found: Mapping[str, Listed], trained_for_lists: set[str]) -> list[Entry]:
    """Metrics of every model; those that are trained for lists have to beat popularity."""
    beside = found[_BESIDE].lists.ndcg_at_10 if _BESIDE in found else None
    entries = []
    for name, listed in found.items():
        metrics = {
            _JUDGED: listed.lists.ndcg_at_10,
            "recall@20": listed.lists.recall_at_20,
            "coverage@20": listed.lists.coverage_at_20,
            "novelty@20": listed.lists.novelty_at_20,
            "popularity@20": listed.lists.popularity_at_20,
        }
        for metric, value in metrics.items():
            judged = metric == _JUDGED and name in trained_for_lists - _NOT_HERE - {_BESIDE}
            reference = beside if judged else None
            entries.append(
                {
                    "model": name,
                    "data": data,
                    "metric": metric,
                    "value": round(value, 4),
                    "reference": None if reference is None else round(reference, 4),
                    "holds": reference is None or value > reference,
                    "required": reference is not None,
                    "claim": "above popularity",
                }
            )
    return entries


def ratings_table(data: str, found: Mapping[str, Rated]) -> Table:
    """A line for each model, the best first."""
    table = _table(f"{data}: ratings foretold, five folds", "RMSE", "published", "MAE", "unscored", "s")
    for name, rated in sorted(found.items(), key=lambda each: each[1].rmse):
        published = PUBLISHED.get(name)
        table.add_row(
            name,
            f"{rated.rmse:.4f}",
            "" if published is None else f"{published:.3f}",
            f"{rated.mae:.4f}",
            f"{rated.unscored:.2%}",
            f"{rated.seconds:.1f}",
        )
    return table


def lists_table(data: str, found: Mapping[str, Listed]) -> Table:
    """A line for each model, the best first."""
    columns = ("NDCG@10", "Recall@20", "coverage", "novelty", "popularity", "train s", "ms a list")
    table = _table(f"{data}: each visitor's last fifth in lists of the first four", *columns)
    for name, listed in sorted(found.items(), key=lambda each: -each[1].lists.ndcg_at_10):
        lists = listed.lists
        table.add_row(
            name,
            f"{lists.ndcg_at_10:.4f}",
            f"{lists.recall_at_20:.4f}",
            f"{lists.coverage_at_20:.3f}",
            f"{lists.novelty_at_20:.2f}",
            f"{lists.popularity_at_20:.1f}",
            f"{listed.train_s:.2f}",
            f"{listed.ms:.2f}",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
