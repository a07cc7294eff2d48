"""Bayesian personalised ranking, by the library implicit."""

import sys

import numpy as np
import pytest
from recommender_answers import ratings
from scipy.sparse import csr_matrix

from streamrec.contracts import TrainOptions
from streamrec.errors import ConfigError
from streamrec.feedback import Feedback, make_feedback
from streamrec.models.bpr import BPR, BPRConfig
from streamrec.models.wals import WALS
from streamrec.recommender import Visitor


def likes() -> Feedback:
    given = ratings()
    return make_feedback([given.user_ids[n] for n in given.users], [given.item_ids[n] for n in given.items])


def test_scores_are_those_of_the_library() -> None:
    bpr = pytest.importorskip("implicit.cpu.bpr")
    given, model = likes(), BPR(BPRConfig(factors=5, epochs=10))
    model.train(given, options=TrainOptions(seed=4))
    peer = bpr.BayesianPersonalizedRanking(
        factors=5, iterations=10, learning_rate=0.01, regularization=0.04, num_threads=1, random_state=4
    )
    peer.fit(csr_matrix((np.ones(len(given), np.float32), (given.users, given.items))), show_progress=False)
    wanted = peer.user_factors[3] @ peer.item_factors.T
    np.testing.assert_allclose(model.score(Visitor(given.user_ids[3])), wanted, atol=1e-6)


def test_likes_stand_before_the_rest_for_most_pairs() -> None:
    given, model = likes(), BPR(BPRConfig(damping=0.001, learning_rate=0.1, epochs=200))
    model.train(given)
    right = []
    for user, user_id in enumerate(given.user_ids):
        scores, liked = model.score(Visitor(user_id)), np.zeros(len(model.items), bool)
        liked[given.items[given.users == user]] = True
        right.append((scores[liked][:, None] > scores[~liked]).mean())
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("model", [BPR, WALS])
def test_without_the_library_it_says_how_to_get_it(
    model: type[BPR | WALS], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "implicit":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "implicit", None)
    with pytest.raises(ConfigError, match=r'not installed; pip install "streamrec\[train\]"'):
        model().train(ratings())
