"""Articles that nobody has had yet, found for visitors by what they are about: citeulike-t.

A fifth of the articles is held out with all that happened to them, and visitors who have had some of them get
lists of these alone. Popularity knows nothing of them: to it every order is as likely as any other, and what
its lists come to is known without making any. As that is easily beaten, there is popularity in hindsight
beside it: how many others will have had an article, which nobody could know.

Tags are given by those who have an article, so that one nobody has had would have none: what is required is
shown by the words alone. A profile of tags has nothing else; it is told what it comes to with them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.recommenders.data import citeulike_t
from benchmarks.recommenders.names import BY_TAGS, CONTENT
from benchmarks.recommenders.rows import Judged, Notes, entry, new_table
from streamrec.evaluation.metrics import ndcg_at_k, recall_at_k
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge
from streamrec.models import recommender
from streamrec.recommender import Recommender, Visitor

__all__ = ["by_chance", "judge_new_items", "ranks_in_list", "without_items"]

Numbers = NDArray[Any]
Ints = NDArray[np.int64]

_DATA: Final = "citeulike-t"
_VISITORS: Final = 2000
"""Drawn at random, as scores of a visitor take milliseconds."""
_NDCG: Final = 10
_RECALL: Final = 20
_CHANCE: Final = "popularity, which knows nothing"
_HINDSIGHT: Final = "popularity in hindsight"
_HINDSIGHT_TAGS: Final = "tags are of those who had the articles, who in truth come later"


def judge_new_items(names: Collection[str], folder: Path, on_step: Callable[[int, int], object]) -> Judged:
    """Lists of new articles by each model."""
    chosen = [name for name in CONTENT if name in names]
    if not chosen:
        return Judged([], [])
    feedback, knowledge = citeulike_t(folder / _DATA)
    train, test = without_items(feedback, share=0.2, seed=0)
    # Of a visitor who has had nothing else there is nothing to tell.
    known = np.flatnonzero(np.isin(test.user_ids, train.user_ids))
    asked = np.sort(np.random.default_rng(0).permutation(known)[:_VISITORS])
    wanted = [test.items[test.users == user] for user in asked.tolist()]
    relevant = np.array([len(each) for each in wanted])
    found = {
        _CHANCE: by_chance(relevant, len(test.item_ids)),
        _HINDSIGHT: _lists_come_to(_in_hindsight(test, wanted), wanted),
    }
    for place, name in enumerate(chosen):

        def step(done: int, place: int = place) -> None:
            on_step(place * len(wanted) + done, len(chosen) * len(wanted))

        model = recommender(name)
        model.train(train, knowledge if name in BY_TAGS else _words(knowledge))
        found[name] = _lists_come_to(_scores(model, test, asked, step), wanted)
    reference, _ = found[_HINDSIGHT]
    title = (
        f"{_DATA}: {len(test.item_ids):,} articles that nobody has had, listed for {len(wanted):,} visitors"
    )
    table = new_table(title, f"NDCG@{_NDCG}", f"Recall@{_RECALL}", "")
    entries, notes = [], Notes()
    for name, (ndcg, recall) in found.items():
        is_model = name in chosen
        by_tags = name in BY_TAGS
        row = entry(
            name,
            f"{_DATA}, new items",
            f"ndcg@{_NDCG}",
            ndcg,
            reference=reference if is_model else None,
            holds=ndcg > reference,
            required=True,
            excuse=_HINDSIGHT_TAGS if by_tags else "",
            claim="above popularity in hindsight",
        )
        entries.append(row)
        label = f"{name}, by tags" if by_tags else name
        table.add_row(label, f"{ndcg:.4f}", f"{recall:.4f}", notes.mark(row))
    table.caption = notes.under()
    return Judged(entries, [table])


def without_items(feedback: Feedback, share: float, seed: int) -> tuple[Feedback, Feedback]:
    """What happened to most items, and what happened to a share of them, drawn at random."""
    n_items = len(feedback.item_ids)
    is_new = np.zeros(n_items, bool)
    is_new[np.random.default_rng(seed).permutation(n_items)[: round(share * n_items)]] = True
    of_new = is_new[feedback.items]
    return feedback.take(~of_new), feedback.take(of_new)


def by_chance(relevant: Ints, n_items: int) -> tuple[float, float]:
    """The NDCG and the recall that are expected of lists in any order. relevant: (Q,) items each."""
    gains = 1 / np.log2(1 + np.arange(1, min(_NDCG, n_items) + 1))
    expected = relevant * gains.sum() / n_items
    ideal = np.cumsum(gains)[np.minimum(relevant, len(gains)) - 1]
    return float((expected / ideal).mean()), min(_RECALL, n_items) / n_items


def ranks_in_list(scores: Numbers, wanted: Ints, rng: np.random.Generator) -> Numbers:
    """1-based ranks of items, (m,), ties in an order drawn at random; inf for those that have no score."""
    drawn = rng.permutation(len(scores))
    ranks = np.empty(len(scores))
    # NaN is put last.
    ranks[drawn[np.argsort(-scores[drawn], kind="stable")]] = np.arange(1, len(scores) + 1)
    ranks[np.isnan(scores)] = np.inf
    return ranks[wanted]


def _words(knowledge: Knowledge) -> Knowledge:
    """What is known without tags."""
    return Knowledge({name: Item(item_id=name, text=item.text) for name, item in knowledge.items.items()})


def _scores(
    model: Recommender, test: Feedback, asked: Ints, on_step: Callable[[int], object]
) -> Iterator[Numbers]:
    for done, user in enumerate(asked.tolist(), 1):
        yield model.score(Visitor(test.user_ids[user]), test.item_ids)
        on_step(done)


def _in_hindsight(test: Feedback, wanted: Sequence[Ints]) -> Iterator[Numbers]:
    """By how many others have it: a visitor's own having it must not tell that it has."""
    had = np.bincount(test.items).astype(np.float64)
    for own in wanted:
        scores = had.copy()
        scores[own] -= 1
        yield scores


def _lists_come_to(scores: Iterable[Numbers], wanted: Sequence[Ints]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    relevant = np.array([len(each) for each in wanted])
    ranks = np.full((len(wanted), int(relevant.max())), np.inf)
    for row, (own, of_items) in enumerate(zip(wanted, scores, strict=True)):
        ranks[row, : len(own)] = ranks_in_list(of_items, own, rng)
    ndcg, recall = ndcg_at_k(ranks, _NDCG, relevant), recall_at_k(ranks, _RECALL, relevant)
    return float(ndcg.mean()), float(recall.mean())
