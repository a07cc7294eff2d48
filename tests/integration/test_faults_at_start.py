"""What an operator sees when something is missing or broken: a message, a code, no traceback."""

import socket
from pathlib import Path

import pytest
from app_processes import App

from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.topics import connect

NEEDS = {"state": "visitor-states", "scoring": "visitor-states", "evaluation": "recommendations"}
"""Roles, and a topic that each cannot do without."""


def _fails(role: str, settings: Settings, folder: Path) -> str:
    app = App(role, settings, folder / f"{role}.log")
    try:
        assert app.process.wait(timeout=40) not in (0, None)
    finally:
        app.kill()
    assert "Traceback" not in app.log, app.log
    return " ".join(app.log.split())


@pytest.mark.parametrize("role", NEEDS)
def test_a_wrong_broker_address_is_named(role: str, settings: Settings, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        kafka = settings.kafka.model_copy(update={"bootstrap": address})
        message = _fails(role, settings.model_copy(update={"kafka": kafka}), tmp_path)
    assert address in message
    assert "STREAMREC_KAFKA__BOOTSTRAP" in message


@pytest.mark.parametrize("role", NEEDS)
def test_a_missing_topic_is_named_with_the_command_that_makes_it(
    role: str, settings: Settings, tmp_path: Path
) -> None:
    missing = settings.kafka.topic(NEEDS[role])
    with connect(settings.kafka) as admin:
        admin.delete_topics([missing])
    message = _fails(role, settings, tmp_path)
    assert missing in message
    assert "streamrec topics create" in message


@pytest.mark.parametrize(("role", "graph"), [("state", "step.onnx"), ("scoring", "score.onnx")])
def test_a_damaged_artifact_is_named_and_not_served(
    role: str, graph: str, settings: Settings, tmp_path: Path
) -> None:
    model = GRU4Rec(GRU4RecConfig(embedding_size=8, hidden_size=8, epochs=1, batch_size=4, n_sample=8))
    model.train(list(click_sessions(bundled_clicks()))[:20])
    registry = Registry.of(settings)
    version = model.publish(registry)
    announce(settings, "gru4rec", version)
    path = registry.directory("gru4rec", version) / graph
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    message = _fails(role, settings, tmp_path)
    assert graph in message
    assert "export the artifact again" in message


@pytest.mark.parametrize("role", NEEDS)
def test_another_number_of_partitions_is_refused_with_the_setting_that_fits(
    role: str, settings: Settings, tmp_path: Path
) -> None:
    kafka = settings.kafka.model_copy(update={"partitions": 8})
    message = _fails(role, settings.model_copy(update={"kafka": kafka}), tmp_path)
    assert "has 2 partitions, the settings say 8" in message
    assert "STREAMREC_KAFKA__PARTITIONS=2" in message
