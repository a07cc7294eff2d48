"""What a recommender of items for visitors promises: one contract from popularity to graphs.

Scores for a visitor and items, whether to foretell ratings or to be ranked by. Models of what comes next in
a session promise contracts.SessionModel.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol, Self, runtime_checkable

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.events import Item
from streamrec.feedback import NOTHING, Feedback, Knowledge

__all__ = ["ItemLearner", "Known", "Reason", "Recommender", "StreamRecommender", "Task", "Visitor"]

Task = Literal["rating", "top-n"]
"""What a Recommender's scores are for: to foretell ratings, or to be ranked by."""
Known = Literal["items", "tags", "trust", "groups", "contexts"]
"""What may be known beside interactions: as in Knowledge, and Feedback.contexts."""


class Visitor(NamedTuple):
    """Who asks a Recommender, and what is known of it now."""

    visitor_id: str = ""
    items: Sequence[str] = ()
    """What it had, oldest first: counts for a model that has learned nothing of the visitor."""
    values: Sequence[float] = ()
    """A rating for each of the items, or none at all; ratings expected go by the last of an item."""
    context: Mapping[str, str] = {}
    """As in Feedback.contexts."""


class Reason(NamedTuple):
    """Why an item has its score: one of what speaks for it."""

    kind: Literal["item", "user", "tag", "category", "group", "popularity", "rating"]
    """What `of` is; of a rating nothing: the mean from which a score starts."""
    of: str
    """An id or a name; empty where the kind says all."""
    weight: float
    """Its part in the score, in the score's unit where parts add up; else the more the higher."""


class Recommender(Protocol):
    """Scores items for visitors. One class a file in models/, its configuration beside it.

    A visitor that the model has learned is scored by that; any other by what it had (`Visitor.items`), if the
    model can tell anything from that; and where it can tell nothing, scores are NaN.

    A class that comes to no more than a plainer one where something is not known says so: in
    `goes_by: ClassVar[frozenset[Known]]`, one out of which it needs.
    """

    tasks: ClassVar[frozenset[Task]]

    @property
    def items(self) -> Sequence[str]:
        """The items it can score, by dense index; empty before training."""

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Fit to feedback; what was learned before is forgotten.

        Of a pair of visitor and item that is rated again the last rating counts. Only for models that know
        contexts each rating is an observation of its own: there all count. Models for lists count what is
        had again as their files say.

        The same feedback, knowledge and options give the same model. Raises DatasetError if there is
        nothing to learn from.
        """

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """Scores of items, (n,) float32; of `self.items` if none are named.

        Higher is better; for the task "rating" a score is the rating expected. NaN: it cannot score,
        an item it does not know, a visitor of whom it knows nothing. Never raises on ids. Changes nothing.
        """

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """What speaks for an item most, weightiest first; none if it cannot score it. Changes nothing."""

    def save(self, directory: Path) -> None:
        """Write the trained model to an empty directory, without pickle."""

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The model as it was saved: scores are equal, bit for bit. Raises ArtifactError if that fails."""


class StreamRecommender(Recommender, Protocol):
    """A Recommender that goes on learning; what it learned one by one is what training on all gives."""

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """Take in one more interaction, later than all before. Memory: users, items and pairs at most."""


@runtime_checkable
class ItemLearner(Protocol):
    """A Recommender that can score an item as soon as its record is known, before anybody had it.

    What it says follows from training and from the records that there are, not from those that were there
    in between, nor from their order.
    """

    def add_item(self, item: Item) -> None:
        """Make an item scorable, behind those there were, or put a new record in place of an old one.

        A record that it has already costs little. Memory: all items that ever came, and their terms.
        """

    def forget_item(self, item_id: str) -> None:
        """Let go of an item's record, if it is known.

        The item is then as training left it; one that nobody had there, or that came later, cannot be
        scored.
        """
