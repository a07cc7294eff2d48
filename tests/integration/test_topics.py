"""The topics at a real broker."""

import asyncio
import socket
import threading
import time

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import InvalidTimestampError

from streamrec.config import KafkaSettings, Settings, load_settings
from streamrec.errors import BrokerError, StateError, TopicError
from streamrec.topics import (
    check_topics,
    connect,
    create_topics,
    describe_topics,
    known_topics,
    mend_topics,
    require_topics,
    topic_id,
    topic_specs,
    watch_topics,
)


def _set(settings: Settings, topic: str, key: str, value: str) -> None:
    name = settings.kafka.topic(topic)
    with connect(settings.kafka) as admin:
        admin.alter_configs([ConfigResource("TOPIC", name, {key: value})])
        # A change is acknowledged before the broker acts on it.
        while True:
            described = admin.describe_configs([ConfigResource("TOPIC", name)])["topic"][name]
            if described.get(key, {}).get("value") == value:
                return


def test_topics_just_made_have_no_problems(settings: Settings) -> None:
    assert check_topics(settings) == []
    described = {topic.name: topic for topic in describe_topics(settings)}
    assert {name: topic.partitions for name, topic in described.items()} == {
        spec.name: spec.partitions for spec in topic_specs(settings)
    }
    for spec in topic_specs(settings):
        assert described[spec.name].config.items() >= spec.config.items()
        assert described[spec.name].config.items() >= spec.defaults.items()
        assert described[spec.name].offsets == 0


def test_making_topics_again_changes_nothing(settings: Settings) -> None:
    _set(settings, "interactions", "retention.ms", "123456789")
    before = describe_topics(settings)
    assert create_topics(settings) == []
    assert describe_topics(settings) == before


def test_a_changed_setting_is_named_and_mended(settings: Settings) -> None:
    _set(settings, "visitor-states", "min.compaction.lag.ms", "0")
    [problem] = check_topics(settings)
    assert problem.topic == settings.kafka.topic("visitor-states")
    assert (problem.setting, problem.actual, problem.wanted) == ("min.compaction.lag.ms", "0", "3600000")
    assert "streamrec topics mend" in problem.remedy
    assert mend_topics(settings) == [problem]
    assert check_topics(settings) == []


def test_how_long_to_keep_records_is_the_operators_choice(settings: Settings) -> None:
    _set(settings, "interactions", "retention.ms", "123456789")
    assert check_topics(settings) == []


def test_another_number_of_partitions_is_a_problem_that_mend_leaves_alone(settings: Settings) -> None:
    other = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": 3})})
    problems = check_topics(other)
    assert {problem.topic for problem in problems} == {
        settings.kafka.topic(name)
        for name in (
            *("interactions", "visitor-states", "recommendations", "shadow-recommendations"),
            "dead-letters",
        )
    }
    assert {(problem.setting, problem.actual, problem.wanted) for problem in problems} == {
        ("partitions", "2", "3")
    }
    assert all("STREAMREC_KAFKA__PARTITIONS=2" in problem.remedy for problem in problems)
    assert mend_topics(other) == []


def test_mend_asks_for_no_more_copies_in_sync_than_there_are(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"replication": 3})
    three = settings.model_copy(update={"kafka": kafka})
    assert {problem.setting for problem in check_topics(three)} == {"replication"}
    assert mend_topics(three) == []
    _set(settings, "items", "min.insync.replicas", "2")
    [mended] = mend_topics(three)
    assert (mended.setting, mended.actual, mended.wanted) == ("min.insync.replicas", "2", "1")


def test_missing_topics_are_named_with_the_way_to_make_them(settings: Settings) -> None:
    absent = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"prefix": "absent."})})
    problems = check_topics(absent)
    assert [problem.actual for problem in problems] == ["missing"] * len(topic_specs(absent))
    for act in (describe_topics, mend_topics):
        with pytest.raises(TopicError, match="streamrec topics create"):
            act(absent)
    with pytest.raises(TopicError, match=r"absent\.interactions does not exist at .*streamrec topics create"):
        require_topics(absent, ["interactions"])
    with pytest.raises(TopicError, match="streamrec topics create"):
        topic_id(absent, "interactions")
    require_topics(settings, ["interactions", "visitor-states"])


