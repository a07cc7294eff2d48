"""Libraries that only those who train install: what was saved is scored without them."""

from importlib import import_module
from typing import Any

from streamrec.errors import ConfigError

__all__ = ["imported"]


def imported(module: str, name: str) -> Any:
    """Something of a module. Raises ConfigError if that is not installed."""
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'{name} of {error.name} is needed to train, and is not installed; pip install "streamrec[train]"'
        ) from None
