"""Models as the command line names them: NAME, or a YAML file with a node, and LABEL=… before either.

In: what --model and --param were given. Out: for each a label, the model's name, hyperparameters and a seed.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from streamrec.contracts import OnStep
from streamrec.errors import ConfigError
from streamrec.models import SESSION_MODELS, model_name
from streamrec.node_files import load_node

__all__ = ["Kind", "Named", "Progress", "kind_of", "named_models"]

Kind = Literal["session", "recommender"]
Progress = Callable[[str], AbstractContextManager[OnStep]]
"""Shows one piece of work, by its name, as long as it is open."""

_NODE_FILES: Final = (".yaml", ".yml")


class Named(NamedTuple):
    """A model that is named, and what of it is not at its default."""

    label: str
    model: str
    parameters: dict[str, Any]
    """Hyperparameters: values of a file, texts of the command line."""
    seed: int

    @property
    def kind(self) -> Kind:
        """What it is judged by: the next clicks of sessions, or the feedback of visitors."""
        return "session" if self.model in SESSION_MODELS else "recommender"


def named_models(models: Sequence[str], parameters: Sequence[str], seed: int = 0) -> list[Named]:
    """The models, in order.

    models: NAME or FILE.yaml, or LABEL= before either; parameters: NAME=VALUE, or LABEL.NAME=VALUE where
    there are several models, over those of a file. `seed` is a parameter of each. Raises ConfigError naming
    what is wrong.
    """
    found = _labelled(models)
    given = _by_label(parameters, list(found))
    seeds = {label: _seed(given[label].pop("seed", str(seed))) for label in found}
    return [
        Named(label, model, {**of_file, **given[label]}, seeds[label])
        for label, (model, of_file) in found.items()
    ]


def kind_of(named: Sequence[Named]) -> Kind:
    """What all of them are. Raises ConfigError if they are judged by different things."""
    sessions = [each.label for each in named if each.kind == "session"]
    others = [each.label for each in named if each.kind == "recommender"]
    if sessions and others:
        raise ConfigError(
            f"{', '.join(sessions)} rank what comes next in a session, {', '.join(others)} recommend items "
            "to visitors: they are measured by different things and cannot be compared. Name either the ones "
            "or the others; `streamrec models kinds` says which model is what"
        )
    return "recommender" if others else "session"


def _labelled(models: Sequence[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Names of models and the hyperparameters of files, by label."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for each in models:
        label, _, given = each.rpartition("=")
        if Path(given).suffix in _NODE_FILES:
            of_file = load_node(Path(given))
            name = of_file.pop("model")
            label = label or Path(given).stem
        else:
            name, of_file = model_name(given), {}
        if (label or name) in found:
            raise ConfigError(
                f"{label or name} is named twice; give labels: --model a={given} --model b={given}"
            )
        found[label or name] = name, of_file
    return found


def _by_label(parameters: Sequence[str], labels: Sequence[str]) -> dict[str, dict[str, str]]:
    """Hyperparameters by label; without one they belong to the only model."""
    found: dict[str, dict[str, str]] = {label: {} for label in labels}
    only = labels[0] if len(labels) == 1 else ""
    for each in parameters:
        place, _, value = each.partition("=")
        label, _, name = place.rpartition(".")
        if not name or not value or (label or only) not in found:
            raise ConfigError(
                f"--param {each}: give {'NAME=VALUE' if only else 'MODEL.NAME=VALUE'}, such as "
                f"{'' if only else f'{labels[0]}.'}epochs=5; models are {', '.join(labels)}"
            )
        found[label or only][name] = value
    return found


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"seed={text}: a seed is a whole number from 0")
    return int(text)
