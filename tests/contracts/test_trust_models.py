"""Recommenders that know who trusts whom: known answers."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, Knowledge, Trust, make_feedback
from streamrec.models import recommender
from streamrec.models.mole_trust import MoleTrust, MoleTrustConfig
from streamrec.models.social_regularisation import SocialRegularisation, SocialRegularisationConfig
from streamrec.recommender import Visitor


def chain(weight: float = 1.0) -> Knowledge:
    return Knowledge(trust=[Trust("u", "v"), Trust("v", "w", weight), Trust("w", "x")])


def rated() -> Feedback:
    return make_feedback(["u", "v", "w", "x"], ["a", "b", "b", "b"], [3.0, 5.0, 1.0, 3.0])


def trusted(config: MoleTrustConfig, knowledge: Knowledge) -> dict[str, float]:
    """By whom u trusts, how far: read from the reasons, of ratings that weigh by trust alone."""
    model = MoleTrust(config)
    model.train(rated(), knowledge)
    return dict(zip(model._user_ids, model._trusted(Visitor("u")).tolist(), strict=True))


def test_trust_fades_with_each_step_and_ends_at_the_horizon() -> None:
    found = trusted(MoleTrustConfig(horizon=2), chain())
    assert found == {"u": 0.0, "v": 1.0, "w": 0.5, "x": 0.0}


def test_who_is_trusted_too_little_passes_nothing_on() -> None:
    found = trusted(MoleTrustConfig(horizon=3, threshold=0.6), chain(0.5))
    assert found == pytest.approx({"u": 0.0, "v": 1.0, "w": 0.5 * 2 / 3, "x": 0.0})


def test_ratings_of_those_trusted_move_the_baseline_by_their_mean() -> None:
    plain = {"damping": 0.0, "user_damping": 1e9, "item_damping": 1e9}
    model = MoleTrust(MoleTrustConfig(horizon=2, **plain))
    model.train(rated(), chain())
    # Baselines are the mean, 3: v rated 2 above, w 2 below at half the trust.
    assert model.score(Visitor("u"), ["b"])[0] == pytest.approx(3 + (2 - 0.5 * 2) / 1.5, abs=1e-5)
    reasons = model.explain(Visitor("u"), "b")
    assert sum(each.weight for each in reasons) == pytest.approx(float(model.score(Visitor("u"), ["b"])[0]))
    assert {each.of for each in reasons} >= {"v", "w"}


def test_one_solution_is_that_of_the_normal_equations() -> None:
    model = SocialRegularisation(
        SocialRegularisationConfig(factors=2, epochs=1, regularisation=0.5, bias_regularisation=0.25)
    )
    feedback = make_feedback(["u", "u", "v"], ["a", "b", "a"], [5.0, 2.0, 3.0])
    model.train(feedback)
    # The visitors were solved last: against the items as they are.
    items = dict(zip(model.items, model._of_items, strict=True))
    seen = np.array([[1, *items["a"][1:]], [1, *items["b"][1:]]])
    above = np.array([5.0 - items["a"][0], 2.0 - items["b"][0]]) - np.mean([5, 2, 3])
    solved = np.linalg.solve(seen.T @ seen + np.diag([0.25, 0.5, 0.5]), seen.T @ above)
    np.testing.assert_allclose(model._of_users[0], solved, rtol=1e-9)
    np.testing.assert_allclose(
        model.score(Visitor("stranger", ["a", "b"], [5.0, 2.0])), model.score(Visitor("u")), rtol=1e-5
    )


def test_who_has_no_ratings_is_drawn_to_whom_it_trusts() -> None:
    users = [f"{kind}{n}" for kind in ("high", "low") for n in range(6) for _ in range(5)]
    items = [f"i{n}" for _ in range(12) for n in range(5)]
    values = [5.0 if user[0] == "h" else 1.0 for user in users]
    links = [Trust("fan", f"high{n}") for n in range(6)] + [Trust("grouch", f"low{n}") for n in range(6)]
    model = SocialRegularisation(SocialRegularisationConfig(bias_social=3.0))
    model.train(make_feedback(users, items, values), Knowledge(trust=links))
    fan, grouch = (float(model.score(Visitor(each), ["i0"])[0]) for each in ("fan", "grouch"))
    assert fan > 4
    assert grouch < 2
    without = SocialRegularisation(SocialRegularisationConfig(social=0.0, bias_social=0.0))
    without.train(make_feedback(users, items, values), Knowledge(trust=links))
    assert without.score(Visitor("fan"), ["i0"])[0] == pytest.approx(3.0, abs=0.2)


def test_levels_and_tastes_are_drawn_together_each_by_its_own_weight() -> None:
    links = [Trust("fan", "v"), Trust("fan", "w")]
    config = SocialRegularisationConfig(
        factors=2, epochs=200, regularisation=0.5, bias_regularisation=0.25, social=2.0, bias_social=0.125
    )
    model = SocialRegularisation(config)
    model.train(rated(), Knowledge(trust=links))
    fan, v, w = (model._of_users[model._users[each]] for each in ("fan", "v", "w"))
    # Without ratings: two links pull, regularisation holds.
    held = (v + w) * [0.125, 2.0, 2.0] / ([0.25 + 2 * 0.125] + [0.5 + 2 * 2.0] * 2)
    np.testing.assert_allclose(fan, held, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["mole_trust", "social_regularisation"])
def test_trust_that_is_not_above_zero_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="weights are above 0"):
        recommender(name).train(rated(), Knowledge(trust=[Trust("u", "v", 0.0)]))


def test_what_is_minimised_is_what_the_docstring_says() -> None:
    """Once turns change nothing more, no step away from a visitor's row makes the sum smaller."""
    config = SocialRegularisationConfig(factors=2, epochs=2000, regularisation=0.5, bias_regularisation=0.25)
    model = SocialRegularisation(config)
    feedback = make_feedback(["u", "u", "v", "w"], ["a", "b", "a", "b"], [5.0, 2.0, 3.0, 4.0])
    model.train(feedback, Knowledge(trust=[Trust("u", "v"), Trust("w", "u", 0.5)]))
    rows, of_items = model._of_users, np.array(model._of_items)

    def minimised(row: np.ndarray) -> float:
        v, w = rows[model._users["v"]], rows[model._users["w"]]
        above = np.array([5.0, 2.0]) - model._mean - row[0] - of_items[:, 0] - of_items[:, 1:] @ row[1:]
        weights, social = np.array([0.25, 0.5, 0.5]), np.array([0.1, 1.0, 1.0])
        links = social @ (row - v) ** 2 + 0.5 * (social @ (row - w) ** 2)
        return float(above @ above + weights @ row**2 + links)

    row = rows[model._users["u"]]
    slopes = [minimised(row + step) - minimised(row - step) for step in 1e-4 * np.eye(3)]
    np.testing.assert_allclose(slopes, 0, atol=1e-9)


