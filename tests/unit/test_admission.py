"""A slow graph is refused, a busy machine is not taken for one, and a store may be away for a moment."""

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from session_models import make_slow

from streamrec import admission
from streamrec.admission import patiently, require_fast
from streamrec.config import AdmissionSettings
from streamrec.errors import ArtifactError, RegistryError, SignatureError, StorageError, StreamrecError
from streamrec.scorer import open_scorer


class Costing(NamedTuple):
    version: str
    costs_s: Mapping[str, float]


def costing(**costs_ms: float) -> Costing:
    return Costing("v", {name: ms / 1000 for name, ms in costs_ms.items()})


HIDDEN, N = np.zeros((16, 16), np.float32), np.array([20])
LIMITS = AdmissionSettings(times_slower=5, run_s=1)


@pytest.mark.parametrize(
    ("candidate", "live"),
    [
        (costing(step=1, score=9.9), costing(step=1, score=2)),
        (costing(score=0.1), costing(score=100)),
        (costing(score=0.24), costing(score=0.001)),
        (costing(score=999), None),
    ],
    ids=["five times", "faster", "both next to nothing", "the first one"],
)
def test_a_version_that_is_fast_enough_is_admitted(candidate: Costing, live: Costing | None) -> None:
    require_fast(LIMITS, candidate, live)


@pytest.mark.parametrize(
    ("candidate", "live", "named"),
    [
        (
            costing(step=1, score=10.1),
            costing(step=1, score=2),
            "10.1 ms.*more than 10 ms, 5 times",
        ),
        (costing(step=10, score=2), costing(step=1, score=2), "step takes 10 ms"),
        (costing(score=1001), None, "more than 1e.03 ms, the most that is allowed"),
        (costing(score=1001), costing(score=900), "more than 1e.03 ms, the most that is allowed"),
    ],
    ids=["score", "step", "the first one", "beyond all bounds"],
)
def test_a_version_that_takes_too_long_is_refused(
    candidate: Costing, live: Costing | None, named: str
) -> None:
    with pytest.raises(ArtifactError, match=named) as refused:
        require_fast(LIMITS, candidate, live)
    assert refused.value.reason == "slow"


def test_a_really_slow_artifact_is_refused_and_the_same_one_again_is_not(artifact: Path) -> None:
    live, again = open_scorer(artifact), open_scorer(artifact)
    require_fast(LIMITS, again, live)
    make_slow(artifact)
    with pytest.raises(ArtifactError, match=r"score\.onnx takes"):
        require_fast(LIMITS, open_scorer(artifact), live)


def test_a_busy_machine_makes_no_version_slow(artifact: Path) -> None:
    """The same artifact, measured while twelve threads of the process are at work, against one at rest."""
    live, busy = open_scorer(artifact), open_scorer(artifact)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            busy._graph.cost_s({"hidden": HIDDEN, "bias": busy._bias, "n": N})

    threads = [threading.Thread(target=work) for _ in range(12)]
    for each in threads:
        each.start()
    try:
        for _ in range(20):
            require_fast(LIMITS, open_scorer(artifact), live)
    finally:
        done.set()
        for each in threads:
            each.join()


class Store:
    """Fails with these errors, one at a time, then gives a version."""

    def __init__(self, *errors: StreamrecError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "version"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_WAITS_S", (0.0, 0.0, 0.0))


async def test_a_store_that_is_away_for_a_moment_is_asked_again() -> None:
    store = Store(
        StorageError("no route"), RegistryError("no such version"), ArtifactError("EIO", "unavailable")
    )
    assert await patiently(store) == "version"
    assert store.calls == 4


async def test_a_store_that_stays_away_is_told_of() -> None:
    store = Store(*(StorageError("no route") for _ in range(9)))
    with pytest.raises(StorageError):
        await patiently(store)
    assert store.calls == 4


@pytest.mark.parametrize("error", [ArtifactError("cut off"), SignatureError("not signed")], ids=repr)
async def test_what_is_the_versions_fault_is_not_tried_again(error: ArtifactError) -> None:
    store = Store(error)
    with pytest.raises(ArtifactError):
        await patiently(store)
    assert store.calls == 1


async def test_the_event_loop_goes_on_while_a_version_is_loaded() -> None:
    loading, looked = threading.Event(), threading.Event()

    def load() -> bool:
        loading.set()
        return looked.wait(10)

    task = asyncio.create_task(patiently(load))
    await asyncio.to_thread(loading.wait, 10)
    looked.set()
    assert await task
