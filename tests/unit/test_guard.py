"""When the guard is convinced: never by noise, soon by a bad version, and never against a pin."""

import math

import numpy as np
import pytest
from msgspec.structs import replace

from streamrec.config import GuardSettings
from streamrec.evaluation.guard import Action, Rates, Watch, evidence
from streamrec.events import ModelRelease
from streamrec.slots import Slots

SETTINGS = GuardSettings(min_clicks=200, live_clicks=4000, window_s=1)
START = 1_700_000_000_000


def release(slot: str, version: str, time: int = START, **more: object) -> ModelRelease:
    made = ModelRelease(model="gru4rec", slot=slot, version=version, sequence=1, digest="0" * 64, time=time)
    return replace(made, **more)


def roles(*releases: ModelRelease) -> Slots:
    return Slots("gru4rec", {each.key.decode(): each for each in releases})


LIVE, PREVIOUS = release("live", "b"), release("previous", "a", START - 1000)
CANARY = release("canary", "c", share=0.2)


def watching(*releases: ModelRelease) -> Watch:
    watch = Watch(SETTINGS, "gru4rec")
    watch.roles(roles(*releases))
    return watch


def clicks(
    watch: Watch, rates: dict[str, float], n: int, time_ms: int = START, seed: int = 0, n_visitors: int = 700
) -> Action | None:
    """n judged clicks of visitors of whom each keeps to one version; the first verdict, if there is one."""
    rng = np.random.default_rng(seed)
    versions = list(rates)
    inclined = rng.beta(2, 2, n_visitors) * 2
    for count in range(n):
        visitor = int(rng.integers(n_visitors))
        version = versions[visitor % len(versions)]
        hit = bool(rng.random() < rates[version] * inclined[visitor])
        watch.judged(f"visitor-{visitor}", version, time_ms + count, hit)
        if count % 100 == 0 and (found := watch.verdict()):
            return found
    return watch.verdict()


# -- hit rate -----------------------------------------------------------------------------------


def test_a_canary_that_misses_everything_is_soon_taken_back() -> None:
    found = clicks(watching(LIVE, PREVIOUS, CANARY), {"b": 0.3, "c": 0.0}, 2000)
    assert found is not None
    assert found[:3] == ("canary", "c", "canary_hit_rate")
    assert found.reason.startswith("hit rate 0.0000 of ")
    assert "the live version at the same time 0." in found.reason


@pytest.mark.parametrize("rate", [0.3, 0.45])
def test_one_that_is_as_good_or_better_stays(rate: float) -> None:
    for seed in range(10):
        assert clicks(watching(LIVE, CANARY), {"b": 0.3, "c": rate}, 10_000, seed=seed) is None


def test_what_was_before_the_canary_is_not_held_against_it() -> None:
    watch = watching(LIVE, CANARY)
    assert clicks(watch, {"b": 0.3, "c": 0.0}, 3000, time_ms=START - 10_000) is None


def test_another_share_or_another_live_version_begins_the_comparison_anew() -> None:
    for changed in (
        roles(LIVE, PREVIOUS, replace(CANARY, share=0.5)),
        roles(release("live", "d"), release("previous", "b"), CANARY),
    ):
        watch = watching(LIVE, PREVIOUS, CANARY)
        for n in range(400):
            watch.judged(f"v{n}", "bc"[n % 2], START, n % 2 == 0)
        assert watch.verdict() is not None
        watch.roles(changed)
        assert watch.verdict() is None
    watch.roles(roles())
    assert watch.verdict() is None


def test_what_is_live_is_held_against_the_one_before() -> None:
    watch = watching(release("live", "a"))
    assert clicks(watch, {"a": 0.4}, 4000) is None
    watch.roles(roles(LIVE, PREVIOUS))
    found = clicks(watch, {"b": 0.1}, 4000)
    assert found is not None
    assert found[:3] == ("live", "b", "live_hit_rate")
    assert "a before it 0." in found.reason


@pytest.mark.parametrize(
    "others",
    [[replace(LIVE, pinned=True), PREVIOUS], [LIVE], [LIVE, PREVIOUS, release("rolled-back:a", "a")]],
)
def test_what_is_pinned_or_first_or_was_gone_back_to_is_left_alone(others: list[ModelRelease]) -> None:
    watch = watching(release("live", "a"))
    clicks(watch, {"a": 0.4}, 4000)
    watch.roles(roles(*others))
    assert clicks(watch, {"b": 0.0}, 4000) is None


