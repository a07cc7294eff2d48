"""Of a pair that is rated again the last rating counts, in every model that foretells ratings."""

import numpy as np
import pytest
from recommender_answers import quick, ratings, ratings_knowledge

from streamrec.feedback import Feedback, make_feedback
from streamrec.models import RECOMMENDERS, recommender, recommender_class
from streamrec.recommender import Visitor

RATING = [name for name in RECOMMENDERS if "rating" in recommender_class(name).tasks]
CONTEXTUAL = ["context_postfilter", "context_prefilter", "factorisation_machine"]
BY_THE_LAST = [name for name in RATING if name not in {*CONTEXTUAL, "group_recommender", "switching_hybrid"}]
"""Of the others, a group is foretold what a factorisation machine says by default; switching chooses by how
much a visitor had, again or not."""


def with_repeats(feedback: Feedback) -> Feedback:
    """Every third pair was rated otherwise a moment before, so that ids come in the same order."""
    rows = []
    for place, (user, item) in enumerate(zip(feedback.users, feedback.items, strict=True)):
        pair = feedback.user_ids[user], feedback.item_ids[item]
        if place % 3 == 0:
            rows.append((*pair, 6.0 - float(feedback.values[place])))
        rows.append((*pair, float(feedback.values[place])))
    users, items, values = zip(*rows, strict=True)
    return make_feedback(users, items, values, np.arange(len(rows)))


@pytest.mark.parametrize("name", BY_THE_LAST)
def test_an_earlier_rating_of_a_pair_plays_no_part(name: str) -> None:
    once, again = quick(name), quick(name)
    once.train(ratings(), ratings_knowledge())
    again.train(with_repeats(ratings()), ratings_knowledge())
    for visitor in (*map(Visitor, ratings().user_ids), Visitor("", ["i01", "i04"], [2.0, 5.0])):
        np.testing.assert_allclose(again.score(visitor), once.score(visitor), rtol=1e-5)


@pytest.mark.parametrize("name", RATING)
def test_of_what_an_unknown_visitor_comes_with_too(name: str) -> None:
    model = quick(name)
    model.train(ratings(), ratings_knowledge())
    once = model.score(Visitor("", ["i01", "i04"], [2.0, 5.0]))
    again = model.score(Visitor("", ["i01", "i04", "i01"], [4.0, 5.0, 2.0]))
    np.testing.assert_allclose(again, once, rtol=1e-5)


@pytest.mark.parametrize("name", CONTEXTUAL)
@pytest.mark.parametrize("contexts", [{"weather": ["rain", "sun", "sun"]}, {}])
def test_in_models_of_contexts_all_ratings_of_a_pair_count(name: str, contexts: dict[str, list[str]]) -> None:
    def foretold(first: float) -> float:
        model = quick(name)
        model.train(make_feedback(["u", "u", "v"], ["a", "a", "b"], [first, 4.0, 3.0], contexts=contexts))
        return float(model.score(Visitor("u"), ["a"])[0])

    assert foretold(1.0) < foretold(5.0)


@pytest.mark.parametrize("name", ["context_postfilter", "context_prefilter"])
def test_what_takes_the_last_alone_is_given_the_mean_underneath(name: str) -> None:
    model = recommender(name, {"base": {"model": "baseline_predictor"}})
    moods = {"mood": ["good", "bad", "good"]}
    model.train(make_feedback(["u", "u", "v"], ["a", "a", "b"], [1.0, 5.0, 4.0], contexts=moods))
    plain = recommender("baseline_predictor")
    plain.train(make_feedback(["u", "v"], ["a", "b"], [3.0, 4.0]))
    np.testing.assert_array_equal(model.score(Visitor("u")), plain.score(Visitor("u")))
