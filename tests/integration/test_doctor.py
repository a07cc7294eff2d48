"""The doctor at a real broker: well, and with each thing broken that it is there for."""

import json
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app_processes import click, publish, running
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ResourcePattern,
    ResourceType,
)
from session_models import Published
from verbs import under

from streamrec.cli import main
from streamrec.config import Settings, load_settings
from streamrec.doctor import Outcome, Report, examine, gather
from streamrec.engine.broker import Broker
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.state.rows import WATERMARK_KEY
from streamrec.topics import connect, create_topics

Run = Callable[[Settings], tuple[int, dict[str, list[Any]]]]
# The small model knows 40 items.
_SMALL = {"scoring": {"k": 4}}


def _examined(settings: Settings) -> Report:
    return examine(gather(settings), settings)


def _by_check(report: Report) -> dict[str, set[Outcome]]:
    found: dict[str, set[Outcome]] = {}
    for each in report.findings:
        found.setdefault(each.check, set()).add(each.outcome)
    return found


def _failed(report: Report) -> list[str]:
    """What failed, with its remedy."""
    return [f"{each.finding} -> {each.remedy}" for each in report.findings if each.outcome == Outcome.FAILED]


def _delete(settings: Settings, topic: str) -> None:
    name = settings.kafka.topic(topic)
    with connect(settings.kafka) as admin:
        admin.delete_topics([name])
        while name in admin.list_topics():
            pass


def _caught_up(settings: Settings, *roles: str) -> bool:
    """Whether nothing waits for these apps."""
    waiting = {each.check: each.finding for each in _examined(settings).findings}
    return all("; 0 records" in waiting[f"{role} workers"] for role in roles)


@pytest.fixture
def live(settings: Settings, published: Published) -> str:
    """A version in the settings' registry that is live."""
    target = settings.registry.path / "gru4rec" / published.version
    shutil.copytree(published.directory, target)
    announce(settings, "gru4rec", published.version)
    return published.version


@pytest.mark.parametrize("settings", [{**_SMALL, "kafka": {"session_timeout_s": 6}}], indirect=True)
def test_a_system_at_work_is_well_until_its_input_or_its_model_is_taken_away(
    settings: Settings, live: str, tmp_path: Path
) -> None:
    now = time.time_ns() // 1_000_000
    clicks = [click(f"v{n}", f"i{n:02d}", f"e{n}", now) for n in range(40)]
    with running("state", settings, tmp_path) as state:
        with running("scoring", settings, tmp_path):
            publish(settings, "interactions", clicks[:20])
            state.wait(lambda: _caught_up(settings, "state", "scoring"))
            report = _examined(settings)
        assert report.outcome == Outcome.OK, report
        assert set(_by_check(report)) == {
            *("broker", "clock", "rights", "topics", "rows", "state workers", "scoring workers"),
            *("model", "disk", "versions"),
        }
        said = "\n".join(each.finding for each in report.findings)
        for text in ("Kafka 4.1", "1 in the group; 0 records", f"{live} is live", "2 of 2 partitions"):
            assert text in said
        publish(settings, "interactions", clicks[20:])
        state.wait(lambda: _caught_up(settings, "state"))
        assert state.stop() == 0

    shutil.rmtree(settings.registry.path)
    rows, model = _failed(_examined(settings))
    assert live in rows
    assert "STREAMREC_REGISTRY__PATH" in rows
    assert "has no version" in model
    assert "models release" in model

    _delete(settings, "interactions")
    create_topics(settings)
    anew = _failed(_examined(settings))[0]
    assert "made anew" in anew
    assert "streamrec state rebuild" in anew


def test_a_system_that_is_to_be_started_has_warnings_with_the_commands(settings: Settings) -> None:
    report = _examined(settings)
    assert report.outcome == Outcome.WARNING
    remedies = {each.remedy for each in report.findings if each.outcome == Outcome.WARNING}
    assert remedies == {
        "streamrec state",
        "streamrec scoring",
        "streamrec train gru4rec --from-topic --release",
    }


