"""What a candidate has to be: two measurements and the limits of the settings become checks.

In: figures of the candidate, and of the live version if there is one. Out: checks, each with what was
measured, its bound, and a sentence for people; and what they come to.

Not worse is a matter of proof (a non-inferiority test): with the confidence asked for, the candidate
is worse by less than a margin. A candidate that is merely not proven worse would pass on every small
window. Source: Walker and Nowacki, Understanding equivalence and noninferiority testing, JGIM 26, 2011.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from streamrec.config import GateSettings
from streamrec.contracts import IntArray
from streamrec.evaluation.intervals import paired_tests
from streamrec.events import Check, Window
from streamrec.gate.measuring import METRICS, K, Measured, Values

__all__ = ["Figures", "checks_of", "outcome_of"]

_HUNDREDTH: Final = 0.01
_TINY: Final = 1e-9
_NO_LISTS: Final = np.empty((0, K), np.int64)


class Figures(NamedTuple):
    """What is known of one version."""

    version: str
    n_items: int
    size_bytes: int
    latency_ms: float
    measured: Measured | None
    """None if the window has no next click."""
    popularity: Values | None = None
    """Recall@20 of the most clicked items of its training, for the same clicks."""


def checks_of(
    candidate: Figures, live: Figures | None, window: Window, settings: GateSettings
) -> list[Check]:
    """Everything that is asked of a candidate that could be loaded."""
    found = []
    if live is not None:
        found.append(_sessions(window, settings))
    if candidate.measured is not None:
        if live is not None and live.measured is not None:
            found += _not_worse(candidate.measured, live.measured, settings)
        elif candidate.popularity is not None:
            found.append(_above_popularity(candidate.measured, candidate.popularity))
        found.append(_finite(candidate.measured))
        found += _lists(candidate, live, settings)
    return [*found, *_costs(candidate, live, settings)]


def outcome_of(checks: Sequence[Check]) -> Literal["passed", "refused", "undecided"]:
    """Undecided if too few sessions is all there is against it, or may be what the other faults come from."""
    failed = {check.name for check in checks if not check.passed}
    if not failed:
        return "passed"
    of_sessions = {"sessions", *METRICS, "coverage", "coverage_ratio", "concentration", "concentration_ratio"}
    return "undecided" if "sessions" in failed and failed <= of_sessions else "refused"


def _sessions(window: Window, settings: GateSettings) -> Check:
    enough = window.sessions >= settings.min_sessions
    text = f"{window.sessions:,} sessions that neither version was trained on" + (
        ""
        if enough
        else f"; {settings.min_sessions:,} are needed for a judgement: wait for more, hold more back in "
        "training, or set STREAMREC_GATE__MIN_SESSIONS"
    )
    return Check(
        name="sessions", passed=enough, text=text, value=window.sessions, bound=settings.min_sessions
    )


def _not_worse(candidate: Measured, live: Measured, settings: GateSettings) -> list[Check]:
    # Between the bounds of a two-sided interval at this level lies all but 1 - confidence on either side.
    level = 2 * settings.confidence - 1
    differences = paired_tests(candidate.values, live.values, live.sessions, level=level)
    return [
        _not_worse_in(
            name, float(candidate.values[name].mean()), float(live.values[name].mean()), each, settings
        )
        for name, each in differences.items()
    ]


def _not_worse_in(
    name: str, candidate: float, live: float, found: tuple[float, float, float, float], settings: GateSettings
) -> Check:
    difference, low, high, _ = found
    bound = -settings.margin * live
    # Not below: two equal models pass even where the live one finds nothing.
    passed = low >= bound
    sure = f"with {settings.confidence:.0%} confidence at least {low:+.4f}"
    text = (
        f"{_title(name)} is {candidate:.4f}, of the live version {live:.4f}: {difference:+.4f}, {sure}; "
        f"{bound:+.4f} is allowed ({settings.margin:.1%} of the live version's)"
    )
    return Check(
        name=name,
        passed=passed,
        text=text,
        value=difference,
        bound=bound,
        candidate=candidate,
        live=live,
        low=low,
        high=high,
    )


def _above_popularity(measured: Measured, popularity: Values) -> Check:
    own, least = float(measured.values[METRICS[0]].mean()), float(popularity.mean())
    text = f"{_title(METRICS[0])} is {own:.4f}; the most clicked items, always the same, have {least:.4f}"
    return Check(name="popularity", passed=own > least, text=text, value=own, bound=least, candidate=own)


def _finite(measured: Measured) -> Check:
    n = measured.not_finite
    text = f"{n:,} of {measured.numbers:,} hidden states and scores on the window are infinite or no numbers"
    return Check(name="finite", passed=n == 0, text=text, value=n, bound=0)


def _lists(candidate: Figures, live: Figures | None, settings: GateSettings) -> list[Check]:
    """How much of the catalogue visitors get to see, and how evenly."""
    own, coverage, concentration = _shape(candidate)
    found = [
        _limit("coverage", coverage, settings.min_coverage, least=True),
        _limit("concentration", concentration, settings.max_concentration),
    ]
    if live is not None:
        listed, _, beside = _shape(live)
        found += [
            _limit("coverage_ratio", own, settings.min_coverage_ratio, beside=listed, least=True),
            _limit(
                "concentration_ratio",
                concentration,
                settings.max_concentration_ratio,
                beside=beside,
                clicked=_clicked(candidate),
            ),
        ]
    return found


def _clicked(candidate: Figures) -> float:
    """How concentrated visitors' clicks are.

    Lists may be so too, whatever the live version's are: one that no longer knows what visitors want
    spreads its lists over everything.
    """
    clicks = candidate.measured.clicks if candidate.measured is not None else _NO_LISTS
    return _hundredth_share(clicks, candidate.n_items)


def _costs(candidate: Figures, live: Figures | None, settings: GateSettings) -> list[Check]:
    found = [
        _limit("latency", candidate.latency_ms, settings.max_latency_ms),
        _limit("size", candidate.size_bytes, settings.max_size_bytes),
    ]
    if live is not None:
        found += [
            _limit("latency_ratio", candidate.latency_ms, settings.max_latency_ratio, beside=live.latency_ms),
            _limit("size_ratio", candidate.size_bytes, settings.max_size_ratio, beside=live.size_bytes),
        ]
    return found


def _limit(
    name: str,
    candidate: float,
    bound: float,
    *,
    beside: float | None = None,
    least: bool = False,
    clicked: float = -math.inf,
) -> Check:
    """A figure within its bound; `beside` the live version's, the bound is one of their ratio.

    clicked: the same figure of visitors' clicks; up to it more is no fault.
    """
    # Nothing beside nothing is no change.
    value = candidate if beside is None else 1.0 if candidate == beside else candidate / max(beside, _TINY)
    passed = value >= bound if least else value <= bound
    shown = _SHOWN.get(name) or _SHOWN[name.removesuffix("_ratio")]
    rule = "has to be at least" if least else "may be at most"
    if beside is None:
        text = f"{shown.what}: {shown.format(candidate)}; it {rule} {shown.format(bound)}"
    else:
        text = (
            f"{shown.what}: {shown.format(candidate)}, of the live version {shown.format(beside)}, "
            f"{value:.2f} times as much; it {rule} {bound:.2f} times"
        )
    if not passed and candidate <= clicked:
        passed = True
        text += f"; more is no fault up to {shown.format(clicked)}, as visitors' clicks have it"
    if not passed:
        text += f" (STREAMREC_GATE__{'MIN' if least else 'MAX'}_{_SETTING.get(name, name).upper()})"
    return Check(
        name=name, passed=passed, text=text, value=value, bound=bound, candidate=candidate, live=beside
    )


def _shape(figures: Figures) -> tuple[int, float, float]:
    """Different items in the lists; their share of those there is room for; and the share of all places
    that the most listed hundredth of the catalogue takes.
    """
    lists = figures.measured.lists if figures.measured is not None else _NO_LISTS
    times = np.sort(np.bincount(lists[lists >= 0], minlength=figures.n_items))[::-1]
    listed, places = int(np.count_nonzero(times)), int(times.sum())
    share = _hundredth_share(times, figures.n_items)
    return listed, listed / max(1, min(figures.n_items, places)), share


def _hundredth_share(times: IntArray, n_items: int) -> float:
    """Of all times, those of the most frequent hundredth of the items; times: the highest first."""
    return float(times[: math.ceil(_HUNDREDTH * n_items)].sum() / max(1, times.sum()))


def _title(name: str) -> str:
    return {"recall": "Recall", "mrr": "MRR"}[name.split("@")[0]] + f"@{K}"


class _Shown(NamedTuple):
    """How a figure is written for people."""

    what: str
    format: Callable[[float], str]


_SHOWN: Final = {
    "coverage": _Shown("different items in the lists, of those there is room for", "{:.1%}".format),
    "coverage_ratio": _Shown("different items in the lists", "{:,.0f}".format),
    "concentration": _Shown(
        "places of the lists that the most listed hundredth of the catalogue takes", "{:.1%}".format
    ),
    "latency": _Shown("time for a visitor's click and list", "{:.3f} ms".format),
    "size": _Shown("files", lambda value: f"{value / 1e6:,.2f} MB"),
}
_SETTING: Final = {"latency": "latency_ms", "size": "size_bytes"}
