"""STAN: next items from recent sessions, by the order of clicks in both and by how long ago they were.

Enters: sessions with times, at once or click by click. Leaves: scores of the items of the k nearest ones:

    sim(s, n)   = Σ exp((p(i, s) - |s|) / λ_spw) over the items i that both have, divided by √(|s| |n|)
                  and times exp(-(t(s) - t(n)) / λ_snh)
    score(j, s) = Σ sim(s, n) · exp(-|p(j, n) - p(i*, n)| / λ_inh) over the neighbours n that have j

with p(i, n) the place of the last click on i in n, i* the latest item of s that n has too, |n| the number of
clicks and t(n) the time of the last one. Neighbours come from the m most recent sessions that share an item.
A factor that all neighbours have in common is left out: √|s|; and t(s) is the youngest one's time, so that no
score vanishes however long ago all of them were.

Source: Garg et al., "Sequence and Time Aware Neighborhood for Session-based Recommendations", SIGIR 2019.
"""

from collections.abc import Sequence
from math import exp, sqrt
from typing import Final

from pydantic import PositiveFloat

from streamrec.models._neighbours import (
    Match,
    NeighbourConfig,
    NeighbourModel,
    click_weights,
    matches,
    nearest,
)
from streamrec.session_index import SessionIndex

__all__ = ["STAN", "STANConfig"]

_DAY_MS: Final = 86_400_000


class STANConfig(NeighbourConfig, frozen=True):
    """Hyperparameters."""

    lambda_spw: PositiveFloat = 1.81
    """Clicks after which a click of the session at hand counts 1/e in the similarity."""
    lambda_snh: PositiveFloat = 40.0
    """Days after which a neighbour counts 1/e."""
    lambda_inh: PositiveFloat = 3.62
    """Clicks away from the latest shared item at which an item of a neighbour counts 1/e."""


class STAN(NeighbourModel[STANConfig]):
    """A session model; a contracts.SessionModel."""

    Config = STANConfig

    def votes(self, index: SessionIndex, clicks: Sequence[str], own: str) -> dict[str, float]:
        """Scores of the items of the neighbours; see NeighbourModel.votes."""
        config = self.config
        weights = click_weights(clicks, lambda steps, _length: exp(-steps / config.lambda_spw))
        found = self._aged(matches(index, weights, config.sample_size, own))
        scores: dict[str, float] = {}
        for similarity, session, latest in nearest(found, config.k):
            places = {item: place for place, item in enumerate(session.items)}
            centre = places[latest]
            for item, place in places.items():
                share = similarity * exp(-abs(place - centre) / config.lambda_inh)
                scores[item] = scores.get(item, 0.0) + share
        return scores

    def _aged(self, found: list[Match]) -> list[Match]:
        """The same sessions, those of long ago and long ones less similar."""
        youngest_ms = max((session.time_ms for _, session, _ in found), default=0)
        scale_ms = self.config.lambda_snh * _DAY_MS
        return [
            (
                weight / sqrt(len(session.items)) * exp((session.time_ms - youngest_ms) / scale_ms),
                session,
                item,
            )
            for weight, session, item in found
        ]
