"""What content-based recommenders share: items as vectors of terms, visitors as what they had.

Enters: records of items, and feedback. Leaves: for each item a row of tf-idf weights of length 1, and for a
visitor the vector whose product with a row is the score; what that vector is, each model says. What a visitor
had more than once counts as often, and is kept once.

An item can be scored as soon as its record is known, with no interaction at all. So `items` are those of
feedback and after them those that only have a record; where there is a record of just what is in the
feedback, that is the items of training. Items of feedback without any content are listed, and cannot be
scored.

Source of the weights: Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, sections
6.2 and 6.4: (1 + ln tf) · idf, with idf = ln((1 + n) / (1 + df)) + 1, smoothed so that a term that came after
training has one. By hand, because items are added while serving, where there is no scikit-learn, and because
its vectorisers are kept by pickle alone.
"""

import re
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import FloatArray, IntArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.events import Item
from streamrec.feedback import NOTHING, Feedback, Knowledge, checked_value
from streamrec.models._histories import Histories, History, history_of
from streamrec.models._saving import load_state, save_state
from streamrec.models._term_rows import TermRows, digest
from streamrec.recommender import Known, Reason, Task, Visitor

__all__ = ["ContentModel", "labels", "words"]

Vector = NDArray[np.float64]

_WORD: Final = re.compile(r"[^\W_]{2,}")
_REASONS: Final = 10


def words(item: Item) -> Iterable[str]:
    """The words of title and text, in small letters."""
    return (
        f"w:{word}" for text in (item.title, item.text) if text for word in _WORD.findall(text.casefold())
    )


def labels(item: Item) -> Iterable[str]:
    """Tags and categories as wholes, told apart."""
    return (
        *(f"t:{tag.casefold()}" for tag in item.tags),
        *(f"c:{category.casefold()}" for category in item.categories),
    )


