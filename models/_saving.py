"""Trained recommenders as files: configuration and lists of ids as JSON, numbers as numpy arrays; no pickle.

A directory has `model.json` with the class's name, its configuration and all lists of ids, and `arrays.npz`.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from streamrec.errors import ArtifactError

__all__ = ["load_state", "save_state"]

C = TypeVar("C", bound=BaseModel)

_MODEL: Final = "model.json"
_ARRAYS: Final = "arrays.npz"


def save_state(
    directory: Path,
    name: str,
    config: BaseModel,
    ids: Mapping[str, Sequence[str]],
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    """Write a model. name: of its class. ids, arrays: what it has learned, by names of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    told = {
        "model": name,
        "config": config.model_dump(mode="json"),
        "ids": {k: list(v) for k, v in ids.items()},
    }
    (directory / _MODEL).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    # An array of objects would be pickled: numpy is told to refuse.
    np.savez(directory / _ARRAYS, allow_pickle=False, **arrays)


def load_state(
    directory: Path, name: str, config: type[C]
) -> tuple[C, dict[str, list[str]], dict[str, NDArray[Any]]]:
    """What save_state wrote: configuration, lists of ids, arrays.

    Raises ArtifactError if a file is missing or damaged, or of another model.
    """
    try:
        told = json.loads((directory / _MODEL).read_text(encoding="utf-8"))
        if told["model"] != name:
            raise ArtifactError(f"{directory} holds a {told['model']}, not a {name}: load it as what it is")
        with np.load(directory / _ARRAYS, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        return config.model_validate(told["config"]), told["ids"], arrays
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, ValidationError) as error:
        raise ArtifactError(f"{directory} is no {name} that can be read: {error}; save it anew") from error
