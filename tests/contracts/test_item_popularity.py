"""Popularity overall, decayed, trending and by category: known answers, streams, catalogues."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.errors import ConfigError
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge, make_feedback
from streamrec.models import recommender, recommender_class
from streamrec.recommender import Recommender, Visitor

DAY_MS = 86_400_000
FORMS = [
    ("item_popularity", {}),
    ("item_popularity", {"half_life_s": 3600.0}),
    ("trending_items", {"half_life_s": 3600.0}),
    ("category_popularity", {}),
    ("category_popularity", {"half_life_s": 3600.0}),
]
CATALOGUE = Knowledge(
    items={
        f"i{n:02d}": Item(item_id=f"i{n:02d}", categories=[f"c{n % 3}", f"c{n % 4}"] if n % 5 else [])
        for n in range(40)
    }
)

every_form = pytest.mark.parametrize(("name", "parameters"), FORMS)


def trained(
    name: str, feedback: Feedback, parameters: Mapping[str, Any], knowledge: Knowledge = CATALOGUE
) -> Recommender:
    model = recommender(name, parameters)
    model.train(feedback, knowledge)
    return model


def of_rows(*rows: tuple[str, str, int]) -> Feedback:
    users, items, times = zip(*rows, strict=True)
    return make_feedback(users, items, time_ms=times)


def test_overall_every_interaction_counts_one_whatever_its_time_and_value() -> None:
    feedback = make_feedback(["u", "v", "u"], ["a", "a", "b"], [1.0, 5.0, 5.0], [0, 1, DAY_MS])
    model = trained("item_popularity", feedback, {})
    assert model.score(Visitor("anybody"), ["a", "b", "c"])[:2].tolist() == [2.0, 1.0]
    [reason] = model.explain(Visitor(), "a")
    assert reason == ("popularity", "", 2.0)


def test_decayed_an_interaction_loses_half_its_weight_in_a_half_life() -> None:
    feedback = of_rows(("u", "a", 0), ("v", "a", DAY_MS), ("w", "b", 2 * DAY_MS))
    model = trained("item_popularity", feedback, {"half_life_s": 86_400})
    np.testing.assert_allclose(np.exp2(model.score(Visitor(), ["a", "b"])), [0.25 + 0.5, 1.0], rtol=1e-6)


def test_decayed_what_is_thousands_of_half_lives_old_still_has_its_place() -> None:
    feedback = of_rows(("u", "old", 0), ("u", "older", -DAY_MS), ("u", "new", 365 * DAY_MS))
    model = trained("item_popularity", feedback, {"half_life_s": 3600})
    new, old, older = model.score(Visitor(), ["new", "old", "older"])
    assert new > old > older


def test_trending_is_what_exceeds_its_own_pace_not_what_is_had_most() -> None:
    rows = [(f"u{n}", "evergreen", n * DAY_MS // 20) for n in range(60 * 20)]
    rows += [(f"u{n}", "rising", (55 * 20 + n) * DAY_MS // 20) for n in range(5 * 20)]
    rows += [(f"u{n}", "falling", n * DAY_MS // 20) for n in range(30 * 20)]
    model = trained("trending_items", of_rows(*rows), {})
    rising, evergreen, falling = model.score(Visitor(), ["rising", "evergreen", "falling"])
    assert rising > 2
    assert abs(evergreen) < 1
    assert falling < -1


def test_trending_at_a_constant_pace_from_the_first_day_nothing_does() -> None:
    rows = [(f"u{n}", f"i{n % 2}", n * DAY_MS // 200) for n in range(400)]
    assert np.abs(trained("trending_items", of_rows(*rows), {}).score(Visitor())).max() < 1


def test_where_times_are_not_known_nothing_trends() -> None:
    feedback = make_feedback(["u", "v", "w"], ["a", "a", "b"])
    assert trained("trending_items", feedback, {}).score(Visitor("u"), ["a", "b"]).tolist() == [0.0, 0.0]


def test_the_usual_half_life_has_to_be_the_longer_one() -> None:
    with pytest.raises(ConfigError, match="usual_half_life_s of 60 is not longer than half_life_s of 3600"):
        recommender("trending_items", {"half_life_s": 3600, "usual_half_life_s": 60})


def test_categories_mix_by_what_the_visitor_had() -> None:
    """Of 4 interactions 2 are of crime and 2 of drama; the visitor's one of crime comes on top of 2.5."""
    known = Knowledge(
        items={
            "murder": Item(item_id="murder", categories=["crime"]),
            "theft": Item(item_id="theft", categories=["crime"]),
            "tears": Item(item_id="tears", categories=["drama"]),
        }
    )
    feedback = make_feedback(["u", "v", "v", "w"], ["murder", "theft", "tears", "tears"])
    parameters = {"item_damping": 1e-9, "user_damping": 5}
    model = trained("category_popularity", feedback, parameters, known)
    crime, drama = (2.5 + 1) / 6, 2.5 / 6
    np.testing.assert_allclose(
        model.score(Visitor("u"), ["murder", "theft", "tears"]), [crime / 2, crime / 2, drama], rtol=1e-6
    )
    np.testing.assert_allclose(
        model.score(Visitor("nobody", ["theft"]), ["murder", "theft", "tears"]),
        [crime / 2, crime / 2, drama],
        rtol=1e-6,
    )
    np.testing.assert_allclose(model.score(Visitor(), ["murder", "tears"]), [0.25, 0.5], rtol=1e-6)
    [reason] = model.explain(Visitor("u"), "murder")
    assert reason[:2] == ("category", "crime")
    assert reason.weight == pytest.approx(crime / 2)


