"""A verdict for people: one HTML file that needs no network, and the same in a few lines of text.

In: a verdict, and the manifests of the versions in it. Out: a page named after the version.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from streamrec import __version__
from streamrec.artifact import Manifest
from streamrec.errors import RecordError
from streamrec.evaluation.page import cell, document, facts, figure, table, writing
from streamrec.events import Check, Verdict, decode_verdict, encode

__all__ = ["config_differences", "headline", "kept_verdicts", "page_of", "write_page"]

log = logging.getLogger(__name__)

_OUTCOMES: Final = {
    "passed": "passed",
    "refused": "refused",
    "undecided": "not judged: too few sessions",
}
_WIDTH, _ROW, _LEFT = 460, 46, 76


def write_page(folder: Path, verdict: Verdict, manifests: Sequence[Manifest] = ()) -> Path:
    """Write the page of a verdict, in place of the one before; folders on the way are made.

    Beside it the verdict itself, as JSON: see kept_verdicts. Raises ConfigError if it cannot be written.
    """
    path = folder / f"{verdict.model}-{verdict.version}.html"
    with writing(path):
        path.write_text(page_of(verdict, manifests), "utf-8")
        path.with_suffix(".json").write_bytes(encode(verdict))
    return path


def kept_verdicts(folder: Path, model: str = "gru4rec") -> dict[str, Verdict]:
    """The verdicts beside the pages, by version: what is known of them where Kafka cannot be asked.

    What cannot be read is left out.
    """
    found = {}
    for path in sorted(folder.glob(f"{model}-*.json")):
        try:
            verdict = decode_verdict(path.read_bytes())
        except (OSError, RecordError) as error:
            log.warning("%s is no verdict: %s", path, error)
            continue
        found[verdict.version] = verdict
    return found


def headline(verdict: Verdict) -> str:
    """What came of it, in one sentence."""
    against = f" against {verdict.against}" if verdict.against else ", with no live version beside it"
    failed = ", ".join(check.name for check in verdict.failed)
    how = _OUTCOMES[verdict.outcome] + (f" by {failed}" if verdict.outcome == "refused" else "")
    what = f"{verdict.version}{against}: {how}"
    if verdict.released is not None:
        return f"{what}; made live as release {verdict.released}"
    return f"{what}; not released: {verdict.note}" if verdict.note else what


def config_differences(first: Manifest, second: Manifest) -> list[tuple[str, Any, Any]]:
    """Hyperparameters and seed that differ: name, value of the first, of the second."""
    one, other = ({**each.config, "seed": each.seed} for each in (first, second))
    names = sorted(one.keys() | other.keys())
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def page_of(verdict: Verdict, manifests: Sequence[Manifest] = ()) -> str:
    """The page, as HTML."""
    title = f"{verdict.model} {verdict.version}: {_OUTCOMES[verdict.outcome]}"
    judged = datetime.fromtimestamp(verdict.time / 1000, UTC)
    failed = "".join(f'<p class="warning">{escape(check.text)}</p>' for check in verdict.failed)
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="faint">streamrec {__version__}, judged {judged:%Y-%m-%d %H:%M} UTC</p>',
            f"<p>{escape(headline(verdict))}.</p>",
            failed,
            _quality(verdict),
            "<h2>Checks</h2>" + _checks(verdict.checks),
            "<h2>What was judged</h2>" + facts(_facts(verdict)),
            *_trainings(manifests),
        ]
    )
    return document(title, body)


def _checks(checks: Iterable[Check]) -> str:
    rows = [
        [
            escape(check.name),
            cell("passed" if check.passed else "<strong>failed</strong>"),
            f'<td class="text">{escape(check.text)}</td>',
        ]
        for check in checks
    ]
    return table(["check", "", ""], rows)


def _quality(verdict: Verdict) -> str:
    found = [check for check in verdict.checks if check.low is not None]
    if not found:
        return ""
    how = (
        "The difference to the live version, with its interval; it passes if the whole interval is right of "
        "the dashed line, the margin."
    )
    return '<div class="plots">' + figure("Against the live version", how, _plot(found)) + "</div>"


def _plot(checks: Sequence[Check]) -> str:
    """Intervals as shares of the live version's figure, on one axis."""
    rows = [(check.name, *_shares(check)) for check in checks]
    reach = 1.15 * max(abs(share) for _, *shares in rows for share in shares) or 1.0
    half = (_WIDTH - _LEFT - 24) / 2

    def x(share: float) -> float:
        return round(_LEFT + half * (1 + share / reach), 1)

    height = _ROW * len(rows) + 34
    lines = [
        f'<line x1="{x(0)}" x2="{x(0)}" y1="6" y2="{height - 28}" stroke="var(--faint)"/>',
        f'<text x="{x(0)}" y="{height - 8}" text-anchor="middle" font-size="12" fill="var(--faint)">'
        "as the live version</text>",
    ]
    for n, (name, difference, low, high, bound) in enumerate(rows):
        y = 10 + _ROW * n + _ROW // 2
        colour = "var(--series-2)" if low >= bound else "var(--alarm)"
        lines += [
            f'<text x="0" y="{y + 4}" font-size="13" fill="var(--ink)">{escape(name)}</text>',
            f'<line x1="{x(bound)}" x2="{x(bound)}" y1="{y - 16}" y2="{y + 16}" stroke="var(--alarm)" '
            'stroke-dasharray="4 3"/>',
            f'<line x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="4"/>',
            f'<circle cx="{x(difference)}" cy="{y}" r="5.5" fill="{colour}"/>',
            f'<text x="{x(difference)}" y="{y - 11}" text-anchor="middle" font-size="12" fill="var(--ink)" '
            'stroke="var(--card)" stroke-width="4" paint-order="stroke">'
            f"{difference:+.1%}</text>",
        ]
    what = "; ".join(f"{name} {difference:+.1%}" for name, difference, *_ in rows)
    frame = f'viewBox="0 0 {_WIDTH} {height}" style="max-width: 720px"'
    return f'<svg {frame} role="img" aria-label="{escape(what)}">{"".join(lines)}</svg>'


