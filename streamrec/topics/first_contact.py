"""Asking a broker, before any client does, whether it takes us as the settings say.

Kafka's clients try again, whatever the fault, and end with a timeout. A SASL handshake over a
plain socket tells the faults apart: a listener without SASL answers that it has none, one with
SASL names its mechanisms, and one with TLS does not understand plain text.
"""

import socket
import ssl
import struct
from typing import Final

from kafka.errors import SaslAuthenticationFailedError
from kafka.net.sasl import get_sasl_mechanism

from streamrec.access import addresses, client_options, login_refused, tls_context
from streamrec.config import KafkaSettings
from streamrec.errors import BrokerError

__all__ = ["SET_BOOTSTRAP", "require_broker"]

SET_BOOTSTRAP: Final = "set STREAMREC_KAFKA__BOOTSTRAP=host:port, or start one with `streamrec broker`"
_SET_PROTOCOL: Final = "set STREAMREC_KAFKA__SECURITY_PROTOCOL to"

_SASL_HANDSHAKE: Final = 17
_SASL_AUTHENTICATE: Final = 36
_NO_SASL_HERE: Final = 34
_MAX_ANSWER_BYTES: Final = 4096


class _NotUnderstoodError(Exception):
    """The peer's answer is none of Kafka's."""


def require_broker(kafka: KafkaSettings, timeout_s: float) -> None:
    """Return once one of the brokers has answered, and accepted the user if there is one.

    Raises BrokerError with what is wrong at each address if none does within `timeout_s`,
    AccessError if the user is refused.
    """
    context = tls_context(kafka) if kafka.uses_tls else None
    faults = []
    advice = SET_BOOTSTRAP
    for address in (places := addresses(kafka)):
        try:
            return _greet(kafka, address, context, timeout_s / len(places))
        except ssl.SSLCertVerificationError as error:
            faults.append(f"{address} ({error.verify_message})")
            advice = (
                "check that STREAMREC_KAFKA__SSL_CAFILE has the authority that signed the broker's "
                "certificate, and that the certificate names this host"
            )
        except ssl.SSLError as error:
            faults.append(f"{address} (TLS: {error.reason or error})")
            advice = (
                f"if it speaks plain text, {_SET_PROTOCOL} PLAINTEXT or SASL_PLAINTEXT; if it asks for a "
                "certificate, set STREAMREC_KAFKA__SSL_CERTFILE"
            )
        except (_NotUnderstoodError, struct.error) as error:
            faults.append(f"{address} ({error})")
            if context is None:
                advice = f"if it expects TLS, {_SET_PROTOCOL} SSL or SASL_SSL"
        except (ValueError, OverflowError):
            faults.append(f"{address} (not host:port)")
        except OSError as error:
            faults.append(f"{address} ({error.strerror or error})")
    raise BrokerError(f"no Kafka broker at {', '.join(faults)}; {advice}")


def _greet(kafka: KafkaSettings, address: str, context: ssl.SSLContext | None, timeout_s: float) -> None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with socket.create_connection((host, int(port)), timeout_s) as plain:
        sock = context.wrap_socket(plain, server_hostname=host) if context else plain
        with sock:
            mechanisms = _offered(sock, kafka.sasl_mechanism)
            if fault := _mismatch(kafka, mechanisms):
                raise BrokerError(f"Kafka at {address} {fault}")
            if kafka.uses_sasl:
                _log_in(sock, kafka, host)


def _offered(sock: socket.socket, mechanism: str) -> list[str] | None:
    """The SASL mechanisms that a broker offers; None if it has no SASL."""
    answer = _ask(sock, _SASL_HANDSHAKE, 1, struct.pack(">h", len(mechanism)) + mechanism.encode())
    code, n_mechanisms = struct.unpack_from(">hi", answer)
    if code == _NO_SASL_HERE:
        return None
    mechanisms = []
    place = struct.calcsize(">hi")
    for _ in range(n_mechanisms):
        (length,) = struct.unpack_from(">h", answer, place)
        mechanisms.append(answer[place + 2 : place + 2 + length].decode(errors="replace"))
        place += 2 + length
    return mechanisms


def _mismatch(kafka: KafkaSettings, mechanisms: list[str] | None) -> str | None:
    """What is wrong with the settings for a broker that offers these mechanisms, or no SASL at all."""
    tls = "SSL" if kafka.uses_tls else "PLAINTEXT"
    if mechanisms is None:
        return f"knows no users on this port; {_SET_PROTOCOL} {tls}" if kafka.uses_sasl else None
    offered = ", ".join(mechanisms)
    if not kafka.uses_sasl:
        return (
            f"wants user and password ({offered}); {_SET_PROTOCOL} SASL_{tls}, and STREAMREC_KAFKA__USERNAME "
            "and STREAMREC_KAFKA__PASSWORD"
        )
    if kafka.sasl_mechanism not in mechanisms:
        return (
            f"does not take {kafka.sasl_mechanism} (user {kafka.username!r}); set "
            f"STREAMREC_KAFKA__SASL_MECHANISM to one of {offered}"
        )
    return None


def _log_in(sock: socket.socket, kafka: KafkaSettings, host: str) -> None:
    # The client's own exchange would do, but it often sees the connection end before the refusal.
    mechanism = get_sasl_mechanism(kafka.sasl_mechanism)(host=host, **client_options(kafka))
    while not mechanism.is_done():
        token = mechanism.auth_bytes()
        answer = _ask(sock, _SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        code, length = struct.unpack_from(">hh", answer)
        if code == SaslAuthenticationFailedError.errno:
            raise login_refused(kafka)
        if code:
            raise _NotUnderstoodError(f"it answers the password with error {code}")
        # A string of length -1 is null and has no bytes.
        mechanism.receive(answer[struct.calcsize(">hh") + max(0, length) + struct.calcsize(">i") :])


def _ask(sock: socket.socket, api_key: int, version: int, body: bytes) -> bytes:
    """Send a request of Kafka's protocol; returns the answer without its header."""
    request = struct.pack(">hhih", api_key, version, 0, -1) + body
    try:
        sock.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _receive(sock, 4))
        if not 8 <= size <= _MAX_ANSWER_BYTES:
            raise _NotUnderstoodError("its answer is not Kafka's")
        return _receive(sock, size)[4:]
    except ConnectionError:
        raise _NotUnderstoodError("it closed the connection") from None


def _receive(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = sock.recv(size)
        if not part:
            raise _NotUnderstoodError("it closed the connection")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
