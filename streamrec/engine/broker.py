"""The real Apache Kafka as a child process: one KRaft node on 127.0.0.1.

In: a data folder and a port, both optional. Out: the address to connect to. For the
demo, for `streamrec broker` and for tests; it ends with the process that started it.

The data folder holds the configuration (server.properties), Kafka's files (kafka/), its
log (broker.log) and what the Java runtime itself prints (broker.out).
"""

import atexit
import fcntl
import re
import shutil
import socket
import subprocess  # nosec B404 # runs Kafka
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streamrec.config import KafkaSettings
from streamrec.engine.child import Child
from streamrec.engine.java import JavaChoice, find_java, kafka_class_path
from streamrec.engine.kafka_config import JVM_OPTIONS, LOG4J, new_cluster_id, server_properties
from streamrec.errors import BrokerError
from streamrec.topics import connect

__all__ = ["Broker"]

_HOST = "127.0.0.1"
_PORT_TRIES = 4
_POLL_S = 0.05
_FORMAT_TIMEOUT_S = 60.0
_LOG_TAIL_LINES = 12
_CHATTER = re.compile(r"^\S+ INFO |^\tat |^\t\.\.\. |^WARNING: |^Formatting ")
"""Lines of the log that do not say why a broker ended."""

_ADVICE = {
    "Address already in use": "Take another port (--port), or 0 for a free one.",
    "No space left on device": "Make room on the disk, or take a data folder elsewhere (--data).",
    "OutOfMemoryError": "The machine has too little memory free: Kafka needs about 400 MB.",
}
"""What to do, by a sign in the log."""


