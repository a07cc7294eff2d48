"""Evaluations as a page: one HTML file that needs no network, with plots, figures and their rules.

In: evaluations on the same test sessions, and comparisons of some of them. Plots are drawn by plots.py.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation import beyond, plots
from streamrec.evaluation.page import cell, document, facts, figure, number, share, swatch, table, writing
from streamrec.evaluation.report_parts import (
    About,
    configurations,
    differences_figure,
    head,
    lorenz_figure,
)
from streamrec.evaluation.summary import Comparison, Evaluation

__all__ = ["About", "write_report"]

_MAIN: Final = ("recall", "mrr", "ndcg")
_DEPTH: Final = 50
"""The largest k of the curve."""
_BANDS: Final = 5
_POSITIONS: Final = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (7, 9), (10, 14), (15, None))
_DESCRIBING: Final = (
    "coverage",
    "gini",
    "intra_list_diversity",
    "novelty",
    "average_popularity",
    "long_tail",
)
"""Metrics of which neither more nor less is better."""
_TIES: Final = {
    "conservative": "conservative: a rank is one more than the number of others that score at least as high",
    "optimistic": "optimistic: a rank is one more than the number of others that score higher",
    "mean": "mean: the middle of the best and the worst rank that equal scores allow",
}
_UNSEEN: Final = {
    "leave out": "left out: clicks on items that training did not see are taken out of the test first",
    "miss": "misses: clicks on items that training did not see stay, and no list finds them",
}


_JUDGED: Final = {"every click": "every click but the first", "last click": "the last click of each"}


def write_report(
    path: Path, evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison], about: About
) -> None:
    """Write the page; folders on the way are made.

    Raises ConfigError if matplotlib is not installed or the file cannot be written.
    """
    plots.need_matplotlib()
    body = "\n".join(
        [
            head(about, "Every next click is ranked against the whole catalogue", "sessions"),
            _summary(evaluations),
            _figures(evaluations, comparisons),
            _all_metrics(evaluations),
            *_groups(evaluations),
            _rules(evaluations[0], about),
            configurations({each.model: each.config for each in evaluations}),
        ]
    )
    page = document(about.title, body)
    with writing(path):
        path.write_text(page, "utf-8")


def _longest(evaluations: Sequence[Evaluation]) -> int:
    """The k that everything is measured at."""
    return len(evaluations[0].next_items.tops[0])


def _summary(evaluations: Sequence[Evaluation]) -> str:
    k = _longest(evaluations)
    main = [f"{name}@{k}" for name in _MAIN]
    others = [f"coverage@{k}", f"novelty@{k}"]
    best = {name: max(each.metrics[name] for each in evaluations) for name in main}
    rows = [
        [
            f"{swatch(n)}{escape(each.model)}",
            *(_with_interval(each, name, best[name] if len(evaluations) > 1 else None) for name in main),
            *(cell(number(each.metrics[name])) for name in others),
            cell(f"{each.events_per_s:,.0f}" if each.events_per_s else "–"),
            cell(f"{each.train_s:,.1f}" if each.train_s is not None else "–"),
        ]
        for n, each in enumerate(evaluations)
    ]
    header = ["model", *main, *others, "events/s", "training s"]
    return "<h2>At a glance</h2>" + table(header, rows)


def _figures(evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> str:
    k = _longest(evaluations)
    main = [f"{name}@{k}" for name in _MAIN]
    names = [each.model for each in evaluations]
    found = [
        figure(
            "How often the next click is in the list, and how high",
            f"Of {evaluations[0].next_clicks:,} clicks. The thin lines are the intervals; where those of two "
            "models overlap, the paired differences still tell them apart.",
            plots.bars({name: {each.model: each.intervals[name] for each in evaluations} for name in main}),
            wide=True,
        )
    ]
    if comparisons:
        found.append(differences_figure(comparisons, main, names, "clicks", "session"))
    found += [
        figure(
            "Recall by the length of the list",
            "How much a longer list would find.",
            plots.recall_by_k({each.model: each.next_items.ranks for each in evaluations}, _DEPTH),
        ),
        figure(
            f"recall@{k} by position in the session",
            "How quickly a model makes use of what a visitor does.",
            _position_plot(evaluations, k),
        ),
        figure(
            "The long tail",
            f"The items in {_BANDS} bands that hold equal shares of the training clicks. Where a line is "
            "above the grey bars, such items are recommended more often than they are clicked.",
            _popularity_plot(evaluations),
        ),
        lorenz_figure(
            {each.model: each.next_items.tops for each in evaluations},
            {each.model: each.metrics[f"gini@{k}"] for each in evaluations},
            [len(each.clicks) for each in evaluations],
        ),
    ]
    return f'<h2>Plots</h2>\n<div class="plots">{"".join(found)}</div>'


def _position_plot(evaluations: Sequence[Evaluation], k: int) -> str:
    positions = evaluations[0].next_items.positions
    bands = [
        (f"{low}+" if high is None else str(low) if low == high else f"{low}–{high}", inside)
        for low, high in _POSITIONS
        if (inside := (positions >= low) & (positions <= (high or np.inf))).any()
    ]
    return plots.recall_by_position(
        [label for label, _ in bands],
        [int(inside.sum()) for _, inside in bands],
        {
            each.model: np.array([(each.next_items.ranks[inside] <= k).mean() for _, inside in bands])
            for each in evaluations
        },
    )


def _popularity_plot(evaluations: Sequence[Evaluation]) -> str:
    clicks = evaluations[0].clicks
    sizes = np.bincount(beyond.popularity_bands(clicks, _BANDS), minlength=_BANDS)
    # All are judged by the same clicks; one that does not know the item has no target there.
    clicked = np.max([each.next_items.targets for each in evaluations], axis=0)
    return plots.popularity_bands(
        [f"{size:,}" for size in sizes.tolist()],
        _shares(clicks, clicked),
        {each.model: _shares(each.clicks, each.next_items.tops) for each in evaluations},
    )


def _shares(clicks: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each band in some items, by their indices; -1 is none."""
    found = beyond.popularity_bands(clicks, _BANDS)[items[items >= 0]]
    return np.bincount(found, minlength=_BANDS) / max(1, len(found))


