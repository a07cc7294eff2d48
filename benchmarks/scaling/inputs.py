"""What the figures of docs/scaling.md follow from: what is asked for, what was chosen, what was measured.

Everything that was measured stands here and nowhere else. Where `make bench` has measured some of it,
`with_report` takes that instead.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from streamrec.errors import ConfigError

__all__ = ["Inputs", "with_report"]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All inputs. Costs are CPU time of one core of the machine that they were measured on.

    Measured, if nothing else is said, on two cores of a shared AMD EPYC with Python 3.11, GRU4Rec of 100
    units, online CF of 32 factors; while others worked on the same cores.
    """

    # Asked for.
    visitors: float = 100e6
    """Known at a time: seen within `STREAMREC_STATE__VISITOR_TTL_S`, 30 days."""
    clicks_per_s: float = 100e3
    """In the fullest hour; each asks for a list."""
    items: float = 1e6
    """Of the catalogue."""
    peak_to_mean: float = 1.6
    """The fullest hour's clicks beside the day's mean; 1 to 2. An assumption."""
    activity_exponent: float = 0.6
    """The visitor of rank r clicks in proportion to r to minus this (0 ≤ it < 1). An assumption."""

    # Chosen.
    scoring_utilisation: float = 0.6
    """Of a scoring worker in the fullest hour, by the cost of lists in large batches."""
    partitions_per_scorer: int = 1
    scorers_per_state: int = 8
    """Scoring workers for each state worker."""
    cores_per_scorer: int = 1
    """`STREAMREC_SCORING__THREADS`: the score graph's part of a list is taken to go as much faster."""
    replication: int = 3
    compaction_lag_s: float = 3600.0
    """`STREAMREC_KAFKA__COMPACTION_LAG_S`: rows younger than that are all kept."""
    session_timeout_s: float = 10.0
    """`STREAMREC_KAFKA__SESSION_TIMEOUT_S`: a dead worker is missed after it."""
    cores_per_machine: int = 16
    broker_bytes_per_s: float = 100e6
    """That one broker writes, copies included. An assumption: put in what yours was measured at."""
    core_hour_price: float = 0.05
    """Of one core, in any currency, memory included. A parameter, no vendor's price."""

    # Measured: a click in the state app.
    state_click_us: float = 39.0
    """In large batches; `--check`, or `make bench`: state, GRU step, online CF."""
    state_batch_us: float = 2400.0
    """Of every batch beside its clicks; fit by `--check`, which found 2,150 to 2,800 in six runs."""
    write_ms: float = 1.2
    """From a request to write until its acknowledgement; `--check`, the generator's, one copy. To three
    copies on other machines it is longer, and so is `fetch_ms`: put in yours."""

    # Measured: a list in the scoring app.
    list_us: float = 155.0
    """In large batches; `--check`, or `make bench`: scoring alone, of the same states."""
    list_items: float = 18_009
    """The catalogue that it was measured with,"""
    list_partition_items: float = 5_053
    """and the items in its partitions."""
    scoring_batch_us: float = 3100.0
    """Of every batch beside its lists; fit by `--check`, which found 2,940 to 3,880 in six runs."""
    graph_us_at: tuple[tuple[float, float], ...] = (
        (5_000, 32.0),
        (18_000, 53.0),
        (37_000, 96.0),
        (100_000, 275.0),
        (300_000, 383.0),
        (1_000_000, 512.0),
    )
    """The score graph in batches of 32, by items, `python -m benchmarks.curves`; in between and beyond in
    proportion. Very large catalogues are searched by clusters."""
    graph_us: float | None = None
    """The score graph's, if you have measured it on a catalogue of `items`."""
    factors_ns_per_item: float = 3.0
    """Online CF's best of the items of a partition: 302 µs at 100,000, in batches of 32."""
    fetch_ms: float = 1.0
    """A client's request for records that are there, both ways. An assumption, about the write's."""

    # Measured: what goes over the brokers.
    broker_click_us: float = 140.0
    """Of the broker, all topics, one copy, small batches; `--check` at 2,000 clicks a second."""
    interaction_bytes: float = 203.5
    list_bytes: float = 2400.7
    """20 places, key included; `--check`."""
    state_bytes: float = 1522.0
    """Appended to visitor-states for a click; `--check`."""
    rows_per_click: float = 3.1
    """Of visitor-states: the visitor's, items', a part of the watermark; `--check`."""
    visitor_row_bytes: float = 900.0
    """Key and value; a million visitors of bundled sessions."""
    item_row_bytes: float = 309.0
    record_bytes: float = 12.0
    """Kafka's own for each record, beside key and value. By the format: lengths, deltas, attributes."""

    # Measured: memory and recovery.
    visitor_memory_bytes: float = 1054.0
    """In a state worker, for each visitor: of a million, beyond a worker without them."""
    state_item_memory_bytes: float = 1620.0
    """In a state worker, for each item of each partition."""
    board_item_memory_bytes: float = 1550.0
    """In a scoring worker, for each item of each partition."""
    model_item_memory_bytes: float = 670.0
    """In a scoring worker, for each item of the catalogue and model version; benchmarks/curves.py."""
    worker_memory_bytes: float = 180 * 2**20
    """Of a worker without visitors."""
    max_items: float = 100_000
    """`STREAMREC_STATE__MAX_ITEMS`: of a partition."""
    max_visitors: float = 1_000_000
    """`STREAMREC_STATE__MAX_VISITORS`: of a partition."""
    recovery_rows_per_s: float = 155_000.0
    """That one worker reads of visitor-states; of a million visitors, 18 runs: 112,000 to 196,000."""
    rebalance_s: float = 1.0
    """From a dead worker's session timeout until its partitions have an owner. docs/guarantees.md: a standby
    takes over in 6.6 s, 6 of which are the timeout."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float | int) and not value >= (
                0 if field.name == "activity_exponent" else 1e-9
            ):
                raise ConfigError(f"{field.name}={value}: has to be above 0")
        if not 0 < self.scoring_utilisation < 1:
            raise ConfigError(f"scoring_utilisation={self.scoring_utilisation}: has to lie between 0 and 1")

    @property
    def partition_items(self) -> float:
        """Items that a partition knows: sooner or later all, or as many as may be."""
        return min(self.items, self.max_items)

    @property
    def list_graph_us(self) -> float:
        """The score graph's part of a list at this catalogue."""
        return self.graph_us if self.graph_us is not None else self._graph_us(self.items)

    @property
    def list_factors_us(self) -> float:
        """Online CF's part of a list, of all items of its partition."""
        return self.factors_ns_per_item * self.partition_items / 1000

    @property
    def list_rest_us(self) -> float:
        """What a list costs whatever the catalogue: as measured, less what it had of graph and online CF."""
        factors_us = self.factors_ns_per_item * self.list_partition_items / 1000
        return self.list_us - self._graph_us(self.list_items) - factors_us

    @property
    def scoring_click_us(self) -> float:
        """CPU of a list at this catalogue, in large batches."""
        return self.list_rest_us + self.list_graph_us + self.list_factors_us

    def _graph_us(self, items: float) -> float:
        known, us = zip(*self.graph_us_at, strict=True)
        (least, us_least), (most, us_most) = self.graph_us_at[0], self.graph_us_at[-1]
        if items < least:
            return us_least * items / least
        return us_most * items / most if items > most else float(np.interp(items, known, us))


