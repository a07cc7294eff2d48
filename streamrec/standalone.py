"""All of streamrec on one machine: Kafka, topics, a model, the state and the scoring app.

The apps are child processes: they end with this one, however it ends, and when one ends by
itself it is noticed. For `streamrec standalone` and the demo.
"""

import fcntl
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from rich.console import Console

from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, split_by_day
from streamrec.engine.broker import Broker
from streamrec.engine.child import Child
from streamrec.errors import BrokerError, ConfigError, WorkerError
from streamrec.ports import KAFKA_PORT, PAGES_PORTS
from streamrec.progress import progress_bar
from streamrec.registry import Registry
from streamrec.releases import announce, released
from streamrec.signing import SigningKey
from streamrec.topics import create_topics
from streamrec.training import gru4rec_config, train_gru4rec

__all__ = ["ROLES", "TRAINED_DAYS", "Apps", "Kafka", "has_kafka", "live_model", "with_own_key"]

ROLES: Final = ("state", "scoring")
"""The apps, in the order in which they are stopped: the later ones answer what the earlier ask."""

TRAINED_DAYS: Final = 24
"""Of the bundled clicks, those that a first model is trained on; six more are left to judge it by."""

_HOST: Final = "127.0.0.1"
_EVERY_ADDRESS: Final = (str(IPv4Address(socket.INADDR_ANY)), "")
_READY_TIMEOUT_S: Final = 120.0
# An app without its Kafka does not end by itself; killing one loses nothing.
_STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.1
_TAIL_LINES: Final = 15


def has_kafka(settings: Settings) -> bool:
    """Whether the settings name a Kafka to use (STREAMREC_KAFKA__BOOTSTRAP)."""
    return "bootstrap" in settings.kafka.model_fields_set


def with_own_key(settings: Settings) -> Settings:
    """Settings that sign with, and trust, a key of this machine's own, unless they name keys already.

    It is made on first use and lies beside the registry (`registry.key`). Raises ConfigError.
    """
    registry = settings.registry
    if registry.trusted_keys or registry.signing_key or not registry.require_signature:
        return settings
    if isinstance(registry.path, str):
        raise ConfigError(
            f"{registry.path}: a key that is made here would be known to this machine alone; make one with "
            "`streamrec models keygen FILE` and set STREAMREC_REGISTRY__SIGNING_KEY and …__TRUSTED_KEYS"
        )
    path = registry.path.with_name(f"{registry.path.name}.key")
    key = SigningKey.load(path) if path.exists() else SigningKey.create(path)
    keys = {"signing_key": path, "trusted_keys": (key.public,)}
    return settings.model_copy(update={"registry": registry.model_copy(update=keys)})


class Kafka:
    """A Kafka with the topics made: the one that the settings name, else an embedded one.

    data: folder that keeps the embedded one's data; they are gone with it if not given. port: its
    port; by default 9092, or another if that is taken. Raises ConfigError, BrokerError or TopicError.
    """

    def __init__(self, settings: Settings, data: Path | None = None, port: int | None = None) -> None:
        self._broker: Broker | None = None
        self.settings = settings
        """The settings that point at it."""
        if not has_kafka(settings):
            if settings.kafka.security_protocol != "PLAINTEXT":
                raise ConfigError(
                    f"security_protocol {settings.kafka.security_protocol} is for a Kafka of yours, the one "
                    "started here has no users; set STREAMREC_KAFKA__BOOTSTRAP to yours, or unset "
                    "STREAMREC_KAFKA__SECURITY_PROTOCOL and what goes with it"
                )
            self._broker = _start_broker(data, port)
            address = settings.kafka.model_copy(update={"bootstrap": self._broker.bootstrap})
            self.settings = settings.model_copy(update={"kafka": address})
        try:
            create_topics(self.settings)
        except BaseException as error:
            self.close()
            if isinstance(error, BrokerError) and not self.embedded:
                # It may be left over from an earlier one of ours.
                raise BrokerError(
                    f"{error}. Unset STREAMREC_KAFKA__BOOTSTRAP, and an embedded Kafka is started"
                ) from error
            raise

    @property
    def bootstrap(self) -> str:
        """Address to connect to."""
        return self.settings.kafka.bootstrap

    @property
    def embedded(self) -> bool:
        """Whether it is one of our own."""
        return self._broker is not None

    def check(self) -> None:
        """Raise BrokerError if it is our own and has ended by itself."""
        if self._broker is not None and not self._broker.running:
            raise BrokerError(f"Kafka ended by itself. Its log says last:\n{self._broker.log_tail()}")

    def close(self) -> None:
        """Stop it if it is our own."""
        if self._broker is not None:
            self._broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def live_model(settings: Settings, console: Console) -> str:
    """The live version of GRU4Rec. Where there is none, the registry's newest becomes it.

    Where the registry is empty, one is trained first, on TRAINED_DAYS of the bundled clicks. Raises
    BrokerError, TopicError, RegistryError, or ConfigError without torch.
    """
    live = released(settings).get("gru4rec/live")
    if live is not None:
        return live.version
    registry = Registry.of(settings)
    if not registry.versions("gru4rec"):
        registry.require_trusted_signer()
        with progress_bar(console) as on_step:
            train_gru4rec(
                split_by_day(bundled_clicks(), TRAINED_DAYS)[0],
                registry,
                config=gru4rec_config(quick=True),
                on_step=on_step,
                data={"source": f"bundled clicks, the first {TRAINED_DAYS} days"},
            )
    return announce(settings, "gru4rec", registry.latest("gru4rec")).version