def _shares(check: Check) -> tuple[float, float, float, float]:
    of = check.live or 1.0
    value, low, high, bound = (
        (each or 0.0) / of for each in (check.value, check.low, check.high, check.bound)
    )
    return value, low, high, bound


def _facts(verdict: Verdict) -> dict[str, str]:
    window = verdict.window
    between = " to ".join(_date(ms) for ms in (window.first, window.last) if ms is not None)
    return {
        "candidate": f"{verdict.version}, sha256 {verdict.digest or 'unknown'}",
        "live version": f"{verdict.against}, sha256 {verdict.against_digest}" if verdict.against else "none",
        "window": f"{window.sessions:,} sessions, {window.clicks:,} clicks{', ' if between else ''}{between}",
        "clicks' sha256": window.digest,
        "rules' sha256": verdict.rules,
    }


def _trainings(manifests: Sequence[Manifest]) -> list[str]:
    if not manifests:
        return []
    names = sorted({name for each in manifests for name in each.data if name != "offsets"})
    rows = [[escape(name), *(escape(str(each.data.get(name, "–"))) for each in manifests)] for name in names]
    rows.append(["code", *(escape(each.code_version) for each in manifests)])
    parts = ["<h2>Trainings</h2>" + table(["", *(escape(each.version) for each in manifests)], rows)]
    if len(manifests) > 1:
        differences = config_differences(*manifests[:2])
        cells = [[escape(name), escape(str(one)), escape(str(other))] for name, one, other in differences]
        header = ["", *(escape(each.version) for each in manifests[:2])]
        same = "<p>All are the same, and so is the seed.</p>"
        parts += ["<h2>Hyperparameters</h2>", table(header, cells) if cells else same]
    return parts


def _date(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"
