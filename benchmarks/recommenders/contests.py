"""Which models of other libraries stand beside ours, and why one of ours may be the slower.

All have their own defaults, but for implicit, which ours are trained by: it has our hyperparameters.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["CONTESTS", "REASONS", "Contest"]


class Contest(NamedTuple):
    """A model of ours and those beside it, by library and name."""

    model: str
    task: str
    """rating or top-n."""
    peers: tuple[str, ...]


CONTESTS: Final = (
    Contest("baseline_predictor", "rating", ("surprise BaselineOnly", "lenskit Bias")),
    Contest("user_based_cf", "rating", ("surprise KNNWithMeans, users", "lenskit UserKNN")),
    Contest("item_based_cf", "rating", ("surprise KNNWithMeans, items", "lenskit ItemKNN")),
    Contest("slope_one", "rating", ("surprise SlopeOne",)),
    Contest("funk_svd", "rating", ("surprise SVD", "lenskit BiasedMF")),
    Contest("biased_mf", "rating", ("surprise SVD", "lenskit BiasedMF")),
    Contest("pmf", "rating", ("surprise PMF",)),
    Contest("svdpp", "rating", ("surprise SVDpp",)),
    Contest("nmf", "rating", ("surprise NMF",)),
    Contest("co_clustering", "rating", ("surprise CoClustering",)),
    Contest("item_popularity", "top-n", ("lenskit Pop",)),
    Contest("user_based_cf", "top-n", ("lenskit UserKNN",)),
    Contest("item_based_cf", "top-n", ("implicit CosineRecommender", "lenskit ItemKNN")),
    Contest("wals", "top-n", ("implicit ALS", "lenskit ImplicitMF")),
    Contest("bpr", "top-n", ("implicit BPR",)),
    Contest("truncated_svd", "top-n", ("scikit-learn TruncatedSVD",)),
)

_SUMS: Final = "keeps what pairs have in common, so that one more rating is learned at once and exactly"
_AFRESH: Final = (
    "makes similarities of such sums with each answer, as events change them; the peers keep them"
)
_AT_FIRST: Final = (
    "makes similarities of such sums when an item is first asked for; the peers have them from training"
)
_EXACT: Final = "double precision, and ties by the item's index: lists repeat, and reasons add up to scores"
_AGAIN: Final = "implicit trains it; then visitors' vectors are made anew, in double precision"
_MAP: Final = "implicit trains it; then a map is fitted that gives strangers a place"
_LIKES: Final = "by the same routine; ours finds the likes first, the peer is given them"
_ON: Final = "goes on to a lower error; that of the peer it has within a tenth of its steps"
_SORTS: Final = "sorts all votes in numpy, where lenskit has heaps in Rust"
REASONS: Final[Mapping[tuple[str, str, str], str]] = {
    ("bpr", "top-n", "answer"): _EXACT,
    ("bpr", "top-n", "train"): _MAP,
    ("item_based_cf", "rating", "answer"): _AFRESH,
    ("item_based_cf", "rating", "train"): _SUMS,
    ("item_based_cf", "top-n", "answer"): _AT_FIRST,
    ("item_based_cf", "top-n", "train"): _SUMS,
    ("nmf", "rating", "train"): _ON,
    ("truncated_svd", "top-n", "answer"): _EXACT,
    ("truncated_svd", "top-n", "train"): _LIKES,
    ("user_based_cf", "rating", "train"): _SUMS,
    ("user_based_cf", "top-n", "answer"): _SORTS,
    ("user_based_cf", "top-n", "train"): _SUMS,
    ("wals", "top-n", "answer"): _EXACT,
    ("wals", "top-n", "train"): _AGAIN,
}
"""By model, task and `train` or `answer`: why ours takes longer. Stands below the table."""
