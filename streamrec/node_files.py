"""Recommenders configured in files: a YAML node, and what it is composed of as nodes in it.

    model: weighted_hybrid
    parts:
      - {weight: 2, node: {model: wals, factors: 64}}
      - {weight: 1, node: {model: tfidf_content}}

In: a path. Out: what `streamrec.models.recommender_of` takes.
"""

import json
from pathlib import Path
from typing import Any

from streamrec.errors import ConfigError

__all__ = ["load_node"]


def load_node(path: Path) -> dict[str, Any]:
    """The node of a file. Raises ConfigError, naming file and fault, if it is no mapping in YAML, or holds
    what is no text, number or truth value, or what contains itself."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConfigError(f'{path} needs PyYAML to be read; pip install "streamrec[train]"') from None
    try:
        node = yaml.safe_load(path.read_text("utf-8"))
        # Trained models keep their nodes as JSON, which also finds what contains itself.
        json.dumps(node)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} holds what is no part of a node: {error}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path} holds no node: `model: NAME` is wanted, and its hyperparameters beside it")
    return {str(name): value for name, value in node.items()}
