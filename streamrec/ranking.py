"""Lists for visitors: a pure function of their rows, the items, the models and the catalogue.

In: visitor rows between two ticks, with the partition's boards as of the tick. Out: one Recommendation
for each, in the same order. Nothing depends on who else is in the batch.

In two steps, because lists of another version want the same first one: `others_proposals` asks the
boards, `lists` asks the session model and blends.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamrec.blend import Blend, Place
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.config import ScoringSettings, Settings
from streamrec.contracts import ScoreModel
from streamrec.events import Recommendation, RecommendedItem, recommendation_id
from streamrec.item_board import ItemBoard
from streamrec.state.rows import VisitorRow

__all__ = [
    "CATALOGUE",
    "GRU4REC",
    "ONLINE_MF",
    "POPULARITY",
    "Proposals",
    "blend_of",
    "lists",
    "others_proposals",
    "proposals",
    "recommend",
]

GRU4REC: Final = "gru4rec"
ONLINE_MF: Final = "online_mf"
POPULARITY: Final = "popularity"
"""Decayed: what models/decayed_popularity.py is offline, not models/popularity.py."""
CATALOGUE: Final = "catalogue"
"""Named as the source of what fills a list that no source could."""

_REASONS: Final = {
    ONLINE_MF: "visitors like you chose it",
    POPULARITY: "popular now",
    CATALOGUE: "from the catalogue",
    **dict.fromkeys(("vs_knn", "stan", "vmis_knn"), "viewed in sessions like yours"),
}
# These name what was viewed last.
_REASONS_WITH_ITEM: Final = {
    GRU4REC: "because you viewed {}",
    "item_knn": "visitors who viewed {} also viewed it",
    "markov": "often viewed after {}",
}
# Proposals asked for beyond those needed, so that leaving some out seldom means asking again.
_SPARE: Final = 10

Proposals: TypeAlias = Sequence[Mapping[str, Sequence[str]]]
"""One for each visitor: source -> item ids, best first."""

_NONE: Final[frozenset[str]] = frozenset()
_NO_INDICES: Final = np.empty(0, dtype=np.int64)


def recommend(
    visitors: Sequence[tuple[str, VisitorRow]],
    boards: Boards,
    models: Callable[[str], ScoreModel | None],
    catalogue: Catalogue,
    settings: Settings,
    *,
    partition: int,
    now_ms: int,
) -> list[Recommendation]:
    """A list for each visitor.

    visitors: ids and rows, all of the boards' tick. models: model version -> the model, loaded;
    a row whose version gives None goes without GRU4Rec. partition: where the rows come from.
    now_ms: time of emission.
    """
    proposals = others_proposals(visitors, boards, catalogue, settings)
    return lists(visitors, proposals, models, catalogue, settings, partition=partition, now_ms=now_ms)


def others_proposals(
    visitors: Sequence[tuple[str, VisitorRow]], boards: Boards, catalogue: Catalogue, settings: Settings
) -> Proposals:
    """For each visitor, what every source but the session model proposes as of the boards' tick."""
    blend, rows = blend_of(settings.scoring), [row for _, row in visitors]
    excluded = _excluded(rows, settings)
    by_source = {
        ONLINE_MF: _by_factors(blend, rows, excluded, boards.items, catalogue.unavailable),
        POPULARITY: _by_count(blend, excluded, boards.items, catalogue.unavailable),
    }
    for source in boards.sessions.sources:
        by_source[source] = [
            boards.sessions.best(source, row.items, blend.depth, catalogue.unavailable, left_out)
            for row, left_out in zip(rows, excluded, strict=True)
        ]
    return [{source: each[i] for source, each in by_source.items()} for i in range(len(rows))]


def proposals(
    visitors: Sequence[tuple[str, VisitorRow]],
    boards: Boards,
    models: Callable[[str], ScoreModel | None],
    catalogue: Catalogue,
    settings: Settings,
) -> Proposals:
    """For each visitor, what every source proposes, as deep as the blend looks. See `recommend`."""
    blend, rows = blend_of(settings.scoring), [row for _, row in visitors]
    others = others_proposals(visitors, boards, catalogue, settings)
    by_model = _by_model(blend, rows, _excluded(rows, settings), models, catalogue.unavailable, settings)
    return [{**each, GRU4REC: own} for each, own in zip(others, by_model, strict=True)]


def lists(
    visitors: Sequence[tuple[str, VisitorRow]],
    others: Proposals,
    models: Callable[[str], ScoreModel | None],
    catalogue: Catalogue,
    settings: Settings,
    *,
    partition: int,
    now_ms: int,
) -> list[Recommendation]:
    """A list for each visitor: the version that the row names, and the others' proposals. See `recommend`."""
    blend, rows = blend_of(settings.scoring), [row for _, row in visitors]
    excluded = _excluded(rows, settings)
    by_model = _by_model(blend, rows, excluded, models, catalogue.unavailable, settings)
    topic = settings.kafka.topic("interactions")
    recommendations = []
    for i, (visitor_id, row) in enumerate(visitors):
        proposed = {**others[i], GRU4REC: by_model[i]}
        by_source = {source: proposed[source] for source in blend.sources}
        places = blend.fuse(by_source)
        if len(places) < blend.k:
            without = excluded[i].union(place.item_id for place in places)
            places += _fill(blend.k - len(places), models(row.model_version), catalogue, without)
        recommendations.append(
            Recommendation(
                rec_id=recommendation_id(topic, partition, row.offset),
                visitor_id=visitor_id,
                session_id=row.session_id,
                event_id=row.event_id,
                items=[_recommended(place, row, catalogue) for place in places],
                model=GRU4REC,
                release=row.model_version,
                event_time=row.event_time,
                emit_time=now_ms,
                input_partition=partition,
                input_offset=row.offset,
                candidates=_trace(by_source, blend.k) if settings.scoring.trace else None,
            )
        )
    return recommendations


