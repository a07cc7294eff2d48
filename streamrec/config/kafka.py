"""Where the apps stand: Kafka, the operators' pages, and what is told of visitors."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, model_validator

from streamrec.config.values import Section
from streamrec.ports import KAFKA_PORT

__all__ = ["KafkaSettings", "PrivacySettings", "WebSettings"]


class KafkaSettings(Section):
    """Where Kafka is and how the topics are called and cut."""

    bootstrap: str = f"127.0.0.1:{KAFKA_PORT}"
    """Comma-separated host:port of one or more brokers."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to connect: encrypted with SSL in its name, with user and password with SASL in it."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the password is proved; PLAIN sends it as it is."""
    username: str | None = None
    """SASL user."""
    password: SecretStr | None = None
    """SASL password; never shown."""
    ssl_cafile: Path | None = None
    """PEM file of the authorities that may sign brokers' certificates; without it the system's."""
    ssl_certfile: Path | None = None
    """PEM file of the client's certificate, where brokers ask for one (mutual TLS)."""
    ssl_keyfile: Path | None = None
    """PEM file of the certificate's key, if it is not in the same file."""
    ssl_key_password: SecretStr | None = None
    """Password of an encrypted key; never shown."""
    ssl_check_hostname: bool = True
    """Whether a broker's certificate has to name the host that is connected to."""
    prefix: str = "streamrec."
    """Put before every topic name and every consumer group."""
    partitions: PositiveInt = 4
    """Partitions of interactions, visitor-states and recommendations."""
    replication: PositiveInt = 1
    """Copies of every partition; 3 on a cluster."""
    session_timeout_s: PositiveFloat = 10.0
    """How long a worker may be silent before its partitions move on."""
    stall_timeout_s: PositiveFloat = 120.0
    """How long a worker may stand still with work waiting before it ends itself, to be started
    again; at least twice the session timeout, which the group waits for a worker that has died."""
    standbys: NonNegativeInt = 0
    """Other state workers that keep a copy of each partition's rows, and take over faster."""
    commit_interval_s: PositiveFloat = 0.5
    """How often input offsets are committed; bookkeeping only, the watermark rules."""
    max_poll_records: PositiveInt = 2000
    """Most records in one batch."""
    compaction_lag_s: PositiveInt = 3600
    """Rows of visitor-states younger than this are never compacted away."""

    @model_validator(mode="after")
    def _patient(self) -> Self:
        if self.stall_timeout_s < 2 * self.session_timeout_s:
            raise ValueError(
                f"stall_timeout_s={self.stall_timeout_s:g} has to be at least twice "
                f"session_timeout_s={self.session_timeout_s:g}"
            )
        return self

    def topic(self, name: str) -> str:
        """The full name of a topic: prefix and name."""
        return f"{self.prefix}{name}"

    @property
    def uses_sasl(self) -> bool:
        """Whether a user logs in with a password."""
        return self.security_protocol.startswith("SASL")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted and the broker's certificate is checked."""
        return self.security_protocol.endswith("SSL")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        protocol = self.security_protocol
        if self.uses_sasl and not (self.username and self.password):
            raise ValueError(f"security_protocol {protocol} needs a username and a password; set both")
        if not self.uses_sasl and (self.username or self.password):
            raise ValueError(
                f"username and password are not used with security_protocol {protocol}; "
                "set it to SASL_SSL (encrypted) or SASL_PLAINTEXT, or unset both"
            )
        files = [name for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile") if getattr(self, name)]
        if files and not self.uses_tls:
            raise ValueError(
                f"{', '.join(files)} not used with security_protocol {protocol}; "
                "set it to SSL or SASL_SSL, or unset what begins with ssl_"
            )
        if (self.ssl_keyfile or self.ssl_key_password) and not self.ssl_certfile:
            raise ValueError("ssl_keyfile and ssl_key_password go with a certificate; set ssl_certfile too")
        return self


class PrivacySettings(Section):
    """What is told of visitors."""

    pseudonym_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Key of the pseudonyms that stand for visitors in logs, 16 characters or more, the same in all
    processes. Without it each draws its own, and a visitor has another name after every restart."""


class WebSettings(Section):
    """The operators' pages: /metrics, /livez and /readyz."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 in a container."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port; 0 takes the app's own default (state 9101, scoring 9102, evaluation 9103, archive 9104)."""
    fd: int = Field(default=-1, ge=-1)
    """A listening socket, inherited from whoever started the process, instead of host and port."""
