"""The fault bench: a system for each fault, and a report of all of them."""

import itertools
import json
import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bench import BENCH_SETTINGS, REPORT, REPORTS, Bench, FarBench, skipped
from fresh import fresh_topics
from proxy import Proxy

from streamrec.config import RegistrySettings, Settings
from streamrec.contracts import Session
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.engine.broker import Broker
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.scorer import load_scorer, load_step
from streamrec.signing import SigningKey


class Model(NamedTuple):
    """A small GRU4Rec of real sessions, published."""

    registry: RegistrySettings
    version: str


@pytest.fixture(scope="session")
def clicks_model(tmp_path_factory: pytest.TempPathFactory, signing_key: Path) -> Model:
    """Trained and signed once."""
    registry = RegistrySettings(
        path=tmp_path_factory.mktemp("registry"),
        signing_key=signing_key,
        trusted_keys=[SigningKey.load(signing_key).public],
    )
    gru4rec = GRU4Rec(GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64))
    # One item more, for the fault of a model that fails on it.
    gru4rec.train([*itertools.islice(click_sessions(bundled_clicks()), 500), Session(["cursed"] * 5)])
    return Model(registry, str(gru4rec.publish(Registry.of(Settings(registry=registry)))))


@pytest.fixture
def seed() -> int:
    """Printed with every failure; CHAOS_SEED repeats a run."""
    given = os.environ.get("CHAOS_SEED")
    drawn = int(given) if given else random.SystemRandom().randrange(1 << 20)
    print(f"seed {drawn}: repeat with CHAOS_SEED={drawn}")  # noqa: T201
    return drawn


@contextmanager
def _bench(
    bootstrap: str, model: Model, seed: int, folder: Path, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    registry, version = Registry.of(Settings(registry=model.registry)), model.version
    overrides = {**BENCH_SETTINGS, "registry": model.registry.model_dump()}
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
    clicks_model: Model,
    seed: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Bench]:
    """A bench on the shared broker; its model is announced already.

    An indirect parameter overrides BENCH_SETTINGS, section by section.
    """
    with _bench(broker.bootstrap, clicks_model, seed, tmp_path, request) as made:
        yield made


@pytest.fixture
def own_broker(broker: Any, tmp_path: Path) -> Iterator[Broker]:
    """A broker that a test may stop and kill."""
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")
    with Broker.start(data_dir=tmp_path / "broker") as made:
        yield made


@pytest.fixture
def own_bench(
    own_broker: Broker,
    clicks_model: tuple[Path, str],
    seed: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Bench]:
    """A bench on a broker of its own; see `bench`."""
    with _bench(own_broker.bootstrap, clicks_model, seed, tmp_path, request) as made:
        yield made


@pytest.fixture
def far_bench(
    broker: Any, clicks_model: tuple[Path, str], seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[FarBench]:
    """A bench on a broker of its own, which workers reach through a proxy; see `bench`."""
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")
    near, far, proxied, controller = (f"127.0.0.1:{port}" for port in _free_ports(4))
    overrides = {
        "listeners": f"PLAINTEXT://{near},FAR://{far},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{near},FAR://{proxied}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{controller}",
    }
    with ExitStack() as stack:
        stack.enter_context(Broker.start(tmp_path / "broker", _port(near), overrides=overrides))
        proxy = stack.enter_context(Proxy(_port(proxied), _port(far), seed))
        bench = stack.enter_context(_bench(near, clicks_model, seed, tmp_path, request))
        yield FarBench(bench, proxy, proxied)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [each.getsockname()[1] for each in sockets]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", action="store_true", help=f"write {REPORT.name}; `make chaos` does")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a fault that could not be tried, so that nobody takes it for one that was."""
    if report.skipped:
        REPORTS.append(skipped(report))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was measured."""
    if session.config.getoption("--report", default=False):
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps(REPORTS, indent=2) + "\n")
