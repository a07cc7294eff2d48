"""Content-based recommenders: known answers, and items that nobody has clicked."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.sparse import csr_array

from streamrec.errors import DatasetError
from streamrec.events import Item
from streamrec.feedback import Knowledge, Tagging, make_feedback
from streamrec.models import RECOMMENDERS, recommender, recommender_class
from streamrec.models._content import ContentModel
from streamrec.models.content_classifier import ContentClassifier, ContentClassifierConfig
from streamrec.models.tag_profile import TagProfile
from streamrec.models.tfidf_content import TfidfContent, TfidfContentConfig
from streamrec.recommender import Visitor

MODELS = [name for name in RECOMMENDERS if issubclass(recommender_class(name), ContentModel)]

every_model = pytest.mark.parametrize("name", MODELS)


def records(**tags: list[str]) -> Knowledge:
    return Knowledge({item_id: Item(item_id=item_id, tags=each) for item_id, each in tags.items()})


def test_tfidf_scores_are_cosines_of_weighted_terms() -> None:
    model = TfidfContent()
    model.train(make_feedback(["u"], ["a"], [5.0]), records(a=["x", "y"], b=["x"], c=["z"]))
    # Of three records x is in two, the others in one.
    x, y = math.log(4 / 3) + 1, math.log(4 / 2) + 1
    cosine = x / math.sqrt(x * x + y * y)
    np.testing.assert_allclose(model.score(Visitor("u"), ["a", "b", "c"]), [1, cosine, 0], atol=1e-6)


def test_a_word_that_occurs_twice_counts_one_plus_its_logarithm() -> None:
    items = {"a": Item(item_id="a", title="Sun", text="sun, moon"), "b": Item(item_id="b", text="MOON")}
    model = TfidfContent()
    model.train(make_feedback(["u"], ["b"]), Knowledge(items))
    sun, moon = (1 + math.log(2)) * (math.log(3 / 2) + 1), 1.0
    np.testing.assert_allclose(
        model.score(Visitor("u"), ["a"]), [moon / math.sqrt(sun**2 + moon**2)], rtol=1e-6
    )


def test_by_deviations_what_is_liked_less_speaks_against_its_like() -> None:
    model = TfidfContent(TfidfContentConfig(weights="deviations"))
    known = records(a=["x"], b=["y"], c=["x"], d=["y"])
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 3.0]), known)
    np.testing.assert_allclose(
        model.score(Visitor("u"), ["c", "d"]), [math.sqrt(0.5), -math.sqrt(0.5)], rtol=1e-6
    )


def test_by_deviations_nothing_is_told_of_who_had_nothing() -> None:
    model = TfidfContent(TfidfContentConfig(weights="deviations"))
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 3.0]), records(a=["x"], b=["y"]))
    for visitor in (Visitor(), Visitor("nobody", ["unheard of"], [4.0])):
        assert np.isnan(model.score(visitor)).all()
        assert model.explain(visitor, "a") == []
    # What it likes all the same counts one each.
    assert model.score(Visitor("", ["a"], [2.0]), ["a"])[0] == pytest.approx(1)


def test_what_the_visitor_had_twice_counts_twice() -> None:
    known = records(a=["x"], b=["y"], c=["x"], d=["y"])
    feedback = make_feedback("uuu", "aba", [5.0, 1.0, 3.0])
    model = TfidfContent()
    model.train(feedback, known)
    np.testing.assert_allclose(
        model.score(Visitor("u"), ["c", "d"]), np.array([8, 1]) / math.sqrt(65), rtol=1e-6
    )
    model = TfidfContent(TfidfContentConfig(weights="deviations"))
    model.train(feedback, known)
    # Above the mean of 3 by 2 and 0, below it by 2.
    np.testing.assert_allclose(
        model.score(Visitor("u"), ["c", "d"]), [math.sqrt(0.5), -math.sqrt(0.5)], rtol=1e-6
    )
    assert np.isnan(model.score(Visitor())).all()


@every_model
def test_what_comes_again_is_the_same_learned_whole_or_one_by_one(name: str, tmp_path: Path) -> None:
    known = records(a=["x"], b=["y"], c=["x", "y"])
    first, whole = recommender(name), recommender(name)
    first.train(make_feedback("uv", "ab", [5.0, 1.0]), known)
    for item_id, value in (("b", 2.0), ("a", 3.0), ("b", 4.0)):
        first.learn_one("u", item_id, value)  # type: ignore[attr-defined]
    whole.train(make_feedback("uvuuu", "abbab", [5.0, 1.0, 2.0, 3.0, 4.0]), known)
    assert first.score(Visitor("u")).tobytes() == whole.score(Visitor("u")).tobytes()
    first.save(tmp_path)
    loaded = recommender_class(name).load(tmp_path)
    assert loaded.score(Visitor("u")).tobytes() == whole.score(Visitor("u")).tobytes()


def test_parts_of_what_the_visitor_had_add_up_to_the_score() -> None:
    model = TfidfContent()
    known = records(a=["x", "y"], b=["y"], c=["x", "z"])
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 2.0]), known)
    reasons = model.explain(Visitor("u"), "c")
    assert reasons[0].of == "a"
    assert sum(each.weight for each in reasons) == pytest.approx(float(model.score(Visitor("u"), ["c"])[0]))


def test_a_visitors_own_tags_speak_for_items_that_have_them() -> None:
    model = TagProfile()
    known = records(a=["x"], b=["y"], c=["z"])._replace(tags=[Tagging("u", "a", "Z"), Tagging("v", "b", "w")])
    model.train(make_feedback(["u"], ["a"], [4.0]), known)
    scores = dict(zip("abc", model.score(Visitor("u"), ["a", "b", "c"]).tolist(), strict=True))
    assert scores["c"] > 0.5 > scores["b"] == 0.0
    assert [reason.of for reason in model.explain(Visitor("u"), "c")] == ["z"]


def test_a_classifier_gives_log_odds_of_terms() -> None:
    model = ContentClassifier(ContentClassifierConfig(prior=1.0))
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), records(a=["x"], b=["y"]))
    # The average item is half an x and half a y; each class has seen one and another whole item.
    odds = math.log(1.5 / 0.5)
    np.testing.assert_allclose(model.score(Visitor("u"), ["a", "b"]), [odds, -odds], atol=2e-3)


def test_a_classifier_told_from_where_on_takes_all_of_that_for_liked() -> None:
    known = records(a=["x"], b=["y"])
    model = ContentClassifier(ContentClassifierConfig(prior=1.0, liked_from=0.0))
    model.train(make_feedback(["u", "v"], ["a", "b"], [1.0, 3.0]), known)
    # The average item is half an x and half a y; to the liked class comes a whole item, to the other none.
    odds = math.log((1.5 / 2) / 0.5), math.log((0.5 / 2) / 0.5)
    np.testing.assert_allclose(model.score(Visitor("u"), ["a", "b"]), odds, atol=2e-3)
    by_degrees = ContentClassifier(ContentClassifierConfig(prior=1.0))
    by_degrees.train(make_feedback(["u", "v"], ["a", "b"], [1.0, 3.0]), known)
    assert by_degrees.score(Visitor("u"), ["a"])[0] < 0


@every_model
def test_a_list_made_before_an_item_came_changes_nothing_of_those_after(name: str) -> None:
    asked, other = recommender(name), recommender(name)
    for model in (asked, other):
        model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), records(a=["x"], b=["y"]))
    asked.score(Visitor("u"))
    for model in (asked, other):
        model.add_item(Item(item_id="b", tags=["x", "new"]))  # type: ignore[attr-defined]
        model.learn_one("u", "c")  # type: ignore[attr-defined]
    np.testing.assert_array_equal(asked.score(Visitor("u")), other.score(Visitor("u")))


def test_the_average_of_a_classifier_is_made_once_for_many_lists() -> None:
    model = ContentClassifier()
    model.train(make_feedback(["u", "v"], ["a", "b"]), records(a=["x"], b=["y"]))
    first = model._average()
    model.score(Visitor("v"))
    assert model._average() is first


@every_model
def test_an_item_without_a_click_is_scored_from_its_record(name: str) -> None:
    model = recommender(name)
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), records(a=["x"], b=["y"], new=["x"]))
    assert list(model.items) == ["a", "b", "new"]
    assert model.score(Visitor("u"), ["new"])[0] > model.score(Visitor("u"), ["b"])[0]


@every_model
def test_an_item_is_scored_as_soon_as_it_is_added(name: str) -> None:
    model = recommender(name)
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), records(a=["x"], b=["y"]))
    before = model.score(Visitor("u"), ["b"])[0]
    assert np.isnan(model.score(Visitor("u"), ["new"])[0])
    model.add_item(Item(item_id="new", tags=["x", "never seen"]))  # type: ignore[attr-defined]
    assert list(model.items) == ["a", "b", "new"]
    assert model.score(Visitor("u"), ["new"])[0] > before
    assert model.score(Visitor("u")).shape == (3,)


@every_model
def test_the_matrix_is_made_when_somebody_asks_not_for_each_record(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = recommender(name)
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), records(a=["x"], b=["y"]))
    made: list[Any] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(arguments)
        return csr_array(*arguments, **options)

    monkeypatch.setattr("streamrec.models._term_rows.sparse.csr_array", counted)
    for n in range(50):
        model.add_item(Item(item_id=f"new{n}", tags=["x", f"never seen {n}"]))  # type: ignore[attr-defined]
    assert not made
    assert model.score(Visitor("u")).shape == (52,)
    assert len(made) == 1


@every_model
def test_a_record_that_is_known_changes_nothing_and_takes_no_room(name: str) -> None:
    model: Any = recommender(name)
    known = records(a=["x", "z"], b=["y"], c=["y", "z"])
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), known)
    scores, rows = model.score(Visitor("u")), model._rows.matrix.shape[0]
    for item in known.items.values():
        model.add_item(msgspec.structs.replace(item, price=3.5, available=False))
    assert model._rows.matrix.shape[0] == rows
    np.testing.assert_array_equal(model.score(Visitor("u")), scores)


@every_model
@pytest.mark.parametrize("is_saved", [False, True])
def test_what_only_a_record_told_goes_with_it_and_what_training_knew_comes_back(
    name: str, is_saved: bool, tmp_path: Path
) -> None:
    model: Any = recommender(name)
    known = records(a=["x"], b=["y"], only=["x", "y"])
    model.train(make_feedback(["u", "u", "u"], ["a", "b", "bare"], [5.0, 1.0, 2.0]), known)
    if is_saved:
        model.save(tmp_path)
        model = recommender_class(name).load(tmp_path)
    plain: Any = recommender(name)
    plain.train(make_feedback(["u", "u", "u"], ["a", "b", "bare"], [5.0, 1.0, 2.0]), known)
    plain.forget_item("only")
    scores = model.score(Visitor("u"))
    model.add_item(Item(item_id="new", tags=["x"]))
    for item_id in ("a", "bare", "only"):
        model.add_item(Item(item_id=item_id, tags=["y", "new"]))
    assert np.isfinite(model.score(Visitor("u"))).all()
    for item_id in ("new", "a", "b", "bare", "only", "unheard of"):
        model.forget_item(item_id)
    assert list(model.items) == [*plain.items, "new"]
    *scored, new = model.score(Visitor("u"))
    np.testing.assert_allclose(scored, plain.score(Visitor("u")), rtol=1e-6)
    assert np.isnan(new)
    assert np.isnan(scored[list(model.items).index("only")])
    assert model.explain(Visitor("u"), "new") == []
    model.add_item(known.items["only"])
    np.testing.assert_allclose(model.score(Visitor("u"))[:-1], scores, rtol=1e-6)


@every_model
def test_a_new_record_takes_the_place_of_an_old_one_however_often(name: str) -> None:
    model = recommender(name)
    known = records(a=["x"], b=["y"], c=["y"])
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), known)
    for n in range(1200):
        model.add_item(Item(item_id="c", tags=["x" if n % 2 else "y"]))  # type: ignore[attr-defined]
    a, b, c = model.score(Visitor("u"))
    assert list(model.items) == ["a", "b", "c"]
    assert abs(c - a) < abs(c - b)


@every_model
def test_what_has_no_content_cannot_be_scored(name: str) -> None:
    model = recommender(name)
    model.train(make_feedback(["u", "u", "v"], ["a", "bare", "bare"]), records(a=["x"], b=["x"]))
    assert np.isnan(model.score(Visitor("u"), ["bare"])[0])
    assert np.isnan(model.score(Visitor("v"), ["a"])[0])
    assert model.explain(Visitor("u"), "bare") == []


@every_model
def test_a_value_that_is_no_number_is_refused_and_leaves_no_trace(name: str) -> None:
    model: Any = recommender(name)
    model.train(make_feedback(["u", "u"], ["a", "b"], [5.0, 1.0]), records(a=["x"], b=["y"]))
    before = model.score(Visitor("u"))
    for value in (math.nan, math.inf, 1e39):
        with pytest.raises(DatasetError, match="ratings are finite numbers"):
            model.learn_one("u", "new", value)
    assert "new" not in model.items
    np.testing.assert_array_equal(model.score(Visitor("u")), before)
