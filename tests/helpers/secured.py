"""A broker with an authorizer, users and certificates, and what belongs to it.

Three further listeners: SASL_PLAINTEXT and SASL_SSL, with users and passwords, and SSL, which asks
for a certificate. Its plaintext listener is the administrator's.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import serialization
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

from streamrec.config import KafkaSettings, Settings, load_settings
from streamrec.engine.broker import Broker
from streamrec.rights import Right
from streamrec.topics import connect

PASSWORD = "hush-7f3a"
"""Of every user; made to be found in what must not show it."""
PLAIN_USERS = ("plain", "operator", "training", "publisher", "reader")
SCRAM_USERS = ("state", "scoring", "evaluation")


@dataclass(frozen=True)
class Secured:
    """A running broker and the certificates it goes by."""

    broker: Broker
    folder: Path

    @property
    def admin(self) -> KafkaSettings:
        """How the administrator connects."""
        return KafkaSettings(bootstrap=self.broker.bootstrap)

    def sasl(self, user: str, **changes: Any) -> dict[str, Any]:
        """Settings of a user, without TLS, with changes."""
        return {
            "bootstrap": self.broker.address("SASL_PLAINTEXT"),
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN" if user in PLAIN_USERS else "SCRAM-SHA-512",
            "username": user,
            "password": PASSWORD,
            **changes,
        }

    def sasl_tls(self, user: str, **changes: Any) -> dict[str, Any]:
        """Settings of a user, over TLS, with changes."""
        return {
            **self.sasl(user),
            "bootstrap": self.broker.address("SASL_SSL"),
            "security_protocol": "SASL_SSL",
            "ssl_cafile": self.folder / "ca.pem",
            **changes,
        }

    def tls(self, owner: str, **changes: Any) -> dict[str, Any]:
        """Settings of the owner of a certificate, with changes."""
        return {
            "bootstrap": self.broker.address("SSL"),
            "security_protocol": "SSL",
            "ssl_cafile": self.folder / "ca.pem",
            "ssl_certfile": self.folder / f"{owner}.pem",
            **changes,
        }

    def named(self, host: str) -> str:
        """Address of the listener with users and TLS, by another name of this host."""
        return f"{host}:{self.broker.address('SASL_SSL').rpartition(':')[2]}"

    def grant(self, user: str, rights: Sequence[Right]) -> None:
        """Give a user rights."""
        with connect(self.admin) as admin:
            outcome = admin.create_acls([_acl(ACL, user, right) for right in rights])
            assert not outcome["failed"], outcome
            for right in rights:
                _wait_for_acls(admin, user, right, 1)

    def revoke(self, user: str, right: Right) -> None:
        """Take a right away again."""
        with connect(self.admin) as admin:
            [(_, gone, _)] = admin.delete_acls([_acl(ACLFilter, user, right)])
            assert len(gone) == 1
            _wait_for_acls(admin, user, right, 0)


def _wait_for_acls(admin: Any, user: str, right: Right, n: int) -> None:
    # A change is acknowledged before the broker acts on it.
    deadline = time.monotonic() + 10
    while len(admin.describe_acls(_acl(ACLFilter, user, right))[0]) != n:
        assert time.monotonic() < deadline


def _acl(kind: Any, user: str, right: Right) -> Any:
    pattern = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
    return kind(
        principal=f"User:{user}",
        host="*",
        operation=ACLOperation[right.operation],
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(ResourceType[right.resource], right.name, pattern),
    )


def with_kafka(settings: Settings, **kafka: Any) -> Settings:
    """The same settings, connected otherwise."""
    changed = {**settings.kafka.model_dump(), **kafka}
    return load_settings(**{**settings.model_dump(), "kafka": changed})


@contextmanager
def secured_broker(folder: Path) -> Iterator[Secured]:
    """Start the broker, with certificates of an authority made for it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
    for name, identity in {"server": "127.0.0.1", "client": "client.example"}.items():
        certificate = authority.issue_cert(identity, common_name=name)
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        (folder / f"{name}.pem").write_bytes(_pkcs8(certificate.private_key_pem.bytes()) + chain)
    with Broker.start(
        timeout_s=120, overrides=_properties(folder), listeners=("SASL_PLAINTEXT", "SASL_SSL", "SSL")
    ) as broker:
        secured = Secured(broker, folder)
        with connect(secured.admin) as admin:
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(user, "SCRAM-SHA-512", PASSWORD) for user in SCRAM_USERS]
            )
        yield secured


def _pkcs8(key: bytes) -> bytes:
    """A key in the one form that Kafka reads."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _properties(folder: Path) -> dict[str, str]:
    users = " ".join(f'user_{user}="{PASSWORD}"' for user in PLAIN_USERS)
    security = "org.apache.kafka.common.security"
    properties = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "listener.name.ssl.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": r"RULE:^.*CN=([a-z]+).*$/$1/,DEFAULT",
    }
    for listener in ("sasl_plaintext", "sasl_ssl"):
        of = f"listener.name.{listener}"
        properties[f"{of}.plain.sasl.jaas.config"] = f"{security}.plain.PlainLoginModule required {users};"
        properties[f"{of}.scram-sha-512.sasl.jaas.config"] = f"{security}.scram.ScramLoginModule required;"
    return properties
