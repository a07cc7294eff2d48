"""How long training and answers take beside other libraries, and how good the answers are: the same splits.

Ratings: MovieLens 100k, five folds, each rating of the fold foretold. Lists: ml-latest-small five times over,
a list of 20 for every third visitor. Ours and the others are run in turns, each in a process of its own with
one thread; seconds are CPU seconds, medians of the five.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import mean, median
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.recommenders.contender import Split
from benchmarks.recommenders.contests import CONTESTS, REASONS, Contest
from benchmarks.recommenders.peers import make_peers, run_contender, write_split
from benchmarks.recommenders.ratings import ROOM
from benchmarks.recommenders.rows import Entry, Judged, Notes, entry, new_table
from streamrec.evaluation.folds import folds
from streamrec.evaluation.held_out import last_of_each
from streamrec.evaluation.metrics import ndcg_at_k, rmse
from streamrec.feedback import Feedback

__all__ = ["judge_speed", "list_split", "rating_splits"]

Answers = NDArray[np.float64]
Quality = Callable[[Answers], float]

_DATA: Final = {"rating": "movielens-100k", "top-n": "ml-latest-small"}
_QUALITY: Final = {"rating": "rmse", "top-n": "ndcg@10"}
_REPEATS: Final = 5
_EVERY: Final = 3
"""Which visitors lists are made for, as some take a tenth of a second each."""
_NOISE: Final = 1.1
"""Of two measurements of one thing one may be so much above the other."""


class _Figures(NamedTuple):
    """Of one contender."""

    train_s: float
    answer_s: float
    quality: float


def judge_speed(
    names: Collection[str],
    rated: Feedback,
    listed: Feedback,
    out: Path,
    on_step: Callable[[int, int], object],
) -> Judged:
    """Every model that has a counterpart, beside it."""
    contests = [contest for contest in CONTESTS if contest.model in names]
    if not contests:
        return Judged([], [])
    python = make_peers(out / "peers")
    work = out / "splits"
    work.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, str], list[_Figures]] = {}
    # Some stand beside several.
    contenders = [(each.task, name) for each in contests for name in (_ours(each), *each.peers)]
    turn = list(dict.fromkeys(contenders))
    for repeat, splits in enumerate(zip(rating_splits(rated), [list_split(listed)] * _REPEATS, strict=True)):
        split_of = dict(zip(_DATA, splits, strict=True))
        for task, (split, _) in split_of.items():
            write_split(work / f"{task}.npz", split)
        for place, (task, name) in enumerate(reversed(turn) if repeat % 2 else turn):
            on_step(repeat * len(turn) + place, _REPEATS * len(turn))
            answered = run_contender(name, work / f"{task}.npz", python)
            quality = split_of[task][1](answered.answers)
            figures = _Figures(answered.train_s, answered.answer_s, quality)
            found.setdefault((task, name), []).append(figures)
    on_step(_REPEATS * len(turn), _REPEATS * len(turn))
    medians = {
        key: _Figures(
            median(each.train_s for each in figures),
            median(each.answer_s for each in figures),
            mean(each.quality for each in figures),
        )
        for key, figures in found.items()
    }
    rows = {contest: _entries(contest, medians) for contest in contests}
    tables = [
        _table(task, [contest for contest in contests if contest.task == task], medians, rows)
        for task in _DATA
        if any(contest.task == task for contest in contests)
    ]
    return Judged([row for of_contest in rows.values() for row in of_contest], tables)


def rating_splits(feedback: Feedback) -> Iterator[tuple[Split, Quality]]:
    """The folds of `ratings`, and the RMSE of answers, where NaN is the training's mean."""
    for train, test in folds(feedback, _REPEATS, seed=0):
        users, items = (
            _indices(test_index, test_ids, train_ids)
            for test_index, test_ids, train_ids in (
                (test.users, test.user_ids, train.user_ids),
                (test.items, test.item_ids, train.item_ids),
            )
        )
        level, actual = float(train.values.mean(dtype=np.float64)), test.values

        def error(foretold: Answers, level: float = level, actual: NDArray[np.float32] = actual) -> float:
            return rmse(np.where(np.isnan(foretold), level, foretold), actual)

        yield Split(train.users, train.items, train.values, users, items), error


