"""A report's page and its parts as HTML: tables, figures, lists of facts. Their style is in report.html."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from string import Template
from typing import Final

import numpy as np

from streamrec.errors import ConfigError
from streamrec.evaluation.plots import N_COLOURS

__all__ = [
    "cell",
    "document",
    "facts",
    "figure",
    "number",
    "require_writable",
    "share",
    "swatch",
    "table",
    "writing",
]


_DOCUMENT: Final = Path(__file__).with_name("report.html")


def document(title: str, body: str) -> str:
    """A whole page around a body of HTML."""
    return Template(_DOCUMENT.read_text("utf-8")).substitute(title=escape(title), body=body)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around the writing of a page: folders on the way are made; ConfigError in place of OSError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigError(f"{path}: the report cannot be written: {error.strerror}") from None


def require_writable(path: Path) -> None:
    """Raises ConfigError if a page cannot be written there; folders on the way are made."""
    was_there = path.exists()
    with writing(path), path.open("a"):
        pass
    if not was_there:
        path.unlink()


def figure(title: str, how_to_read: str, content: str, *, wide: bool = False) -> str:
    """Content, as HTML, under its title and a sentence; across the whole page if wide."""
    kind = ' class="wide"' if wide else ""
    caption = f"<figcaption><h3>{escape(title)}</h3><p>{escape(how_to_read)}</p></figcaption>"
    return f"<figure{kind}>{caption}{content}</figure>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells as HTML; those that are not `<td>` already become one."""
    head = "".join(f"<th>{name}</th>" for name in header)
    lines = ("".join(each if each.startswith("<td") else f"<td>{each}</td>" for each in row) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def cell(value: str, beside: str = "", *, best: bool = False) -> str:
    """A value, with something smaller below it."""
    kind = ' class="best"' if best else ""
    below = f'<br><span class="interval">{beside}</span>' if beside else ""
    return f"<td{kind}>{value}{below}</td>"


def facts(by_name: Mapping[str, str], *, code: bool = False) -> str:
    """Texts by their names; as code where they are to be typed."""
    tag = "code" if code else "span"
    lines = (
        f"<dt>{escape(name)}</dt><dd><{tag}>{escape(text)}</{tag}></dd>" for name, text in by_name.items()
    )
    return f"<dl>{''.join(lines)}</dl>"


def number(value: float) -> str:
    """Four places of a share, two of what is larger; a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:.4f}" if abs(value) <= 1 else f"{value:,.2f}"


def share(value: float) -> str:
    """In per cent; a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:.1%}"


def swatch(n: int) -> str:
    """The colour that the nth model has in the plots."""
    return f'<span class="swatch" style="background: var(--series-{n % N_COLOURS})"></span>'
