"""How the embedded broker is set up: server.properties, log4j2.xml and the Java options.

Made for one node on a laptop: quick to start, small, everything with one copy.
"""

import base64
import uuid
from collections.abc import Mapping

__all__ = ["JVM_OPTIONS", "LOG4J", "new_cluster_id", "server_properties"]

# Room for the largest append (16 MiB) and what Kafka puts around it.
_MAX_BATCH_BYTES = 17 << 20

JVM_OPTIONS = (
    "-Xmx512m",
    # Serial collection and the quick compiler alone: up in 2 s instead of 5, at less than half the
    # CPU time, which on a laptop is worth more than the last bit of throughput.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    # Otherwise a file in the system's temporary folder, left behind after a kill.
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dlog4j2.configurationFile=log4j2.xml",
)

LOG4J = """\
<Configuration status="error" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="broker.log" filePattern="broker.%i.log">
      <PatternLayout pattern="%d{ISO8601} %p %m (%c{1})%n"/>
      <SizeBasedTriggeringPolicy size="20MB"/>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers><Root level="info"><AppenderRef ref="file"/></Root></Loggers>
</Configuration>
"""


def server_properties(
    host: str, ports: Mapping[str, int], controller_port: int, overrides: Mapping[str, str]
) -> str:
    """Text of server.properties; `overrides` win over ours.

    ports: the port of each listener; a listener is named for its security protocol.
    """
    listeners = ",".join(f"{name}://{host}:{port}" for name, port in ports.items())
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{host}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"{listeners},CONTROLLER://{host}:{controller_port}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(
            ["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in ports)]
        ),
        # Relative to the data folder: a comma in its path would be read as two folders.
        "log.dirs": "kafka",
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(_MAX_BATCH_BYTES),
        "replica.fetch.max.bytes": str(_MAX_BATCH_BYTES),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Lets a group that wants it notice a dead worker within a second or two.
        "group.min.session.timeout.ms": "1000",
        # A killed broker may come back once its former self has been given up; the default is 9 s.
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "1000",
        # The default, 128 MiB, would be a quarter of the heap.
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        **overrides,
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def new_cluster_id() -> str:
    """A random id in Kafka's spelling: 16 bytes in 22 characters of URL-safe base64."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # On a command line an id that starts with a dash would be read as an option.
        if not text.startswith("-"):
            return text
