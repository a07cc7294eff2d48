"""What recommenders over another one share: making, saving and loading that one."""

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from streamrec.models import recommender, recommender_class
from streamrec.recommender import Recommender

__all__ = ["OverBaseConfig", "load_base", "make_base", "save_base"]

_FOLDER: Final = "base"


class OverBaseConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which recommender is underneath."""

    base: str = "factorisation_machine"
    """Its name, as it is listed."""
    parameters: dict[str, Any] = {}
    """Its hyperparameters, those that are not at their defaults."""


def make_base(config: OverBaseConfig) -> Recommender:
    """The recommender underneath, untrained. Raises ConfigError if it cannot be made."""
    return recommender(config.base, config.parameters)


def save_base(base: Recommender, directory: Path) -> None:
    """Write it to a folder of its own."""
    (directory / _FOLDER).mkdir(parents=True, exist_ok=True)
    base.save(directory / _FOLDER)


def load_base(config: OverBaseConfig, directory: Path) -> Recommender:
    """What save_base wrote. Raises ArtifactError if that fails."""
    base: Recommender = recommender_class(config.base).load(directory / _FOLDER)
    return base
