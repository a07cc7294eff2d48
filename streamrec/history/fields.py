"""From a row of somebody else's file to an interaction: which column is what, and what a time means."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, NamedTuple

from streamrec.errors import ConfigError, DatasetError, RecordError
from streamrec.events import encode

__all__ = ["FIELDS", "TIME_UNITS", "Reading", "TimeUnit", "parse_columns"]

TimeUnit = Literal["auto", "s", "ms", "iso"]
TIME_UNITS: Final = ("auto", "s", "ms", "iso")

# Names that columns go by elsewhere, without case, dashes and underscores; the first that is there is taken.
FIELDS: Final[Mapping[str, Sequence[str]]] = {
    "event_id": ("eventid",),
    "type": ("type", "eventtype", "event", "action"),
    "visitor_id": ("visitorid", "userid", "visitor", "user", "customerid", "clientid"),
    "item_id": ("itemid", "item", "productid", "articleid", "movieid"),
    "time": ("time", "timestamp", "eventtime", "ts", "datetime", "date"),
    "session_id": ("sessionid", "session"),
    "value": ("value", "rating"),
    "rec_id": ("recid",),
    "context": ("context",),
}
# 5138 in seconds, 1973 in milliseconds: no other reading of such a number makes sense.
_SECONDS_BELOW: Final = 1e11


class Reading(NamedTuple):
    """How rows are read.

    columns: field -> name of its column, for those that are named; the others are found by FIELDS.
    """

    columns: Mapping[str, str]
    type: str = "click"
    """Of rows that name none."""
    time_unit: TimeUnit = "auto"
    """auto: numbers below 100,000,000,000 are seconds, others milliseconds, and texts are ISO 8601."""

    def find(self, names: Sequence[str]) -> dict[str, str]:
        """Field -> column, of the columns that there are. Raises DatasetError for one that is not there."""
        absent = [name for name in self.columns.values() if name not in names]
        if absent:
            raise DatasetError(f"no column {', '.join(absent)}; there are {', '.join(map(str, names))}")
        plain = {re.sub(r"[-_ ]", "", str(name)).lower(): name for name in reversed(names)}
        known = {
            field: plain[alias]
            for field, aliases in FIELDS.items()
            for alias in reversed(aliases)
            if alias in plain
        }
        return {**known, **self.columns}

    def require(self, found: Mapping[str, str], names: Sequence[str]) -> None:
        """Raise DatasetError if what every interaction needs is in no column."""
        missing = [field for field in ("item_id", "time") if field not in found]
        if "visitor_id" not in found and "session_id" not in found:
            missing.insert(0, "visitor_id")
        if missing:
            raise DatasetError(
                f"which column is {' and which is '.join(missing)}? There are {', '.join(map(str, names))}; "
                + " ".join(f"--column {field}=NAME" for field in missing)
            )

    def interaction(self, cells: Mapping[str, Any], found: Mapping[str, str], event_id: str) -> bytes:
        """The row as an interaction, JSON, not yet judged. Raises RecordError: invalid.

        event_id: for a row that has none. Whoever has a session and no visitor is a visitor of that session.
        """
        row = {field: cells.get(column) for field, column in found.items()}
        event = {
            field: text
            for field in ("event_id", "type", "visitor_id", "item_id", "session_id", "rec_id")
            if (text := _text(row.get(field)))
        }
        event.setdefault("event_id", event_id)
        event.setdefault("type", self.type)
        if "visitor_id" not in event and "session_id" in event:
            event["visitor_id"] = event["session_id"]
        made: dict[str, Any] = {**event, "time": self._time_ms(row.get("time"))}
        if (value := row.get("value")) is not None and value != "":
            made["value"] = _number(value)
        if isinstance(row.get("context"), dict):
            made["context"] = row["context"]
        try:
            return encode(made)
        except (TypeError, ValueError, OverflowError) as error:  # no UTF-8, or what JSON has no form for
            raise RecordError("invalid", f"it cannot be written as JSON: {error}") from None

    def _time_ms(self, cell: Any) -> int:
        if isinstance(cell, date):  # a datetime is one
            moment = cell if isinstance(cell, datetime) else datetime(cell.year, cell.month, cell.day)
            return _moment_ms(moment)
        number = None if self.time_unit == "iso" else _finite(cell)
        if number is None:
            if self.time_unit in ("auto", "iso") and isinstance(cell, str):
                try:
                    return _moment_ms(datetime.fromisoformat(cell.strip()))
                except ValueError:
                    pass
            raise RecordError("invalid", f"time {cell!r} is not what --time-unit {self.time_unit} reads")
        seconds = self.time_unit == "s" or (self.time_unit == "auto" and abs(number) < _SECONDS_BELOW)
        return round(number * 1000 if seconds else number)


def parse_columns(given: Sequence[str]) -> dict[str, str]:
    """Field -> column from arguments FIELD=NAME. Raises ConfigError for another form, or no such field."""
    columns = {}
    for each in given:
        field, equals, name = each.partition("=")
        if not (equals and name and field in FIELDS):
            raise ConfigError(f"--column {each}: FIELD=NAME is wanted, FIELD one of {', '.join(FIELDS)}")
        columns[field] = name
    return columns


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # ids that went through a table of floats
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "surrogateescape")
    return str(cell)


def _finite(cell: Any) -> float | int | None:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return cell
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number(cell: Any) -> float | int:
    number = _finite(cell)
    if number is None:
        raise RecordError("invalid", f"value {cell!r} is not a number")
    return number


def _moment_ms(moment: datetime) -> int:
    whole = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(whole.timestamp() * 1000)
