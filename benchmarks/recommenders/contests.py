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

REASONS: Final[Mapping[tuple[str, str, str], str]] = {}
"""By model, task and `train` or `answer`: why ours takes longer; docs/models.md says so too."""
