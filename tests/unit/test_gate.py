"""The gate's rules on known figures, its window, and its measurements on small real models."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gated import NEW_YEAR_MS, TRAINED_UNTIL, clicks_of, publish_as, ring_window
from session_models import RING, Published, edit_manifest, rewrite

from streamrec.artifact import Manifest, read_manifest
from streamrec.config import GateSettings, Settings
from streamrec.contracts import Session
from streamrec.datasets import Clicks, make_clicks
from streamrec.errors import DatasetError
from streamrec.events import Check, ModelRelease, Verdict, Window
from streamrec.gate import deciding, judged, newest_window
from streamrec.gate.deciding import _hindrance
from streamrec.gate.measuring import Loaded, Measured, load, measure, milliseconds, popularity_recall
from streamrec.gate.page import config_differences, headline, page_of, write_page
from streamrec.gate.rules import Figures, checks_of, outcome_of
from streamrec.gate.window import describe
from streamrec.registry import Registry
from streamrec.training import evaluate_exported

K = 20
RULES = GateSettings(min_sessions=100)


def figures(
    recall: Any = 0.5,
    *,
    lists: Any = None,
    size: int = 1000,
    ms: float = 1.0,
    not_finite: int = 0,
    n: int = 4000,
    clicks: Any = (1,) * 1000,
) -> Figures:
    """A version that finds so many of n clicks, every one a session of its own, at the first place.

    clicks: how often each item was clicked, the most clicked first.
    """
    found = np.zeros(n)
    found[: round(recall * n)] = 1
    measured = Measured(
        {"recall@20": found, "mrr@20": found},
        np.arange(n),
        np.arange(n * K).reshape(n, K) % 1000 if lists is None else lists,
        not_finite,
        10 * n,
        np.array(clicks),
    )
    return Figures("v", 1000, size, ms, measured, np.zeros(n))


def window_of(n: int) -> Window:
    return Window(sessions=n, clicks=2 * n, digest="0" * 64)


def failed(candidate: Figures, live: Figures | None, rules: GateSettings = RULES, n: int = 4000) -> set[str]:
    return {check.name for check in checks_of(candidate, live, window_of(n), rules) if not check.passed}


# -- rules --------------------------------------------------------------------------------------


def test_lists_may_be_as_concentrated_as_clicks_are() -> None:
    assert failed(figures(lists=SKEWED), figures()) == {"concentration_ratio"}
    share = next(
        each.value
        for each in checks_of(figures(lists=SKEWED), None, window_of(4000), RULES)
        if each.name == "concentration"
    )
    # Of 1,000 items the ten most clicked have all but these of the clicks.
    for times, expected in ((0.9, {"concentration_ratio"}), (1.1, set())):
        most = 1000 * share * times / (1 - share * times)
        clicks = [most / 10] * 10 + [1000 / 990] * 990
        assert failed(figures(lists=SKEWED, clicks=clicks), figures()) == expected


def test_an_equal_version_passes_and_every_limit_was_asked() -> None:
    checks = checks_of(figures(), figures(), window_of(4000), RULES)
    assert outcome_of(checks) == "passed"
    assert [check.name for check in checks] == [
        *("sessions", "recall@20", "mrr@20", "finite"),
        *("coverage", "concentration", "coverage_ratio", "concentration_ratio"),
        *("latency", "size", "latency_ratio", "size_ratio"),
    ]
    assert all(check.text for check in checks)


@pytest.mark.parametrize(
    ("recall", "passes"), [(0.9, True), (0.5, True), (0.495, True), (0.48, False), (0.4, False), (0.0, False)]
)
def test_a_version_may_be_worse_by_less_than_the_margin(recall: float, passes: bool) -> None:
    # 3 % of 0.5 are 0.015; nested hits have an error of sqrt(0.005 / 4000), about 0.001.
    assert (failed(figures(recall), figures()) == set()) is passes


def elsewhere(n: int) -> Figures:
    """A version as good as figures() that finds other clicks: the same mean, half of the clicks differ."""
    found = figures(n=n)
    hits = np.random.default_rng(0).permutation(found.measured.values["mrr@20"])  # type: ignore[union-attr]
    measured = found.measured._replace(values={"recall@20": hits, "mrr@20": hits})  # type: ignore[union-attr]
    return found._replace(measured=measured)


def test_what_is_not_proven_does_not_pass() -> None:
    """No difference at all, with an error of sqrt(0.5 / n): 0.005 of 20,000 clicks, 0.05 of 200."""
    assert failed(elsewhere(20_000), figures(n=20_000)) == set()
    assert failed(elsewhere(200), figures(n=200)) == {"recall@20", "mrr@20"}


def test_the_interval_of_a_known_difference_is_that_of_the_textbook() -> None:
    # 80 of 4,000 clicks are lost: a mean of -0.02 with an error of sqrt(0.02 * 0.98 / 4000).
    checks = checks_of(figures(0.48), figures(0.5), window_of(4000), RULES)
    found = next(check for check in checks if check.name == "recall@20")
    assert found.value == pytest.approx(-0.02)
    assert found.bound == pytest.approx(-0.015)
    assert found.low == pytest.approx(-0.02 - 1.2816 * math.sqrt(0.02 * 0.98 / 4000), abs=2e-4)
    assert (found.candidate, found.live) == (0.48, 0.5)


def test_two_versions_that_find_nothing_are_equal() -> None:
    assert failed(figures(0), figures(0)) == set()


NARROW = np.tile(np.arange(K), (4000, 1))
HALF = np.arange(4000 * K).reshape(4000, K) % 500
SKEWED = np.where(np.arange(K) < 3, np.arange(K), np.arange(4000 * K).reshape(4000, K) % 1000)


@pytest.mark.parametrize(
    ("candidate", "names"),
    [
        (figures(size=3001), {"size_ratio"}),
        (figures(size=3000), set()),
        (figures(size=(1 << 30) + 1), {"size", "size_ratio"}),
        (figures(ms=2.01), {"latency_ratio"}),
        (figures(ms=2.0), set()),
        (figures(ms=21), {"latency", "latency_ratio"}),
        (figures(not_finite=1), {"finite"}),
        (figures(lists=HALF), {"coverage_ratio", "concentration_ratio"}),
        (figures(lists=SKEWED), {"concentration_ratio"}),
        (figures(lists=NARROW), {"coverage_ratio", "concentration_ratio"}),
    ],
    ids=lambda value: ",".join(sorted(value)) or "none" if isinstance(value, set) else "",
)
def test_each_limit_is_kept(candidate: Figures, names: set[str]) -> None:
    checks = checks_of(candidate, figures(), window_of(4000), RULES)
    assert failed(candidate, figures()) == names
    assert outcome_of(checks) == ("refused" if names else "passed")


def test_a_first_version_has_limits_of_its_own_and_must_be_better_than_popularity() -> None:
    assert failed(figures(), None) == set()
    assert failed(figures(), None, n=3) == set()
    best_sellers = figures()._replace(popularity=np.ones(4000))
    assert failed(best_sellers, None) == {"popularity"}
    assert failed(figures(lists=NARROW), None) == set()
    few = GateSettings(min_coverage=0.03, max_concentration=0.4)
    assert failed(figures(lists=NARROW), None, few) == {"coverage", "concentration"}


def test_the_known_shape_of_lists() -> None:
    """20 of 1,000 items, always the same ones: 2 % of the catalogue; the first 10 take half of the places."""
    checks = {check.name: check for check in checks_of(figures(lists=NARROW), None, window_of(1), RULES)}
    assert checks["coverage"].value == pytest.approx(0.02)
    assert checks["concentration"].value == pytest.approx(0.5)


def test_with_too_few_sessions_only_a_fault_that_more_would_not_mend_is_a_refusal() -> None:
    live = figures(0.5, n=60)
    for candidate, outcome in (
        (figures(0.5, n=60), "undecided"),
        (figures(0.1, n=60), "undecided"),
        (figures(0.5, n=60, ms=3), "refused"),
    ):
        assert outcome_of(checks_of(candidate, live, window_of(60), RULES)) == outcome


# -- the window ---------------------------------------------------------------------------------


def manifest_until(published: Published, last: Any) -> Manifest:
    found = read_manifest(published.directory)
    return found.model_copy(update={"data": {"last": last}})


def test_the_window_is_what_begins_after_both_trainings_the_newest_first(published: Published) -> None:
    clicks = make_clicks(
        ["old", "old", "across", "across", "single", "a", "a", "b", "b", "c", "c"],
        list("xyxyxxyxyxy"),
        [1, 2, 3000, 3001, 4000, 3001, 3005, 4000, 4001, 5000, 5001],
    )
    manifests = [manifest_until(published, f"1970-01-01T00:00:0{last}+00:00") for last in ("1.000", "3.000")]
    assert set(newest_window(clicks, manifests, Settings()).session_ids) == {"a", "b", "c"}
    two = Settings(gate=GateSettings(max_sessions=2))
    assert set(newest_window(clicks, manifests, two).session_ids) == {"b", "c"}
    assert len(newest_window(clicks, manifests, two)) == 4
    later = [manifest_until(published, "1970-01-01T00:00:09Z")]
    assert len(newest_window(clicks, later, Settings())) == 0


def test_what_the_parent_has_learned_from_is_not_in_the_window(published: Published) -> None:
    manifest = manifest_until(published, "1970-01-01T00:00:01Z")
    data = {**manifest.data, "parent": "p", "parent_last": "1970-01-01T00:00:03Z"}
    clicks = make_clicks(["a", "a", "b", "b"], list("xyxy"), [2000, 2001, 4000, 4001])
    child = manifest.model_copy(update={"data": data})
    assert set(newest_window(clicks, [child], Settings()).session_ids) == {"b"}


@pytest.mark.parametrize("last", [None, "", "yesterday", 5])
def test_a_model_whose_clicks_are_of_unknown_age_has_no_window(published: Published, last: Any) -> None:
    with pytest.raises(DatasetError, match="what it has not seen cannot be told"):
        newest_window(ring_window(3), [manifest_until(published, last)], Settings())


def test_a_window_is_named_by_its_clicks() -> None:
    window = ring_window(20)
    assert describe(window) == describe(ring_window(20))
    assert describe(window).sessions == 20
    assert describe(ring_window(20, seed=8)).digest != describe(window).digest
    assert describe(Clicks([], [], np.empty(0, np.int64))).first is None


# -- measuring ----------------------------------------------------------------------------------


@pytest.fixture
def loaded(published: Published) -> Loaded:
    return load(published.registry, published.version)


def test_figures_are_those_of_training(published: Published, loaded: Loaded) -> None:
    window = clicks_of([Session(["i00", "i01"]), Session(["i00", "stranger"]), Session(["stranger", "i05"])])
    measured = measure(loaded, window)
    of_training = evaluate_exported(published.directory, window)
    assert measured.values["recall@20"].mean() == pytest.approx(of_training["recall_at_20"]) == 1 / 3
    assert measured.values["mrr@20"].mean() == pytest.approx(of_training["mrr_at_20"])
    assert measured.sessions.tolist() == [0, 1, 2]
    assert (measured.not_finite, measured.lists.shape) == (0, (3, K))
    # Two hidden states of 16 numbers, two lists of all 40 items.
    assert measured.numbers == 2 * 16 + 2 * 40


def test_popularity_is_that_of_the_vocabularys_first(loaded: Loaded) -> None:
    most, least = loaded.score.items[0], loaded.score.items[-1]
    window = clicks_of([Session([least, most]), Session([most, least]), Session([most, "stranger"])])
    assert popularity_recall(loaded, window).tolist() == [1, 0, 0]


def test_a_slower_model_takes_more_time_in_the_same_turns(loaded: Loaded) -> None:
    class Slow:
        items = loaded.score.items
        version = "slow"

        def top(self, *arguments: Any) -> Any:
            for _ in range(8):
                found = loaded.score.top(*arguments)
            return found

    slow = loaded._replace(score=Slow())
    fast_ms, slow_ms, again_ms = milliseconds([loaded, slow, loaded], 20)
    assert slow_ms > 2 * fast_ms
    assert again_ms < 2 * fast_ms


class Turning:
    """A step model whose states are no numbers from a session's second click on."""

    def __init__(self, loaded: Loaded) -> None:
        self._step = loaded.step
        self.version, self.hidden_size = loaded.step.version, loaded.step.hidden_size
        self.costs_s = loaded.step.costs_s

    def item_index(self, item_id: str) -> int:
        return self._step.item_index(item_id)

    def step(self, items: Any, hidden: Any) -> Any:
        found = self._step.step(items, hidden)
        return np.where(hidden.any(axis=1, keepdims=True), np.nan, found).astype(np.float32)


