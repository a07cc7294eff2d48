"""Lists for visitors: a pure function of their rows, the items, the models and the catalogue.

In: visitor rows between two ticks, with the partition's boards as of the tick. Out: one Recommendation
for each, in the same order. Nothing depends on who else is in the batch.

In two steps, because lists of another version want the same first one: `others_proposals` asks the
boards, `lists` asks the session model and blends.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamrec.blend import Blend, Blended
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.config import ScoringSettings, Settings
from streamrec.contracts import ScoreModel
from streamrec.events import Recommendation, RecommendedItem, recommendation_id
from streamrec.item_board import ItemBoard
from streamrec.proposals import Proposals, of_lists
from streamrec.reasons import reason
from streamrec.state.rows import VisitorRow

__all__ = [
    "CATALOGUE",
    "GRU4REC",
    "ONLINE_MF",
    "POPULARITY",
    "BySource",
    "blend_of",
    "lists",
    "others_proposals",
    "proposals",
    "recommend",
    "to_some",
]

GRU4REC: Final = "gru4rec"
ONLINE_MF: Final = "online_mf"
POPULARITY: Final = "popularity"
"""Decayed: what models/decayed_popularity.py is offline, not models/popularity.py."""
CATALOGUE: Final = "catalogue"
"""Named as the source of what fills a list that no source could."""

# Proposals asked for beyond those needed, so that leaving some out seldom means asking again.
_SPARE: Final = 10

BySource: TypeAlias = Mapping[str, Proposals]
"""What each source proposes to the visitors of a batch."""

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
) -> BySource:
    """What every source but the session model proposes as of the boards' tick."""
    blend, rows = blend_of(settings.scoring), [row for _, row in visitors]
    excluded, unavailable = _excluded(rows, settings), catalogue.unavailable
    by_source = {}
    if ONLINE_MF in blend.sources:
        by_source[ONLINE_MF] = _by_factors(blend, rows, excluded, boards.items, unavailable)
    if POPULARITY in blend.sources:
        by_source[POPULARITY] = boards.items.popular(blend.depth, unavailable, excluded)
    for source in boards.sessions.sources:
        by_source[source] = of_lists(
            [
                boards.sessions.best(source, row.items, blend.depth, unavailable, left_out)
                for row, left_out in zip(rows, excluded, strict=True)
            ]
        )
    for source, recommender in boards.recommenders.items():
        by_source[source] = recommender.proposals(visitors, blend.depth, catalogue, excluded)
    return by_source


def to_some(others: BySource, visitors: Sequence[int]) -> BySource:
    """What is proposed to some of the visitors, by their places in the batch."""
    return {source: each.of(visitors) for source, each in others.items()}


def proposals(
    visitors: Sequence[tuple[str, VisitorRow]],
    boards: Boards,
    models: Callable[[str], ScoreModel | None],
    catalogue: Catalogue,
    settings: Settings,
) -> list[dict[str, list[str]]]:
    """For each visitor, the items that every source proposes, as deep as the blend looks. See `recommend`."""
    blend, rows = blend_of(settings.scoring), [row for _, row in visitors]
    others = others_proposals(visitors, boards, catalogue, settings)
    found: list[dict[str, list[str]]] = [{} for _ in rows]
    for model, places in _by_model(blend, rows, models):
        by_source = _with_model(
            model, [rows[i] for i in places], to_some(others, places), catalogue, settings
        )
        for place, of_batch in enumerate(places):
            found[of_batch] = _named(blend, by_source, place, blend.depth)
    return found


def lists(
    visitors: Sequence[tuple[str, VisitorRow]],
    others: BySource,
    models: Callable[[str], ScoreModel | None],
    catalogue: Catalogue,
    settings: Settings,
    *,
    partition: int,
    now_ms: int,
) -> list[Recommendation]:
    """A list for each visitor: the version that the row names, and the others' proposals. See `recommend`."""
    blend, rows = blend_of(settings.scoring), [row for _, row in visitors]
    topic = settings.kafka.topic("interactions")
    made: dict[int, Recommendation] = {}
    for model, places in _by_model(blend, rows, models):
        theirs = others if len(places) == len(rows) else to_some(others, places)
        by_source = _with_model(model, [rows[i] for i in places], theirs, catalogue, settings)
        for place, (i, blended) in enumerate(zip(places, blend.fuse(by_source), strict=True)):
            visitor_id, row = visitors[i]
            if len(blended.item_ids) < blend.k:
                blended = _filled(blended, blend.k, row, models(row.model_version), catalogue, settings)
            made[i] = Recommendation(
                rec_id=recommendation_id(topic, partition, row.offset),
                visitor_id=visitor_id,
                session_id=row.session_id,
                event_id=row.event_id,
                items=_with_reasons(blended, row, catalogue),
                model=GRU4REC,
                release=row.model_version,
                event_time=row.event_time,
                emit_time=now_ms,
                input_partition=partition,
                input_offset=row.offset,
                candidates=_named(blend, by_source, place, blend.k) if settings.scoring.trace else None,
            )
    return [made[i] for i in range(len(rows))]


