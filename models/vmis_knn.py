"""VMIS-kNN: VS-kNN with fixed weights, on an index that gives the most recent sessions of an item at once.

Enters: sessions, at once or click by click. Leaves: scores of the items of the k nearest ones:

    r(n)        = Σ ω(i) / |s| over the items i that s and n both have
    score(j, s) = Σ λ(max ω(i) of those items) · r(n) over the neighbours n that have j,
                  times log(|H| / h(j))

with ω(i) the place of the latest click on i in s, |s| the number of clicks, λ falling by a tenth with every
click after that one, H all sessions and h(j) of them with j. Neighbours come from the m most recent sessions
that share an item; the search for them stops as soon as only older ones are left.

Source: Kersbergen, Sprangers and Schelter, "Serenade: Low-Latency Session-Based Recommendation in
e-Commerce at Scale", SIGMOD 2022.
"""

from collections.abc import Sequence

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

__all__ = ["VMISKNN", "VMISKNNConfig"]


class VMISKNNConfig(NeighbourConfig, frozen=True):
    """Hyperparameters."""

    decay: Decay = "linear"
    """π: weight of the clicks of the session at hand in the similarity."""
    match_weight: Decay = "tenths"
    """λ: weight of a neighbour by the latest click that it shares."""
    idf: bool = True
    """Whether rare items are preferred."""


class VMISKNN(NeighbourModel[VMISKNNConfig]):
    """A session model; a contracts.SessionModel."""

    Config = VMISKNNConfig

    def votes(self, index: SessionIndex, clicks: Sequence[str], own: str) -> dict[str, float]:
        """Scores of the items of the neighbours; see NeighbourModel.votes."""
        config = self.config
        weights = click_weights(clicks, DECAYS[config.decay])
        found = matches(index, weights, config.sample_size, own)
        scores = vote(nearest(found, config.k), click_weights(clicks, DECAYS[config.match_weight]))
        if config.idf:
            return {item: score * idf(index, item) for item, score in scores.items()}
        return scores
