"""What happens to a click: the visitor's state, the list, and the judgement of it."""

from itertools import chain
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt

from streamrec.config.values import Section, SessionSourceName, Weight

__all__ = ["EvaluationSettings", "RecommenderSettings", "ScoringSettings", "StateSettings"]


class StateSettings(Section):
    """What a visitor's state holds and for how long."""

    weights: dict[str, FiniteFloat] = Field(
        default={
            "view": 1.0,
            "click": 1.0,
            "cart": 2.0,
            "purchase": 3.0,
            "like": 2.0,
            "rating": 1.0,
            "dislike": -1.0,
            "impression": 0.0,
        }
    )
    """Weight of each interaction type. Above 0 it feeds the models and asks for a list;
    0 is only noted; below 0 the online model learns it as unwanted. Other types are refused."""
    session_gap_s: PositiveInt = 1800
    """Silence after which an interaction without a session id starts a new session."""
    session_items: PositiveInt = Field(default=50, le=1000)
    """Items of the session kept in the row."""
    recent_events: PositiveInt = Field(default=50, le=1000)
    """Event ids remembered for recognising repeats."""
    visitor_ttl_s: PositiveInt = 30 * 86400
    """A visitor silent for this long, by event time, is forgotten."""
    max_visitors: PositiveInt = 1_000_000
    """Visitors held per partition; beyond it those silent the longest are forgotten."""
    max_items: PositiveInt = 100_000
    """Items held by the online learner of a partition; beyond it the longest unused go."""
    max_future_s: PositiveInt = 300
    """How far event time may run ahead of the time Kafka gave the record."""
    max_event_bytes: PositiveInt = Field(default=64 * 1024, le=1 << 20)
    """Larger records are refused before they are decoded. What is not larger has to fit a dead letter."""
    recent_sessions: NonNegativeInt = 0
    """Sessions that are over, with two items or more, kept per partition, the last ones; for the sources of
    lists that learn from sessions. 0 keeps none."""
    popularity_half_life_s: PositiveFloat = 6 * 3600.0
    """Time in which a click loses half its weight in the popularity of an item: in the source `popularity`,
    which is what `streamrec evaluate` calls decayed_popularity, there with a half-life of 24 hours."""
    online: bool = True
    """Whether the online model learns; without it rows carry no factors of visitors and items."""
    seed: int = 0
    """Seed of every random draw: negatives and initial vectors."""


class RecommenderSettings(Section):
    """A trained recommender that is a source of lists."""

    version: Annotated[str, Field(min_length=1)]
    """As `streamrec train recommender` has published it. It serves until the settings name another one, so
    that lists follow from the log and the settings."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    """In the blend, as scoring.weights."""


class ScoringSettings(Section):
    """How a list is made."""

    k: PositiveInt = Field(default=20, le=500)
    """Items in a list. Of 150,000 items and more, lists of 124 and longer look through all of them."""
    weights: dict[Literal["gru4rec", "online_mf", "popularity", SessionSourceName], Weight] = Field(
        default={
            "gru4rec": 1.0,
            "online_mf": 0.5,
            "popularity": 0.15,
        }
    )
    """Weight of each source in the blend; 0, or none at all, switches a source off. item_knn, markov, vs_knn,
    stan and vmis_knn learn from the sessions of the partition: they need state.recent_sessions."""
    recommenders: dict[str, RecommenderSettings] = Field(default={})
    """Trained recommenders that are sources of lists, too, by name, such as
    {"wals": {"version": "20261123t101500-1f0c22ab", "weight": 0.5}}."""
    min_share: Annotated[float, Field(ge=0, le=1 / 3)] = 0.05
    """Fraction of the k positions, rounded up, that a source gets whatever its weight,
    as long as it has proposals: what none of the others can know is tried out there."""
    rank_constant: PositiveFloat = 2.0
    """An item at rank r of a source scores weight / (rank_constant + r)."""
    exclude_session_items: bool = False
    """Leave out what the visitor has already had in this session."""
    trace: bool = False
    """Add each source's own list to every recommendation; for evaluation."""
    threads: PositiveInt = 1
    """Threads of the scoring graph."""
    max_batch: PositiveInt = 64
    """Most visitors scored in one run of the graph. With more, what it computes outgrows the caches."""
    tick_ms: PositiveInt = 1000
    """Item rows become visible to lists at ticks of event time this far apart."""

    @property
    def source_weights(self) -> dict[str, float]:
        """The weight of every source, by its name."""
        chosen = {name: each.weight for name, each in self.recommenders.items()}
        return dict(chain(self.weights.items(), chosen.items()))


class EvaluationSettings(Section):
    """How lists are judged while they are made."""

    window: PositiveInt = 5000
    """Judged clicks of a partition that a fading average reaches back over: with each click that
    follows, a click loses 1/window of its weight."""
    cutoffs: tuple[Annotated[int, Field(ge=1, le=500)], ...] = Field(default=(5, 20), min_length=1)
    """Places of a list that count: the k of recall, MRR and NDCG at k."""
    releases: PositiveInt = 2
    """Model versions shown one by one: those whose lists were judged last."""
    shadows: PositiveInt = 4
    """Shadows shown one by one: those whose lists were judged last."""
    interleaved_lists: PositiveInt = 10_000
    """Interleaved lists per partition that clicks are still credited to: those shown last."""
    max_visitors: PositiveInt = 20_000
    """Visitors per partition whose last list is kept for their next click; beyond it those silent the
    longest are forgotten, and what they click next is not judged. A list takes a few KiB."""
