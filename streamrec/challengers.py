"""Lists of a second version, for visitors whose rows were made by another one.

In: visitors' rows, what the other sources propose for them, a version loaded as step and score
graph. Out: the lists as that version would have made them. A list is a function of its row, the
proposals and the version: the hidden state is that of the items which the row holds, a session's last
50 at most, whatever is remembered from the visitor's row before. Whoever has the row, the
proposals and the version makes the same list again: `Challenger.lists`, and `challenged` where it was
interleaved with the visitor's own.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from streamrec.advance.steps import Steps
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.contracts import ScoreModel, StepModel
from streamrec.events import Recommendation
from streamrec.interleaving import in_share, interleaved
from streamrec.list_requests import Visitor
from streamrec.ranking import BySource, lists, to_some
from streamrec.registry import Registry
from streamrec.scorer import SessionScorer, SessionStep

__all__ = ["Challenger", "challenged", "load_challenger"]

_MODEL: Final = "gru4rec"


class _State(NamedTuple):
    """A visitor under the version: the state after these items is the outcome of a step, or `hidden`."""

    items: list[str]
    hidden: bytes = b""
    step: int | None = None


class Challenger:
    """A version beside the one that made the rows. Not for two threads at once.

    most_visitors: hidden states remembered, of those who came last. What is remembered saves steps and
    changes no bit: a step's outcome does not depend on what else is in its batch.
    """

    def __init__(self, step: StepModel, scorer: ScoreModel, most_visitors: int) -> None:
        self.version = step.version
        self._step = step
        self._scorer = scorer
        self._most_visitors = most_visitors
        self._known: dict[str, _State] = {}

    @property
    def costs_s(self) -> Mapping[str, float]:
        """CPU seconds of one run, by graph; see streamrec.admission."""
        return {**self._step.costs_s, **self._scorer.costs_s}

    def rows(self, visitors: Sequence[Visitor]) -> list[Visitor]:
        """The visitors as they were if this version had made their rows.

        Raises ModelError if the model fails on one of them.
        """
        steps = Steps(self._step)
        states: list[_State] = []
        for visitor_id, row in visitors:
            known = self._known.pop(visitor_id, None)
            if known is None or row.items[: len(known.items)] != known.items:
                known = _State([])
            step = known.step
            for item_id in row.items[len(known.items) :]:
                step = steps.follow(step, known.hidden, item_id, row.offset)
            states.append(_State(row.items, known.hidden, step))
            self._known[visitor_id] = states[-1]
        try:
            outcomes = steps.run() if any(state.step is not None for state in states) else ()
        except BaseException:
            self._known.clear()  # some wait for steps that were not taken
            raise
        found: list[Visitor] = []
        for (visitor_id, row), state in zip(visitors, states, strict=True):
            hidden = state.hidden if state.step is None else outcomes[state.step].tobytes()
            self._known[visitor_id] = _State(state.items, hidden)
            found.append(
                (visitor_id, msgspec.structs.replace(row, model_version=self.version, hidden=hidden))
            )
        while len(self._known) > self._most_visitors:
            del self._known[next(iter(self._known))]
        return found

    def lists(
        self,
        visitors: Sequence[Visitor],
        others: BySource,
        catalogue: Catalogue,
        settings: Settings,
        *,
        partition: int,
        now_ms: int,
    ) -> list[Recommendation]:
        """What `streamrec.ranking.lists` would have made of the visitors under this version.

        Raises ModelError, or what the score graph raises.
        """
        rows = self.rows(visitors)
        return lists(rows, others, self._model, catalogue, settings, partition=partition, now_ms=now_ms)

    def _model(self, version: str) -> ScoreModel | None:
        return self._scorer if version == self.version else None


def load_challenger(
    registry: Registry, version: str, digest: str | None = None, *, threads: int = 1, most_visitors: int
) -> Challenger:
    """Both graphs of a GRU4Rec version, checked and probed. Raises RegistryError, ArtifactError."""
    manifest, files = registry.read(_MODEL, version, digest)
    scorer = SessionScorer(manifest, files, threads)
    return Challenger(SessionStep(manifest, files), scorer, most_visitors)


def challenged(
    visitors: Sequence[Visitor],
    others: BySource,
    made: Sequence[Recommendation],
    challenger: Challenger,
    share: float,
    catalogue: Catalogue,
    settings: Settings,
) -> list[Recommendation]:
    """The lists to be shown: those of a share of the visitors are interleaved with the challenger's.

    made: the visitors' own lists, of one partition and one time of emission. A list whose row names
    no version, or the challenger's, stays as it is. Errors as in `Challenger.lists`.
    """
    shown = list(made)
    # The next challenger meets other visitors, not those whom the last one may have put off.
    salt = f"challenger/{challenger.version}"
    places = [
        n
        for n, (visitor_id, row) in enumerate(visitors)
        if row.model_version not in ("", challenger.version) and in_share(visitor_id, share, salt)
    ]
    if not places:
        return shown
    theirs = challenger.lists(
        [visitors[n] for n in places],
        to_some(others, places),
        catalogue,
        settings,
        partition=made[0].input_partition,
        now_ms=made[0].emit_time,
    )
    for n, other in zip(places, theirs, strict=True):
        own = made[n]
        items = interleaved(own.items, other.items, own.rec_id, settings.scoring.k)
        shown[n] = msgspec.structs.replace(own, items=items, challenger=challenger.version)
    return shown