def blend_of(scoring: ScoringSettings) -> Blend:
    """How lists are blended under these settings."""
    return _blend(
        tuple(sorted(scoring.source_weights.items())), scoring.k, scoring.min_share, scoring.rank_constant
    )


@lru_cache(maxsize=16)
def _blend(weights: tuple[tuple[str, float], ...], k: int, min_share: float, rank_constant: float) -> Blend:
    return Blend(dict(weights), k, min_share, rank_constant)


def _excluded(rows: Sequence[VisitorRow], settings: Settings) -> list[frozenset[str]]:
    return [frozenset(row.items) if settings.scoring.exclude_session_items else _NONE for row in rows]


def _by_model(
    blend: Blend, rows: Sequence[VisitorRow], models: Callable[[str], ScoreModel | None]
) -> list[tuple[ScoreModel | None, list[int]]]:
    """The places of the rows by the model that serves them; None for a session of which it knows no item."""
    asking: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        asking.setdefault(row.model_version if row.hidden and GRU4REC in blend.sources else "", []).append(i)
    return [(models(version) if version else None, places) for version, places in asking.items()]


def _with_model(
    model: ScoreModel | None,
    rows: Sequence[VisitorRow],
    others: BySource,
    catalogue: Catalogue,
    settings: Settings,
) -> BySource:
    """What all sources propose to visitors whom the same model serves."""
    if model is None:
        return others
    blend, unavailable, excluded = (
        blend_of(settings.scoring),
        catalogue.unavailable,
        _excluded(rows, settings),
    )
    # Asked for as much as every row could need, so that a list does not depend on who else is in the batch.
    most_excluded = settings.state.session_items if settings.scoring.exclude_session_items else 0
    if not unavailable and not most_excluded:
        return {**others, GRU4REC: _best_of(model, rows, blend.depth, _NO_INDICES)}
    found = _best_of(model, rows, blend.depth + _SPARE, _NO_INDICES)
    found = found.without(unavailable, excluded).first(blend.depth)
    short = np.flatnonzero(found.lengths() < blend.k)
    if short.size and blend.depth + _SPARE < len(model.items):
        gone = catalogue.places_unavailable(model.items)
        left = [rows[i] for i in short.tolist()]
        again = _best_of(model, left, blend.depth + most_excluded, gone)
        again = again.without(_NONE, [excluded[i] for i in short.tolist()])
        found = found.replaced(short, again.first(blend.depth))
    return {**others, GRU4REC: found}


def _best_of(model: ScoreModel, rows: Sequence[VisitorRow], n: int, excluded: NDArray[np.int64]) -> Proposals:
    hidden = np.frombuffer(b"".join([row.hidden for row in rows]), dtype="<f4")
    indices, _ = model.top(hidden.reshape(len(rows), -1), n, excluded)
    return Proposals(model.item_keys[indices], indices, model.items)


def _by_factors(
    blend: Blend,
    rows: Sequence[VisitorRow],
    excluded: Sequence[AbstractSet[str]],
    board: ItemBoard,
    unavailable: AbstractSet[str],
) -> Proposals:
    """Online CF's proposals for each row; none for a visitor without factors."""
    places = [i for i, row in enumerate(rows) if row.factors.vector]
    found = board.best(
        [rows[i].factors for i in places], blend.depth, unavailable, [excluded[i] for i in places]
    )
    return found if len(places) == len(rows) else found.spread(places, len(rows))


def _named(blend: Blend, by_source: BySource, place: int, n: int) -> dict[str, list[str]]:
    return {
        source: by_source[source].first(n).names(place) if source in by_source else []
        for source in blend.sources
    }


def _filled(
    blended: Blended,
    k: int,
    row: VisitorRow,
    model: ScoreModel | None,
    catalogue: Catalogue,
    settings: Settings,
) -> Blended:
    """A list that the sources left short, with more items, or as many as there are: the model's vocabulary,
    then the items topic by id.
    """
    (excluded,) = _excluded([row], settings)
    without = {*blended.item_ids, *excluded}
    chosen: dict[str, None] = {}
    for item_id in _all_items(model, catalogue):
        if len(blended.item_ids) + len(chosen) == k:
            break
        if item_id not in without and item_id not in catalogue.unavailable:
            chosen[item_id] = None
    n = len(chosen)
    return Blended(
        blended.item_ids + list(chosen), blended.scores + n * [0.0], blended.sources + n * [[CATALOGUE]]
    )


def _all_items(model: ScoreModel | None, catalogue: Catalogue) -> Iterator[str]:
    if model is not None:
        yield from model.items
    yield from sorted(catalogue.items)


def _with_reasons(blended: Blended, row: VisitorRow, catalogue: Catalogue) -> list[RecommendedItem]:
    viewed = row.items[-1]
    item = catalogue.items.get(viewed)
    name = (item and item.title) or viewed
    reason_of = {lead: reason(lead, name) for lead in {sources[0] for sources in blended.sources}}
    reasons = [reason_of[sources[0]] for sources in blended.sources]
    return list(map(RecommendedItem, blended.item_ids, blended.scores, blended.sources, reasons))
