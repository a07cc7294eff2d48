"""One list out of several: weighted reciprocal ranks, with a guaranteed share for each source.

In: each source's own proposals, best first, to the visitors of a batch. Out: for each visitor the k best
items of all, each with its score and the sources that proposed it.

An item's score is the sum over the sources of weight / (c + rank), rank from 1. Ranks can be
compared where scores cannot, and need no knowledge of how a model's scores are spread.
Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion", SIGIR 2009.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.proposals import Proposals

__all__ = ["Blend", "Blended"]

_Numbers = NDArray[np.float64]
_Columns = NDArray[np.int64]


class Blended(NamedTuple):
    """A visitor's list, best first, in columns of the same length."""

    item_ids: list[str]
    scores: list[float]
    sources: list[list[str]]
    """All that proposed the item: first the one that contributed most or has the place as its share, then
    the others by weight. Places share these lists: not to be changed."""


class Blend:
    """How lists are fused.

    weights: weight of each source; one of weight 0 is left out. min_share: fraction of the k
    positions, rounded up, that a source with enough proposals gets whatever its weight.
    rank_constant: c; the larger, the less the first ranks stand out. depth: how many proposals of
    each source are looked at.
    """

    def __init__(self, weights: Mapping[Any, float], k: int, min_share: float, rank_constant: float) -> None:
        self.k = k
        self.sources = sorted((name for name in weights if weights[name] > 0), key=lambda s: (-weights[s], s))
        # Of 2k proposals at least k stay when another source's k are taken away.
        self.depth = 2 * k
        self.quota = math.ceil(round(min_share * k, 9))
        """Places of each source at least."""
        # Column n · depth + r - 1 is rank r of source n.
        of_source = [weights[name] / (rank_constant + np.arange(1, self.depth + 1)) for name in self.sources]
        self.column_points: _Numbers = np.concatenate([np.empty(0), *of_source])
        self.column_source: _Columns = np.repeat(np.arange(len(self.sources)), self.depth)
        self.by_points: _Columns = np.argsort(-self.column_points, kind="stable")
        """The columns, those of most points first; of equals the heavier source's."""
        self.turns: _Columns = np.argsort(self.by_points)
        """The place of each column in `by_points`."""
        self.names = _Names(self.sources)

    def points(self, source: str, rank: int) -> float:
        """What a source adds to the score of its item at a rank, from 1; 0 beyond the depth."""
        if rank > self.depth:
            return 0.0
        return float(self.column_points[self.sources.index(source) * self.depth + rank - 1])

    def fuse(self, proposals: Mapping[str, Proposals]) -> list[Blended]:
        """For each visitor the k best items, or as many as there are.

        proposals: by source, a row for each visitor with no item twice; sources that are missing propose
        nothing, and what is beyond the depth does not count. Equal scores stand in the order of the
        sources' weights, then of their names.
        """
        return _Fusion(self, proposals).lists() if proposals else []

    def columns(self, source: int, depth: int | None = None) -> slice:
        """The columns of a source, by its number: of all its ranks, or of the first so many."""
        first = source * self.depth
        return slice(first, first + (self.depth if depth is None else depth))