_CPU: Final = {
    "state_click_us": "state, GRU step, online CF",
    "list_us": "scoring alone, of the same states",
}
_FIGURES: Final = {
    "recovery_rows_per_s": ("rows of visitor-states recovered in a second", "rows_per_s"),
    "visitor_memory_bytes": ("memory for a visitor held", "bytes"),
    "visitor_row_bytes": ("memory for a visitor held", "row_bytes"),
}


def with_report(inputs: Inputs, path: Path) -> tuple[Inputs, list[str]]:
    """Inputs with what a report of `make bench` has measured, and the names of those; path: its report.json.

    Raises ConfigError if the file is no report.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        measured = dict(_measured(entries))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path}: no report of `make bench` ({error!r}); run it, or leave --report out"
        ) from None
    figures = {
        name: float(measured[work]["cpu_us_per_event"]) for name, work in _CPU.items() if work in measured
    } | {
        name: float(measured[work][figure])
        for name, (work, figure) in _FIGURES.items()
        if figure in measured.get(work, {})
    }
    return replace(inputs, **figures), sorted(figures)


def _measured(entries: list[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What was measured of each, by its name: of what others are set beside, and of the work itself."""
    for entry in entries:
        if "beside_measured" in entry:
            yield entry["beside"], entry["beside_measured"]
        if "work_measured" in entry:
            yield entry["work"], entry["work_measured"]
