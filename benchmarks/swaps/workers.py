"""What the two apps say of themselves while they run, and what they take."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import psutil

from benchmarks.pages import samples
from streamrec.errors import WorkerError
from streamrec.standalone import ROLES, Apps

__all__ = ["Look", "look", "wait_for"]

_LOOK_S: Final = 0.05


class Look(NamedTuple):
    """One app at one moment."""

    live: str
    """The version that serves."""
    swapped: int
    """Releases that it has taken."""
    refused: int
    lag: int
    """Records that wait in its partitions."""
    lists: int
    rss_mib: float
    cpu_s: float


def look(apps: Apps) -> dict[str, Look]:
    """A look at each app. Raises WorkerError if one has ended."""
    apps.check()
    return {role: _look(apps, role) for role in ROLES}


def _look(apps: Apps, role: str) -> Look:
    try:
        found = samples(f"{apps.pages[role]}/metrics")
    except OSError as error:
        raise WorkerError(f"{role} does not show its metrics: {error}") from None
    values: dict[str, float] = {}
    live = ""
    for sample in found:
        name = f"{sample.name}/{sample.labels.get('result', '')}"
        values[name] = values.get(name, 0.0) + sample.value
        if sample.name == "streamrec_model_info" and sample.labels["slot"] == "live":
            live = sample.labels["version"]
    process = psutil.Process(apps.pids[role])
    return Look(
        live=live,
        swapped=int(values["streamrec_model_swaps_total/swapped"]),
        refused=int(values["streamrec_model_refusals_total/"]),
        lag=int(values.get("streamrec_consumer_lag/", 0)),
        lists=int(values["streamrec_recommendations_total/"]),
        rss_mib=process.memory_info().rss / (1 << 20),
        cpu_s=sum(process.cpu_times()[:2]),
    )


def wait_for(
    apps: Apps, condition: Callable[[dict[str, Look]], bool], what: str, timeout_s: float = 60.0
) -> dict[str, Look]:
    """The first look for which the condition holds. Raises WorkerError if none does in time."""
    deadline = time.monotonic() + timeout_s
    while not condition(seen := look(apps)):
        if time.monotonic() > deadline:
            raise WorkerError(f"{what}: not within {timeout_s:g} s; the apps show {seen}")
        time.sleep(_LOOK_S)
    return seen
