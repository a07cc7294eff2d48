"""One contender on one split, in a process of its own: seconds of training and of answers, and the answers.

`python -m benchmarks.recommenders.contender NAME SPLIT ANSWERS`, by the interpreter that has its library: of
ours, and of implicit and scikit-learn, the project's, of others that of the peers' environment. SPLIT and
ANSWERS are .npz files. Reading the split and giving it the form that a library wants is not timed.

For ratings the answers are those foretold of the test part, (n,), NaN where there is none. For lists they are
20 items for each visitor of the test part, best first, none that it had, -1 where there are no more; a
visitor is asked for at a time.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["TOP", "Split"]

TOP: Final = 20
_SEED: Final = 0
_WARM: Final = 5000
"""Interactions."""


class Split(NamedTuple):
    """What is learned from and what is asked, by dense indices of visitors and items."""

    users: Any
    """(n,) of the training."""
    items: Any
    values: Any
    test_users: Any
    """(m,); for lists each visitor once, and there are no items."""
    test_items: Any

    @property
    def for_lists(self) -> bool:
        """Whether lists are asked for, or else ratings."""
        return not len(self.test_items)

    def part(self, n: int) -> "Split":
        """The first interactions, and what is asked of visitors among them."""
        asked = np.flatnonzero(self.test_users <= self.users[:n].max())
        test_items = self.test_items if self.for_lists else self.test_items[asked]
        return Split(self.users[:n], self.items[:n], self.values[:n], self.test_users[asked], test_items)

    def had(self) -> dict[int, Any]:
        """What each visitor of the test part had in training, distinct."""
        return {user: np.unique(self.items[self.users == user]) for user in self.test_users.tolist()}

    def matrix(self, values: Any = None) -> Any:
        """Of visitors and items, sparse."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.values if values is None else values, (self.users, self.items)))

    def likes(self) -> Any:
        """The upper half of the ratings, 1 on average: as our models for lists have them."""
        values = self.values.astype(np.float64)
        liked = values >= (values.min() + values.max()) / 2
        matrix = self.matrix(np.where(liked, values / values[liked].mean(), 0))
        matrix.eliminate_zeros()
        return matrix


Made = tuple[Callable[[], Any], Callable[[Any], Any]]
"""How to train, and how to answer with what came of it."""


def main() -> None:
    """Train, answer, write."""
    name, split_path, answers_path = sys.argv[1:]
    with np.load(split_path) as arrays:
        split = Split(**arrays)
    library, _, model = name.partition(" ")
    # What a library imports or compiles only when it is used is not timed.
    train, answer = _LIBRARIES[library](model, split.part(_WARM))
    answer(train())
    train, answer = _LIBRARIES[library](model, split)
    began = time.process_time()
    trained = train()
    train_s = time.process_time() - began
    began = time.process_time()
    answers = answer(trained)
    answer_s = time.process_time() - began
    np.savez(answers_path, train_s=train_s, answer_s=answer_s, answers=answers)


def _ours(name: str, split: Split) -> Made:
    from benchmarks.recommenders.lists import for_lists
    from streamrec.contracts import TrainOptions
    from streamrec.evaluation.folds import predict
    from streamrec.evaluation.held_out import recommended
    from streamrec.feedback import make_feedback
    from streamrec.models import recommender
    from streamrec.recommender import Visitor

    feedback = make_feedback(_ids(split.users), _ids(split.items), split.values)
    model = for_lists(name) if split.for_lists else recommender(name)

    def train() -> Any:
        model.train(feedback, options=TrainOptions(seed=_SEED))
        return model

    if not split.for_lists:
        test = make_feedback(_ids(split.test_users), _ids(split.test_items))
        return train, lambda model: predict(model, test)
    had = split.had()
    return train, lambda model: _lists(
        recommended(model.score(Visitor(str(user))), had[user], TOP) for user in split.test_users.tolist()
    )


def _surprise(name: str, split: Split) -> Made:
    import surprise

    def knn(*, user_based: bool) -> Any:
        return surprise.KNNWithMeans(sim_options={"user_based": user_based}, verbose=False)

    made: Mapping[str, Callable[[], Any]] = {
        "BaselineOnly": lambda: surprise.BaselineOnly(verbose=False),
        "CoClustering": lambda: surprise.CoClustering(random_state=_SEED),
        "KNNWithMeans, items": lambda: knn(user_based=False),
        "KNNWithMeans, users": lambda: knn(user_based=True),
        "NMF": lambda: surprise.NMF(random_state=_SEED),
        "PMF": lambda: surprise.SVD(biased=False, random_state=_SEED),
        "SVD": lambda: surprise.SVD(random_state=_SEED),
        "SVDpp": lambda: surprise.SVDpp(random_state=_SEED),
        "SlopeOne": surprise.SlopeOne,
    }
    algorithm = made[name]()
    scale = (float(split.values.min()), float(split.values.max()))
    columns = (_ids(split.users), _ids(split.items), split.values.tolist(), [None] * len(split.users))
    known = surprise.Dataset(surprise.Reader(rating_scale=scale)).construct_trainset(
        list(zip(*columns, strict=True))
    )
    asked = [(*pair, 0.0) for pair in zip(_ids(split.test_users), _ids(split.test_items), strict=True)]
    return (
        lambda: algorithm.fit(known),
        lambda trained: np.array([prediction.est for prediction in trained.test(asked)]),
    )


