"""Recommenders composed of others: nodes in a configuration, and the recommenders made of them.

A node is a mapping that names a recommender under `model`, its hyperparameters beside it; these may be nodes
again. A configuration that holds one is checked to the bottom, and says of a fault at which node it is. What
is trained is saved in folders, one in the other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from streamrec.errors import ConfigError
from streamrec.models import recommender_class, recommender_name
from streamrec.recommender import Recommender

__all__ = [
    "Node",
    "OverBaseConfig",
    "OverRatingsConfig",
    "foretells",
    "load_parts",
    "save_parts",
    "want_ratings",
]


def _named(given: Any) -> Any:
    """A name alone, as on a command line, is a node of defaults."""
    return {"model": given} if isinstance(given, str) else given


def _checked(node: dict[str, Any]) -> dict[str, Any]:
    """The node as its recommender understands it: what is named by a text gets the type it has."""
    if not isinstance(node.get("model"), str):
        raise PydanticCustomError("node", "a node names its recommender under `model`")
    try:
        name, made = recommender_name(node["model"]), recommender_class(node["model"])
    except ConfigError as error:
        raise PydanticCustomError("node", "{fault}", {"fault": str(error)}) from None
    # What this raises pydantic tells among the faults of what the node is in, at its place there.
    config = made.Config.model_validate({key: value for key, value in node.items() if key != "model"})
    return {"model": name, **config.model_dump(mode="json", exclude_unset=True)}


Node = Annotated[dict[str, Any], BeforeValidator(_named), AfterValidator(_checked)]
"""NAME, or `{model: NAME, hyperparameter: value, ...}`, those that are not at their defaults."""


class OverBaseConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which recommender is underneath."""

    base: Node = {"model": "factorisation_machine"}
    """The recommender underneath."""


def foretells(node: Mapping[str, Any]) -> bool:
    """Whether what a checked node scores are ratings."""
    made = recommender_class(node["model"])
    config = made.Config.model_validate({key: value for key, value in node.items() if key != "model"})
    if "rating" not in made.tasks or getattr(config, "task", "rating") != "rating":
        return False
    last = getattr(config, "base", None) or getattr(config, "then", None)
    return last is None or foretells(last)


def want_ratings(*nodes: Mapping[str, Any], or_lists: bool = False) -> None:
    """For validators of configurations: raises what pydantic tells if a node foretells no ratings.

    or_lists: whether what is made of them could make lists instead.
    """
    way_out = "set task: top-n to make lists of them, or " if or_lists else ""
    for node in nodes:
        if not foretells(node):
            raise PydanticCustomError(
                "node",
                "{model} foretells no ratings as it is set, its scores are to rank by: {way_out}take one "
                "that does",
                {"model": node["model"], "way_out": way_out},
            )


class OverRatingsConfig(OverBaseConfig, frozen=True):
    """The same of one whose scores have to be ratings."""

    @model_validator(mode="after")
    def _ratings_of_ratings(self) -> Self:
        want_ratings(self.base)
        return self


def save_parts(parts: Sequence[Recommender], directory: Path) -> None:
    """Write each to a folder of its own."""
    for number, part in enumerate(parts):
        folder = directory / f"part{number}"
        folder.mkdir(parents=True, exist_ok=True)
        part.save(folder)


def load_parts(nodes: Sequence[Mapping[str, Any]], directory: Path) -> list[Recommender]:
    """What save_parts wrote, of the nodes they were made of. Raises ArtifactError if that fails."""
    return [
        recommender_class(node["model"]).load(directory / f"part{number}")
        for number, node in enumerate(nodes)
    ]
