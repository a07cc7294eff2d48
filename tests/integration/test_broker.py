"""The embedded broker as a process: start, stop, kill, start again."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streamrec.config import KafkaSettings
from streamrec.engine.broker import Broker
from streamrec.errors import BrokerError
from streamrec.topics import connect

TOPIC = "kept"

# Starts a broker, says which process it is, and waits for good.
PARENT = """
import sys
from streamrec.config import KafkaSettings
from streamrec.engine.broker import Broker
broker = Broker.start()
print(broker.pid, broker.data_dir, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _embedded(broker: object) -> None:
    """Skips, or fails, where the shared broker could not be started either."""
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Broker]:
    with Broker.start(data_dir=tmp_path / "data") as broker:
        yield broker


def _write(broker: Broker, value: bytes) -> None:
    with KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        producer.send(TOPIC, value, partition=0).get(10)


def _read(broker: Broker, n: int) -> list[bytes]:
    with KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(TOPIC, 0)])
        values: list[bytes] = []
        while len(values) < n:
            for records in consumer.poll(timeout_ms=1000).values():
                values += [record.value for record in records]
        return values


def test_records_outlive_a_kill_and_a_stop(own: Broker, tmp_path: Path) -> None:
    with connect(KafkaSettings(bootstrap=own.bootstrap)) as admin:
        admin.create_topics({TOPIC: {"num_partitions": 1}}, wait_for_metadata=True)
    _write(own, b"before the kill")
    first, address = own.pid, own.bootstrap
    own.kill()
    assert not own.running
    own.restart()
    assert own.pid != first
    assert own.bootstrap == address
    _write(own, b"after the kill")
    own.stop()
    with Broker.start(data_dir=tmp_path / "data", port=own.port) as again:
        assert _read(again, 2) == [b"before the kill", b"after the kill"]


def test_a_broker_or_its_data_in_use_are_refused_and_left_alone(own: Broker) -> None:
    with pytest.raises(BrokerError, match="still running"):
        own.restart()
    files = ("server.properties", "broker.out")
    before = [(own.data_dir / name).read_bytes() for name in files]
    with pytest.raises(BrokerError, match="another broker uses"):
        Broker.start(data_dir=own.data_dir)
    assert [(own.data_dir / name).read_bytes() for name in files] == before
    with connect(KafkaSettings(bootstrap=own.bootstrap)) as admin:
        assert admin.describe_cluster()["brokers"]


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} .*take another"):
            Broker.start(data_dir=tmp_path, port=port)


def test_settings_that_kafka_refuses_are_shown_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"Invalid value many for configuration num\.io\.threads") as caught:
        Broker.start(data_dir=tmp_path, overrides={"num.io.threads": "many"})
    assert "\tat " not in str(caught.value)


def test_a_broker_that_ends_while_starting_is_shown_with_its_reason(own: Broker) -> None:
    own.stop()
    # Formatted for one node id, started with another.
    (own.data_dir / "kafka" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=x\n")
    with pytest.raises(BrokerError, match=r"ended while starting(.*\n)+.*Stored node id 7 doesn't match"):
        own.restart()
    assert not own.running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_broker_ends_with_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, data_dir = parent.stdout.readline().split()
        broker_end = select.poll()
        watch = os.pidfd_open(int(pid))
        broker_end.register(watch, select.POLLIN)
        parent.kill()
        try:
            assert broker_end.poll(30_000), "the broker outlived its parent by 30 s"
        finally:
            os.close(watch)
            shutil.rmtree(data_dir)


def test_temporary_data_go_with_the_broker() -> None:
    with Broker.start() as temporary:
        assert temporary.data_dir.exists()
    assert not temporary.data_dir.exists()


def test_a_process_that_does_not_stop_is_killed_and_given_data_stay(own: Broker) -> None:
    os.kill(own.pid, signal.SIGSTOP)
    own.stop(timeout_s=0.2)
    assert not own.running
    own.close()
    assert (own.data_dir / "kafka" / "meta.properties").exists()
