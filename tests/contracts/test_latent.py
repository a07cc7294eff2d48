"""Recommenders by latent factors: a visitor's place is the sum of what its items add to it."""

import numpy as np
import pytest
from recommender_answers import checkerboard, quick, ratings

from streamrec.contracts import TrainOptions
from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, make_feedback
from streamrec.models import recommender
from streamrec.models._latent import Had
from streamrec.models._ridge import dots, ridge, rows_of
from streamrec.recommender import Recommender, Visitor

CLOSED = ["biased_mf", "funk_svd", "pmf", "svdpp", "truncated_svd", "wals"]
"""Known visitors' places are the sums of shares; of the others, nearly."""
LATENT = [*CLOSED, "bpr", "nmf"]


def trained(name: str, feedback: Feedback | None = None) -> Recommender:
    model = quick(name)
    model.train(feedback or ratings(), options=TrainOptions(seed=1))
    return model


def visitor_of(feedback: Feedback, user_id: str, name: str = "another name") -> Visitor:
    """What a visitor had, under another name."""
    places = np.flatnonzero(feedback.users == list(feedback.user_ids).index(user_id))
    return Visitor(
        name,
        [feedback.item_ids[item] for item in feedback.items[places]],
        feedback.values[places].tolist(),
    )


@pytest.mark.parametrize("name", CLOSED)
def test_who_had_the_same_is_scored_the_same_known_or_not(name: str) -> None:
    model = trained(name)
    for user_id in ("u00", "u05", "u17"):
        known = model.score(Visitor(user_id))
        np.testing.assert_allclose(model.score(visitor_of(ratings(), user_id)), known, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LATENT)
def test_who_comes_with_what_one_kind_likes_is_recommended_that(name: str) -> None:
    model = trained(name, checkerboard())
    likes = [item_id for item_id in model.items if item_id.startswith("black")][:4]
    others = [item_id for item_id in model.items if item_id.startswith("white")][:4]
    stranger = Visitor("", [*likes, *others], [5.0] * 4 + [1.0] * 4)
    scores = dict(zip(model.items, model.score(stranger).tolist(), strict=True))
    rest = [item_id for item_id in model.items if item_id not in stranger.items]
    black = [scores[item_id] for item_id in rest if item_id.startswith("black")]
    assert min(black) > max(scores[item_id] for item_id in rest if item_id.startswith("white"))


@pytest.mark.parametrize("name", CLOSED)
def test_reasons_add_up_to_the_score_but_for_the_bounds(name: str) -> None:
    model = trained(name)
    few = visitor_of(ratings(), "u05")._replace(items=["i01", "i02", "i03"], values=[5.0, 4.0, 3.0])
    for item_id in ("i03", "i07", "i20"):
        score = float(model.score(few, [item_id])[0])
        told = sum(reason.weight for reason in model.explain(few, item_id))
        low, high = model._learned.bounds  # type: ignore[attr-defined]
        assert float(np.clip(told, low, high)) == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("name", LATENT)
def test_ten_items_of_the_visitors_own_are_told_at_most(name: str) -> None:
    reasons = trained(name).explain(Visitor("u05"), "i03")
    own = [reason.of for reason in reasons if reason.kind == "item"]
    assert 1 <= len(own) <= 11
    assert {*own} <= {*visitor_of(ratings(), "u05").items, "i03"}


@pytest.mark.parametrize("name", ["pmf", "nmf", "wals", "truncated_svd"])
def test_without_levels_nothing_is_known_of_who_comes_with_nothing(name: str) -> None:
    model = trained(name)
    assert np.isnan(model.score(Visitor("nobody"))).all()
    assert model.explain(Visitor("nobody"), "i03") == []


@pytest.mark.parametrize("name", ["biased_mf", "funk_svd", "svdpp"])
def test_who_comes_with_nothing_is_told_levels(name: str) -> None:
    model = trained(name)
    scores = model.score(Visitor("nobody"))
    assert np.isfinite(scores).all()
    assert scores[list(model.items).index("i03")] == pytest.approx(
        sum(reason.weight for reason in model.explain(Visitor("nobody"), "i03")), abs=1e-5
    )


@pytest.mark.parametrize("name", ["wals", "bpr", "truncated_svd"])
def test_ratings_of_the_lower_half_are_no_likes_and_who_likes_nothing_is_not_guessed_at(name: str) -> None:
    rows = [(f"u{n}", f"i{item}", 5.0) for n in range(4) for item in range(3)] + [("critic", "i0", 1.0)]
    model = trained(name, make_feedback(*zip(*rows, strict=True)))
    scores = model.score(Visitor("critic"))
    if name == "bpr":
        np.testing.assert_array_equal(scores, model.score(Visitor("nobody")))
    else:
        assert np.isnan(scores).all()
        assert np.isnan(model.score(Visitor("", ["i0"], [1.0]))).all()
    assert np.isfinite(model.score(Visitor("", ["i0"], [5.0]))).all()


@pytest.mark.parametrize("name", ["wals", "bpr", "truncated_svd"])
def test_a_threshold_that_nothing_reaches_is_an_error_that_says_so(name: str) -> None:
    with pytest.raises(DatasetError, match=r"no value is 6 or above, the highest is 5: lower liked_from"):
        recommender(name, {"liked_from": 6}).train(ratings())


@pytest.mark.parametrize("drawn", [0, 1])
def test_a_ridge_regression_of_each_row_is_that_of_numpy(drawn: int) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 5, 40), rng.integers(0, 7, 40)
    targets, weights, design = rng.normal(size=40), rng.uniform(1, 3, 40), rng.normal(size=(7, 3))
    towards = rng.normal(size=(6, 3)) * drawn
    found = ridge(
        rows_of(users, items, 6),
        targets * weights,
        design,
        np.full((6, 3), 0.5),
        weights,
        towards=towards if drawn else None,
    )
    for user in range(5):
        of = users == user
        root = np.sqrt(weights[of])[:, None]
        rows = np.vstack([design[items[of]] * root, np.sqrt(0.5) * np.eye(3)])
        wanted = np.linalg.lstsq(
            rows, np.concatenate([targets[of] * root[:, 0], np.sqrt(0.5) * towards[user]])
        )[0]
        np.testing.assert_allclose(found[user], wanted)
    np.testing.assert_allclose(found[5], towards[5])


def test_work_cut_into_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 5, 40), rng.integers(0, 7, 40)
    left, design = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    rows, damping = rows_of(users, items, 5), np.full((5, 3), 0.5)
    whole = dots(left, design, users, items), ridge(rows, left[users, 0], design, damping)
    monkeypatch.setattr("streamrec.models._ridge._NUMBERS_AT_ONCE", 20)
    np.testing.assert_allclose(dots(left, design, users, items), whole[0])
    np.testing.assert_array_equal(ridge(rows, left[users, 0], design, damping), whole[1])


def test_repeated_likes_of_a_stranger_count_together() -> None:
    model = trained("wals")
    had = model._had(Visitor("", ["i01", "i02", "i01"], [5.0, 5.0, 4.0]))  # type: ignore[attr-defined]
    assert isinstance(had, Had)
    assert len(had.items) == 2
    once = model.score(Visitor("", ["i01", "i02"]))
    assert not np.array_equal(model.score(Visitor("", ["i01", "i02", "i01"])), once)