def blend_of(scoring: ScoringSettings) -> Blend:
    """How lists are blended under these settings."""
    return Blend(scoring.weights, scoring.k, scoring.min_share, scoring.rank_constant)


def _excluded(rows: Sequence[VisitorRow], settings: Settings) -> list[frozenset[str]]:
    return [frozenset(row.items) if settings.scoring.exclude_session_items else _NONE for row in rows]


def _by_model(
    blend: Blend,
    rows: Sequence[VisitorRow],
    excluded: Sequence[AbstractSet[str]],
    models: Callable[[str], ScoreModel | None],
    unavailable: AbstractSet[str],
    settings: Settings,
) -> list[list[str]]:
    """GRU4Rec's proposals for each row; none for a session of which it knows no item."""
    proposals: list[list[str]] = [[] for _ in rows]
    if GRU4REC not in blend.sources:
        return proposals
    asking: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        if row.hidden:
            asking.setdefault(row.model_version, []).append(i)
    # Asked for as much as every row could need, so that a list does not depend on who else is in the batch.
    most_excluded = settings.state.session_items if settings.scoring.exclude_session_items else 0
    for version, places in asking.items():
        model = models(version)
        if model is None:
            continue
        n = blend.depth + (_SPARE if unavailable or most_excluded else 0)
        found = _best_of(model, [rows[i] for i in places], n, _NO_INDICES)
        short = []
        for i, ids in zip(places, found, strict=True):
            proposals[i] = _without(ids, unavailable, excluded[i])[: blend.depth]
            if len(proposals[i]) < blend.k and n < len(model.items):
                short.append(i)
        if short:
            gone = np.flatnonzero([item_id in unavailable for item_id in model.items])
            found = _best_of(model, [rows[i] for i in short], blend.depth + most_excluded, gone)
            for i, ids in zip(short, found, strict=True):
                proposals[i] = _without(ids, _NONE, excluded[i])[: blend.depth]
    return proposals


def _best_of(
    model: ScoreModel, rows: Sequence[VisitorRow], n: int, excluded: NDArray[np.int64]
) -> Iterator[list[str]]:
    hidden = np.frombuffer(b"".join([row.hidden for row in rows]), dtype="<f4")
    indices, _ = model.top(hidden.reshape(len(rows), -1), n, excluded)
    return (list(map(model.items.__getitem__, row)) for row in indices.tolist())


def _by_factors(
    blend: Blend,
    rows: Sequence[VisitorRow],
    excluded: Sequence[AbstractSet[str]],
    board: ItemBoard,
    unavailable: AbstractSet[str],
) -> list[list[str]]:
    """Online CF's proposals for each row; none for a visitor without factors."""
    proposals: list[list[str]] = [[] for _ in rows]
    if ONLINE_MF not in blend.sources:
        return proposals
    places = [i for i, row in enumerate(rows) if row.factors.vector]
    scores = board.suiting([rows[i].factors for i in places])
    for i, row_scores in zip(places, scores, strict=True):
        proposals[i] = board.best(row_scores, blend.depth, unavailable, excluded[i])
    return proposals


def _by_count(
    blend: Blend, excluded: Sequence[AbstractSet[str]], board: ItemBoard, unavailable: AbstractSet[str]
) -> list[list[str]]:
    """The popular items, for each row without what is left out of its list."""
    if POPULARITY not in blend.sources:
        return [[] for _ in excluded]
    return [board.popular(blend.depth, unavailable, left_out) for left_out in excluded]


def _without(ids: list[str], unavailable: AbstractSet[str], excluded: AbstractSet[str]) -> list[str]:
    if not unavailable and not excluded:
        return ids
    return [item_id for item_id in ids if item_id not in unavailable and item_id not in excluded]


def _fill(n: int, model: ScoreModel | None, catalogue: Catalogue, without: AbstractSet[str]) -> list[Place]:
    """n more items, or as many as there are: the model's vocabulary, then the items topic by id."""
    chosen: dict[str, None] = {}
    for item_id in _all_items(model, catalogue):
        if len(chosen) == n:
            break
        if item_id not in without and item_id not in catalogue.unavailable:
            chosen[item_id] = None
    return [Place(item_id, 0.0, [CATALOGUE]) for item_id in chosen]


def _all_items(model: ScoreModel | None, catalogue: Catalogue) -> Iterator[str]:
    if model is not None:
        yield from model.items
    yield from sorted(catalogue.items)


def _recommended(place: Place, row: VisitorRow, catalogue: Catalogue) -> RecommendedItem:
    lead = place.sources[0]
    if lead in _REASONS_WITH_ITEM:
        viewed = row.items[-1]
        item = catalogue.items.get(viewed)
        reason = _REASONS_WITH_ITEM[lead].format((item and item.title) or viewed)
    else:
        reason = _REASONS[lead]
    return RecommendedItem(place.item_id, place.score, place.sources, reason)


def _trace(lists: Mapping[str, Sequence[str]], k: int) -> dict[str, list[str]]:
    return {source: list(proposals[:k]) for source, proposals in lists.items()}
