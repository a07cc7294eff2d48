"""Records as Parquet, and back.

In: records of one partition. Out: the bytes of a file with all that Kafka had of them (partition, offset,
timestamp, key, value, headers), so that whatever is a function of the log can be made again, and beside
that the fields of the interaction for analysts, null where a value is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import repeat
from typing import Any, Final, NamedTuple

from streamrec.errors import ConfigError, DatasetError, RecordError
from streamrec.events import Interaction, decode_interaction

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError:
    raise ConfigError(
        'history is kept as Parquet, and pyarrow is not installed; pip install "streamrec[history]"'
    ) from None

__all__ = ["HistoryRecord", "decode_file", "encode_file"]

_ROW_GROUP: Final = 16_384
"""Rows read at once; the most that a reader holds of a file, unpacked."""

_TIME: Final = pa.timestamp("ms", tz="UTC")
_HEADER: Final = pa.struct([("name", pa.string()), ("value", pa.binary())])
_SCHEMA: Final = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", _TIME),
        ("raw_key", pa.binary()),
        ("raw_value", pa.binary()),
        ("headers", pa.list_(_HEADER)),
        ("event_id", pa.string()),
        ("type", pa.string()),
        ("visitor_id", pa.string()),
        ("item_id", pa.string()),
        ("event_time", _TIME),
        ("session_id", pa.string()),
        ("value", pa.float64()),
        ("rec_id", pa.string()),
    ]
)
_RAW: Final = ("offset", "timestamp", "raw_key", "raw_value", "headers")


class HistoryRecord(NamedTuple):
    """A record as it was in the topic; an InputRecord."""

    partition: int
    offset: int
    timestamp: int
    """Kafka's time of the record, ms."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def encode_file(partition: int, records: Sequence[Any], about: Mapping[str, str]) -> bytes:
    """The bytes of a Parquet file with these records.

    records: of one partition, in order, each with offset, timestamp, key, value, headers.
    about: what the file is, kept in its metadata.
    """
    events = [_event(record.value) for record in records]
    columns = [
        list(repeat(partition, len(records))),
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [[{"name": name, "value": value} for name, value in record.headers] for record in records],
        *(
            [None if event is None else getattr(event, name) for event in events]
            for name in (
                *("event_id", "type", "visitor_id", "item_id", "time", "session_id", "value", "rec_id"),
            )
        ),
    ]
    schema = _SCHEMA.with_metadata({**about, "records": str(len(records))})
    table = pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], schema=schema
    )
    file = BytesIO()
    parquet.write_table(table, file, compression="zstd", row_group_size=_ROW_GROUP, write_page_checksum=True)
    return file.getvalue()


def decode_file(
    data: bytes, partition: int, start: int, end: int, about: Mapping[str, str]
) -> Iterator[HistoryRecord]:
    """The records of a file with start <= offset < end, in order, a row group at a time.

    Raises DatasetError if the bytes are not those of a whole file that is what `about` says.
    """
    try:
        file = parquet.ParquetFile(BytesIO(data), page_checksum_verification=True)
        found = {name.decode(): value.decode() for name, value in (file.schema_arrow.metadata or {}).items()}
        wanted = {**about, "records": str(file.metadata.num_rows)}
        if {name: found.get(name) for name in wanted} != wanted:
            raise DatasetError(f"it says of itself {found}, and not {wanted}")
        before = -1
        for group in range(file.num_row_groups):
            columns = file.read_row_group(group, columns=list(_RAW), use_threads=False)
            columns = columns.set_column(1, "timestamp", columns["timestamp"].cast(pa.int64()))
            for offset, *rest in zip(*(columns[name].to_pylist() for name in _RAW), strict=True):
                if offset <= before:
                    raise DatasetError(f"offset {offset} comes after {before}")
                before = offset
                if start <= offset < end:
                    timestamp, key, value, headers = rest
                    pairs = tuple((each["name"], each["value"]) for each in headers)
                    yield HistoryRecord(partition, offset, timestamp, key, value, pairs)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise DatasetError(f"it is no whole Parquet file of history ({error})") from None


def _event(value: bytes | None) -> Interaction | None:
    if value is None:
        return None
    try:
        return decode_interaction(value)
    except RecordError:
        return None