def test_scores_of_categories_are_probabilities_and_reasons_add_up_to_them() -> None:
    model = trained("category_popularity", ratings(), {})
    for visitor in (Visitor("u03"), Visitor(), Visitor("nobody", ["i01", "i05"])):
        scores = model.score(visitor)
        assert scores.sum() == pytest.approx(1.0, abs=1e-5)
        for item_id, score in zip(model.items, scores.tolist(), strict=True):
            assert sum(each.weight for each in model.explain(visitor, item_id)) == pytest.approx(
                score, rel=1e-5
            )


def test_an_item_of_the_catalogue_that_nobody_has_had_is_scored_by_its_categories() -> None:
    rows = [("fan", f"crime{n % 4}", n) for n in range(20)] + [
        ("other", f"drama{n % 4}", n) for n in range(20)
    ]
    kinds = {f"{kind}{n}": [kind] for kind in ("crime", "drama") for n in range(5)}
    known = Knowledge(items={key: Item(item_id=key, categories=of) for key, of in kinds.items()})
    model = trained("category_popularity", of_rows(*rows), {}, known)
    crime, drama, unheard_of = model.score(Visitor("fan"), ["crime4", "drama4", "western"])
    assert crime > drama > 0
    assert np.isnan(unheard_of)


@every_form
def test_a_stream_is_learned_from_part_or_nothing_as_from_the_whole(
    name: str, parameters: Mapping[str, Any]
) -> None:
    feedback = ratings()
    whole = trained(name, feedback, parameters)
    part = trained(name, feedback.take(np.arange(len(feedback)) < 50), parameters)
    untaught = recommender(name, parameters)
    assert untaught.score(Visitor("u"), ["i"]).shape == (1,)
    models = [part] if name == "category_popularity" else [part, untaught]
    for model in models:
        for place in range(50 if model is part else 0, len(feedback)):
            model.learn_one(  # type: ignore[attr-defined]
                feedback.user_ids[feedback.users[place]],
                feedback.item_ids[feedback.items[place]],
                float(feedback.values[place]),
                int(feedback.time_ms[place]),
            )
        for visitor in (Visitor("u03"), Visitor()):
            np.testing.assert_allclose(
                model.score(visitor, whole.items), whole.score(visitor), rtol=1e-6, atol=1e-6
            )


@every_form
def test_a_late_interaction_counts_as_in_its_time(name: str, parameters: Mapping[str, Any]) -> None:
    feedback = of_rows(("u", "a", 0), ("v", "b", 9_000_000), ("v", "a", 10_000_000))
    whole = trained(name, feedback, parameters)
    late = trained(name, feedback.take([0, 2]), parameters)
    late.learn_one("v", "b", 1.0, 9_000_000)  # type: ignore[attr-defined]
    late.learn_one("w", "b", 1.0, 5_000_000)  # type: ignore[attr-defined]
    whole.train(
        of_rows(("u", "a", 0), ("w", "b", 5_000_000), ("v", "b", 9_000_000), ("v", "a", 10_000_000)),
        CATALOGUE,
    )
    np.testing.assert_allclose(
        late.score(Visitor(), ["a", "b"]), whole.score(Visitor(), ["a", "b"]), rtol=1e-6
    )


@every_form
def test_what_is_saved_goes_on_learning_where_it_was(
    name: str, parameters: Mapping[str, Any], tmp_path: Path
) -> None:
    model = trained(name, ratings(), parameters)
    model.save(tmp_path)
    loaded = recommender_class(name).load(tmp_path)
    for each in (model, loaded):
        each.learn_one("u77", "i39", 1.0, DAY_MS)
        each.learn_one("u77", "new", 1.0, DAY_MS)
    for visitor in (Visitor("u77"), Visitor("u03"), Visitor()):
        np.testing.assert_array_equal(loaded.score(visitor), model.score(visitor))
    assert loaded.items == model.items
