"""The source files of all our modules."""

import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_PACKAGES = PYPROJECT["tool"]["setuptools"]["package-dir"]


@cache
def modules() -> dict[str, Path]:
    """Source file of every module, by the name it is imported under."""
    found: dict[str, Path] = {}
    for package, folder in _PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = [package, *path.relative_to(ROOT / folder).with_suffix("").parts]
            found[".".join(part for part in parts if part != "__init__")] = path
    return found