def _implicit(name: str, split: Split) -> Made:
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from implicit.nearest_neighbours import CosineRecommender

    from streamrec.models.bpr import BPRConfig
    from streamrec.models.wals import WALSConfig

    likes = split.likes()
    if name == "ALS":
        wals = WALSConfig()
        likes.data = 1 + wals.confidence * likes.data
        model = AlternatingLeastSquares(
            factors=wals.factors,
            regularization=wals.damping * (likes.nnz / likes.shape[0]) ** 0.5,
            iterations=wals.epochs,
            num_threads=1,
            random_state=_SEED,
        )
    elif name == "BPR":
        bpr = BPRConfig()
        model = BayesianPersonalizedRanking(
            factors=bpr.factors,
            learning_rate=bpr.learning_rate,
            regularization=bpr.damping,
            iterations=bpr.epochs,
            num_threads=1,
            random_state=_SEED,
        )
    else:
        model, likes = CosineRecommender(K=40, num_threads=1), split.matrix()
    everything = split.matrix()
    # What is not to be listed; nearest neighbours are looked for by what they had, too.
    had = {user: everything[user] for user in split.test_users.tolist()}

    def train() -> Any:
        model.fit(likes, show_progress=False)
        return model

    return train, lambda model: _lists(
        model.recommend(user, row, N=TOP, filter_already_liked_items=True)[0] for user, row in had.items()
    )


def _sklearn(name: str, split: Split) -> Made:
    from sklearn.decomposition import TruncatedSVD

    from streamrec.models.truncated_svd import TruncatedSVDConfig

    likes, had = split.likes(), split.had()
    model = TruncatedSVD(TruncatedSVDConfig().factors, algorithm="arpack", random_state=_SEED)

    def answer(places: Any) -> Any:
        def lists() -> Iterator[Any]:
            for user in split.test_users.tolist():
                yield _best(places[user] @ model.components_, had[user])

        return _lists(lists())

    return lambda: model.fit_transform(likes), answer


def _lenskit(name: str, split: Split) -> Made:
    from lenskit.als import BiasedMFScorer, ImplicitMFScorer
    from lenskit.basic import BiasScorer, PopScorer
    from lenskit.data import ItemList, RecQuery, from_interactions_df
    from lenskit.knn import ItemKNNScorer, UserKNNScorer
    from lenskit.training import TrainingOptions
    from pandas import DataFrame

    feedback = "implicit" if split.for_lists else "explicit"
    made: Mapping[str, Callable[[], Any]] = {
        "Bias": BiasScorer,
        "BiasedMF": BiasedMFScorer,
        "ImplicitMF": ImplicitMFScorer,
        "ItemKNN": lambda: ItemKNNScorer(feedback=feedback),
        "Pop": PopScorer,
        "UserKNN": lambda: UserKNNScorer(feedback=feedback),
    }
    scorer = made[name]()
    users, items, values = split.users, split.items, split.values
    if name == "ImplicitMF":
        users, items = split.likes().nonzero()
        values = np.ones(len(users))
    known = from_interactions_df(DataFrame({"user_id": users, "item_id": items, "rating": values}))
    asked = []
    for user in dict.fromkeys(split.test_users.tolist()):
        own = split.users == user
        history = ItemList(item_ids=split.items[own], rating=split.values[own]) if name == "ItemKNN" else None
        wanted = known.items.ids() if split.for_lists else split.test_items[split.test_users == user]
        asked.append((user, RecQuery(user_id=user, history_items=history), ItemList(item_ids=wanted)))
    # Items have places in its own order, and those without a like may have none.
    ids = np.asarray(known.items.ids(), np.int64)
    had = {user: np.flatnonzero(np.isin(ids, items)) for user, items in split.had().items()}

    def train() -> Any:
        scorer.train(known, TrainingOptions(rng=_SEED))
        return scorer

    def answer(scorer: Any) -> Any:
        def scores(query: Any, wanted: Any) -> Any:
            return (scorer(items=wanted) if name == "Pop" else scorer(query, wanted)).scores()

        if split.for_lists:
            return _lists(
                ids[_best(scores(query, wanted).astype(np.float64), had[user])]
                for user, query, wanted in asked
            )
        found = np.full(len(split.test_users), np.nan)
        for user, query, wanted in asked:
            found[split.test_users == user] = scores(query, wanted)
        return found

    return train, answer


def _ids(indices: Any) -> list[str]:
    return [str(index) for index in indices.tolist()]


def _best(scores: Any, had: Any) -> Any:
    """The best 20, best first, but for what was had and what has no score."""
    scores[had] = np.nan
    best = np.argpartition(-scores, TOP)[:TOP]
    best = best[np.argsort(-scores[best])]
    return best[~np.isnan(scores[best])]


def _lists(lists: Iterable[Any]) -> Any:
    found = []
    for items in lists:
        row = np.full(TOP, -1, np.int64)
        row[: len(items)] = items[:TOP]
        found.append(row)
    return np.array(found)


_LIBRARIES: Final[Mapping[str, Callable[[str, Split], Made]]] = {
    "implicit": _implicit,
    "lenskit": _lenskit,
    "ours": _ours,
    "scikit-learn": _sklearn,
    "surprise": _surprise,
}


if __name__ == "__main__":
    main()
