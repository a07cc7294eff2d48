"""From settings to the boards of a partition, with the models that are sources of its lists.

What a session model is trained with at once comes and goes here session by session. Recommenders are trained
beforehand, and loaded.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from streamrec.boards import Boards
from streamrec.config import SESSION_SOURCES, Settings
from streamrec.contracts import Session, SessionLearner, SessionSource
from streamrec.errors import ConfigError
from streamrec.item_board import ItemBoard
from streamrec.models import make_config, session_model_class
from streamrec.recommender_artifacts import load_recommender
from streamrec.recommender_source import RecommenderSource
from streamrec.registry import Registry
from streamrec.session_board import SessionBoard
from streamrec.session_index import SessionIndex

__all__ = ["board_opener"]

log = logging.getLogger(__name__)

_COUNTING: Final = ("item_knn", "markov")
_INDEX_BOUNDS: Final = ("max_sessions", "max_items")


def board_opener(settings: Settings) -> Callable[[], Boards]:
    """What makes the empty boards of a partition, with the sources that `scoring` asks for.

    Raises ConfigError if a hyperparameter of one is unknown, out of range or has no meaning here;
    RegistryError or ArtifactError if a recommender cannot be loaded.
    """
    models: dict[str, Callable[[], Any]] = {
        name: partial(session_model_class(name), _config(name, getattr(settings, name)))
        for name in SESSION_SOURCES
        if settings.scoring.weights.get(name)
    }
    registry = Registry.of(settings)
    recommenders = {}
    for name, chosen in settings.scoring.recommenders.items():
        recommenders[name] = RecommenderSource(load_recommender(registry, name, chosen.version))
        log.info("%s %s is a source of lists, weight %g", name, chosen.version, chosen.weight)
    return lambda: Boards(
        ItemBoard(settings.scoring.tick_ms, settings.state.popularity_half_life_s),
        _sessions(models),
        recommenders,
    )


def _config(name: str, parameters: Mapping[str, Any]) -> Any:
    config = session_model_class(name).Config
    if name not in _COUNTING and (meant := parameters.keys() & set(_INDEX_BOUNDS)):
        raise ConfigError(
            f"{name}: {' and '.join(sorted(meant))} bound what is trained on; what a live source knows is "
            "bounded by state.recent_sessions, state.max_visitors and state.session_items"
        )
    try:
        return make_config(name, config, parameters)
    except ConfigError as error:
        given = ", ".join(f"STREAMREC_{name}__{each}".upper() + f"={parameters[each]}" for each in parameters)
        _, _, faults = str(error).partition("\n")
        raise ConfigError(f"{name} cannot be a source of lists with {given}:\n{faults}") from None


def _sessions(models: Mapping[str, Callable[[], Any]]) -> SessionBoard:
    learners: list[SessionLearner] = []
    sources: dict[str, SessionSource] = {}
    # One for all. Its bounds are those of the rows: what it forgot by itself a restart would bring back.
    index = SessionIndex(max_sessions=sys.maxsize, max_items=sys.maxsize)
    for name, make in models.items():
        if name in _COUNTING:
            counting = _Counting(make())
            learners.append(counting)
            sources[name] = counting
        else:
            sources[name] = _Neighbours(make(), index)
    if len(learners) < len(sources):
        learners.append(index)
    return SessionBoard(learners, sources)


class _NeighbourModel(Protocol):
    def item_scores(self, index: SessionIndex, items: Sequence[str]) -> Mapping[str, float]: ...


class _Neighbours:
    """A model that looks for neighbours in an index; a SessionSource."""

    def __init__(self, model: _NeighbourModel, index: SessionIndex) -> None:
        self._model = model
        self._index = index

    def proposals(self, items: Sequence[str]) -> Mapping[str, float]:
        """Those of the session's neighbours. Its own beginning is one: visitors come back to items."""
        return self._model.item_scores(self._index, items)


class _CountingModel(Protocol):
    def add(self, session: Session) -> None: ...
    def extend(self, session: Session, item_id: str) -> None: ...
    def remove(self, session: Session) -> None: ...
    def proposals(self, session: Session) -> Mapping[str, float]: ...


class _Counting:
    """A model that counts; a SessionLearner and a SessionSource."""

    def __init__(self, model: _CountingModel) -> None:
        self._model = model
        self._sessions: dict[str, list[str]] = {}

    def put(self, key: str, items: Sequence[str], time_ms: int) -> None:
        """Count a session in place of the one under the key; mostly it has only gone on."""
        before, after = self._sessions.get(key, []), list(items)
        if not before or after[: len(before)] != before:
            self.remove(key)
            self._model.add(Session(after))
        else:
            for n in range(len(before), len(after)):
                self._model.extend(Session(after[:n]), after[n])
        self._sessions[key] = after

    def remove(self, key: str) -> None:
        """Take the counts of a session away."""
        session = self._sessions.pop(key, None)
        if session is not None:
            self._model.remove(Session(session, (), key))

    def proposals(self, items: Sequence[str]) -> Mapping[str, float]:
        """What the counts say; those of the session's own beginning are among them."""
        return self._model.proposals(Session(items))
