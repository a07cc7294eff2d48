"""What a recommender says it goes by is what makes a difference to it."""

from dataclasses import replace

import numpy as np
import pytest
from recommender_answers import QUICK, ratings, ratings_knowledge

from streamrec.contracts import TrainOptions
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models import RECOMMENDERS, recommender, recommender_class
from streamrec.nodes import goes_by
from streamrec.recommender import Known, Visitor

GOING_BY = [
    (name, each) for name in RECOMMENDERS for each in sorted(getattr(recommender_class(name), "goes_by", ()))
]


def told() -> Feedback:
    """The ratings, and a context that has to do with them."""
    of = ["glad" if value > 3 else "sad" for value in ratings().values]
    return replace(ratings(), contexts={"mood": of})


def answers(name: str, feedback: Feedback, knowledge: Knowledge) -> list[bytes]:
    """Of visitors, one who is sad and a group."""
    model = recommender(name, QUICK.get(name))
    model.train(feedback, knowledge, TrainOptions(seed=3))
    asking = [Visitor("u01"), Visitor("u02", context={"mood": "sad"}), Visitor("everybody")]
    items = feedback.item_ids
    return [np.nan_to_num(model.score(each, items), nan=-1).tobytes() for each in asking]


@pytest.mark.parametrize(("name", "known"), GOING_BY)
def test_what_it_goes_by_changes_its_answers(name: str, known: Known) -> None:
    if known == "contexts":
        feedback, knowledge = told(), NOTHING
    else:
        feedback, knowledge = ratings(), Knowledge(**{known: getattr(ratings_knowledge(), known)})
    assert answers(name, feedback, knowledge) != answers(name, ratings(), NOTHING)


@pytest.mark.parametrize("name", [name for name in RECOMMENDERS if not goes_by({"model": name})])
def test_who_goes_by_nothing_answers_the_same_without(name: str) -> None:
    assert answers(name, ratings(), ratings_knowledge()) == answers(name, ratings(), NOTHING)