def test_numbers_that_are_none_are_counted_where_loading_did_not_meet_them(loaded: Loaded) -> None:
    window = clicks_of([Session(["i00", "i01", "i02"])])
    assert measure(loaded, window).not_finite == 0
    assert measure(loaded._replace(step=Turning(loaded)), window).not_finite >= 16


# -- a verdict ----------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        registry={"path": tmp_path / "registry", "require_signature": False},
        gate=GateSettings(min_sessions=100, pages=tmp_path / "pages"),
    )


@pytest.fixture
def registry(settings: Settings, published: Published) -> Registry:
    registry = Registry.of(settings)
    publish_as(registry, published, "v1", "v2")
    return registry


def live_release(registry: Registry, version: str = "v1") -> ModelRelease:
    digest = registry.digest("gru4rec", version)
    return ModelRelease(model="gru4rec", slot="live", version=version, sequence=1, digest=digest, time=0)


def test_a_version_held_against_itself_under_another_name_passes(
    settings: Settings, registry: Registry
) -> None:
    verdict = judged(settings, "v2", ring_window(), live_release(registry))
    assert (verdict.outcome, verdict.against, verdict.failed) == ("passed", "v1", [])
    by_name = {check.name: check for check in verdict.checks}
    assert (by_name["recall@20"].value, by_name["mrr@20"].value) == (0, 0)


