"""Parts for tests of lists: a small score model, visitors and items."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from state_parts import BASE

from streamrec.contracts import FloatArray, IntArray
from streamrec.item_board import ItemBoard
from streamrec.proposals import item_keys
from streamrec.state.rows import Factors, ItemRow, VisitorRow, encode_row, item_key

H = 4


class SmallScorer:
    """A score model of random item vectors."""

    def __init__(self, version: str = "v1", items: Sequence[str] = "", seed: int = 0, h: int = H) -> None:
        self.version = version
        self.items = items or [f"g{n}" for n in range(200)]
        self.item_keys = item_keys(self.items)
        self.runs: list[int] = []
        self._vectors = np.random.default_rng(seed).normal(size=(len(self.items), h))

    def top(self, hidden: FloatArray, n: int, excluded: IntArray) -> tuple[IntArray, FloatArray]:
        self.runs.append(len(hidden))
        scores = np.array([(self._vectors * row).sum(axis=1) for row in hidden.astype(np.float64)])
        scores[:, excluded] = -np.inf
        indices = np.argsort(-scores, axis=1, kind="stable")[:, : min(n, len(self.items) - len(excluded))]
        return indices, np.take_along_axis(scores, indices, axis=1).astype(np.float32)


def visitor(seed: int = 0, offset: int = 7, **fields: Any) -> tuple[str, VisitorRow]:
    draw = np.random.default_rng(seed)
    row = VisitorRow(
        offset=offset,
        clock_ms=BASE,
        event_id=f"e{offset}",
        event_time=BASE,
        record_time=BASE,
        asks=True,
        session_id="s",
        session_time=BASE,
        items=["g1", "m2"],
        recent_events=b"",
        model_version="v1",
        hidden=draw.normal(size=H).astype("<f4").tobytes(),
        factors=Factors(draw.normal(size=3).tobytes()),
    )
    return f"visitor-{seed}", msgspec.structs.replace(row, **fields)


def board(n_items: int = 60, **counts: float) -> ItemBoard:
    """Items m0, m1, ... with random vectors and counts, and those given by count."""
    draw = np.random.default_rng(1)
    made = ItemBoard(1000, 3600.0)
    for item_id, count in ({f"m{n}": float(draw.random()) for n in range(n_items)} | counts).items():
        row = ItemRow(0, 0, BASE, count, Factors(draw.normal(size=3).tobytes()))
        made.apply(item_key(item_id), encode_row(row))
    made.advance_to(BASE)
    return made