class _Names(dict[int, list[str]]):
    """Names of sources by a number: the leading one, shifted by how many there are, and a bit for each.

    The leading one first, then the others in their order.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        super().__init__()
        self._sources = sources

    def __missing__(self, code: int) -> list[str]:
        lead = code >> len(self._sources)
        others = [n for n in range(len(self._sources)) if code >> n & 1 and n != lead]
        names = self[code] = [self._sources[n] for n in (lead, *others)]
        return names


class _Fusion:
    """One batch: a row for each of B visitors, a column for each rank of each source, C in all."""

    def __init__(self, blend: Blend, proposals: Mapping[str, Proposals]) -> None:
        self._blend = blend
        n_rows, n_columns = len(next(iter(proposals.values())).keys), len(blend.column_source)
        self._rows = np.arange(n_rows)[:, None]
        self._keys = np.zeros((n_rows, n_columns), np.uint64)
        self._places = np.zeros((n_rows, n_columns), np.int64)
        for source, name in enumerate(blend.sources):
            if name in proposals:
                keys, places = (
                    proposals[name].keys[:, : blend.depth],
                    proposals[name].places[:, : blend.depth],
                )
                columns = blend.columns(source, keys.shape[1])
                self._keys[:, columns], self._places[:, columns] = keys, places
        self._ids = [proposals[name].ids if name in proposals else () for name in blend.sources]
        self._scores = np.where(self._keys != 0, blend.column_points, -math.inf)
        self._lead = np.tile(blend.column_source, (n_rows, 1))
        self._proposers = np.int64(1) << self._lead
        # Where the item of a column counts: with the heaviest source that proposes it.
        self._counts_at = np.tile(np.arange(n_columns), (n_rows, 1))
        self._unite()

    def _unite(self) -> None:
        """Give an item that several sources propose the points of all, in the heaviest source's column."""
        points, source = self._blend.column_points, self._blend.column_source
        order = np.argsort(self._keys, axis=1, kind="stable")
        keys = np.take_along_axis(self._keys, order, axis=1)
        # The columns of an item stand side by side now, the heaviest source's first.
        first = keys != 0
        first[:, 1:] &= keys[:, 1:] != keys[:, :-1]
        most = np.tile(points, (len(keys), 1))
        for apart in range(1, len(self._blend.sources)):
            again = first[:, :-apart] & (keys[:, apart:] == keys[:, :-apart])
            rows, places = np.divmod(np.flatnonzero(again), again.shape[1])
            if not rows.size:
                break
            one, other = order[rows, places], order[rows, places + apart]
            self._scores[rows, one] += points[other]
            self._scores[rows, other] = -math.inf
            self._counts_at[rows, other] = one
            self._proposers[rows, one] |= 1 << source[other]
            leads = points[other] > most[rows, one]
            rows, one, other = rows[leads], one[leads], other[leads]
            most[rows, one] = points[other]
            self._lead[rows, one] = source[other]

    def lists(self) -> list[Blended]:
        """The list of each visitor."""
        best = self._best()
        if self._blend.quota:
            best = self._in_order(self._shared_out(best))
        scores = self._scores[self._rows, best]
        codes = self._lead[self._rows, best] << len(self._ids) | self._proposers[self._rows, best]
        rows = zip(
            np.count_nonzero(scores > -math.inf, axis=1).tolist(),
            scores.tolist(),
            self._blend.column_source[best].tolist(),
            self._places[self._rows, best].tolist(),
            codes.tolist(),
            strict=True,
        )
        ids, names = self._ids, self._blend.names
        return [
            Blended(
                [ids[source][place] for source, place in zip(sources[:n], places, strict=False)],
                of_row[:n],
                [names[code] for code in row_codes[:n]],
            )
            for n, of_row, sources, places, row_codes in rows
        ]

    def _best(self) -> _Columns:
        """Columns of the k best items, (B, k), best first; behind the last item any."""
        by_points = self._blend.by_points
        # But for the few that were united this is in order, which the sort makes use of.
        order = np.argsort(-self._scores[:, by_points], axis=1, kind="stable")
        best: _Columns = by_points[order[:, : self._blend.k]]
        return best

    def _in_order(self, best: _Columns) -> _Columns:
        order = np.lexsort((self._blend.turns[best], -self._scores[self._rows, best]), axis=1)
        return np.take_along_axis(best, order, axis=1)

    def _shared_out(self, best: _Columns) -> _Columns:
        """The columns with each source's share among them, in any order.

        The best proposals of those who have less replace the last places of those who have more.
        """
        shares = _Shares(best, self._scores, self._lead, len(self._blend.sources), self._blend.quota)
        own = [self._blend.columns(source) for source in range(len(self._blend.sources))]
        # What is taken from one may be another's due: until nobody is given anything.
        while any(
            shares.give(source, self._counts_at[:, columns], self._keys[:, columns] != 0)
            for source, columns in enumerate(own)
        ):
            pass
        return shares.best


class _Shares:
    """Places of lists, taken and given; a row for each visitor, a source is its number."""

    def __init__(self, best: _Columns, scores: _Numbers, lead: _Columns, n_sources: int, quota: int) -> None:
        rows = np.arange(len(best))[:, None]
        self.best = best.copy()
        """(B, k): columns of what has a place."""
        self._lead = lead
        self._quota = quota
        self._listed = np.zeros(lead.shape, bool)
        self._listed[rows, best] = scores[rows, best] > -math.inf
        # Places without an item are of one source more, who never has more than its share.
        self._holders = np.where(self._listed[rows, best], lead[rows, best], n_sources)
        self._held = (self._holders[:, :, None] == np.arange(n_sources + 1)).sum(axis=1)
        self._held[:, n_sources] = 0

    def give(self, source: int, columns: _Columns, there: NDArray[np.bool_]) -> bool:
        """Give the source a place more in every row where it has too few, and can have one; whether one did.

        columns: where each of its proposals counts, (B, depth); there: whether there is one.
        """
        rows = np.flatnonzero(self._held[:, source] < self._quota)
        if not rows.size:
            return False
        columns = columns[rows]
        free = there[rows] & ~self._listed[rows[:, None], columns]
        spare = self._held[rows[:, None], self._holders[rows]] > self._quota
        can = free.any(axis=1) & spare.any(axis=1)
        if not can.any():
            return False
        rows, columns, free, spare = rows[can], columns[can], free[can], spare[can]
        new = columns[np.arange(len(rows)), free.argmax(axis=1)]
        last = spare.shape[1] - 1 - spare[:, ::-1].argmax(axis=1)
        self._listed[rows, self.best[rows, last]] = False
        self._listed[rows, new] = True
        self._held[rows, self._holders[rows, last]] -= 1
        self._held[rows, source] += 1
        self._holders[rows, last] = source
        self.best[rows, last] = new
        self._lead[rows, new] = source
        return True
