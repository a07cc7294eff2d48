"""How Kafka's clients connect, and what it means when Kafka refuses them.

In: KafkaSettings. Out: the options that kafka-python and aiokafka both take, and AccessErrors
that say who was refused what. Passwords are in the options and nowhere else.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiokafka.errors import KafkaError as AIOKafkaError
from kafka.errors import KafkaError

from streamrec.config import KafkaSettings
from streamrec.errors import AccessError, ConfigError

__all__ = [
    "addresses",
    "client_options",
    "denied",
    "identity",
    "login_refused",
    "may",
    "refusal",
    "tls_context",
]

_KafkaErrors: Final = (AIOKafkaError, KafkaError)
_LOGIN_FAILED: Final = 58
_TRANSACTIONAL_ID: Final = 53
# Of the cluster (31) an idempotent producer is refused that may write to no topic.
_RESOURCES: Final = {29: "topic", 30: "group", 31: "topic", _TRANSACTIONAL_ID: "transactional id"}
"""What was refused, by Kafka's error code; aiokafka and kafka-python have different classes for it."""


def addresses(kafka: KafkaSettings) -> list[str]:
    """host:port of each broker to try first."""
    return [address.strip() for address in kafka.bootstrap.split(",")]


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Where and how to connect: options of every client of kafka-python and aiokafka.

    Raises ConfigError if a certificate or key cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": addresses(kafka),
        "security_protocol": kafka.security_protocol,
    }
    if kafka.uses_tls:
        options["ssl_context"] = tls_context(kafka)
    if kafka.uses_sasl and kafka.password is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.username
        options["sasl_plain_password"] = kafka.password.get_secret_value()
    return options


def tls_context(kafka: KafkaSettings) -> ssl.SSLContext:
    """What brokers' certificates are checked with, and our own.

    Raises ConfigError if a certificate or key cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
    except OSError as error:
        raise ConfigError(
            f"STREAMREC_KAFKA__SSL_CAFILE={kafka.ssl_cafile} holds no certificates in PEM: {error}"
        ) from None
    context.check_hostname = kafka.ssl_check_hostname
    if kafka.ssl_certfile is not None:
        password = kafka.ssl_key_password
        try:
            # Never None: OpenSSL would ask for it at the terminal.
            context.load_cert_chain(
                kafka.ssl_certfile, kafka.ssl_keyfile, password.get_secret_value() if password else ""
            )
        except OSError as error:
            raise ConfigError(
                f"STREAMREC_KAFKA__SSL_CERTFILE={kafka.ssl_certfile} and its key "
                f"({kafka.ssl_keyfile or 'in the same file'}) cannot be used: {error}; both have to be PEM, "
                "and STREAMREC_KAFKA__SSL_KEY_PASSWORD the key's if it is encrypted"
            ) from None
    return context


def identity(kafka: KafkaSettings) -> str:
    """Who Kafka takes us for, in words."""
    if kafka.uses_sasl:
        return f"user {kafka.username!r}"
    if kafka.ssl_certfile is not None:
        return f"the owner of {kafka.ssl_certfile}"
    return "an anonymous client"


def refusal(
    kafka: KafkaSettings, error: BaseException, operation: str, name: str | None = None
) -> AccessError | None:
    """What a refusal of Kafka's means; None if `error` is none.

    operation, name: what was asked for, such as READ and the name of a topic; without a name
    the client's error is asked for it.
    """
    code = getattr(error, "errno", None) if isinstance(error, _KafkaErrors) else None
    if code == _LOGIN_FAILED:
        return login_refused(kafka)
    if code in _RESOURCES:
        # Where a record is written, what is asked for by name is the topic.
        names = name if name and code != _TRANSACTIONAL_ID else _names_in(error)
        return denied(kafka, operation, _RESOURCES[code], names)
    return None


def _names_in(error: BaseException) -> str:
    # aiokafka's errors hold one name, or a set of them.
    names = error.args[0] if error.args else "of a name that Kafka does not tell"
    return names if isinstance(names, str) else ", ".join(sorted(names))


def login_refused(kafka: KafkaSettings) -> AccessError:
    """The user is not accepted. Kafka does not say whether it is the name or the password."""
    return AccessError(
        f"Kafka at {kafka.bootstrap} refuses {identity(kafka)} with {kafka.sasl_mechanism}: the user is "
        "unknown or the password is wrong; set STREAMREC_KAFKA__USERNAME, STREAMREC_KAFKA__PASSWORD "
        "and STREAMREC_KAFKA__SASL_MECHANISM"
    )


def denied(kafka: KafkaSettings, operation: str, resource: str, name: str) -> AccessError:
    """A right is missing."""
    return AccessError(
        f"{identity(kafka)} may not {operation} {resource} {name} at {kafka.bootstrap}; "
        "grant it as `streamrec topics acl` prints"
    )


@contextmanager
def may(kafka: KafkaSettings, operation: str, name: str | None = None) -> Iterator[None]:
    """A refusal of Kafka's inside is an AccessError outside, naming operation and resource. See refusal."""
    try:
        yield
    except _KafkaErrors as error:
        refused = refusal(kafka, error, operation, name)
        if refused is None:
            raise
        raise refused from None
