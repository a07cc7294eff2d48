"""Evaluations of recommenders as a page: one HTML file that needs no network, as report.py makes it.

In: evaluations by the same ratings or visitors, and comparisons of some of them.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from streamrec.evaluation import plots
from streamrec.evaluation.feedback_summary import FeedbackEvaluation
from streamrec.evaluation.page import cell, document, facts, figure, number, swatch, table, writing
from streamrec.evaluation.report_parts import About, configurations, differences_figure, head, lorenz_figure
from streamrec.evaluation.summary import Comparison

__all__ = ["write_feedback_report"]

_ERRORS: Final = ("rmse", "mae", "unscored")
"""The less the better."""
_NEITHER: Final = ("coverage", "gini", "novelty", "average_popularity", "long_tail")
"""Of these neither more nor less is better."""


def write_feedback_report(
    path: Path,
    evaluations: Sequence[FeedbackEvaluation],
    comparisons: Sequence[Comparison],
    about: About,
) -> None:
    """Write the page; folders on the way are made.

    Raises ConfigError if matplotlib is not installed or the file cannot be written.
    """
    plots.need_matplotlib()
    first = evaluations[0]
    how = (
        "Ratings are foretold by models that have not seen them"
        if first.task == "rating"
        else "Lists of what a visitor has not had are held against what it had next"
    )
    judged = f"{first.judged:,} {'ratings' if first.task == 'rating' else 'items'}"
    rules = {
        **about.data,
        "measured": f"{judged} of {first.visitors:,} visitors",
        "intervals": f"percentile bootstrap over visitors, seed {first.seed}",
    }
    body = [
        head(about, how, "visitors"),
        _figures(evaluations, comparisons),
        _metrics(evaluations),
        "<h2>Data and rules</h2>" + facts(rules),
        configurations({each.label: each.config for each in evaluations}),
    ]
    with writing(path):
        path.write_text(document(about.title, "\n".join(body)), "utf-8")


def _figures(evaluations: Sequence[FeedbackEvaluation], comparisons: Sequence[Comparison]) -> str:
    labels = [each.label for each in evaluations]
    first = evaluations[0]
    main = list(first.intervals)
    if first.made is not None:
        main = [name for name in main if name.endswith(f"@{first.made.tops.shape[1]}")]
    found = [
        figure(
            "How far off the ratings are"
            if first.task == "rating"
            else "How much of what came next is listed",
            f"Of {first.visitors:,} visitors. The thin lines are the intervals; where those of two models "
            "overlap, the paired differences still tell them apart.",
            plots.bars({name: {each.label: each.intervals[name] for each in evaluations} for name in main}),
            wide=True,
        )
    ]
    if comparisons:
        what = "ratings" if first.task == "rating" else "lists"
        found.append(differences_figure(comparisons, main, labels, what, "visitor"))
    made = {each.label: each.made for each in evaluations if each.made is not None}
    if made:
        tops = {label: each.tops for label, each in made.items()}
        ginis = {
            each.label: each.metrics[f"gini@{each.made.tops.shape[1]}"]
            for each in evaluations
            if each.made is not None
        }
        found.append(lorenz_figure(tops, ginis, [len(each.clicks) for each in made.values()]))
    return f'<h2>Plots</h2>\n<div class="plots">{"".join(found)}</div>'


def _metrics(evaluations: Sequence[FeedbackEvaluation]) -> str:
    rows = []
    for name in evaluations[0].metrics:
        values = [each.metrics[name] for each in evaluations]
        best = None
        if len(values) > 1 and not name.startswith(_NEITHER):
            best = min(values) if name in _ERRORS else max(values)
        rows.append(
            [
                escape(name),
                *(
                    cell(number(value), _bounds(each, name), best=value == best)
                    for each, value in zip(evaluations, values, strict=True)
                ),
            ]
        )
    header = ["metric", *(f"{swatch(n)}{escape(each.label)}" for n, each in enumerate(evaluations))]
    times = [
        [name, *(cell(f"{getattr(each, field):,.1f}") for each in evaluations)]
        for name, field in (("training s", "train_s"), ("evaluating s", "evaluate_s"))
    ]
    return "<h2>All metrics</h2>" + table(header, [*rows, *times])


def _bounds(evaluation: FeedbackEvaluation, name: str) -> str:
    interval = evaluation.intervals.get(name)
    return f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
