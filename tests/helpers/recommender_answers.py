"""Every recommender on small feedback, and digests of all that it answers.

Run by itself it writes the digests, for a comparison between processes.
"""

import hashlib
import json
import sys
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, get_args

import numpy as np

from streamrec.contracts import TrainOptions
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge, Tagging, Trust, make_feedback
from streamrec.models import RECOMMENDERS, recommender_of
from streamrec.models.group_recommender import Strategy
from streamrec.recommender import Recommender, Visitor

QUICK: Final[Mapping[str, Mapping[str, Any]]] = {
    # So few likes take longer steps than real ones, and more of them.
    "bpr": {"learning_rate": 0.1, "damping": 0.01, "epochs": 150},
    # So few items that with more vectors nothing is left out, and so nothing is told of what was never had.
    "truncated_svd": {"factors": 2},
    # Else no visitor is split.
    "context_prefilter": {"ratings": 4},
    "decision_tree_cf": {"min_leaf": 4, "leaf_damping": 4.0},
}
"""Hyperparameters for a training of a moment, of models whose defaults take longer or want more ratings."""

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "slope_one, plain": {"model": "slope_one", "form": "plain"},
    "slope_one, bi-polar": {"model": "slope_one", "form": "bi-polar"},
    "user_based_cf, lists": {"model": "user_based_cf", "task": "top-n"},
    "item_based_cf, lists": {"model": "item_based_cf", "task": "top-n"},
    "cascade_hybrid, width": {"model": "cascade_hybrid", "width": 0.1},
    "mixed_hybrid, round robin": {"model": "mixed_hybrid", "merge": "round robin"},
    **{
        f"group_recommender, {strategy}": {"model": "group_recommender", "strategy": strategy}
        for strategy in get_args(Strategy)[1:]
    },
}
"""Nodes of recommenders that do other things than by default, by names of their own."""

GROUP: Final = "everybody"
"""A group of `ratings_knowledge`."""
KINDS: Final = ("black", "white")
WITHHELD: Final = ("black-0", "black0")
"""A visitor and an item of one colour, which are never put together."""


def quick(name: str) -> Recommender:
    """An untrained recommender that is soon trained, or a variant of one."""
    return recommender_of(VARIANTS.get(name) or {"model": name, **QUICK.get(name, {})})


def ratings(n_users: int = 40, n_items: int = 25, n: int = 500, seed: int = 0) -> Feedback:
    """Ratings of 1 to 5, each pair once at most: visitors and items have levels of their own."""
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(n_users * n_items)[:n]
    users, items = np.divmod(pairs, n_items)
    level = rng.normal(0, 0.6, n_users)[users] + rng.normal(0, 0.9, n_items)[items]
    values = np.clip(np.round(3.4 + level + rng.normal(0, 0.5, n)), 1, 5)
    return make_feedback(
        [f"u{user:02d}" for user in users], [f"i{item:02d}" for item in items], values, np.arange(n) * 60_000
    )


def ratings_in_moods(n_users: int = 40, n_items: int = 25, n: int = 500, seed: int = 0) -> Feedback:
    """`ratings` with a context: most of the high ones were given when glad, most of the low ones when sad."""
    feedback = ratings(n_users, n_items, n, seed)
    glad = feedback.values + np.random.default_rng(seed).normal(0, 1, n) > feedback.values.mean()
    return replace(feedback, contexts={"mood": ["glad" if each else "sad" for each in glad]})


def with_repeats(feedback: Feedback) -> Feedback:
    """Feedback, and behind it a seventh of its pairs again, 5 in place of 1 and 1 in place of 5."""
    again = np.append(np.arange(len(feedback)), np.arange(0, len(feedback), 7))
    values = feedback.values[again]
    values[len(feedback) :] = 6 - values[len(feedback) :]
    return make_feedback(
        [feedback.user_ids[user] for user in feedback.users[again]],
        [feedback.item_ids[item] for item in feedback.items[again]],
        values,
        np.arange(len(again)) * 60_000,
    )


