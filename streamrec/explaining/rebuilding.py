"""The list of one interaction, made again from the partition's records, with what each source says of it.

In: the records up to the interaction. Out: the visitor's row, the list, and rank, score and points of each
place in each source; or why there is no list.

Only one version of the session model is needed, the one that the list names. What other visitors do does
not go through it; and where the visitor's own row is from another version, the hidden state is made anew
from the session's items, whichever version that was.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import Final, NamedTuple

import msgspec
import numpy as np

from streamrec.advance import InputRecord
from streamrec.backtest.partition import Models, PartitionRun
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.challengers import challenged, load_challenger
from streamrec.config import Settings
from streamrec.errors import RecordError
from streamrec.events import Recommendation, decode_interaction
from streamrec.interleaving import CHALLENGER
from streamrec.list_requests import Visitor
from streamrec.ranking import (
    GRU4REC,
    ONLINE_MF,
    POPULARITY,
    blend_of,
    lists,
    others_proposals,
    proposals,
)
from streamrec.registry import Registry
from streamrec.state.rows import VisitorRow

__all__ = ["NoList", "Rebuilt", "Voice", "rebuild"]

_REASONS: Final = 3
"""Told of each recommender that proposes an item."""


class Voice(msgspec.Struct, frozen=True):
    """What one source says of an item."""

    rank: int | None
    """In the source's own list, from 1; None if it is not among those that the blend looks at."""
    score: float | None
    """GRU4Rec's logit, the product of online CF, the decayed count of popularity, the own one of a session
    source or a recommender; None if the source cannot score the item."""
    points: float
    """What the rank adds to the item's score in the blend."""
    because: list[str] = []
    """What speaks for the item, weightiest first, in the eyes of a recommender that proposes it."""


class Rebuilt(NamedTuple):
    """The list, and what it was made from."""

    row: VisitorRow
    made: Recommendation
    voices: list[dict[str, Voice]]
    """By source, for each place of the list."""


class NoList(NamedTuple):
    """Why the interaction has no list."""

    why: str


def rebuild(
    settings: Settings,
    partition: int,
    records: Iterable[InputRecord],
    wanted: InputRecord,
    version_of: Callable[[InputRecord], str],
    catalogue: Catalogue,
    on_records: Callable[[int], None] = lambda _: None,
    challenger: str | None = None,
) -> Rebuilt | NoList:
    """Go through the records up to the wanted one, and make its list.

    version_of: which version was live for an interaction of the same visitor. on_records: called now and
    then with the number of records gone through since the last call. challenger: the version that the list
    was interleaved with.
    Raises RegistryError or ArtifactError if that version of the wanted one is not to be had.
    """
    models = Models(settings)
    run = PartitionRun(settings, partition, models, catalogue, from_ms=0, latency_ms=0)
    version = version_of(wanted)
    models.step(version)  # what cannot be had is found out before the work
    left = iter(records)
    while batch := list(islice(left, settings.kafka.max_poll_records)):
        for record in _others_first(batch, wanted, run):
            before = run.outcomes.copy()
            under = version if version_of(record) == version else ""
            for (visitor,) in run.asking([record], under):
                if record.offset == wanted.offset:
                    making = _Making(settings, run.boards, models, catalogue, partition, record.timestamp)
                    return making.interleaved(visitor, challenger) if challenger else making.alone(visitor)
            if record.offset == wanted.offset:
                return NoList(_why(record, run.outcomes - before))
        on_records(len(batch))
    return NoList("it is in no history any more")


def _others_first(batch: list[InputRecord], wanted: InputRecord, run: PartitionRun) -> Iterator[InputRecord]:
    """The visitor's records, one by one, each when what came before it has been gone through."""
    for own, part in groupby(batch, key=lambda record: record.key == wanted.key):
        if own:
            yield from part
            continue
        for _ in run.asking(list(part), ""):
            pass  # only what the boards learn counts here


def _why(record: InputRecord, outcomes: Mapping[str, int]) -> str:
    (outcome,) = outcomes or ("gone through before",)
    try:
        kind = decode_interaction(record.value or b"").type
    except RecordError:
        kind = "?"
    if outcome == "accepted":
        return f"an interaction of type {kind} asks for no list"
    if outcome == "repeat":
        return "it is a repeat of an interaction that came before it, which has the list"
    return f"the interaction was refused ({outcome})"