def test_a_missing_topic_and_a_wrong_setting_are_named_with_what_mends_them(settings: Settings) -> None:
    _delete(settings, "items")
    states = settings.kafka.topic("visitor-states")
    with connect(settings.kafka) as admin:
        admin.alter_configs([ConfigResource("TOPIC", states, {"cleanup.policy": "delete"})])
        while (
            admin.describe_configs([ConfigResource("TOPIC", states)], config_filter="all")["topic"][states][
                "cleanup.policy"
            ]["value"]
            != "delete"
        ):
            pass
    policy, items = sorted(_failed(_examined(settings)), key=lambda text: "missing" in text)
    assert "cleanup.policy is delete, has to be compact" in policy
    assert "streamrec topics mend" in policy
    assert f"{settings.kafka.topic('items')}: topic is missing" in items
    assert "streamrec topics create" in items


def test_rows_of_another_format_are_found_before_a_worker_is_started(settings: Settings) -> None:
    publish(settings, "visitor-states", [(WATERMARK_KEY, b"no watermark")])
    [failed] = _failed(_examined(settings))
    assert "rows that this version cannot read" in failed
    assert "streamrec state rebuild" in failed


def test_a_live_version_that_is_damaged_is_found(settings: Settings, live: str) -> None:
    (Registry(settings.registry.path).directory("gru4rec", live) / "score.onnx").write_bytes(b"")
    [failed] = _failed(_examined(settings))
    assert f"{live} is live, but" in failed
    assert "score.onnx" in failed


def test_the_verb_says_within_ten_seconds_that_there_is_no_broker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("STREAMREC_REGISTRY__PATH", str(tmp_path))
    # One port refuses; behind the other the queue is full, so that nothing answers.
    with socket.socket() as refusing, socket.socket() as silent, socket.socket() as waiting:
        refusing.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        waiting.setblocking(False)
        waiting.connect_ex(silent.getsockname())
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (refusing, silent)]
        monkeypatch.setenv("STREAMREC_KAFKA__BOOTSTRAP", ",".join(addresses))
        started = time.monotonic()
        with pytest.raises(SystemExit) as caught:
            main(["doctor", "--json"])
        assert time.monotonic() - started < 10
    assert caught.value.code == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["outcome"] == "failed"
    assert [each["check"] for each in printed["findings"]] == ["broker", "disk", "versions"]
    for address in addresses:
        assert address in printed["findings"][0]["finding"]


def test_a_broker_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = load_settings(
            kafka={"bootstrap": f"127.0.0.1:{server.getsockname()[1]}"}, registry={"path": tmp_path}
        )
        started = time.monotonic()
        [failed] = _failed(_examined(settings))
        assert time.monotonic() - started < 10
    assert settings.kafka.bootstrap in failed


def test_the_verb_shows_findings_and_remedies_to_people(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    under(settings, monkeypatch)
    with pytest.raises(SystemExit) as caught:
        main(["doctor"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "→ streamrec scoring" in printed
    assert "versions" in printed


def test_what_the_user_may_not_do_is_named(broker: object, tmp_path: Path) -> None:
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")
    authorizer = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with Broker.start(overrides=authorizer) as strict:
        settings = load_settings(
            kafka={"bootstrap": strict.bootstrap, "partitions": 1}, registry={"path": tmp_path}
        )
        create_topics(settings)
        assert _by_check(_examined(settings))["rights"] == {Outcome.OK}
        denied = {"visitor-states": ACLOperation.WRITE, "items": ACLOperation.DESCRIBE}
        with connect(settings.kafka) as admin:
            admin.create_acls(
                [
                    ACL(
                        principal="User:ANONYMOUS",
                        host="*",
                        operation=operation,
                        permission_type=ACLPermissionType.DENY,
                        resource_pattern=ResourcePattern(ResourceType.TOPIC, settings.kafka.topic(name)),
                    )
                    for name, operation in denied.items()
                ]
            )
        [rights] = [text for text in _failed(_examined(settings)) if "not allowed" in text]
        assert "streamrec.items" in rights
        assert "WRITE on streamrec.visitor-states" in rights
        assert "`streamrec topics acl`" in rights
