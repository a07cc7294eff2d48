"""The page of an evaluation: complete, on its own, and safe to open."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click_files import ring_clicks

from streamrec.contracts import TrainOptions
from streamrec.datasets import click_sessions
from streamrec.errors import ConfigError
from streamrec.evaluation import plots
from streamrec.evaluation.intervals import Interval, covered
from streamrec.evaluation.page import number, require_writable, share
from streamrec.evaluation.report import About, write_report
from streamrec.evaluation.summary import Evaluation, Groups, compare, evaluate
from streamrec.models import session_model

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Checks that all elements are closed, and remembers what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.references.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def evaluations() -> list[Evaluation]:
    train = list(click_sessions(ring_clicks(100)))
    test = list(click_sessions(ring_clicks(30, seed=5)))
    found = []
    for name in "markov", "popularity":
        model = session_model(name)
        model.train(train, TrainOptions())
        groups = Groups({"i00": "<first>"}, {"5-0": "new"})
        found.append(evaluate(model, name, train, test, groups=groups, train_s=1.0, events_per_s=2.0))
    return found


def page(evaluations: list[Evaluation], tmp_path: Path, about: About) -> str:
    path = tmp_path / "new" / "report.html"
    comparisons = [compare(each, evaluations[0]) for each in evaluations[1:]]
    write_report(path, evaluations, comparisons, about)
    return path.read_text("utf-8")


ABOUT = About("A <title> & more", {"training": "100 clicks <b>"}, ["beware of <script>"])


def test_the_page_is_whole_and_needs_no_network(evaluations: list[Evaluation], tmp_path: Path) -> None:
    text = page(evaluations, tmp_path, ABOUT)
    parsed = Page(text)
    assert parsed.open == []
    assert parsed.tags.count("svg") == 6
    assert "script" not in parsed.tags
    assert all(reference.startswith("#") for reference in parsed.references)
    assert set(parsed.references) <= {f"#{each}" for each in parsed.ids}
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "$" not in text
    outside = set(re.findall(r"https?://[^\s\"<]+", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not places


def test_what_others_wrote_is_text(evaluations: list[Evaluation], tmp_path: Path) -> None:
    text = page(evaluations, tmp_path, ABOUT)
    assert "<title>A &lt;title&gt; &amp; more</title>" in text
    for each in ("100 clicks &lt;b&gt;", "beware of &lt;script&gt;", "&lt;first&gt;"):
        assert each in text


def test_every_metric_and_every_rule_is_there(evaluations: list[Evaluation], tmp_path: Path) -> None:
    text = page(evaluations, tmp_path, ABOUT)
    for name, value in evaluations[0].metrics.items():
        assert f"<td>{name}</td>" in text
        assert (f"{value:.4f}" if abs(value) <= 1 else f"{value:,.2f}") in text
    for each in (
        "others that score at least as high",
        "taken out of the test first",
        f"window={evaluations[0].config['window']}",
        "no parameters",
    ):
        assert each in text
    found = compare(evaluations[1], evaluations[0]).differences["mrr@20"]
    assert f"{found.difference:+.4f}" in text
    assert f"p = {found.p:.4f}" in text


def test_one_model_has_no_differences(evaluations: list[Evaluation], tmp_path: Path) -> None:
    text = page(evaluations[:1], tmp_path, About("one", {}))
    assert Page(text).tags.count("svg") == 5
    assert "Paired" not in text


def test_plots_are_in_colours_of_the_page_and_say_whose_they_are() -> None:
    intervals = {f"model {n}": Interval(0.5, 0.4, 0.6) for n in range(12)}
    svg = plots.bars({"recall@20": intervals, "mrr@20": intervals})
    ElementTree.fromstring(svg)
    assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
    assert {f"var(--series-{n})" for n in range(plots.N_COLOURS)} <= set(re.findall(r"var\([^)]*\)", svg))
    texts = re.findall(r">([^<>]+)</text>", svg)
    assert {"recall@20", "mrr@20", *intervals} <= set(texts)


def test_every_colour_has_a_light_and_a_dark_form() -> None:
    css = Path(plots.__file__).with_name("report.html").read_text()
    for name in ("--ink", "--faint", "--grid", *(f"--series-{n}" for n in range(plots.N_COLOURS))):
        assert css.count(f"{name}:") == 2


def test_names_are_not_taken_for_formulas() -> None:
    svg = plots.recall_by_k({"a_$x^2$": np.array([1.0, 3.0, np.inf])}, 20)
    assert ">a_$x^2$</text>" in svg


def test_the_curve_is_the_share_of_ranks_within_k() -> None:
    svg = plots.recall_by_k({"m": np.array([1.0, 2.0, 2.0, np.inf])}, 10)
    line = re.search(r'd="M ([^"]*)" clip-path[^>]*stroke: var\(--series-0\)', svg)
    assert line
    heights = [-float(point.split()[1]) for point in re.split(r"\s*L ", line[1].strip())]
    # 1/4 at k = 1, 3/4 from k = 2 on, on an axis that starts at 0
    assert len(heights) == 2 or np.ptp(heights[1:]) < 1e-6
    assert heights[1] > heights[0]


def test_without_matplotlib_the_error_says_what_to_install(
    evaluations: list[Evaluation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r'pip install "streamrec\[report\]"'):
        write_report(tmp_path / "report.html", evaluations, [], ABOUT)


def test_a_file_that_cannot_be_written(evaluations: list[Evaluation], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "report.html", tmp_path):
        with pytest.raises(ConfigError, match="cannot be written"):
            write_report(path, evaluations, [], ABOUT)
        with pytest.raises(ConfigError, match="cannot be written"):
            require_writable(path)


def test_asking_whether_a_file_can_be_written_leaves_it_as_it_was(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "report.html")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "old.html").write_text("an earlier report")
    require_writable(tmp_path / "old.html")
    assert (tmp_path / "old.html").read_text() == "an earlier report"


def test_what_is_no_number_is_a_dash() -> None:
    assert [share(0.125), share(float("nan")), number(float("nan"))] == ["12.5%", "–", "–"]


def test_what_a_p_value_does_not_cover_is_said(evaluations: list[Evaluation], tmp_path: Path) -> None:
    assert covered("sessions") in page(evaluations, tmp_path, ABOUT)