def test_a_live_version_is_blamed_for_its_first_clicks_only() -> None:
    watch = watching(release("live", "a"))
    clicks(watch, {"a": 0.4}, 4000)
    watch.roles(roles(LIVE, PREVIOUS))
    assert clicks(watch, {"b": 0.4}, 4500) is None
    assert clicks(watch, {"b": 0.0}, 4500) is None


def test_evidence_is_the_mixture_of_the_differences_that_are_looked_for() -> None:
    """The likelihood ratio integrated by hand: normal prior of 0.05 around none."""
    rng = np.random.default_rng(3)
    one, other = Rates(), Rates()
    for rates, rate in ((one, 0.2), (other, 0.3)):
        for n in range(3000):
            rates.add(f"v{n % 500}", bool(rng.random() < rate))
    found = evidence(one, other, 0.1, 200)
    assert found.difference == pytest.approx(one.rate - 0.9 * other.rate)
    variance = one.variance + 0.81 * other.variance
    differences = np.linspace(-1, 1, 200_001)
    prior = np.exp(-0.5 * (differences / 0.05) ** 2) / (0.05 * math.sqrt(2 * math.pi))
    ratio = np.exp((found.difference * differences - differences**2 / 2) / variance)
    assert found.odds == pytest.approx(np.trapezoid(prior * ratio, differences), rel=1e-4)


def test_the_variance_knows_that_clicks_of_a_visitor_are_alike() -> None:
    """Of visitors who always hit or never do, each click more tells nothing more."""
    once, often = Rates(), Rates()
    for visitor in range(2000):
        for rates, n in ((once, 1), (often, 20)):
            for _ in range(n):
                rates.add(f"v{visitor}", visitor % 3 == 0)
    assert often.variance == pytest.approx(once.variance, rel=0.01)
    assert math.sqrt(once.variance) == pytest.approx(math.sqrt(2 / 9 / 2000), rel=0.2)


def test_too_few_clicks_or_visitors_convince_nobody() -> None:
    one, other = Rates(), Rates()
    for n in range(5000):
        one.add(f"v{n % 10}", False)
        other.add(f"v{n}", True)
    assert evidence(one, other, 0.1, 200).odds == 0
    assert evidence(Rates(), other, 0.1, 200).odds == 0


# -- latency ------------------------------------------------------------------------------------


def lists(watch: Watch, version: str, windows: range, late: float, n: int = 200) -> None:
    for window in windows:
        for each in range(n):
            watch.listed(version, START + 1000 * window, 5000 if each < late * n else 20)


def test_lists_that_come_too_late_window_after_window_take_a_version_back() -> None:
    watch = watching(LIVE, PREVIOUS, CANARY)
    lists(watch, "c", range(3), 0.02)
    assert watch.verdict() is None, "the third window goes on"
    lists(watch, "c", range(3, 4), 0.0)
    found = watch.verdict()
    assert found is not None
    assert found[:3] == ("canary", "c", "canary_latency")
    assert "more than 1 % of the lists took over 1 s in each of 3 windows of 1 s" in found.reason


@pytest.mark.parametrize(("late", "n"), [(0.01, 200), (1.0, 99)])
def test_one_in_a_hundred_may_and_few_lists_tell_nothing(late: float, n: int) -> None:
    watch = watching(LIVE, PREVIOUS, CANARY)
    lists(watch, "c", range(10), late, n)
    lists(watch, "b", range(10), late, n)
    assert watch.verdict() is None


def test_a_window_in_time_breaks_the_row() -> None:
    watch = watching(LIVE, PREVIOUS, CANARY)
    for window in range(10):
        lists(watch, "c", range(window, window + 1), 0.5 if window % 3 else 0.0)
        assert watch.verdict() is None


def test_what_was_late_before_is_not_blamed_on_the_version_that_came() -> None:
    watch = watching(release("live", "a", START))
    lists(watch, "a", range(4), 0.5)
    watch.roles(roles(release("live", "b", START + 4000), release("previous", "a")))
    lists(watch, "b", range(4, 12), 0.5)
    assert watch.verdict() is None
    watch.roles(roles(release("live", "b", START + 4000), release("previous", "a"), CANARY))
    lists(watch, "c", range(4, 12), 0.5)
    assert watch.verdict() is None


def test_what_is_live_is_rolled_back_for_lateness_too() -> None:
    watch = watching(release("live", "a", START))
    lists(watch, "a", range(4), 0.0)
    watch.roles(roles(release("live", "b", START + 4000), release("previous", "a")))
    lists(watch, "b", range(4, 8), 0.5)
    found = watch.verdict()
    assert found is not None
    assert found[:3] == ("live", "b", "live_latency")
