"""The clicks: to train on, then live, the later ones with the halves of the catalogue swapped."""

import random
from typing import NamedTuple

import numpy as np

from streamrec.datasets import Clicks

__all__ = ["Stream", "make_stream", "swapped_halves"]


class Stream(NamedTuple):
    """One after the other."""

    base: Clicks
    """The first model is trained on these."""
    live: Clicks
    """Sent at an even pace."""
    drift: int
    """The first of the live clicks whose item has another's id."""


def swapped_halves(items: list[str], seed: int = 0) -> dict[str, str]:
    """Another id for each item: two halves, drawn, each named as the other. Twice gives the item again."""
    drawn = sorted(items)
    random.Random(seed).shuffle(drawn)  # nosec B311 # which is fixed
    half = len(drawn) // 2
    pairs = list(zip(drawn[:half], drawn[half : 2 * half], strict=True))
    odd = {item_id: item_id for item_id in drawn[2 * half :]}
    return {**dict(pairs), **{theirs: ours for ours, theirs in pairs}, **odd}


def make_stream(clicks: Clicks, base: int, before: int, rate: float) -> Stream:
    """base, before: clicks to train on, and live ones before the drift; all others follow. rate: a second."""
    other = swapped_halves(list(set(clicks.item_ids)))
    n = len(clicks) - base
    items = clicks.item_ids[base : base + before] + [other[each] for each in clicks.item_ids[base + before :]]
    live = Clicks(clicks.session_ids[base:], items, np.floor(np.arange(n) * 1000 / rate).astype(np.int64))
    return Stream(clicks.first(base), live, before)