class _Making:
    """Makes a visitor's list while the boards show what it may know, and asks the sources about it."""

    def __init__(
        self,
        settings: Settings,
        boards: Boards,
        models: Models,
        catalogue: Catalogue,
        partition: int,
        now_ms: int,
    ) -> None:
        self._settings = settings
        self._boards = boards
        self._models = models
        self._catalogue = catalogue
        self._emission = {"partition": partition, "now_ms": now_ms}

    def alone(self, visitor: Visitor) -> Rebuilt:
        """The list of the visitor's own version."""
        others = others_proposals([visitor], self._boards, self._catalogue, self._settings)
        (made,) = lists(
            [visitor], others, self._models.scorer, self._catalogue, self._settings, **self._emission
        )
        return Rebuilt(visitor[1], made, self._voices(visitor, made))

    def interleaved(self, visitor: Visitor, version: str) -> Rebuilt:
        """The team draft of that list and the one of a challenger."""
        row, own, voices = self.alone(visitor)
        challenger = load_challenger(Registry.of(self._settings), version, most_visitors=1)
        others = others_proposals([visitor], self._boards, self._catalogue, self._settings)
        # Whether the visitor was in its share says the list that was sent.
        (made,) = challenged([visitor], others, [own], challenger, 1.0, self._catalogue, self._settings)
        (theirs,) = challenger.rows([visitor])
        of_challenger = self._voices(theirs, made)
        by_item = dict(zip((item.item_id for item in own.items), voices, strict=True))
        found = [
            by_item[item.item_id]
            if item.team != CHALLENGER and item.item_id in by_item
            else of_challenger[place]
            for place, item in enumerate(made.items)
        ]
        return Rebuilt(row, made, found)

    def _voices(self, visitor: Visitor, made: Recommendation) -> list[dict[str, Voice]]:
        """What every source of the blend says of each place."""
        blend = blend_of(self._settings.scoring)
        (by_source,) = proposals(
            [visitor], self._boards, self._models.scorer, self._catalogue, self._settings
        )
        item_ids = [item.item_id for item in made.items]
        ranks = {source: {each: n for n, each in enumerate(by_source[source], 1)} for source in blend.sources}
        scores = {
            source: _scores(source, visitor, item_ids, self._boards, self._models) for source in blend.sources
        }
        found = []
        for item_id in item_ids:
            voices = {}
            for source in blend.sources:
                rank = ranks[source].get(item_id)
                points = 0.0 if rank is None else blend.points(source, rank)
                because = self._because(source, visitor, item_id) if rank is not None else []
                voices[source] = Voice(rank, scores[source].get(item_id), points, because)
            found.append(voices)
        return found

    def _because(self, source: str, visitor: Visitor, item_id: str) -> list[str]:
        recommender = self._boards.recommenders.get(source)
        reasons = [] if recommender is None else recommender.reasons(*visitor, item_id)[:_REASONS]
        return [f"{each.kind} {each.of}".strip() + f" {each.weight:+.3g}" for each in reasons]


def _scores(
    source: str, visitor: Visitor, item_ids: list[str], boards: Boards, models: Models
) -> Mapping[str, float]:
    visitor_id, row = visitor
    if source == GRU4REC:
        model = models.scorer(row.model_version)
        if model is None or not row.hidden:
            return {}
        hidden = np.frombuffer(row.hidden, "<f4").reshape(1, -1)
        indices, scores = model.top(hidden, len(model.items), np.empty(0, np.int64))
        return {
            model.items[n]: score for n, score in zip(indices[0].tolist(), scores[0].tolist(), strict=True)
        }
    if source == ONLINE_MF:
        return boards.items.suits(row.factors, item_ids) if row.factors.vector else {}
    if source == POPULARITY:
        return boards.items.counts(item_ids, row.clock_ms)
    if source in boards.recommenders:
        return boards.recommenders[source].scores(visitor_id, row, item_ids)
    return boards.sessions.scores(source, row.items)
