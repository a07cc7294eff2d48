"""A Kafka for the tests that need one, and settings that keep them apart.

The embedded broker is started once, by the first test that asks for it; with
STREAMREC_KAFKA__BOOTSTRAP set, that one is used. Where neither is to be had the tests are
skipped, unless STREAMREC_REQUIRE_KAFKA=1 says that this is a failure.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from fresh import fresh_topics

from streamrec.config import Settings
from streamrec.engine.broker import Broker
from streamrec.errors import BrokerError
from streamrec.registry import Registry
from streamrec.signing import SigningKey

if TYPE_CHECKING:
    from session_models import Published

# A shell's background job ignores Ctrl-C, and hands that on to every process the tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, however long a busy machine takes for them.
hypothesis.settings.register_profile("streamrec", derandomize=True, deadline=None)
hypothesis.settings.load_profile("streamrec")

# As it was when pytest started: the tests themselves see no STREAMREC_ variable.
_ENVIRONMENT = dict(os.environ)
_PREFIX = "STREAMREC_"


@dataclass(frozen=True)
class ExternalBroker:
    """A broker that somebody else runs."""

    bootstrap: str


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(_PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker | ExternalBroker]:
    """A broker to test against, shared by the session; `.bootstrap` is its address."""
    external = _ENVIRONMENT.get(f"{_PREFIX}KAFKA__BOOTSTRAP")
    if external:
        yield ExternalBroker(external)
        return
    try:
        embedded = Broker.start(timeout_s=120)
    except BrokerError as error:
        if _ENVIRONMENT.get(f"{_PREFIX}REQUIRE_KAFKA") == "1":
            pytest.fail(f"no Kafka broker for the tests: {error}")
        pytest.skip(f"no Kafka broker for the tests: {error}")
    with embedded:
        yield embedded


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a key that the settings of tests sign with and trust."""
    path = tmp_path_factory.mktemp("keys") / "signing.key"
    SigningKey.create(path)
    return path


@pytest.fixture
def settings(
    broker: Broker | ExternalBroker, signing_key: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Settings]:
    """Settings of a test of its own: a fresh prefix, its topics made, a folder for signed models.

    Two partitions, and whatever else an indirect parameter overrides:
    `@pytest.mark.parametrize("settings", [{"kafka": {"partitions": 4}}], indirect=True)`.
    """
    overrides: dict[str, Any] = getattr(request, "param", {})
    keys = {"signing_key": signing_key, "trusted_keys": [SigningKey.load(signing_key).public]}
    registry = {**keys, **overrides.get("registry", {})}
    with fresh_topics(broker.bootstrap, tmp_path, {**overrides, "registry": registry}) as made:
        yield made


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, signing_key: Path) -> "Published":
    """A small GRU4Rec, trained, signed and published once; not to be changed."""
    from session_models import TINY, Published, ring_sessions

    from streamrec.models.gru4rec import GRU4Rec

    model = GRU4Rec(TINY)
    model.train(ring_sessions())
    registry = Registry(
        tmp_path_factory.mktemp("registry"),
        trusted=[SigningKey.load(signing_key).public],
        signing_key=signing_key,
    )
    return Published(model, registry, model.publish(registry))


@pytest.fixture
def artifact(published: "Published", tmp_path: Path) -> Path:
    """A copy of its artifact, to be damaged."""
    return Path(shutil.copytree(published.directory, tmp_path / "artifact"))