class Apps:
    """The state and the scoring app on this machine, each a process of its own.

    Starts both; use it as a context manager. Their output goes to `<role>.log` in `folder`, or, where
    other Apps write theirs there, in one beside it. Their pages take the usual ports (9101, 9102),
    or others if those are taken.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder, self._lock = _own(folder)
        self.logs = {role: self.folder / f"{role}.log" for role in ROLES}
        # What listens on every address answers on this one.
        self._host = settings.web.host if settings.web.host not in _EVERY_ADDRESS else _HOST
        self._ports: dict[str, int] = {}
        self._children: dict[str, Child] = {}
        try:
            for role in ROLES:
                self._children[role] = self._start(role, settings)
        except BaseException:
            self.stop()
            raise

    def _start(self, role: str, settings: Settings) -> Child:
        # Apps serve; they have no business with the key that signs.
        registry = settings.registry.model_copy(update={"signing_key": None})
        # The variables of our own environment are in the settings already, and would win.
        inherited = {name: value for name, value in os.environ.items() if not _is_setting(name)}
        # A port that was only found free could be somebody else's by the time the app listens.
        with _listening(settings.web.host, PAGES_PORTS[role]) as pages:
            self._ports[role] = pages.getsockname()[1]
            web = settings.web.model_copy(update={"fd": pages.fileno()})
            own = settings.model_copy(update={"web": web, "registry": registry})
            return Child(
                # -P: a folder named streamrec where we happen to run is not the one that is installed.
                [sys.executable, "-P", "-m", "streamrec.cli", role],
                self.logs[role],
                env={**inherited, **own.environment()},
                files=[pages.fileno()],
            )

    def wait_until_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until both say that they are ready. Raises WorkerError if one ends or takes longer."""
        deadline = time.monotonic() + timeout_s
        for role in ROLES:
            while (reason := self._not_ready(role)) is not None:
                self.check()
                if time.monotonic() > deadline:
                    raise WorkerError(
                        f"{role} is not ready after {timeout_s:.0f} s ({reason}). {self._last(role)}"
                    )
                time.sleep(_POLL_S)

    def _not_ready(self, role: str) -> str | None:
        """Why an app is not ready; None if it is."""
        try:
            page = f"{self.pages[role]}/readyz"
            with urllib.request.urlopen(page, timeout=5):  # noqa: S310  # nosec B310 # our own page
                return None
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode(errors="replace").strip()
        except OSError:
            return "it does not answer yet"

    @property
    def pages(self) -> Mapping[str, str]:
        """Where the operators' pages of each app are, without the last slash."""
        return {role: f"http://{self._host}:{port}" for role, port in self._ports.items()}

    @property
    def pids(self) -> Mapping[str, int]:
        """Process id of each app."""
        return {role: child.pid for role, child in self._children.items()}

    def check(self) -> None:
        """Raise WorkerError with an app's last words if it has ended by itself."""
        for role, child in self._children.items():
            if not child.running:
                raise WorkerError(f"{role} ended with code {child.exit_code}. {self._last(role)}")

    def _last(self, role: str) -> str:
        with self.logs[role].open(encoding="utf-8", errors="replace") as file:
            lines = "".join(f"    {line}" for line in deque(file, _TAIL_LINES)).rstrip()
        return f"Its log ({self.logs[role]}) says last:\n{lines or '    nothing'}"

    def stop(self) -> Mapping[str, int | None]:
        """Stop both in order, if they still run; returns their exit codes."""
        for child in self._children.values():
            child.stop(_STOP_TIMEOUT_S)
        self._lock.close()
        return {role: child.exit_code for role, child in self._children.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _is_setting(name: str) -> bool:
    return name.upper().startswith("STREAMREC_")


def _start_broker(data: Path | None, port: int | None) -> Broker:
    if port is not None:
        return Broker.start(data_dir=data, port=port)
    if _is_free(KAFKA_PORT):
        try:
            return Broker.start(data_dir=data, port=KAFKA_PORT)
        except BrokerError:
            # Another broker that started at the same time may have taken it.
            if _is_free(KAFKA_PORT):
                raise
    return Broker.start(data_dir=data)


def _own(folder: Path) -> tuple[Path, IO[bytes]]:
    """The folder, or one beside it if another process has it, with the lock that keeps it ours."""
    place, n = folder, 1
    while True:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / ".lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return place, lock
        n += 1
        place = folder.with_name(f"{folder.name}-{n}")


def _listening(host: str, usual: int) -> socket.socket:
    """A socket that listens on the usual port, or on another if that is taken."""
    for port in (usual, 0):
        try:
            return socket.create_server((host, port))
        except OSError:
            continue
    raise WorkerError(f"{host} has no free port, or is no address of this machine (STREAMREC_WEB__HOST)")


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True
