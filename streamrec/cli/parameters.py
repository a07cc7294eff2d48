"""Hyperparameters as they are given on the command line: `--param NAME=VALUE`."""

from collections.abc import Sequence

__all__ = ["parse_parameters"]


def parse_parameters(given: Sequence[str]) -> dict[str, str]:
    """Values by name; the last one counts. Raises ConfigError if one has no value."""
    from streamrec.errors import ConfigError

    wrong = [each for each in given if "=" not in each]
    if wrong:
        raise ConfigError(f"--param {wrong[0]}: a hyperparameter is given as NAME=VALUE, such as epochs=5")
    return {name.strip(): value.strip() for name, _, value in (each.partition("=") for each in given)}
