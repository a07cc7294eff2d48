"""A broker with users, certificates and an authorizer: who gets in, and what each role may do."""

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from app_processes import App, click, publish, read, running
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from secured import PASSWORD, Secured, secured_broker, with_kafka
from verbs import under

from streamrec.access import client_options
from streamrec.backtest import Configuration, Wishes, make_plans, run_backtest
from streamrec.cli import main
from streamrec.config import KafkaSettings, RegistrySettings, Settings, load_settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.engine.broker import Broker
from streamrec.engine.log import KafkaLog, Out
from streamrec.errors import AccessError, BrokerError, TopicError
from streamrec.events import encode
from streamrec.loadtest import Load, load_test
from streamrec.releases import announce, released
from streamrec.replay import interactions, replay
from streamrec.rights import Right, rights
from streamrec.signing import SigningKey
from streamrec.topic_clicks import read_clicks
from streamrec.topics import (
    check_topics,
    connect,
    create_topics,
    describe_topics,
    forget_state,
    mend_topics,
    require_rights,
    topic_id,
    topic_specs,
)

if TYPE_CHECKING:
    from session_models import Published

_WITHIN_S = 10.0
_CLIENT = "client"


@pytest.fixture(scope="module")
def secured(broker: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker of our own, also where the other tests use somebody else's."""
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")
    with secured_broker(tmp_path_factory.mktemp("secured")) as started:
        yield started


@pytest.fixture
def admin(secured: Secured, tmp_path: Path) -> Settings:
    """The administrator's settings of topics of our own, which are there."""
    kafka = {"bootstrap": secured.broker.bootstrap, "prefix": f"s{uuid.uuid4().hex[:8]}.", "partitions": 2}
    made = load_settings(kafka=kafka, registry={"path": tmp_path / "registry"})
    create_topics(made)
    return made


def _clicks(n: int, name: str) -> list[tuple[bytes, bytes]]:
    now = time.time_ns() // 1_000_000
    return [click(f"visitor-{each}", f"item-{each % 5}", f"{name}-{each}", now) for each in range(n)]


def _end(app: App) -> str:
    """What an app says that ends by itself, in time, with a message."""
    try:
        assert app.process.wait(_WITHIN_S) == 1, app.log
    finally:
        app.kill()
    assert "Traceback" not in app.log, app.log
    assert PASSWORD not in app.log
    return app.log.splitlines()[-1]


def _connected_as(secured: Secured, case: str) -> dict[str, Any]:
    folder = secured.folder
    return {
        "wrong password": secured.sasl("plain", password="guess-51"),
        "wrong password, SCRAM": secured.sasl_tls("state", password="guess-51"),
        "unknown user": secured.sasl_tls("nobody"),
        "mechanism": secured.sasl("state", sasl_mechanism="SCRAM-SHA-256"),
        "unknown CA": secured.sasl_tls("state", ssl_cafile=folder / "other-ca.pem"),
        "host name": secured.sasl_tls("state", bootstrap=secured.named("localhost")),
        "no certificate": secured.tls(_CLIENT, ssl_certfile=None),
        "plaintext to TLS": {"bootstrap": secured.broker.address("SSL")},
        "SASL without TLS to TLS": secured.sasl("state", bootstrap=secured.broker.address("SASL_SSL")),
        "TLS to plaintext": secured.tls(_CLIENT, bootstrap=secured.broker.bootstrap),
        "no user": {"bootstrap": secured.broker.address("SASL_PLAINTEXT")},
        "user where there are none": secured.sasl("plain", bootstrap=secured.broker.bootstrap),
    }[case]


_REFUSED = {
    "wrong password": r"user 'plain' with PLAIN: .*password is wrong.*STREAMREC_KAFKA__PASSWORD",
    "wrong password, SCRAM": r"user 'state' with SCRAM-SHA-512: .*password is wrong",
    "unknown user": r"user 'nobody' with SCRAM-SHA-512: the user is unknown or",
    "mechanism": r"does not take SCRAM-SHA-256 \(user 'state'\).*MECHANISM to one of PLAIN, SCRAM-SHA-512",
    "unknown CA": r"unable to get local issuer certificate.*STREAMREC_KAFKA__SSL_CAFILE",
    "host name": r"not valid for 'localhost'.*names this host",
    "no certificate": r"CERTIFICATE_REQUIRED.*STREAMREC_KAFKA__SSL_CERTFILE",
    "plaintext to TLS": r"answer is not Kafka's.*expects TLS, .*PROTOCOL to SSL or SASL_SSL",
    "SASL without TLS to TLS": r"answer is not Kafka's.*expects TLS",
    "TLS to plaintext": r"speaks plain text, .*PROTOCOL to PLAINTEXT or SASL_PLAINTEXT",
    "no user": r"wants user and password.*PROTOCOL to SASL_PLAINTEXT",
    "user where there are none": r"knows no users.*PROTOCOL to PLAINTEXT",
}


@pytest.mark.parametrize("case", _REFUSED)
def test_who_connects_wrongly_is_told_why_at_once(secured: Secured, case: str) -> None:
    started = time.monotonic()
    with (
        pytest.raises(BrokerError, match=_REFUSED[case]) as caught,
        connect(KafkaSettings(**_connected_as(secured, case))),
    ):
        pass
    assert time.monotonic() - started < 3
    assert PASSWORD not in str(caught.value)
    assert "guess-51" not in str(caught.value)


@pytest.mark.parametrize(("role", "case"), [("state", "wrong password, SCRAM"), ("scoring", "unknown CA")])
def test_an_app_that_is_not_let_in_ends_in_time_with_one_line(
    secured: Secured, admin: Settings, role: str, case: str, tmp_path: Path
) -> None:
    app = App(role, with_kafka(admin, **_connected_as(secured, case)), tmp_path / "app.log")
    _end(app)
    assert app.log.startswith("error: ")
    assert app.log.count("\n") == 1


@pytest.mark.parametrize("verb", ["create", "check", "mend", "describe"])
def test_a_topic_verb_that_is_not_let_in_has_exit_code_1(
    secured: Secured, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(kafka=_connected_as(secured, "wrong password"))
    under(settings, monkeypatch)
    with pytest.raises(SystemExit) as caught:
        main(["topics", verb])
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert "user 'plain' with PLAIN" in error
    assert "guess-51" not in error


def _ways(secured: Secured) -> dict[str, tuple[str, dict[str, Any]]]:
    """How each app connects here: a principal and its settings."""
    return {
        "state": ("state", secured.sasl_tls("state")),
        "scoring": (_CLIENT, secured.tls(_CLIENT)),
        "evaluation": ("evaluation", secured.sasl_tls("evaluation")),
    }


def test_the_apps_run_with_the_printed_rights_alone_and_end_when_one_is_taken_away(
    secured: Secured, admin: Settings, tmp_path: Path
) -> None:
    kafka = admin.kafka
    # At this level a client of Kafka's writes its requests to the log.
    talkative = admin.model_copy(update={"log_level": "DEBUG"})
    settings = {}
    for role, (principal, way) in _ways(secured).items():
        secured.grant(principal, rights(kafka, role))
        settings[role] = with_kafka(talkative, **way)
    with (
        running("state", settings["state"], tmp_path) as state,
        running("scoring", settings["scoring"], tmp_path) as scoring,
        running("evaluation", settings["evaluation"], tmp_path) as evaluation,
    ):
        publish(admin, "interactions", [*_clicks(20, "first"), (b"nobody", b"{")])
        lists = read(admin, "recommendations", n=20)
        assert len({json.loads(each.value)["event_id"] for each in lists}) == 20
        assert len(read(admin, "dead-letters", n=1)) == 1
        evaluation.wait(lambda: _lag(admin, "evaluation", "recommendations") == 0)
        for app in (state, scoring, evaluation):
            assert PASSWORD not in app.log
            assert PASSWORD.encode() not in Path(f"/proc/{app.process.pid}/cmdline").read_bytes()

        secured.revoke(_CLIENT, Right("WRITE", "TOPIC", kafka.topic("recommendations")))
        publish(admin, "interactions", _clicks(5, "second"))
        told = f"the owner of {secured.folder / 'client.pem'} may not WRITE topic "
        assert told + kafka.topic("recommendations") in _end(scoring)
        assert _lag(admin, "scoring", "visitor-states") > 0, "what was not answered is not acknowledged"

        secured.revoke("state", Right("READ", "GROUP", kafka.topic("state")))
        publish(admin, "interactions", _clicks(5, "third"))
        assert f"user 'state' may not READ group {kafka.topic('state')} at" in _end(state)
    secured.grant(_CLIENT, [Right("WRITE", "TOPIC", kafka.topic("recommendations"))])
    with running("scoring", settings["scoring"], tmp_path):
        assert len(read(admin, "recommendations", n=25)) >= 25


def _lag(settings: Settings, group: str, topic: str) -> int:
    """Records of a topic that a group has not acknowledged."""
    with connect(settings.kafka) as admin:
        committed = admin.list_group_offsets([settings.kafka.topic(group)])[settings.kafka.topic(group)]
    done = {place.partition: each.offset for place, each in committed.items() if each.offset >= 0}
    return sum(record.offset >= done.get(record.partition, 0) for record in read(settings, topic))


def test_input_that_may_no_longer_be_read_ends_the_process_with_its_name(
    secured: Secured, admin: Settings, tmp_path: Path
) -> None:
    principal, way = _ways(secured)["state"]
    secured.grant(principal, rights(admin.kafka, "state"))
    with running("state", with_kafka(admin, **way), tmp_path) as app:
        secured.revoke(principal, Right("READ", "TOPIC", admin.kafka.topic("interactions")))
        publish(admin, "interactions", _clicks(5, "unread"))
        assert f"user 'state' may not READ topic {admin.kafka.topic('interactions')} at" in _end(app)


def _told_ahead(role: str) -> list[Right]:
    return [right for right in rights(KafkaSettings(), role) if right.resource != "TRANSACTIONAL_ID"]


@pytest.mark.parametrize(
    ("role", "place"),
    [(role, place) for role in ("state", "scoring", "evaluation") for place in range(len(_told_ahead(role)))],
)
def test_a_right_that_is_missing_is_named_before_the_app_starts(
    secured: Secured, admin: Settings, role: str, place: int
) -> None:
    principal, way = _ways(secured)[role]
    settings = with_kafka(admin, **way)
    granted = list(rights(settings.kafka, role))
    missing = granted.pop(place)
    secured.grant(principal, granted)
    with pytest.raises(AccessError, match=rf"may not {missing.operation} \w+ {missing.name} at"):
        require_rights(settings, role)
    secured.grant(principal, [missing])
    require_rights(settings, role)


async def test_who_takes_a_partition_over_needs_the_right_to_its_transactional_id(
    secured: Secured, admin: Settings
) -> None:
    principal, way = _ways(secured)["state"]
    kafka = with_kafka(admin, **way).kafka
    topic = kafka.topic("visitor-states")
    *others, right = rights(kafka, "state")
    secured.grant(principal, others)
    log = KafkaLog(kafka, "test")
    try:
        with pytest.raises(AccessError, match=f"user 'state' may not WRITE transactional id {topic}-1 at"):
            await log.claim(topic, 1)
        secured.grant(principal, [right])
        await log.claim(topic, 1)
        await log.append(topic, 1, [Out(b"row", b"value")])
    finally:
        await log.stop()


def _as(secured: Secured, admin: Settings, role: str) -> Settings:
    """The settings of the role's user, who has the printed rights."""
    secured.grant(role, rights(admin.kafka, role))
    return with_kafka(admin, **secured.sasl(role))


def test_the_operators_verbs_work_with_the_printed_rights_alone(secured: Secured, admin: Settings) -> None:
    kafka = admin.kafka.model_copy(update={"prefix": f"{admin.kafka.prefix}own."})
    settings = _as(secured, admin.model_copy(update={"kafka": kafka}), "operator")
    create = Right("CREATE", "TOPIC", settings.kafka.topic("items"))
    secured.revoke("operator", create)
    with pytest.raises(AccessError, match=f"may not CREATE topic {create.name}"):
        create_topics(settings)
    secured.grant("operator", [create])
    create_topics(settings)
    assert check_topics(settings) == []
    assert len(describe_topics(settings)) == len(topic_specs(settings))

    alter = Right("ALTER_CONFIGS", "TOPIC", settings.kafka.topic("visitor-states"))
    shorter = with_kafka(settings, compaction_lag_s=60)
    secured.revoke("operator", alter)
    # It is what lets configurations be read, too.
    with pytest.raises(AccessError, match=f"may not DESCRIBE_CONFIGS topic {alter.name}"):
        check_topics(shorter)
    with pytest.raises(AccessError, match=f"may not ALTER_CONFIGS topic {alter.name}"):
        mend_topics(shorter)
    secured.grant("operator", [alter])
    assert [problem.setting for problem in mend_topics(shorter)] == ["min.compaction.lag.ms"]


def test_state_is_rebuilt_with_the_printed_rights_alone_and_left_whole_without(
    secured: Secured, admin: Settings
) -> None:
    settings = _as(secured, admin, "operator")
    with connect(admin.kafka) as client:
        place = TopicPartition(settings.kafka.topic("interactions"), 0)
        client.alter_group_offsets(settings.kafka.topic("state"), {place: OffsetAndMetadata(1, "", -1)})
    before = topic_id(settings, "visitor-states")
    for resource, name in (("TOPIC", "visitor-states"), ("GROUP", "state")):
        right = Right("DELETE", resource, settings.kafka.topic(name))
        secured.revoke("operator", right)
        with pytest.raises(AccessError, match=f"may not DELETE {resource.lower()} {right.name}"):
            forget_state(settings)
        assert topic_id(settings, "visitor-states") == before
        secured.grant("operator", [right])
    forget_state(settings)
    assert topic_id(settings, "visitor-states") != before


def test_a_group_that_is_not_deleted_is_named(secured: Secured, admin: Settings) -> None:
    settings = _as(secured, admin, "operator")
    group = settings.kafka.topic("state")
    secured.revoke("operator", Right("DELETE", "GROUP", group))
    # Of a group that is not there Kafka does not tell ahead what may be done with it.
    secured.grant("operator", [Right("DESCRIBE", "GROUP", group)])
    with pytest.raises(TopicError, match=f"group {group} cannot be deleted: GroupAuthorizationFailedError"):
        forget_state(settings)


def test_clicks_are_replayed_trained_on_and_released_with_the_printed_rights_alone(
    secured: Secured, admin: Settings, published: "Published", signing_key: Path
) -> None:
    with pytest.raises(AccessError, match=f"may not WRITE topic {admin.kafka.topic('interactions')}"):
        asyncio.run(_replay(with_kafka(admin, **secured.sasl("publisher"))))
    asyncio.run(_replay(_as(secured, admin, "publisher")))
    with pytest.raises(AccessError, match=f"may not READ topic {admin.kafka.topic('interactions')}"):
        read_clicks(with_kafka(admin, **secured.sasl("training")))
    training = with_kafka(_as(secured, admin, "training"))
    assert len(read_clicks(training).clicks) == 30
    registry = RegistrySettings(
        path=published.registry.path, trusted_keys=[SigningKey.load(signing_key).public]
    )
    training = training.model_copy(update={"registry": registry})
    announce(training, "gru4rec", published.version)
    assert released(training)["gru4rec/live"].version == published.version


def test_a_backtest_reads_its_topics_with_the_printed_rights_alone(secured: Secured, admin: Settings) -> None:
    clicks = bundled_clicks().first(30)
    publish(
        admin,
        "interactions",
        [(each.visitor_id.encode(), encode(each)) for each in interactions(clicks, clicks.time_ms, run=0)],
    )
    publish(admin, "recommendations", [(b"visitor", b"no list")])
    with pytest.raises(AccessError, match=f"may not READ topic {admin.kafka.topic('interactions')}"):
        make_plans([Configuration("", with_kafka(admin, **secured.sasl("backtest")))], Wishes())
    (plan,) = make_plans([Configuration("", _as(secured, admin, "backtest"))], Wishes())
    assert run_backtest(plan).events == 30
    assert make_plans([Configuration("", _as(secured, admin, "backtest"))], Wishes(releases="models"))


async def _replay(settings: Settings) -> None:
    await replay(settings, bundled_clicks().first(30), speed_up=1e9, on_sent=lambda _: None)


def test_a_load_test_needs_the_rights_of_a_publisher_and_of_a_reader(
    secured: Secured, admin: Settings
) -> None:
    settings = _as(secured, admin, "publisher")
    sessions = list(click_sessions(bundled_clicks().first(30)))
    load = Load(per_s=50, seconds=1, warm_up_s=0, visitors=5, patience_s=0)
    read_lists = Right("READ", "TOPIC", admin.kafka.topic("recommendations"))
    assert read_lists in rights(admin.kafka, "reader")
    with pytest.raises(AccessError, match=f"may not READ topic {read_lists.name}"):
        load_test(settings, sessions, load)
    secured.grant("publisher", [read_lists])  # without that of a group
    report = load_test(settings, sessions, load).report
    assert (report.acknowledged, report.missing) == (50, 50)


def test_lists_are_read_with_the_printed_rights_alone(secured: Secured, admin: Settings) -> None:
    settings = _as(secured, admin, "reader")
    publish(admin, "recommendations", [(b"visitor", b"list")])
    consumer = KafkaConsumer(
        settings.kafka.topic("recommendations"),
        **client_options(settings.kafka),
        group_id=settings.kafka.topic("reader"),
        auto_offset_reset="earliest",
    )
    try:
        assert next(consumer).value == b"list"
        consumer.commit()
    finally:
        consumer.close()