def list_split(feedback: Feedback) -> tuple[Split, Quality]:
    """Each visitor's last fifth held out, and the NDCG@10 of lists, (visitors that are asked for, 20)."""
    train, test = last_of_each(feedback)
    items = _indices(test.items, test.item_ids, train.item_ids)
    asked = np.arange(0, len(test.user_ids), _EVERY)
    wanted = [set(items[test.users == user].tolist()) for user in asked.tolist()]
    users = _indices(asked, test.user_ids, train.user_ids)
    relevant = np.array([len(each) for each in wanted])

    def gain(lists: Answers) -> float:
        hits = [[item in own for item in row] for row, own in zip(lists.tolist(), wanted, strict=True)]
        ranks = np.where(np.array(hits), np.arange(1, lists.shape[1] + 1), np.inf)
        return float(ndcg_at_k(ranks, 10, relevant).mean())

    return Split(train.users, train.items, train.values, users, np.empty(0, np.int64)), gain


def _indices(indices: NDArray[np.int64], ids: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """By the order of the known ids; what is not known comes behind them."""
    index = {each: place for place, each in enumerate(known)}
    places = np.array([index.setdefault(each, len(index)) for each in ids], np.int64)
    return places[indices]


def _ours(contest: Contest) -> str:
    return f"ours {contest.model}"


def _entries(contest: Contest, medians: Mapping[tuple[str, str], _Figures]) -> list[Entry]:
    """Of each peer: seconds of training and of answers, and quality, held to its own. How good lists are is
    told, not required."""
    task, ours = contest.task, medians[contest.task, _ours(contest)]
    rows = []
    for peer in contest.peers:
        theirs = medians[task, peer]
        for what in ("train", "answer"):
            value, reference = getattr(ours, f"{what}_s"), getattr(theirs, f"{what}_s")
            row = entry(
                contest.model,
                _DATA[task],
                f"{what}_s beside {peer}",
                value,
                reference=reference,
                holds=value <= reference * _NOISE,
                required=True,
                excuse=REASONS.get((contest.model, task, what), ""),
                claim="not slower than",
            )
            rows.append(row)
        rates = task == "rating"
        rows.append(
            entry(
                contest.model,
                _DATA[task],
                f"{_QUALITY[task]} beside {peer}",
                ours.quality,
                reference=theirs.quality,
                holds=ours.quality <= theirs.quality * ROOM if rates else ours.quality >= theirs.quality,
                required=rates,
                claim="at most 1 % above" if rates else "not below",
            )
        )
    return rows


def _table(
    task: str,
    contests: Sequence[Contest],
    medians: Mapping[tuple[str, str], _Figures],
    rows: Mapping[Contest, Sequence[Entry]],
) -> Table:
    quality = _QUALITY[task].upper()
    table = new_table(
        f"{_DATA[task]}: CPU seconds beside other libraries, one thread",
        *("train s", "", "answers s", "", quality, ""),
    )
    notes = Notes()
    for contest in contests:
        ours = medians[task, _ours(contest)]
        table.add_row(
            contest.model, f"{ours.train_s:.3f}", "", f"{ours.answer_s:.3f}", "", f"{ours.quality:.4f}", ""
        )
        for peer, at in zip(contest.peers, range(0, len(rows[contest]), 3), strict=True):
            theirs = medians[task, peer]
            marks = map(notes.mark, rows[contest][at : at + 3])
            cells = (f"{theirs.train_s:.3f}", f"{theirs.answer_s:.3f}", f"{theirs.quality:.4f}")
            table.add_row(f"   {peer}", *chain.from_iterable(zip(cells, marks, strict=True)))
    worse = "at most 1 % worse" if task == "rating" else "not worse, which is told only"
    table.caption = notes.under(f"ok: beside this peer ours is not slower, and {worse}.")
    return table
