"""One list out of several: weighted reciprocal ranks, with a guaranteed share for each source.

In: each source's own list of item ids, best first. Out: the k best items of all, each with
its score and the sources that proposed it.

An item's score is the sum over the sources of weight / (c + rank), rank from 1. Ranks can be
compared where scores cannot, and need no knowledge of how a model's scores are spread.
Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion", SIGIR 2009.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Blend", "Place"]


class Place(NamedTuple):
    """An item in the blended list."""

    item_id: str
    score: float
    sources: list[str]
    """All that proposed it; the first one contributed most or has the place as its share."""


class Blend:
    """How lists are fused.

    weights: weight of each source; one of weight 0 is left out. min_share: fraction of the k
    positions, rounded up, that a source with enough proposals gets whatever its weight.
    rank_constant: c; the larger, the less the first ranks stand out. depth: how many proposals of
    each source are asked for.
    """

    def __init__(self, weights: Mapping[Any, float], k: int, min_share: float, rank_constant: float) -> None:
        self.k = k
        self.sources = sorted((name for name in weights if weights[name] > 0), key=lambda s: (-weights[s], s))
        # Of 2k proposals at least k stay when another source's k are taken away.
        self.depth = 2 * k
        self._quota = math.ceil(round(min_share * k, 9))
        self._points = {
            name: [weights[name] / (rank_constant + rank) for rank in range(1, self.depth + 1)]
            for name in self.sources
        }

    def points(self, source: str, rank: int) -> float:
        """What a source adds to the score of its item at a rank, from 1; 0 beyond the depth."""
        return self._points[source][rank - 1] if rank <= self.depth else 0.0

    def fuse(self, lists: Mapping[str, Sequence[str]]) -> list[Place]:
        """The k best items of the lists, or as many as there are; ties by item id.

        lists: by source, best first, no item twice in a list; missing ones count as empty.
        """
        gains = [
            (source, dict(zip(lists.get(source, ()), self._points[source], strict=False)))
            for source in self.sources
        ]
        scores: dict[str, float] = {}
        for _, gained in gains:
            twice = {item_id: scores[item_id] + gained[item_id] for item_id in scores.keys() & gained.keys()}
            scores |= gained
            scores |= twice
        ranked = self._best(scores, gains)
        proposers = {item_id: _proposers(item_id, gains) for _, item_id in ranked}
        leads = {item_id: sources[0] for item_id, sources in proposers.items()}
        self._guarantee(leads, lists)
        if leads.keys() != proposers.keys():
            ranked = sorted([(-scores[item_id], item_id) for item_id in leads])
        places = []
        for score, item_id in ranked:
            sources, lead = proposers.get(item_id) or _proposers(item_id, gains), leads[item_id]
            if sources[0] != lead:
                sources = [lead, *(source for source in sources if source != lead)]
            places.append(Place(item_id, -score, sources))
        return places

    def _best(
        self, scores: Mapping[str, float], gains: Sequence[tuple[str, Mapping[str, float]]]
    ) -> list[tuple[float, str]]:
        """The k items of the highest scores, best first, each behind its negative score."""
        # A source that proposes k items gives each of them at least so many points.
        least = max(
            (self._points[name][self.k - 1] for name, gained in gains if len(gained) >= self.k), default=0.0
        )
        return sorted([(-score, item_id) for item_id, score in scores.items() if score >= least])[: self.k]

    def _guarantee(self, leads: dict[str, str], lists: Mapping[str, Sequence[str]]) -> None:
        """Give each source its share: its best proposals replace the last of those above theirs.

        leads: source by item, best item first; changed in place.
        """
        held = Counter(leads.values())
        while True:
            for source in self.sources:
                if held[source] >= self._quota:
                    continue
                best = next((item_id for item_id in lists.get(source, ()) if item_id not in leads), None)
                last = next(
                    (item_id for item_id in reversed(leads) if held[leads[item_id]] > self._quota), None
                )
                if best is not None and last is not None:
                    held[leads.pop(last)] -= 1
                    held[source] += 1
                    leads[best] = source
                    break  # what was taken out may be another source's due
            else:
                return


def _proposers(item_id: str, gains: Sequence[tuple[str, Mapping[str, float]]]) -> list[str]:
    """The sources that propose an item, those that give it most points first."""
    found = [source for source, gained in gains if item_id in gained]
    if len(found) > 1:
        of = {source: gained[item_id] for source, gained in gains if item_id in gained}
        found.sort(key=of.__getitem__, reverse=True)  # equals keep the order of the sources
    return found
