"""Files that say under which settings and releases to run, and how times are written.

A file is TOML. It sets what the STREAMREC_ variables set, by the same names: STREAMREC_SCORING__K is `k`
of the table [scoring]. Where it is silent, the environment and the defaults rule. Besides, [[releases]]
says which version of the session model took effect when:

    [scoring.weights]
    gru4rec = 1.0
    popularity = 0.1

    [[releases]]
    version = "20240501-0930"

    [[releases]]
    version = "20240508-0930"
    time = 2024-05-08T10:00:00Z
"""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamrec.backtest.releases import ALWAYS, Releases
from streamrec.config import Settings, load_settings
from streamrec.errors import ConfigError
from streamrec.variables import unknown_variables

__all__ = ["Configuration", "load_configuration", "parse_time"]

_PREFIX: Final = "STREAMREC_"


class Configuration(NamedTuple):
    """What one run is under."""

    name: str
    settings: Settings
    releases: Releases | None = None
    """As the file has them; None if it says nothing of them."""


def load_configuration(path: Path) -> Configuration:
    """Settings and releases of a file. Raises ConfigError naming the file and each fault."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    try:
        releases = _releases(tables.pop("releases", None))
        unknown = unknown_variables(Settings, _PREFIX, dict(_variables(tables)))
        if unknown:
            faults = [f"{name}: no such setting; {advice}" for name, advice in unknown.items()]
            raise ConfigError("settings cannot be used:\n  " + "\n  ".join(faults))
        return Configuration(path.stem, load_settings(**tables), releases)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _variables(tables: Mapping[str, Any], path: str = _PREFIX) -> Iterator[tuple[str, str]]:
    """The variables that would set the same."""
    for name, value in tables.items():
        if value and isinstance(value, Mapping):
            yield from _variables(value, f"{path}{name.upper()}__")
        else:
            yield f"{path}{name.upper()}", str(value)


def _releases(entries: Any) -> Releases | None:
    if entries is None:
        return None
    wanted = (
        "[[releases]] has a version, a text, and from when it counts, a time; the first one needs no time"
    )
    starts = []
    for n, entry in enumerate(entries if isinstance(entries, list) else [None]):
        if not isinstance(entry, dict) or not entry.keys() <= {"version", "time"}:
            raise ConfigError(wanted)
        version, start = entry.get("version"), entry.get("time")
        if not isinstance(version, str) or (start is None and n > 0):
            raise ConfigError(wanted)
        starts.append((ALWAYS if start is None else parse_time(start, "releases: time"), version))
    return Releases(starts)


def parse_time(value: Any, name: str) -> int:
    """Milliseconds since 1970 of a date and time, or of a date's first moment; UTC unless it says otherwise.

    value: ISO 8601, or what TOML makes of that. name: what the ConfigError calls it if it is neither.
    """
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        when = None
    if isinstance(when, date) and not isinstance(when, datetime):
        when = datetime.combine(when, time())
    if not isinstance(when, datetime):
        raise ConfigError(f"{name}: {value!r} is no time; write 2024-05-08 or 2024-05-08T10:00:00Z")
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
