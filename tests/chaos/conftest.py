"""The fault bench: a system for each fault, and a report of all of them."""

import itertools
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench import BENCH_SETTINGS, REPORT, REPORTS, Bench
from fresh import fresh_topics

from streamrec.datasets import bundled_clicks, item_sequences
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.scorer import load_scorer, load_step


@pytest.fixture(scope="session")
def clicks_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small GRU4Rec of real sessions: its registry and version."""
    path = tmp_path_factory.mktemp("registry")
    gru4rec = GRU4Rec(GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64))
    # One item more, for the fault of a model that fails on it.
    gru4rec.train([*itertools.islice(item_sequences(bundled_clicks()), 500), ["cursed"] * 5])
    return path, str(gru4rec.publish(Registry(path)))


@pytest.fixture
def seed() -> int:
    """Printed with every failure; CHAOS_SEED repeats a run."""
    given = os.environ.get("CHAOS_SEED")
    drawn = int(given) if given else random.SystemRandom().randrange(1 << 20)
    print(f"seed {drawn}: repeat with CHAOS_SEED={drawn}")  # noqa: T201
    return drawn


@contextmanager
def _bench(
    bootstrap: str, model: tuple[Path, str], seed: int, folder: Path, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    path, version = model
    registry = Registry(path)
    overrides = {**BENCH_SETTINGS, "registry": {"path": path}}
    for section, changes in getattr(request, "param", {}).items():
        overrides[section] = {**overrides.get(section, {}), **changes}
    with fresh_topics(bootstrap, folder, overrides) as settings:
        announce(settings, "gru4rec", version)
        yield Bench(
            settings,
            seed,
            folder,
            {version: load_step(registry, version)},
            {version: load_scorer(registry, version)},
            request.node.name.removeprefix("test_"),
        )


@pytest.fixture
def bench(
    broker: Any,
    clicks_model: tuple[Path, str],
    seed: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Bench]:
    """A bench on the shared broker; its model is announced already.

    An indirect parameter overrides BENCH_SETTINGS, section by section.
    """
    with _bench(broker.bootstrap, clicks_model, seed, tmp_path, request) as made:
        yield made


def pytest_sessionfinish() -> None:
    """Write what was measured."""
    if REPORTS:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps(REPORTS, indent=2) + "\n")
