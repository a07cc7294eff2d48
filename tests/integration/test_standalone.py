"""`streamrec standalone` as a process: up, and gone with all that it started."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamrec.config import Settings, load_settings
from streamrec.errors import BrokerError, ConfigError
from streamrec.standalone import Apps, Kafka


def test_users_are_for_a_kafka_of_yours() -> None:
    user = {"security_protocol": "SASL_SSL", "username": "shop", "password": "hush"}
    with pytest.raises(ConfigError, match=r"SASL_SSL is for a Kafka of yours.*STREAMREC_KAFKA__BOOTSTRAP"):
        Kafka(load_settings(kafka=user))


class Standalone:
    """The process, with what it printed."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.log = folder / "standalone.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "streamrec.cli",
                    "standalone",
                    "--no-train",
                    "--out",
                    str(folder),
                ],
                env={**os.environ, **settings.environment()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def wait(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"nothing after {timeout_s} s:\n{self.log.read_text()}"
            time.sleep(0.05)

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "Ctrl-C stops it" in self.log.read_text()

    def children(self) -> list[int]:
        done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True)
        return [int(pid) for pid in done.stdout.split() if _alive(int(pid))]


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def standalone(settings: Settings, tmp_path: Path) -> Iterator[Standalone]:
    made = Standalone(settings, tmp_path)
    made.wait(made.is_up)
    yield made
    made.process.kill()
    made.process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_nothing_outlives_it(standalone: Standalone, number: signal.Signals) -> None:
    children = standalone.children()
    assert len(children) == 2
    text = standalone.log.read_text()
    assert "streamrec replay --after 24\n" in text
    assert "/metrics" in text

    standalone.process.send_signal(number)
    assert standalone.process.wait(timeout=60) == (-number if number == signal.SIGKILL else 0)
    standalone.wait(lambda: not any(_alive(pid) for pid in children))


def test_two_at_once_keep_their_logs_and_ports_apart(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with Apps(settings, folder) as first, Apps(settings, folder) as second:
        assert second.folder == tmp_path / "logs-2"
        assert not {*first.pages.values()} & {*second.pages.values()}
        assert not {*first.logs.values()} & {*second.logs.values()}
    with Apps(settings, folder) as third:
        assert third.folder == folder


def test_an_address_left_over_from_an_earlier_one_is_named_as_such(settings: Settings) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        kafka = settings.kafka.model_copy(update={"bootstrap": f"127.0.0.1:{nobody.getsockname()[1]}"})
        with pytest.raises(BrokerError, match=r"Connection refused.*Unset STREAMREC_KAFKA__BOOTSTRAP"):
            Kafka(settings.model_copy(update={"kafka": kafka}))


def test_the_end_of_an_app_ends_it_with_an_error(standalone: Standalone) -> None:
    os.kill(standalone.children()[0], signal.SIGKILL)
    assert standalone.process.wait(timeout=60) == 1
    assert "error: " in standalone.log.read_text()
    assert "ended with code -9" in standalone.log.read_text()
