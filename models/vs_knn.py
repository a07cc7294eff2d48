"""VS-kNN: next items from recent sessions that resemble the one at hand, above all its last clicks.

Enters: sessions, at once or click by click. Leaves: scores of the items of the k nearest ones:

    sim(s, n)   = Σ π(i) over the items i that both have, divided by √|n| if similarity is cosine
    score(j, s) = Σ λ(latest item that both have) · sim(s, n) over the neighbours n that have j,
                  times 1 + idf_weighting · log(|H| / h(j))

with π and λ falling from the last click of s backwards, |n| the number of different items of n, H all
sessions and h(j) of them with j. Neighbours come from the m most recent sessions that share an item.

Sources: Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018,
arXiv:1803.09587 (V-SKNN: π; S-SKNN: λ; the sample); Ludewig et al., "Empirical analysis of
session-based recommendation algorithms", UMUAI 2021, arXiv:1910.12781 (other decays, idf).
"""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

from pydantic import NonNegativeFloat

from streamrec.models._neighbours import (
    DECAYS,
    Decay,
    NeighbourConfig,
    NeighbourModel,
    click_weights,
    idf,
    matches,
    nearest,
    vote,
)
from streamrec.session_index import SessionIndex

__all__ = ["VSKNN", "VSKNNConfig"]


class VSKNNConfig(NeighbourConfig, frozen=True):
    """Hyperparameters."""

    similarity: Literal["dot", "cosine"] = "cosine"
    """Whether long sessions are similar to many others, or as much as their length allows."""
    weighting: Decay = "tenths"
    """π: weight of the clicks of the session at hand in the similarity."""
    weighting_score: Decay = "tenths"
    """λ: weight of a neighbour by the latest click that it shares."""
    idf_weighting: NonNegativeFloat = 5.0
    """How much rare items are preferred."""


class VSKNN(NeighbourModel[VSKNNConfig]):
    """A session model; a contracts.SessionModel."""

    Config = VSKNNConfig

    def votes(self, index: SessionIndex, clicks: Sequence[str], own: str) -> dict[str, float]:
        """Scores of the items of the neighbours; see NeighbourModel.votes."""
        config = self.config
        weights = click_weights(clicks, DECAYS[config.weighting])
        found = matches(index, weights, config.sample_size, own)
        if config.similarity == "cosine":
            found = [(dot / sqrt(len(set(session.items))), session, item) for dot, session, item in found]
        scores = vote(nearest(found, config.k), click_weights(clicks, DECAYS[config.weighting_score]))
        if weight := config.idf_weighting:
            return {item: score * (1 + weight * idf(index, item)) for item, score in scores.items()}
        return scores
