"""Intervals hold the mean as often as they say; the test tells a difference from chance."""

import numpy as np
import pytest

from streamrec.evaluation.intervals import confidence_intervals, paired_tests

N_SESSIONS, N_CLICKS = 60, 5
SESSIONS = np.repeat(np.arange(N_SESSIONS), N_CLICKS)


def clustered(seed: int, mean: float = 0.0, cluster: float = 1.0) -> np.ndarray:
    """A value for each click around `mean`: the clicks of a session have a good part in common."""
    rng = np.random.default_rng(seed)
    return mean + np.repeat(rng.normal(0, cluster, N_SESSIONS), N_CLICKS) + rng.normal(0, 1, len(SESSIONS))


def coverage(sessions: np.ndarray, level: float) -> float:
    """How often the interval holds the true mean, of 300 samples."""
    found = [
        confidence_intervals({"x": clustered(seed, 0.3)}, sessions, level=level, draws=300, seed=seed)["x"]
        for seed in range(300)
    ]
    return float(np.mean([each.low <= 0.3 <= each.high for each in found]))


def test_an_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    # Three standard errors of a share of 300 are 0.04 and 0.06.
    assert coverage(SESSIONS, 0.95) == pytest.approx(0.95, abs=0.04)
    assert coverage(SESSIONS, 0.8) == pytest.approx(0.8, abs=0.07)


def test_drawing_clicks_instead_of_sessions_would_promise_too_much() -> None:
    assert coverage(np.arange(len(SESSIONS)), 0.95) < 0.8


def test_the_mean_is_one_over_clicks_and_lies_between_its_bounds() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0])
    found = confidence_intervals({"x": values}, np.array([7, 7, 7, 9]))["x"]
    # Two sessions: both drawn are the first, both the second, or one of each.
    assert found == (0.75, 0, 1)


def test_one_huge_session_makes_the_mean_uncertain() -> None:
    rng = np.random.default_rng(3)
    sessions = np.concatenate([np.zeros(2000, np.int64), np.arange(1, 101)])
    values = np.where(sessions == 0, 1.0, rng.random(len(sessions)) < 0.1)
    by_session = confidence_intervals({"x": values}, sessions)["x"]
    by_click = confidence_intervals({"x": values}, np.arange(len(sessions)))["x"]
    assert by_session.mean == by_click.mean > 0.95
    # One draw in three is without the huge session, and has a mean of about 0.1.
    assert by_session.low < 0.2 < 0.95 < by_session.high
    assert by_click.low > 0.94


def test_metrics_share_their_draws_and_do_not_mix() -> None:
    one, other = clustered(1), clustered(2)
    together = confidence_intervals({"one": one, "other": other, "ten": 10 * one}, SESSIONS)
    assert together["one"] == pytest.approx(confidence_intervals({"one": one}, SESSIONS)["one"])
    assert together["other"] == pytest.approx(confidence_intervals({"other": other}, SESSIONS)["other"])
    assert together["ten"] == pytest.approx([10 * each for each in together["one"]])


def test_the_seed_decides_the_draws() -> None:
    values = {"x": clustered(1)}
    found = [confidence_intervals(values, SESSIONS, seed=seed) for seed in (4, 4, 5)]
    assert found[0] == found[1] != found[2]


def test_the_order_of_clicks_and_the_names_of_sessions_do_not_count() -> None:
    # Sessions keep their order among each other.
    values, order = clustered(1), np.random.default_rng(0).permutation(len(SESSIONS))
    found = confidence_intervals({"x": values[order]}, 10 * SESSIONS[order] + 3)["x"]
    assert found == pytest.approx(confidence_intervals({"x": values}, SESSIONS)["x"])


def test_identical_models_do_not_differ() -> None:
    values = {"x": clustered(1)}
    assert paired_tests(values, values, SESSIONS)["x"] == (0, 0, 0, 1)


def test_a_clearly_better_model_is_told_from_chance() -> None:
    values = clustered(1)
    better = values + 0.2 + np.random.default_rng(8).normal(0, 0.3, len(values))
    found = paired_tests({"x": better}, {"x": values}, SESSIONS)["x"]
    assert found.p == 1 / 2001  # no draw of 2,000 says so
    assert found.low < found.difference == pytest.approx(0.2, abs=0.05)
    assert 0.1 < found.low < found.high < 0.3
    back = paired_tests({"x": values}, {"x": better}, SESSIONS)["x"]
    assert back == pytest.approx((-found.difference, -found.high, -found.low, found.p))


def test_p_is_small_by_chance_as_often_as_it_says() -> None:
    p = [
        paired_tests({"x": clustered(seed)}, {"x": clustered(1000 + seed)}, SESSIONS, draws=300)["x"].p
        for seed in range(200)
    ]
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.065)
    assert np.mean(p) == pytest.approx(0.5, abs=0.07)


def test_pairing_sees_what_two_intervals_hide() -> None:
    easy_and_hard = clustered(1, cluster=10)
    better = easy_and_hard + 0.2
    one, other = (confidence_intervals({"x": each}, SESSIONS)["x"] for each in (easy_and_hard, better))
    assert other.low < one.mean < one.high
    assert paired_tests({"x": better}, {"x": easy_and_hard}, SESSIONS)["x"].p < 0.001


def test_without_clicks_nothing_can_be_drawn() -> None:
    with pytest.raises(ValueError, match="no clicks"):
        confidence_intervals({"x": np.empty(0)}, np.empty(0, np.int64))


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValueError, match=f"level is {level}"):
        confidence_intervals({"x": clustered(1)}, SESSIONS, level=level)


def test_a_root_is_that_of_the_mean_and_of_its_bounds() -> None:
    rng = np.random.default_rng(0)
    squares = {"rmse": rng.exponential(2, 300), "mae": rng.exponential(1, 300)}
    of = np.repeat(np.arange(30), 10)
    plain = confidence_intervals(squares, of)
    rooted = confidence_intervals(squares, of, roots=["rmse"])
    assert rooted["mae"] == plain["mae"]
    assert rooted["rmse"] == pytest.approx(tuple(np.sqrt(plain["rmse"])))


def test_the_difference_of_roots_is_drawn_as_such() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.exponential(2, 300), rng.exponential(3, 300)
    of = np.repeat(np.arange(30), 10)
    found = paired_tests({"mae": one, "rmse": one}, {"mae": other, "rmse": other}, of, roots=["rmse"])
    assert found["mae"] == paired_tests({"mae": one}, {"mae": other}, of)["mae"]
    assert found["rmse"].difference == pytest.approx(np.sqrt(one.mean()) - np.sqrt(other.mean()))
    assert found["rmse"].low < found["rmse"].difference < found["rmse"].high
    # The same draws, one by one.
    seeds = np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        sessions = seeds.integers(30, size=30)
        places = (sessions[:, None] * 10 + np.arange(10)).ravel()
        drawn.append(np.sqrt(one[places].mean()) - np.sqrt(other[places].mean()))
    assert (found["rmse"].low, found["rmse"].high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    same = paired_tests({"rmse": one}, {"rmse": one}, of, roots=["rmse"])["rmse"]
    assert (same.difference, same.p) == (0, 1)
