"""Nodes made for a task: what follows from it for a recommender, and for those it is composed of.

In: a node, as models.recommender_of takes it, and what is asked of it. Out: the same node, in which everyone
is told that who can be told, unless the node says otherwise; and what such a node is good for.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from streamrec.errors import ConfigError
from streamrec.feedback import Feedback
from streamrec.models import RECOMMENDERS, recommender_class, recommender_of
from streamrec.models._nodes import foretells
from streamrec.recommender import Known, Task

__all__ = ["asked_for", "foretelling", "goes_by", "nodes_in", "possible_tasks", "require_ratings"]

_Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_EVERY_ONE: Final = 0.0
"""As `liked_from`: interactions whose type weighs nothing, or less, are no feedback (see topic_feedback)."""


def asked_for(node: Mapping[str, Any], task: Task, *, weights: bool = False) -> dict[str, Any]:
    """A node made for a task: it and its parts have their `task`, where they have one and do not say.

    Parts of what makes lists are to make lists, all others are to foretell ratings. weights: whether values
    are those of interactions' types, and no ratings: each interaction is then a like. Raises ConfigError if
    there is no such recommender; what else is wrong with the node stays for recommender_of to tell.
    """
    made = recommender_class(node.get("model", ""))
    told: dict[str, Any] = {"task": task, **({"liked_from": _EVERY_ONE} if weights else {})}
    found = {name: value for name, value in told.items() if name in made.Config.model_fields} | dict(node)
    makes_lists = "top-n" in made.tasks and found.get("task", task) == "top-n"

    def ask(part: Mapping[str, Any]) -> Mapping[str, Any]:
        return asked_for(part, "top-n" if makes_lists else "rating", weights=weights)

    for name, value in _composed(found):
        asked = _changed(value, ask)
        if asked != value:
            found[name] = asked
    return found


def possible_tasks(node: Mapping[str, Any]) -> frozenset[Task]:
    """What a node can be made for, as it is configured. Raises ConfigError if for nothing."""
    possible: list[Task] = sorted(recommender_class(node["model"]).tasks)
    found: list[Task] = []
    fault: ConfigError | None = None
    for task in [each for each in possible if each == node.get("task")] or possible:
        try:
            asked = asked_for(node, task)
            recommender_of(asked)
            # What a group makes of its members need be no rating.
            if task != "rating" or foretells(asked):
                found.append(task)
        except ConfigError as error:
            fault = error
    if fault is not None and not found:
        raise fault
    return frozenset(found)


def nodes_in(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A node, and after it all that it is composed of, down to the bottom and by default, too."""
    found = [node]

    def take(part: Mapping[str, Any]) -> Mapping[str, Any]:
        found.extend(nodes_in(part))
        return part

    for _, value in _composed(node):
        _changed(value, take)
    return found


def foretelling(node: Mapping[str, Any]) -> list[str]:
    """Who in a node foretells ratings, once it is asked for something (see asked_for): their names."""
    return [
        each["model"]
        for each in nodes_in(node)
        if each.get("task") == "rating" or "top-n" not in recommender_class(each["model"]).tasks
    ]


def goes_by(node: Mapping[str, Any]) -> list[frozenset[Known]]:
    """What it and its parts go by (see recommender.Recommender): something out of each of the sets."""
    classes = [recommender_class(each["model"]) for each in nodes_in(node)]
    return [made.goes_by for made in classes if hasattr(made, "goes_by")]


def require_ratings(node: Mapping[str, Any], feedback: Feedback) -> None:
    """Raises ConfigError if anyone in a node foretells ratings, and the feedback has none that differ."""
    names = foretelling(node)
    if names and len(np.unique(feedback.values)) < 2:
        lists = [name for name in RECOMMENDERS if "top-n" in recommender_class(name).tasks]
        part = "" if names[0] == node["model"] else f", a part of {node['model']},"
        raise ConfigError(
            f"{names[0]}{part} foretells ratings, and this feedback has none that differ; take one that "
            f"makes lists ({', '.join(lists)}), or feedback with ratings"
        )


def _composed(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Those hyperparameters of a node that hold nodes, as their defaults tell: by name, with their values."""
    for name, field in recommender_class(node["model"]).Config.model_fields.items():
        if _holds_nodes(field.default):
            yield name, node.get(name, field.default)


def _holds_nodes(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_holds_nodes, value))
    return isinstance(value, Mapping) and ("model" in value or "node" in value)


def _changed(value: Any, change: _Change) -> Any:
    """A hyperparameter with every node in it changed. What is none stays: who checks it tells its place."""
    if isinstance(value, list | tuple):
        return type(value)(_changed(each, change) for each in value)
    if isinstance(value, Mapping) and "node" in value:
        return {**value, "node": _changed(value["node"], change)}
    node = {"model": value} if isinstance(value, str) else value
    if not isinstance(node, Mapping) or not isinstance(node.get("model"), str):
        return value
    try:
        return change(node)
    except ConfigError:
        return value