def test_a_slow_and_large_candidate_is_refused_by_name(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "milliseconds", lambda models, n: [5.0, 1.0])
    edit_manifest(
        registry.directory("gru4rec", "v2"),
        lambda manifest: manifest["files"].update({"x": {"size_bytes": 10**6, "sha256": "0" * 64}}),
    )
    padded = registry.directory("gru4rec", "v2")
    rewrite(padded, "x", b"0" * 10**6)
    verdict = judged(settings, "v2", ring_window(), live_release(registry))
    assert {check.name for check in verdict.failed} == {"latency_ratio", "size_ratio"}
    assert "5.000 ms" in verdict.failed[0].text


def test_weights_that_are_no_numbers_are_refused_before_anything_is_measured(
    settings: Settings, registry: Registry
) -> None:
    import io

    file = io.BytesIO()
    np.save(file, np.full(len(RING), np.nan, np.float32))
    rewrite(registry.directory("gru4rec", "v2"), "bias.npy", file.getvalue())
    verdict = judged(settings, "v2", ring_window(), live_release(registry))
    assert (verdict.outcome, [check.name for check in verdict.failed]) == ("refused", ["loads"])
    assert "not finite" in verdict.failed[0].text


def test_without_a_window_a_first_version_has_limits_only(settings: Settings, registry: Registry) -> None:
    empty = Clicks([], [], np.empty(0, np.int64))
    verdict = judged(settings, "v1", empty, None)
    assert (verdict.outcome, [check.name for check in verdict.checks]) == (
        "passed",
        ["loads", "latency", "size"],
    )
    assert judged(settings, "v2", empty, live_release(registry)).outcome == "undecided"


