"""What a backtest is planned with: from when on it judges, and who has seen what it is asked for."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from session_models import Published
from state_parts import Record

from streamrec.backtest import Configuration, Plan, Wishes, foresight, make_plans
from streamrec.backtest.releases import ALWAYS, Releases
from streamrec.config import Settings, load_settings
from streamrec.datasets import DAY_MS, Clicks, make_clicks
from streamrec.errors import ConfigError
from streamrec.offline.recommenders import clicks_feedback
from streamrec.recommender_artifacts import train_recommender
from streamrec.registry import Registry

TRAINED_TO = "1970-01-05T10:00:00.000+00:00"


@pytest.fixture
def settings(published: Published, tmp_path: Path) -> Settings:
    """Two partitions, and a version that was trained on clicks of the first five days."""
    registry = Registry(tmp_path / "registry", trusted=None)
    data = {"last": TRAINED_TO}
    registry.publish("gru4rec", "v1", partial(published.model.export, version="v1", data=data))
    return load_settings(
        kafka={"partitions": 2}, registry={"path": registry.path, "require_signature": False}
    )


def clicks() -> Clicks:
    """One session a day of two clicks, ten days."""
    rows = [(f"s{day}", item, day * DAY_MS + n) for day in range(10) for n, item in enumerate("ab")]
    return make_clicks(*zip(*rows, strict=True))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts lists of v1 on recommendations, given partition and offset of what each one answers."""

    def listed(*answered: tuple[int, int]) -> None:
        bodies = [{"input_partition": each[0], "input_offset": each[1], "release": "v1"} for each in answered]
        records = [Record(n, 0, b"v", json.dumps(body).encode()) for n, body in enumerate(bodies)]

        def read_topic(_: Settings, name: str, take: Callable[[Sequence[Any]], None]) -> None:
            assert name == "recommendations"
            take(records)

        monkeypatch.setattr("streamrec.backtest.releases.read_topic", read_topic)

    return listed


def plan_of(settings: Settings, **wishes: Any) -> Plan:
    (plan,) = make_plans([Configuration("run", settings)], Wishes(clicks(), releases="lists", **wishes))
    return plan


def test_what_is_older_than_the_first_list_is_learned_and_not_judged(settings: Settings, listed: Any) -> None:
    listed((0, 4), (1, 6), (0, 5), (1, 10**9), (0, 3))
    plan = plan_of(settings)
    first = [plan.history.recorded_ms(0, 3), plan.history.recorded_ms(1, 6)]
    assert plan.from_ms == min(time_ms for time_ms in first if time_ms is not None) > 0
    assert plan_of(settings, from_ms=7).from_ms == 7
    with pytest.raises(ConfigError, match="says which release was live before 1970-01-02T"):
        plan_of(settings, to_ms=DAY_MS)


def test_without_lists_all_is_judged(settings: Settings, listed: Any) -> None:
    listed()
    assert plan_of(settings).from_ms == 0


def test_lists_for_what_history_does_not_hold_are_told(settings: Settings, listed: Any) -> None:
    listed((0, 10**9))  # made before interactions was made anew
    with pytest.raises(ConfigError, match="no list on recommendations says which release was live; name"):
        plan_of(settings)
    assert plan_of(settings, from_ms=0).from_ms == 0


def test_the_release_of_the_first_list_may_have_seen_what_came_before(
    settings: Settings, listed: Any
) -> None:
    listed((0, 9), (1, 9))
    (warning,) = foresight(plan_of(settings, from_ms=DAY_MS))
    assert warning.startswith(f"v1 was trained on clicks up to {TRAINED_TO} and is judged from 1970-01-02T")
    assert foresight(plan_of(settings, from_ms=6 * DAY_MS)) == []


@pytest.mark.parametrize(("starts", "n"), [([(ALWAYS, "v1")], 1), ([(ALWAYS, ""), (7, "v1")], 0)])
def test_a_list_was_made_by_what_had_been_trained_by_then(
    settings: Settings, listed: Any, starts: list[tuple[int, str]], n: int
) -> None:
    listed()
    plan = plan_of(settings)
    by_offset = Releases(by_offset={1: starts})
    assert len(foresight(Plan("run", settings, plan.history, by_offset, plan.catalogue))) == n


@pytest.mark.parametrize(
    ("days", "from_day", "warning"),
    [
        (
            5,
            4,
            "item_popularity {} was trained on clicks up to 1970-01-05T00:00:00.001+00:00 and is judged from",
        ),
        (5, 5, None),
        (None, 5, "item_popularity {} does not say up to when it was trained, so it may have seen"),
    ],
)
def test_recommenders_that_saw_what_they_are_judged_by_are_told(
    settings: Settings, days: int | None, from_day: int, warning: str | None
) -> None:
    feedback = clicks_feedback(clicks().first(2 * (days or 10)))
    if days is None:
        feedback = replace(feedback, time_ms=feedback.time_ms * 0)
    trained = train_recommender({"model": "item_popularity"}, feedback, Registry.of(settings))
    chosen = {"item_popularity": {"version": trained.version}}
    settings = load_settings(
        kafka={"partitions": 2}, registry=settings.registry, scoring={"recommenders": chosen}
    )
    wishes = Wishes(clicks(), releases="none", from_ms=from_day * DAY_MS)
    (plan,) = make_plans([Configuration("run", settings)], wishes)
    found = foresight(plan)
    assert len(found) == (warning is not None)
    assert warning is None or found[0].startswith(warning.format(trained.version))
