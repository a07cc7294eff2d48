"""What reports of session models and of recommenders have in common.

In: what was found, by model. Out: parts of a page, as HTML.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec import __version__
from streamrec.evaluation import plots
from streamrec.evaluation.intervals import Interval, covered
from streamrec.evaluation.page import cell, facts, figure, table
from streamrec.evaluation.summary import Comparison

__all__ = ["About", "configurations", "differences_figure", "head", "lorenz_figure"]


class About(NamedTuple):
    """What the evaluations do not know of themselves."""

    title: str
    data: Mapping[str, str]
    """Facts about the data, by their name."""
    warnings: Sequence[str] = ()


def head(about: About, how: str, drawn: str) -> str:
    """Title, version, time, and how it was measured; drawn: what intervals are over. Then the warnings."""
    now = datetime.now(UTC)
    return (
        f"<h1>{escape(about.title)}</h1>\n"
        f'<p class="faint">streamrec {__version__}, {now:%Y-%m-%d %H:%M} UTC. {escape(how)}. '
        f"Intervals are 95 % bootstrap intervals over {drawn}.</p>"
        + "".join(f'\n<p class="warning">{escape(warning)}</p>' for warning in about.warnings)
    )


def differences_figure(
    comparisons: Sequence[Comparison], metrics: Sequence[str], models: Sequence[str], same: str, drawn: str
) -> str:
    """Paired differences to one model, as a plot and a table.

    models: all that are compared, in the order of their colours. same, drawn: in words, what all were judged
    by, and what intervals are over: a session.
    """
    by_metric = {
        name: {
            each.first: Interval(found.difference, found.low, found.high)
            for each in comparisons
            for found in [each.differences[name]]
        }
        for name in metrics
    }
    return figure(
        f"Paired differences to {comparisons[0].second}",
        f"On the same {same}, {drawn} by {drawn}: an interval that does not touch the zero line is a "
        f"difference that another draw of {drawn}s does not explain. {covered(f'{drawn}s')}.",
        plots.differences(by_metric, {name: n for n, name in enumerate(models)})
        + _p_values(comparisons, metrics),
        wide=True,
    )


def _p_values(comparisons: Sequence[Comparison], metrics: Sequence[str]) -> str:
    rows = [
        [
            escape(each.first),
            *(
                cell(f"{found.difference:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}, p = {found.p:.4f}")
                for found in (each.differences[name] for name in metrics)
            ),
        ]
        for each in comparisons
    ]
    return table(["model", *metrics], rows)


def lorenz_figure(
    tops: Mapping[str, NDArray[np.int64]], ginis: Mapping[str, float], n_items: Sequence[int]
) -> str:
    """How lists share their places out among the items of each model's catalogue."""
    exposures = {
        model: np.bincount(each[each >= 0], minlength=n).astype(np.float64)
        for (model, each), n in zip(tops.items(), n_items, strict=True)
    }
    return figure(
        "Exposure of the catalogue",
        "The further below the diagonal, the fewer items get all the places.",
        plots.lorenz_curves(exposures, ginis),
    )


def configurations(of_models: Mapping[str, Mapping[str, Any]]) -> str:
    """The hyperparameters, by model."""
    parameters = {
        model: " ".join(f"{name}={value}" for name, value in config.items()) or "no parameters"
        for model, config in of_models.items()
    }
    return "<h2>Hyperparameters</h2>" + facts(parameters, code=True)
