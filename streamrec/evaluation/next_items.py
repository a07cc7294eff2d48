"""How a model ranks every next click of test sessions, the whole catalogue before it.

In: a session model and sessions it has not seen. Out: `NextItems`, columns with one place for each
click that was judged. Everything else about a model's quality follows from them.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import FloatArray, IntArray, OnStep, Session
from streamrec.errors import DatasetError
from streamrec.evaluation.metrics import require_k
from streamrec.evaluation.ranks import FloatRanks, Ties, rank_bounds, settled, top

__all__ = [
    "Judged",
    "NextItems",
    "TrainedModel",
    "Unseen",
    "judged_sessions",
    "leave_out_unseen",
    "next_items",
]

Unseen = Literal["leave out", "miss"]
"""What becomes of clicks on items that training did not see.

leave out: they are taken out of the test sessions first, as in the literature. If the last click alone is
judged and is one of them, so is its session: the click before it may be one that training saw.
miss: they stay, the model passes over them, and none of its lists finds them, as with live visitors.
"""

Judged = Literal["every click", "last click"]
"""Which clicks of a session are judged; each has all before it as its context."""

_CLICKS_A_STEP: Final = 100


class TrainedModel(Protocol):
    """What is asked of a model here: a contracts.SessionModel without its training."""

    @property
    def items(self) -> Sequence[str]:
        """The items it can score, by dense index."""

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Scores of all items after each click; see contracts.SessionModel."""


class NextItems(NamedTuple):
    """The Q judged clicks, session by session in order, and what the model had to say about each."""

    ranks: FloatRanks
    """(Q,), of the item clicked, by the tie rule asked for; inf if the model could not score it."""
    mean_ranks: FloatRanks
    """(Q,), the same by the tie rule `mean`, whatever was asked for."""
    targets: IntArray
    """(Q,), index of the item clicked; -1 if the model does not know it."""
    sessions: IntArray
    """(Q,), place of the session in the test set."""
    positions: IntArray
    """(Q,), clicks of the session seen before."""
    tops: IntArray
    """(Q, k), indices of the best items, best first, ties by lower index; -1 where there are no more."""
    seconds: float
    """Wall time of it all."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """(Q,), whether the model knows the item clicked."""
        return self.targets >= 0


def next_items(
    model: TrainedModel,
    sessions: Iterable[Session],
    *,
    k: int = 20,
    ties: Ties = "conservative",
    unseen: Unseen = "leave out",
    seen: Collection[str] | None = None,
    judged: Judged = "every click",
    on_step: OnStep | None = None,
) -> NextItems:
    """Rank of click n+1 in the scores after click n, for all clicks of all sessions but the first of each.

    k: length of the lists to keep; seen: the items of training, if they are not just those of the model;
    on_step: called with clicks done, of how many, and NaN, as there is no loss.
    Raises DatasetError if there is no click to judge, ValueError if k is below 1.
    """
    require_k(k)
    started = time.perf_counter()
    index = {item_id: n for n, item_id in enumerate(model.items)}
    test = judged_sessions(sessions, index if seen is None else seen, unseen=unseen, judged=judged)
    n_clicks = sum(max(0, len(session.items) - 1) for session in test)
    rows: list[tuple[float, float, int, int, int]] = []
    tops: list[IntArray] = []
    done = 0
    for place, session in enumerate(test):
        targets = [index.get(item_id, -1) for item_id in session.items[1:]]
        # The last click is hidden from the model: nothing is ranked after it.
        after_each = model.scores(_first(session, len(targets)))
        for position, (scores, target) in enumerate(zip(after_each, targets, strict=True), start=1):
            if judged == "every click" or position == len(targets):
                rows.append((*rank_bounds(scores, target), target, place, position))
                tops.append(top(scores, k))
            done += 1
            if on_step and (done % _CLICKS_A_STEP == 0 or done == n_clicks):
                on_step(done, n_clicks, float("nan"))
    best, worst, *indices = np.array(rows, np.float64).T
    of_targets, of_sessions, positions = (column.astype(np.int64) for column in indices)
    return NextItems(
        settled(best, worst, ties),
        settled(best, worst, "mean"),
        of_targets,
        of_sessions,
        positions,
        np.stack(tops),
        time.perf_counter() - started,
    )


def judged_sessions(
    sessions: Iterable[Session],
    seen: Collection[str],
    *,
    unseen: Unseen = "leave out",
    judged: Judged = "every click",
) -> list[Session]:
    """The sessions as a model is to see them, each in its place; some may be left with one click or none.

    seen: the items of training. Raises DatasetError if no session has a click to judge.
    """
    found = list(sessions)
    if unseen == "leave out":
        known = frozenset(seen)
        if judged == "last click":
            found = [each if known.issuperset(each.items[-1:]) else _first(each, 0) for each in found]
        found = leave_out_unseen(found, known)
    if not any(len(session.items) > 1 for session in found):
        of_training = " on items seen in training" if unseen == "leave out" else ""
        last = ", the last of the session one of them" if of_training and judged == "last click" else ""
        raise DatasetError(f"no test session has two clicks{of_training}{last}: there is nothing to measure")
    return found


def leave_out_unseen(sessions: Iterable[Session], seen: Collection[str]) -> list[Session]:
    """The sessions without the clicks on other items than `seen`; some may be left with one click or none."""
    known = seen if isinstance(seen, dict | set | frozenset) else frozenset(seen)
    found = []
    for session in sessions:
        kept = [place for place, item_id in enumerate(session.items) if item_id in known]
        found.append(
            Session(
                [session.items[place] for place in kept],
                [session.times_ms[place] for place in kept] if session.times_ms else (),
                session.session_id,
            )
        )
    return found


def _first(session: Session, n: int) -> Session:
    return Session(session.items[:n], session.times_ms[:n], session.session_id)