def _all_metrics(evaluations: Sequence[Evaluation]) -> str:
    rows = []
    for name in evaluations[0].metrics:
        values = [each.metrics[name] for each in evaluations]
        best = max(values) if len(values) > 1 and not name.startswith(_DESCRIBING) else None
        rows.append([escape(name), *(_with_interval(each, name, best) for each in evaluations)])
    return (
        "<h2>All metrics</h2>"
        + "<p class='faint'>With one relevant item a query, hit rate is recall, and MAP is MRR.</p>"
        + table(["metric", *(f"{swatch(n)}{escape(each.model)}" for n, each in enumerate(evaluations))], rows)
    )


def _groups(evaluations: Sequence[Evaluation]) -> Iterable[str]:
    header = ["group", *(escape(each.model) for each in evaluations)]
    if evaluations[0].item_groups:
        rows = [
            [escape(group), *(cell(share(each.item_groups.get(group, 0))) for each in evaluations)]
            for group in evaluations[0].item_groups
        ]
        yield "<h2>Exposure by group of items</h2>" + table(header, rows)
    for metric, means in evaluations[0].session_groups.items():
        rows = [
            [escape(group), *(cell(number(each.session_groups[metric][group])) for each in evaluations)]
            for group in means
        ]
        gaps = (cell(number(each.session_group_gaps[metric])) for each in evaluations)
        rows.append(["largest difference", *gaps])
        yield f"<h2>{escape(metric)} by group of sessions</h2>" + table(header, rows)


def _rules(first: Evaluation, about: About) -> str:
    rules = {
        **about.data,
        "measured": f"{first.next_clicks:,} clicks of {first.test_sessions:,} sessions: "
        + _JUDGED[first.judged],
        "unseen items": f"{_UNSEEN[first.unseen]}; {first.unseen_clicks:,} clicks",
        "ties": _TIES[first.ties],
        "intervals": f"percentile bootstrap over sessions, seed {first.seed}",
    }
    return "<h2>Data and rules</h2>" + facts(rules)


def _with_interval(evaluation: Evaluation, name: str, best: float | None) -> str:
    value = evaluation.metrics[name]
    interval = evaluation.intervals.get(name)
    beside = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
    return cell(number(value), beside, best=value == best)
