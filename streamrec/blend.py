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
from operator import itemgetter
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
        points = [
            (source, dict(zip(lists.get(source, ()), self._points[source], strict=False)))
            for source in self.sources
        ]
        scores: dict[str, float] = {}
        for _, proposals in points:
            for item_id, gained in proposals.items():
                scores[item_id] = scores.get(item_id, 0.0) + gained
        ranked = sorted([(-score, item_id) for item_id, score in scores.items()])[: self.k]
        leads = {item_id: _proposers(item_id, points)[0] for _, item_id in ranked}
        self._guarantee(leads, lists)
        places = []
        for score, item_id in sorted([(-scores[item_id], item_id) for item_id in leads]):
            others = [source for source in _proposers(item_id, points) if source != leads[item_id]]
            places.append(Place(item_id, -score, [leads[item_id], *others]))
        return places

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


def _proposers(item_id: str, points: Sequence[tuple[str, Mapping[str, float]]]) -> list[str]:
    """The sources that propose an item, those that give it most points first."""
    found = [(gained[item_id], source) for source, gained in points if item_id in gained]
    if len(found) > 1:
        found.sort(key=itemgetter(0), reverse=True)  # equals keep the order of the sources
    return [source for _, source in found]