def checkerboard() -> Feedback:
    """Two kinds of visitors and of items: like to like is rated 5, others 1. One like pair is withheld."""
    rows = [
        (f"{kind}-{user}", f"{colour}{item}", 5.0 if kind == colour else 1.0)
        for item in range(8)
        for user in range(12)
        for kind in KINDS
        for colour in KINDS
        if (user + item) % 3 and (f"{kind}-{user}", f"{colour}{item}") != WITHHELD
    ]
    rows += [(WITHHELD[0], "white0", 1.0)]
    users, items, values = zip(*rows, strict=True)
    return make_feedback(users, items, values, np.arange(len(rows)) * 1000)


def ratings_knowledge(n_users: int = 40, n_items: int = 25) -> Knowledge:
    """What may be known of visitors and items of `ratings`; it has nothing to do with the ratings."""
    items = [
        Item(
            item_id=f"i{n:02d}",
            title=f"Number {n % 7}",
            tags=[f"tag{n % 4}"],
            categories=[f"category{n % 3}"],
        )
        for n in range(n_items)
    ]
    return Knowledge(
        {item.item_id: item for item in items},
        [Tagging(f"u{n:02d}", f"i{n % n_items:02d}", f"given{n % 5}") for n in range(n_users)],
        [Trust(f"u{n:02d}", f"u{(n + far) % n_users:02d}") for n in range(n_users) for far in range(1, 8)],
        {GROUP: [f"u{n:02d}" for n in range(n_users)]},
    )


def checkerboard_knowledge() -> Knowledge:
    """What would tell the kinds of `checkerboard` apart without a rating: contents, tags, who trusts whom."""
    return Knowledge(
        {
            f"{kind}{n}": Item(item_id=f"{kind}{n}", title=f"{kind} number {n}", tags=[kind])
            for kind in KINDS
            for n in range(8)
        },
        [Tagging(f"{kind}-{n}", f"{kind}{n % 8}", f"so {kind}") for kind in KINDS for n in range(12)],
        [
            Trust(f"{kind}-{n}", f"{kind}-{(n + far) % 12}")
            for kind in KINDS
            for n in range(12)
            for far in (1, 2, 3)
        ],
    )


def answers(model: Recommender, feedback: Feedback) -> bytes:
    """The model's items, all its scores and some of its reasons, bit for bit.

    For visitors known and unknown and a group, without a context and in each that there is.
    """
    contexts: list[dict[str, str]] = [{}]
    contexts += [{name: each} for name, labels in feedback.contexts.items() for each in dict.fromkeys(labels)]
    askers = [Visitor("nobody"), Visitor(GROUP), Visitor("", feedback.item_ids[:3], [5.0, 1.0, 3.0])]
    askers += [Visitor(user_id) for user_id in feedback.user_ids]
    found = ["\n".join(model.items).encode()]
    for context in contexts:
        for number, each in enumerate(askers):
            asker = each._replace(context=context)
            found.append(model.score(asker).tobytes())
            if number < 4:
                found.append(repr(model.explain(asker, feedback.item_ids[0])).encode())
    return b"".join(found)


def learn(model: Any, feedback: Feedback, start: int = 0) -> None:
    """Have the model learn the interactions one by one, from that place on."""
    for place in range(start, len(feedback)):
        model.learn_one(
            feedback.user_ids[feedback.users[place]],
            feedback.item_ids[feedback.items[place]],
            float(feedback.values[place]),
            int(feedback.time_ms[place]),
        )


def bytes_kept(model: Any, feedback: Feedback, rounds: int) -> int:
    """By how much memory grows while a model learns the same again and again, on top of what it knows.

    The first time does not count: then it may make what it takes to learn at all.
    """
    tracemalloc.start()
    learn(model, feedback)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(rounds):
        learn(model, feedback)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


def digest(name: str) -> str:
    """A digest of what a recommender answers after a training of its own."""
    model = quick(name)
    model.train(ratings_in_moods(), ratings_knowledge(), options=TrainOptions(seed=3))
    return hashlib.sha256(answers(model, ratings_in_moods())).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: digest(name) for name in (*RECOMMENDERS, *VARIANTS)}))
