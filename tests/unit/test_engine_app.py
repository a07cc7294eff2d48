"""What the engine refuses to run with, and what it says."""

from types import ModuleType

import aiokafka
import faust
import pytest

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
