"""Recommenders configured in files: a YAML node, and what it is composed of as nodes in it.

    model: weighted_hybrid
    parts:
      - {weight: 2, node: {model: wals, factors: 64}}
      - {weight: 1, node: {model: tfidf_content}}

In: a path. Out: what `streamrec.models.recommender_of` takes. A session model is written in the same way. A
hybrid of parts that only make lists may leave it to who trains it to set its task: see streamrec.nodes.
"""

import json
from pathlib import Path
from typing import Any

from streamrec.errors import ConfigError
from streamrec.models import SESSION_MODELS, model_name, session_model
from streamrec.nodes import possible_tasks

__all__ = ["load_node"]


def load_node(path: Path) -> dict[str, Any]:
    """The node of a file, with the name of its model as it is listed.

    Raises ConfigError, naming file and fault, if it is no mapping in YAML, holds what is no text, number or
    truth value, or what contains itself, or if no model can be configured like that.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConfigError(f'{path} needs PyYAML to be read; pip install "streamrec[train]"') from None
    try:
        node = yaml.safe_load(path.read_text("utf-8"))
        # Trained models keep their nodes as JSON, which also finds what contains itself.
        json.dumps(node)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} holds what is no part of a node: {error}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path} holds no node: `model: NAME` is wanted, and its hyperparameters beside it")
    parameters = {str(name): value for name, value in node.items()}
    given = parameters.pop("model", None)
    if not isinstance(given, str):
        raise ConfigError(
            f"{path} names no model: `model: NAME` is wanted, and its hyperparameters beside it"
        )
    try:
        name = model_name(given)
        if name in SESSION_MODELS:
            session_model(name, parameters)
        else:
            possible_tasks({"model": name, **parameters})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: its nodes lie too deep in each other") from None
    return {"model": name, **parameters}
