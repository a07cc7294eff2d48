"""What the engine refuses to run with, and what it says."""

from types import ModuleType

import aiokafka
import faust
import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streamrec.access import client_options
from streamrec.config import load_settings
from streamrec.engine.app import check_app, create_app
from streamrec.engine.tested import TESTED
from streamrec.errors import EngineError


def _app() -> faust.App:
    return create_app(load_settings(), "state")


def test_an_app_as_it_is_made_passes_the_checks() -> None:
    app = _app()
    check_app(app)
    assert app.conf.id == "streamrec.state"
    assert app.transport.driver_version
    assert type(app.transport).__module__ == "streamrec.engine.transport"


def test_exactly_once_from_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSING_GUARANTEE", "exactly_once")
    with pytest.raises(EngineError, match=r"'exactly_once': .* loses state.*unset PROCESSING_GUARANTEE"):
        check_app(_app())


def test_an_agent_with_concurrency_is_refused() -> None:
    app = _app()

    async def clicks(stream: object) -> None:
        pass

    app.agent(app.topic("t"), name="clicks", concurrency=2)(clicks)
    with pytest.raises(EngineError, match=r"'.*clicks' has concurrency=2: .*add partitions and workers"):
        check_app(app)


@pytest.mark.parametrize(("package", "module"), [("faust-streaming", faust), ("aiokafka", aiokafka)])
def test_a_version_that_was_not_tested_is_refused(
    package: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    _app()
    monkeypatch.setattr(module, "__version__", "0.99.0")
    with pytest.raises(EngineError, match=rf"{package} 0\.99\.0 .* `{package}=={max(TESTED[package])}`"):
        _app()


def _auth(**kafka: object) -> dict[str, object]:
    """What Faust's consumer is told."""
    app = create_app(load_settings(kafka=kafka), "state")
    return dict(credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context))


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_faust_connects_as_our_own_clients_do(protocol: str) -> None:
    user = {"username": "shop", "password": "hush", "sasl_mechanism": "SCRAM-SHA-256"}
    kafka = {"security_protocol": protocol, **(user if protocol.startswith("SASL") else {})}
    ours = client_options(load_settings(kafka=kafka).kafka)
    del ours["bootstrap_servers"]
    theirs = {name: value for name, value in _auth(**kafka).items() if value is not None}
    assert theirs.keys() == ours.keys()
    assert isinstance(theirs.pop("ssl_context", None), type(ours.pop("ssl_context", None)))
    assert theirs == ours


def test_every_broker_is_tried_first() -> None:
    app = create_app(load_settings(kafka={"bootstrap": "a:9092, b:9093"}), "state")
    assert [str(url) for url in app.conf.broker] == ["batchkafka://a:9092", "batchkafka://b:9093"]


def test_what_waits_in_a_queue_stays_when_a_flow_that_runs_is_resumed() -> None:
    app = _app()
    queue = app.FlowControlQueue(8, clear_on_resume=True)
    app.flow_control.resume()
    queue.put_nowait("a batch")
    app.flow_control.resume()
    assert queue.qsize() == 1
    app.flow_control.suspend()
    app.flow_control.resume()
    assert queue.qsize() == 0