def test_a_pinned_live_version_stays() -> None:
    class Pinned(ModelRelease, frozen=True, kw_only=True):
        pinned: bool = True

    release = Pinned(model="gru4rec", slot="live", version="v1", sequence=1, digest="0" * 64, time=0)
    verdict = a_verdict()
    assert "v1 is pinned" in str(_hindrance(verdict, release, release, force=True))
    loose = msgspec.structs.replace(release, pinned=False)
    assert _hindrance(verdict, loose, loose, force=False) is None


# -- the page -----------------------------------------------------------------------------------


def a_verdict(**changes: Any) -> Verdict:
    checks = [
        Check(
            name="recall@20",
            passed=False,
            text="Recall <b>is</b> low",
            value=-0.02,
            bound=-0.015,
            candidate=0.48,
            live=0.5,
            low=-0.03,
            high=-0.01,
        ),
        Check(name="size", passed=True, text="files: 1 MB", value=1.0, bound=2.0),
    ]
    verdict = Verdict(
        model="gru4rec",
        version="v2",
        outcome="refused",
        checks=checks,
        window=Window(sessions=3000, clicks=9000, digest="a" * 64, first=NEW_YEAR_MS, last=NEW_YEAR_MS + 1),
        rules="b" * 64,
        time=NEW_YEAR_MS,
        against="v1",
        against_digest="c" * 64,
    )
    return msgspec.structs.replace(verdict, **changes)


def test_the_page_says_it_all_and_needs_nothing_else(published: Published, tmp_path: Path) -> None:
    manifest = read_manifest(published.directory)
    other = manifest.model_copy(update={"version": "v1", "seed": 9, "data": TRAINED_UNTIL})
    page = write_page(tmp_path / "new" / "pages", a_verdict(), [manifest, other]).read_text()
    for part in (
        "gru4rec v2: refused",
        "v2 against v1: refused by recall@20",
        "3,000 sessions",
        "a" * 64,
        "-4.0%",
    ):
        assert part in page
    assert "Recall &lt;b&gt;is&lt;/b&gt; low" in page
    assert "<b>is" not in page
    assert "<td>seed</td><td>0</td><td>9</td>" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_verdict_in_one_sentence() -> None:
    assert headline(a_verdict()) == "v2 against v1: refused by recall@20"
    passed = a_verdict(outcome="passed", released=4, against=None)
    assert headline(passed) == "v2, with no live version beside it: passed; made live as release 4"
    assert headline(a_verdict(outcome="undecided", note="v1 is pinned")) == (
        "v2 against v1: not judged: too few sessions; not released: v1 is pinned"
    )
    assert "<svg" not in page_of(a_verdict(checks=[]))


def test_differences_of_trainings_are_named(published: Published) -> None:
    manifest = read_manifest(published.directory)
    other = manifest.model_copy(update={"seed": 9, "config": {**manifest.config, "epochs": 7}})
    assert config_differences(manifest, manifest) == []
    assert config_differences(manifest, other) == [("epochs", 4, 7), ("seed", 0, 9)]