def test_more_copies_than_brokers_is_refused_with_the_brokers_reason(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"replication": 99, "prefix": settings.kafka.prefix + "many."})
    with pytest.raises(TopicError, match=r"could not be made: .*99"):
        create_topics(settings.model_copy(update={"kafka": kafka}))


def _remove(settings: Settings, topic: str) -> None:
    with connect(settings.kafka) as admin:
        admin.delete_topics([settings.kafka.topic(topic)])
        while settings.kafka.topic(topic) in admin.list_topics():
            pass


def test_a_topic_made_anew_has_another_id(settings: Settings) -> None:
    before = topic_id(settings, "items")
    assert topic_id(settings, "items") == before
    _remove(settings, "items")
    assert create_topics(settings) == [settings.kafka.topic("items")]
    assert topic_id(settings, "items") != before


def test_rows_that_were_cut_off_are_noticed_by_where_their_log_begins(settings: Settings) -> None:
    topic = settings.kafka.topic("visitor-states")
    with KafkaProducer(bootstrap_servers=settings.kafka.bootstrap) as producer:
        for n in range(3):
            producer.send(topic, b"%d" % n, key=b"v:v", partition=1).get(10)
    known = known_topics(settings, ["interactions", "visitor-states"])
    assert known == {name: topic_id(settings, name) for name in known}
    _set(settings, "visitor-states", "cleanup.policy", "compact,delete")
    with connect(settings.kafka) as admin:
        admin.delete_records({TopicPartition(topic, 1): 2})
    mend_topics(settings)
    with pytest.raises(
        StateError, match=r"visitor-states\[1\] begins at offset 2: .*`streamrec state rebuild`"
    ):
        known_topics(settings, ["visitor-states"])
    assert known_topics(settings, ["interactions"]) == {"interactions": known["interactions"]}


async def test_a_worker_learns_that_a_topic_is_gone_or_was_made_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrec.topics.continuity._LOOK_S", 0.05)
    known = known_topics(settings, ["interactions", "visitor-states"])
    watching = asyncio.create_task(watch_topics(settings, known))
    await asyncio.to_thread(_remove, settings, "interactions")
    with pytest.raises(TopicError, match="interactions does not exist"):
        await asyncio.wait_for(watching, 30)
    create_topics(settings)
    with pytest.raises(StateError, match=r"interactions was made anew .*`streamrec state rebuild`"):
        await asyncio.wait_for(watch_topics(settings, known), 30)


def test_an_interaction_from_the_far_future_is_refused_by_the_broker(settings: Settings) -> None:
    topic = settings.kafka.topic("interactions")
    bound_ms = settings.state.max_future_s * 1000
    now_ms = time.time_ns() // 1_000_000
    with KafkaProducer(bootstrap_servers=settings.kafka.bootstrap) as producer:
        for time_ms in (1_000_000_000_000, now_ms + bound_ms - 20_000):
            producer.send(topic, b"{}", timestamp_ms=time_ms).get(10)
        for time_ms in (now_ms + bound_ms + 60_000, 9_000_000_000_000):
            with pytest.raises(InvalidTimestampError):
                producer.send(topic, b"{}", timestamp_ms=time_ms).get(10)


def test_a_broker_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = load_settings(kafka={"bootstrap": address})
        with pytest.raises(
            BrokerError, match=rf"{address} \(Connection refused\).*STREAMREC_KAFKA__BOOTSTRAP"
        ):
            check_topics(settings)


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(BrokerError, match=r"localhost \(not host:port\)"):
        check_topics(load_settings(kafka={"bootstrap": "localhost"}))


def test_something_that_is_not_kafka_is_named_and_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(BrokerError, match=address),
            connect(KafkaSettings(bootstrap=address), timeout_s=0.5),
        ):
            pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kafka-io")]
