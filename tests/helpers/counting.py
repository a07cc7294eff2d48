"""Histories of a model that counts: sessions come, go on and are forgotten; and what is left."""

import tracemalloc
from typing import Any, NamedTuple, Protocol

import numpy as np
from hypothesis import strategies as st

from streamrec.contracts import Session, SessionModel
from streamrec.errors import DatasetError

ITEMS = "abcdef"

histories = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.sampled_from(ITEMS), max_size=7)),
        st.tuples(st.just("extend"), st.integers(0, 9), st.sampled_from(ITEMS)),
        st.tuples(st.just("remove"), st.integers(0, 9)),
    ),
    max_size=30,
)
"""Steps for `live_through`; numbers say which of the sessions there are then."""


class CountingModel(SessionModel, Protocol):
    """A session model that learns session by session and click by click, and forgets."""

    @property
    def n_pairs(self) -> int: ...
    def add(self, session: Session) -> None: ...
    def extend(self, session: Session, item_id: str) -> None: ...
    def remove(self, session: Session) -> None: ...
    def proposals(self, session: Session) -> dict[str, float]: ...


class Answers(NamedTuple):
    """What tells two models apart."""

    items: list[str]
    n_pairs: int
    proposals: list[dict[str, float]]
    rows: list[bytes]


def live_through(model: CountingModel, history: list[Any]) -> list[Session]:
    """Take the steps; returns the sessions that are left."""
    left: list[Session] = []
    for step, *arguments in history:
        if step == "add":
            left.append(Session(arguments[0]))
            model.add(left[-1])
        elif left and step == "extend":
            place = arguments[0] % len(left)
            model.extend(left[place], arguments[1])
            left[place] = Session([*left[place].items, arguments[1]])
        elif left:
            model.remove(left.pop(arguments[0] % len(left)))
    return left


def learn(model: CountingModel, sessions: list[Session]) -> None:
    """Learn sessions at once, or one by one where there is too little in them for a training."""
    try:
        model.train(sessions)
    except DatasetError:
        for session in sessions:
            model.add(session)


def share_of_memory_kept(model: CountingModel, sessions: list[Session]) -> float:
    """How much of the memory that sessions took is still taken once they have been removed."""
    tracemalloc.start()
    for session in sessions:
        model.add(session)
    full = tracemalloc.get_traced_memory()[0]
    for session in sessions:
        model.remove(session)
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return left / full


def answers(model: CountingModel) -> Answers:
    """After each item, and after some sessions, bit for bit."""
    asked = [Session([item]) for item in ITEMS] + [Session(ITEMS), Session(ITEMS[::-2])]
    return Answers(
        list(model.items),
        model.n_pairs,
        [model.proposals(session) for session in asked],
        [np.array(list(model.scores(session))).tobytes() for session in asked],
    )
