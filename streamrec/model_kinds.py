"""What there is to say of each model the program knows, out of its own code: purpose, tasks, hyperparameters.

In: names of streamrec.models. Out: `ModelKind`, and `Hyperparameter` for each of its configuration.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from streamrec import models
from streamrec.config import SESSION_SOURCES
from streamrec.errors import ConfigError
from streamrec.models import RECOMMENDERS, SESSION_MODELS, model_name, recommender_class, session_model_class

__all__ = ["Hyperparameter", "ModelKind", "hyperparameters", "model_kind", "model_kinds"]

_NUMBERS: Final = {"integer": "whole number", "number": "number"}
_BOUNDS: Final = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
_OTHERS: Final = {
    "boolean": "true or false",
    "string": "text",
    "array": "list",
    "object": "table",
    "null": "none",
}


class ModelKind(NamedTuple):
    """A model, before it is trained."""

    name: str
    kind: Literal["session model", "recommender"]
    tasks: list[str]
    """next item; or rating, top-n. Empty if it cannot be loaded."""
    streams: bool
    """Whether it learns from interactions one by one, and not only from all at once."""
    missing: str | None
    """What it needs and is not installed, in words."""
    text: str
    """What enters and leaves, and its source."""

    @property
    def about(self) -> str:
        """The first sentence of the text."""
        return " ".join(self.text.split("\n\n")[0].split()).removesuffix(".")


class Hyperparameter(NamedTuple):
    """A field of a configuration."""

    name: str
    type: str
    """What values it takes, in words."""
    default: Any
    about: str


def model_kinds() -> list[ModelKind]:
    """Every model by name, session models first. Loads them all, which takes seconds."""
    return [_kind(name) for name in (*SESSION_MODELS, *RECOMMENDERS)]


def model_kind(name: str) -> ModelKind:
    """One model; hyphens and capitals do not count. Raises ConfigError if there is none of the name."""
    return _kind(model_name(name))


def hyperparameters(name: str) -> list[Hyperparameter]:
    """What can be configured of a model, in order.

    Raises ConfigError if there is no such model, or what it needs is not installed.
    """
    config = _class(model_name(name)).Config
    schema, defaults, documented = (
        config.model_json_schema(),
        config().model_dump(mode="json"),
        _documented(config),
    )
    return [
        Hyperparameter(
            field, _type(property_, schema.get("$defs", {})), defaults[field], documented.get(field, "")
        )
        for field, property_ in schema.get("properties", {}).items()
    ]


def _kind(name: str) -> ModelKind:
    is_session = name in SESSION_MODELS
    try:
        made = _class(name)
        missing = next((each for each in getattr(made, "needs", ()) if find_spec(each) is None), None)
        if missing is not None:
            missing = (
                f'{name} is trained by {missing}, which is not installed; pip install "streamrec[train]"'
            )
    except ConfigError as error:
        made, missing = None, str(error)
    return ModelKind(
        name,
        "session model" if is_session else "recommender",
        ["next item"] if is_session else sorted(made.tasks) if made is not None else [],
        name in SESSION_SOURCES if is_session else hasattr(made, "learn_one"),
        missing,
        _text(name),
    )


def _class(name: str) -> Any:
    return session_model_class(name) if name in SESSION_MODELS else recommender_class(name)


def _text(name: str) -> str:
    """The docstring of a model's module, which is not loaded: what it imports may be missing."""
    source = Path(models.__file__).with_name(f"{name}.py").read_text("utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _documented(config: type[Any]) -> dict[str, str]:
    """What stands below each field of a configuration, those of its base classes included."""
    found: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if base.__module__.startswith("streamrec."):
            found |= dict(_docstrings(base))
    return found


def _docstrings(base: type[Any]) -> Iterator[tuple[str, str]]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
    body = next(each.body for each in tree.body if isinstance(each, ast.ClassDef))
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                yield name, " ".join(text.split())


def _type(property_: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON Schema in words."""
    if "$ref" in property_:
        return _type(definitions[property_["$ref"].rpartition("/")[2]], definitions)
    if "enum" in property_:
        return ", ".join(map(str, property_["enum"]))
    if "const" in property_:
        return str(property_["const"])
    if "anyOf" in property_:
        return " or ".join(_type(each, definitions) for each in property_["anyOf"])
    kind = property_.get("type")
    if kind in _NUMBERS:
        bounds = [f"{sign} {property_[bound]:g}" for bound, sign in _BOUNDS.items() if bound in property_]
        return " ".join([_NUMBERS[kind], ", ".join(bounds)]).strip()
    return _OTHERS.get(kind or "", "any")