def test_those_linked_by_trust_are_reasons_by_what_they_add_to_the_score(tmp_path: Path) -> None:
    model = SocialRegularisation(SocialRegularisationConfig(factors=2, epochs=300, regularisation=0.5))
    links = [Trust("fan", "u"), Trust("fan", "v"), Trust("v", "u", 0.5)]
    model.train(rated(), Knowledge(trust=links))
    model.save(tmp_path)
    for each in (model, SocialRegularisation.load(tmp_path)):
        parts = {reason[:2]: reason.weight for reason in each.explain(Visitor("fan"), "b")}
        assert sum(parts.values()) == pytest.approx(float(model.score(Visitor("fan"), ["b"])[0]))
        assert {of for kind, of in parts if kind == "user"} == {"fan", "u", "v"}
        # Without a rating it has all of its taste from those it trusts.
        assert parts["user", "fan"] == pytest.approx(0, abs=1e-9)
        mine = each.explain(Visitor("u"), "b")
        assert {reason.of for reason in mine if reason.kind == "user"} == {"u", "fan", "v"}
        assert len({reason[:2] for reason in mine}) == len(mine)
    assert {reason.of for reason in model.explain(Visitor("x"), "b")} == {"", "x", "b"}


def test_no_table_of_squares_of_everybody_is_made() -> None:
    model = SocialRegularisation(SocialRegularisationConfig(factors=64, epochs=1))
    ids = [f"{n}" for n in range(3000)]
    # The squares of 65 numbers for each of 3,000: 97 MiB.
    tracemalloc.start()
    model.train(make_feedback(ids, ids, np.arange(3000) % 5 + 1.0))
    _, of_training = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    model.score(Visitor("stranger", ["7", "8"], [5.0, 2.0]))
    _, of_score = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert of_training < 80 << 20
    assert of_score - before < 4 << 20