class ContentModel(ABC):
    """Rows of items and what visitors had; what terms are and what a visitor wants, subclasses say."""

    Config: ClassVar[Any]
    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"items"})

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()
        self._forget()

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Weigh the terms of all records and keep what visitors had. Raises DatasetError without feedback."""
        if not len(feedback):
            raise DatasetError("there is no feedback to learn from")
        self._forget()
        self._know(knowledge)
        documents = self._documents(knowledge)
        item_ids = dict.fromkeys([*feedback.item_ids, *documents])
        self._index |= {item_id: index for index, item_id in enumerate(item_ids)}
        records = [digest(knowledge.items.get(item_id)) for item_id in item_ids]
        self._weigh([Counter(documents.get(item_id, ())) for item_id in item_ids], records)
        self._only_recorded |= _only_recorded(records, range(len(feedback.item_ids)))
        self._histories = Histories.of(feedback)
        self._range = float(feedback.values.min()), float(feedback.values.max())
        if options is not None and options.on_step is not None:
            options.on_step(len(feedback), len(feedback), float("nan"))
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """Take in one more interaction; how rare terms are is a matter of records, and stays.

        Raises DatasetError if the value is no finite number.
        """
        counted = checked_value(user_id, item_id, value)
        place = self._place(item_id)
        self._only_recorded.discard(place)
        self._histories.add(user_id, place, counted)
        low, high = self._range
        self._range = min(low, counted), max(high, counted)

    def add_item(self, item: Item) -> None:
        """Make an item scorable at once, or put a new record in place of an old one.

        How rare terms are stays as in training; a term that is new counts as in no record.
        """
        place, record = self._place(item.item_id), digest(item)
        if self._rows.recall(place, record):
            return
        terms = Counter(self._terms_of(item))
        for term in terms:
            if term not in self._terms:
                self._terms[term] = len(self._terms)
                self._vocabulary.append(term)
                self._idf.append(self._idf_of_new)
        places = [self._terms[term] for term in terms]
        idf = np.array([self._idf[each] for each in places])
        weights = (1 + np.log(np.array(list(terms.values()), np.float64))) * idf
        length = np.linalg.norm(weights) or 1.0
        self._rows.put(place, record, places, weights / length, len(self._terms))

    def forget_item(self, item_id: str) -> None:
        """Let go of a record; see recommender.ItemLearner. Its terms stay in memory."""
        place = self._index.get(item_id)
        if place is not None:
            self._rows.forget(place, is_known=place not in self._only_recorded)

    @property
    def items(self) -> Sequence[str]:
        """Items of feedback, then those that only have a record, then those added."""
        return list(self._index)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """How well contents fit what the visitor had; see recommender.Recommender."""
        wanted = self._wanted(visitor)
        rows = self._rows.row_of
        if items is None:
            return self._fit(rows, wanted)
        known = np.array([self._index.get(item_id, -1) for item_id in items], np.int64)
        scores = np.full(len(known), np.nan, np.float32)
        scores[known >= 0] = self._fit(rows[known[known >= 0]], wanted)
        return scores

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The terms with the largest parts of the score; words count as tags."""
        wanted = self._wanted(visitor)
        if item_id not in self._index or wanted is None:
            return []
        row = self._rows.of(np.array([self._index[item_id]]))
        found = [
            Reason("category" if term[0] == "c" else "tag", term[2:], part)
            for term, part in zip(
                (self._vocabulary[index] for index in row.indices.tolist()),
                (row.data * wanted[row.indices]).tolist(),
                strict=True,
            )
        ]
        return sorted(found, key=lambda reason: -abs(reason.weight))[:_REASONS]

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        matrix = self._rows.all()
        users = self._histories.user_ids
        ids = {"items": self.items, "users": users, "terms": self._vocabulary, **self._lists()}
        numbers = {
            "records": np.array(self._rows.records, np.uint64),
            "starts": matrix.indptr,
            "terms": matrix.indices,
            "weights": matrix.data,
            "idf": np.array(self._idf),
            "idf_of_new": np.array(self._idf_of_new),
            "range": np.array(self._range),
            **self._histories.arrays(),
        }
        save_state(directory, type(self).__name__, self.config, ids, numbers)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, cls.__name__, cls.Config)
        model = cls(config)
        model._index = {item_id: index for index, item_id in enumerate(ids["items"])}
        model._vocabulary = ids["terms"]
        model._terms = {term: index for index, term in enumerate(ids["terms"])}
        model._idf = array("d", numbers["idf"].tolist())
        model._idf_of_new = float(numbers["idf_of_new"])
        records = numbers["records"].tolist()
        rows = numbers["starts"], numbers["terms"], numbers["weights"]
        model._rows = TermRows(*rows, len(ids["terms"]), records)
        model._only_recorded = _only_recorded(records, numbers["had"].tolist())
        model._histories = Histories.saved(ids["users"], numbers)
        model._range = float(numbers["range"][0]), float(numbers["range"][1])
        model._know_lists(ids)
        return model

    @abstractmethod
    def _terms_of(self, item: Item) -> Iterable[str]:
        """The terms of a record, each as often as it counts."""

    @abstractmethod
    def _vector(self, rows: Any, had: History, visitor_id: str) -> Vector | None:
        """What the visitor wants, (number of terms,); None if that cannot be told.

        rows: (n, number of terms) of what it had, sparse.
        """

    def _documents(self, knowledge: Knowledge) -> Mapping[str, Iterable[str]]:
        """Terms by item."""
        return {item_id: self._terms_of(item) for item_id, item in knowledge.items.items()}

    def _know(self, knowledge: Knowledge) -> None:  # noqa: B027
        """Take in more than records, where a model needs more."""

    def _lists(self) -> Mapping[str, Sequence[str]]:
        """What `_know` took in, to be saved."""
        return {}

    def _know_lists(self, lists: Mapping[str, Sequence[str]]) -> None:  # noqa: B027
        """Take that in again."""

    def _forget(self) -> None:
        self._index: dict[str, int] = {}
        self._only_recorded: set[int] = set()
        self._histories = Histories()
        self._terms: dict[str, int] = {}
        self._vocabulary: list[str] = []
        self._idf = array("d")
        self._idf_of_new = 1.0
        self._range = (0.0, 0.0)
        self._rows = TermRows(np.zeros(1, np.int32), np.empty(0, np.int32), np.empty(0), 0, [])

    def _place(self, item_id: str) -> int:
        """The index of an item, which may be new."""
        place = self._index.setdefault(item_id, len(self._index))
        self._rows.grow(len(self._index))
        return place

    def _history(self, visitor: Visitor) -> History:
        """What the visitor had; of a stranger without ratings each counts in full."""
        known = self._histories.get(visitor.visitor_id)
        if known is not None:
            return known
        given = visitor.values or [self._range[1]] * len(visitor.items)
        return history_of(
            (self._index[item_id], value)
            for item_id, value in zip(visitor.items, given, strict=False)
            if item_id in self._index
        )

    def _wanted(self, visitor: Visitor) -> Vector | None:
        had = self._history(visitor)
        return self._vector(self._rows.of(had.items), had, visitor.visitor_id)

    def _fit(self, rows: IntArray, wanted: Vector | None) -> FloatArray:
        if wanted is None:
            return np.full(len(rows), np.nan, np.float32)
        matrix = self._rows.matrix
        if len(rows) < len(self._index):
            matrix, rows = matrix[rows], np.arange(len(rows))
        fit = matrix @ wanted
        fit[np.diff(matrix.indptr) == 0] = np.nan
        scores: FloatArray = fit[rows].astype(np.float32)
        return scores

    def _weigh(self, counts: Sequence[Counter[str]], records: Sequence[int]) -> None:
        """Vocabulary, idf and rows of the records of training."""
        for terms in counts:
            for term in terms:
                self._terms.setdefault(term, len(self._terms))
        self._vocabulary = list(self._terms)
        starts = np.cumsum([0, *(len(terms) for terms in counts)]).astype(np.int32)
        places = np.array([self._terms[term] for terms in counts for term in terms], np.int32)
        times = np.array([n for terms in counts for n in terms.values()], np.float64)
        n_documents = sum(1 for terms in counts if terms)
        idf = np.log((1 + n_documents) / (1 + np.bincount(places, minlength=len(self._terms)))) + 1
        self._idf = array("d", idf.tolist())
        self._idf_of_new = float(np.log(1 + n_documents)) + 1
        weights = (1 + np.log(times)) * idf[places]
        owners = np.repeat(np.arange(len(counts)), np.diff(starts))
        weights /= np.sqrt(np.bincount(owners, weights**2))[owners]
        self._rows = TermRows(starts, places, weights, len(idf), records)


def _only_recorded(records: Sequence[int], had: Iterable[int]) -> set[int]:
    """Items of training, by index, that have a record, and that nobody had."""
    return {index for index, record in enumerate(records) if record}.difference(had)
