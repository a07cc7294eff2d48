"""The contenders, and which of them are set beside which."""

from typing import Final, NamedTuple

__all__ = ["COMPARISONS", "WORKLOADS", "Comparison", "Workload"]


class Workload(NamedTuple):
    """One contender. `share`: of the events asked for, how many it gets; slow ones get fewer."""

    name: str
    kind: str
    """What `contender` runs: raw, stock or state."""
    share: float
    step: bool = False
    online: bool = False


class Comparison(NamedTuple):
    """`at_least`: the least ratio of the time per event of `beside` to that of `work`: CPU time, or time by
    the clock where several processes share the cores.
    """

    work: str
    beside: str
    at_least: float
    by_clock: bool = False
    aim: float | None = None
    """What was wanted, where less is reached."""


RAW: Final = "raw aiokafka getmany + msgspec"
STOCK: Final = "stock Faust agent with a table"
BARE: Final = "state, no GRU step, no online CF"
STEP: Final = "state, GRU step, no online CF"
ONLINE: Final = "state, no GRU step, online CF"
BOTH: Final = "state, GRU step, online CF"

WORKLOADS: Final = (
    Workload(RAW, "raw", 1.0),
    Workload(STOCK, "stock", 0.2),
    Workload(BARE, "state", 1.0),
    Workload(STEP, "state", 1.0, step=True),
    Workload(ONLINE, "state", 1.0, online=True),
    Workload(BOTH, "state", 1.0, step=True, online=True),
)

COMPARISONS: Final = (
    # Two thirds of what a slow machine shows: less means that something became dearer. Raw reads take 1.5 to
    # 2.9 µs from round to round, and the step 3.5 to 8: what is beside raw reads varies with them.
    Comparison(STEP, STOCK, 12.0, aim=40.0),
    Comparison(BARE, STOCK, 16.0, aim=40.0),
    Comparison(ONLINE, STOCK, 5.5),
    Comparison(BOTH, STOCK, 4.8),
    Comparison(BARE, RAW, 0.11, aim=0.4),
    Comparison(STEP, RAW, 0.065, aim=0.15),
    Comparison(ONLINE, RAW, 0.03),
    Comparison(BOTH, RAW, 0.026),
)