class Broker:
    """A running broker. Use `Broker.start()`, best as a context manager.

    `bootstrap` is its host:port, `data_dir` its folder, `port` its port.
    """

    def __init__(
        self,
        data_dir: Path | None,
        port: int,
        java: JavaChoice | Path,
        overrides: Mapping[str, str],
        listeners: Sequence[str],
    ) -> None:
        self._java = find_java(java)
        self._class_path = kafka_class_path()
        self._overrides = dict(overrides)
        self._listeners = {protocol: _free_port() for protocol in listeners}
        self._temporary = data_dir is None
        self.data_dir = (
            Path(tempfile.mkdtemp(prefix="streamrec-broker-")) if data_dir is None else data_dir.absolute()
        )
        self.port = port
        self._child: Child | None = None

    @classmethod
    def start(
        cls,
        data_dir: Path | None = None,
        port: int = 0,
        timeout_s: float = 60.0,
        java: JavaChoice | Path = "auto",
        overrides: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
    ) -> Self:
        """A broker that answers.

        data_dir: kept, and used again if it holds a broker's data; without it a temporary
        folder that goes with the broker. port: 0 takes a free one. overrides: broker
        settings (server.properties) on top of ours. listeners: security protocols to listen
        with beside plaintext (SSL, SASL_SSL, ...), set up in `overrides`. Raises BrokerError.
        """
        broker = cls(data_dir, port, java, overrides or {}, listeners)
        try:
            broker._prepare()
            broker._start_on_some_port(timeout_s)
        except BaseException:
            broker.close()
            raise
        atexit.register(broker.close)
        return broker

    @property
    def bootstrap(self) -> str:
        """Address to connect to, host:port."""
        return f"{_HOST}:{self.port}"

    def address(self, protocol: str) -> str:
        """Address of one of the further listeners, host:port."""
        return f"{_HOST}:{self._listeners[protocol]}"

    @property
    def pid(self) -> int:
        """Process id of the Java process. Raises BrokerError if none was started."""
        if self._child is None:
            raise BrokerError("the broker has not been started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.running

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the process to end; whether it has."""
        return self._child is None or self._child.wait(timeout_s)

    def stop(self, timeout_s: float = 30.0) -> None:
        """End the process in order (SIGTERM); kill it after `timeout_s`. The data stay."""
        if self._child is not None:
            self._child.stop(timeout_s)

    def kill(self) -> None:
        """End the process at once (SIGKILL), as in a power cut. The data stay."""
        if self._child is not None:
            self._child.kill()

    def restart(self, timeout_s: float = 60.0) -> None:
        """Start again on the same data and port, after `stop`, `kill` or a crash."""
        if self.running:
            raise BrokerError(f"the broker at {self.bootstrap} is still running; stop it first")
        self._launch(timeout_s)

    def close(self) -> None:
        """Stop the broker and remove its data, if they were temporary. May be called again."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_tail(self) -> str:
        """What the broker and its Java runtime complained of last, or else wrote last."""
        lines: list[str] = []
        for name in ("broker.log", "broker.out"):
            path = self.data_dir / name
            if path.exists():
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
        return _shortened(lines)

    def _prepare(self) -> None:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            (self.data_dir / "log4j2.xml").write_text(LOG4J, encoding="utf-8")
        except OSError as error:
            raise BrokerError(f"{self.data_dir} cannot hold a broker's data: {error}") from None

    def _start_on_some_port(self, timeout_s: float) -> None:
        if self.port:
            self._launch(timeout_s)
            return
        for attempt in range(1, _PORT_TRIES + 1):
            self.port = _free_port()
            try:
                self._launch(timeout_s)
            except BrokerError:
                # Between finding a port free and taking it somebody else can.
                if attempt == _PORT_TRIES or "Address already in use" not in self.log_tail():
                    raise
            else:
                return

    def _launch(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        _require_unused(self.data_dir)
        _require_free(self.port)
        (self.data_dir / "broker.log").unlink(missing_ok=True)
        properties = server_properties(
            _HOST, {"PLAINTEXT": self.port, **self._listeners}, _free_port(), self._overrides
        )
        (self.data_dir / "server.properties").write_text(properties, encoding="utf-8")
        if not (self.data_dir / "kafka" / "meta.properties").exists():
            self._format()
        try:
            command = self._command("kafka.Kafka", "server.properties")
            self._child = Child(command, output=self.data_dir / "broker.out", cwd=self.data_dir)
        except OSError as error:
            raise BrokerError(f"Kafka could not be started: {error}") from None
        while not self._answers():
            if self._child.wait(_POLL_S):
                raise BrokerError(f"Kafka ended while starting. {self._last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(
                    f"Kafka did not answer at {self.bootstrap} within {timeout_s:g} s. {self._last_words()}"
                )

    def _last_words(self) -> str:
        tail = self.log_tail()
        own_kafka = "Try again, or use a Kafka of your own: STREAMREC_KAFKA__BOOTSTRAP=host:port"
        advice = next((advice for sign, advice in _ADVICE.items() if sign in tail), own_kafka)
        return f"Its log says last:\n{tail}\n{advice}"

    def _format(self) -> None:
        tool = ("kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", "server.properties")
        try:
            done = subprocess.run(  # noqa: S603  # nosec B603 # our own command line
                self._command(*tool),
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrokerError(f"{self.data_dir} could not be made ready for Kafka: {error}") from None
        if done.returncode:
            raise BrokerError(
                f"{self.data_dir} could not be made ready for Kafka:\n"
                f"{_shortened(done.stdout.decode(errors='replace').splitlines())}"
            )

    def _command(self, main_class: str, *arguments: str) -> list[str]:
        return [str(self._java), *JVM_OPTIONS, "-cp", self._class_path, main_class, *arguments]

    def _answers(self) -> bool:
        try:
            with connect(KafkaSettings(bootstrap=self.bootstrap), timeout_s=1.0) as admin:
                cluster = admin.describe_cluster()
        except BrokerError:
            return False
        # Another broker may have taken the port meanwhile, and is the one that answers.
        return bool(cluster["brokers"]) and cluster["cluster_id"] == self._cluster_id()

    def _cluster_id(self) -> str | None:
        """Which cluster the data belong to."""
        meta = (self.data_dir / "kafka" / "meta.properties").read_text(encoding="utf-8")
        found = re.search(r"^cluster\.id=(.*)$", meta, re.MULTILINE)
        return found.group(1).strip() if found else None


def _shortened(lines: Sequence[str]) -> str:
    complaints = [line for line in lines if line and not _CHATTER.search(line)]
    return "\n".join(f"    {line}" for line in (complaints or lines)[-_LOG_TAIL_LINES:])


def _require_unused(data_dir: Path) -> None:
    # Kafka holds a lock on this file; asked for here, before anything in the folder is changed.
    lock = data_dir / "kafka" / ".lock"
    if lock.exists():
        with lock.open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BrokerError(
                    f"another broker uses {data_dir}: stop it, or take another folder (--data)"
                ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # As Kafka does it: connections just closed do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise BrokerError(
                f"port {port} of {_HOST} cannot be had ({error.strerror}); "
                "take another (--port), or 0 for a free one"
            ) from None
