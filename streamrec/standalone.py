"""All of streamrec on one machine: Kafka, topics, the state and the scoring app.

The apps are child processes; they end with this one, and when one ends by itself it is
noticed. For `streamrec standalone` and the demo.
"""

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamrec.config import Settings
from streamrec.engine.broker import Broker
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError
from streamrec.topics import create_topics

__all__ = ["ROLES", "Apps", "kafka"]

ROLES: Final = ("state", "scoring")
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_TAIL_LINES = 15


@contextmanager
def kafka(settings: Settings, data: Path | None = None) -> Iterator[Settings]:
    """An embedded Kafka with the topics made; gives the settings that point at it."""
    with Broker.start(data_dir=data) as broker:
        address = settings.kafka.model_copy(update={"bootstrap": broker.bootstrap})
        pointed = settings.model_copy(update={"kafka": address})
        create_topics(pointed)
        yield pointed


class Apps:
    """The state and the scoring app of one machine.

    Starts both and waits until they are ready. Their output goes to `<role>.log` in `folder`.
    Raises StreamrecError with an app's last words if it ends.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._logs = {role: folder / f"{role}.log" for role in ROLES}
        self.ports = {role: _free_port() for role in ROLES}
        self._children = {role: self._start(role, settings) for role in ROLES}
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _start(self, role: str, settings: Settings) -> Child:
        web = settings.web.model_copy(update={"port": self.ports[role]})
        variables = settings.model_copy(update={"web": web}).environment()
        return Child(
            [sys.executable, "-m", "streamrec.cli", role], self._logs[role], env={**os.environ, **variables}
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        for role in ROLES:
            while not self._ready(role):
                self.check()
                if time.monotonic() > deadline:
                    raise StreamrecError(
                        f"{role} is not ready after {_READY_TIMEOUT_S:.0f} s; its log: {self._logs[role]}"
                    )
                time.sleep(0.1)

    def _ready(self, role: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address(role)}/readyz", timeout=5):  # noqa: S310 (our own page)
                return True
        except OSError:
            return False

    def address(self, role: str) -> str:
        """Where the operators' pages of an app are."""
        return f"http://127.0.0.1:{self.ports[role]}"

    def check(self) -> None:
        """Raise StreamrecError if an app has ended by itself."""
        for role, child in self._children.items():
            if not child.running:
                last = "\n".join(self._logs[role].read_text(errors="replace").splitlines()[-_TAIL_LINES:])
                raise StreamrecError(f"{role} ended with code {child.exit_code}. Its last words:\n{last}")

    def stop(self) -> dict[str, int | None]:
        """Stop both, state first; returns their exit codes."""
        for child in self._children.values():
            child.stop(_STOP_TIMEOUT_S)
        return {role: child.exit_code for role, child in self._children.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
