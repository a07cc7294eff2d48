"""How clients connect, and what Kafka's refusals mean."""

import ssl
from pathlib import Path
from typing import Any

import aiokafka.errors
import kafka.errors
import pytest
import trustme

from streamrec.access import addresses, client_options, may, refusal
from streamrec.config import KafkaSettings
from streamrec.errors import AccessError, ConfigError

USER = {"username": "shop", "password": "hush"}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and a certificate with its key in client.pem, cert.pem and key.pem."""
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client = authority.issue_cert("client.example")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    client.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    client.private_key_pem.write_to_path(folder / "key.pem")
    return folder


def test_without_security_there_is_only_the_address() -> None:
    assert client_options(KafkaSettings(bootstrap="a:1, b:2")) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }
    assert addresses(KafkaSettings(bootstrap="a:1, b:2")) == ["a:1", "b:2"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_has_mechanism_name_and_password(mechanism: Any) -> None:
    kafka = KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, **USER)
    options = client_options(kafka)
    assert options.pop("bootstrap_servers")
    assert options == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "shop",
        "sasl_plain_password": "hush",
    }


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_with_tls_the_brokers_certificate_is_checked_against_our_authority(protocol: Any, pem: Path) -> None:
    user = USER if protocol == "SASL_SSL" else {}
    context = client_options(KafkaSettings(security_protocol=protocol, ssl_cafile=pem / "ca.pem", **user))[
        "ssl_context"
    ]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


def test_the_name_of_the_host_is_left_unchecked_only_on_demand(pem: Path) -> None:
    kafka = KafkaSettings(security_protocol="SSL", ssl_cafile=pem / "ca.pem", ssl_check_hostname=False)
    context = client_options(kafka)["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


@pytest.mark.parametrize(
    "files",
    [{"ssl_certfile": "client.pem"}, {"ssl_certfile": "cert.pem", "ssl_keyfile": "key.pem"}],
    ids=["in one file", "in two"],
)
def test_a_certificate_of_our_own_is_loaded(files: dict[str, str], pem: Path) -> None:
    client_options(
        KafkaSettings(security_protocol="SSL", **{name: pem / each for name, each in files.items()})
    )


@pytest.mark.parametrize(
    ("files", "variable"),
    [
        ({"ssl_cafile": "absent.pem"}, "SSL_CAFILE"),
        ({"ssl_cafile": "key.pem"}, "SSL_CAFILE"),
        ({"ssl_certfile": "absent.pem"}, "SSL_CERTFILE"),
        ({"ssl_certfile": "cert.pem"}, "SSL_CERTFILE"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(files: dict[str, str], variable: str, pem: Path) -> None:
    kafka = KafkaSettings(security_protocol="SSL", **{name: pem / each for name, each in files.items()})
    with pytest.raises(ConfigError, match=rf"STREAMREC_KAFKA__{variable}=.*{next(iter(files.values()))}"):
        client_options(kafka)


KAFKA = KafkaSettings(bootstrap="k:9092", security_protocol="SASL_PLAINTEXT", **USER)
REFUSALS = [
    (aiokafka.errors.TopicAuthorizationFailedError("t"), "'shop' may not WRITE topic t at k:9092"),
    (aiokafka.errors.TopicAuthorizationFailedError({"u", "t"}), "'shop' may not WRITE topic t, u at k:9092"),
    (aiokafka.errors.GroupAuthorizationFailedError("g"), "'shop' may not WRITE group g at k:9092"),
    (aiokafka.errors.TransactionalIdAuthorizationFailed("i"), "may not WRITE transactional id i at k:9092"),
    (kafka.errors.TopicAuthorizationFailedError("t"), "'shop' may not WRITE topic t at k:9092"),
    (aiokafka.errors.SaslAuthenticationFailed("no"), "refuses user 'shop' with SCRAM-SHA-512"),
    (kafka.errors.SaslAuthenticationFailedError("no"), "refuses user 'shop' with SCRAM-SHA-512"),
]


@pytest.mark.parametrize(("error", "message"), REFUSALS, ids=[repr(error) for error, _ in REFUSALS])
def test_a_refusal_names_user_operation_and_resource_and_never_the_password(
    error: Exception, message: str
) -> None:
    with pytest.raises(AccessError, match=message) as caught, may(KAFKA, "WRITE"):
        raise error
    assert "hush" not in str(caught.value)


def test_a_resource_that_the_caller_names_is_told_by_that_name() -> None:
    error = aiokafka.errors.ClusterAuthorizationFailedError()
    assert "may not WRITE topic lists at" in str(refusal(KAFKA, error, "WRITE", "lists"))


def test_a_producers_id_that_is_refused_where_a_record_is_written_is_told_by_its_own_name() -> None:
    error = aiokafka.errors.TransactionalIdAuthorizationFailed("rows-1")
    assert "may not WRITE transactional id rows-1 at" in str(refusal(KAFKA, error, "WRITE", "rows"))


@pytest.mark.parametrize(
    "error",
    [OSError(29, "Illegal seek"), aiokafka.errors.KafkaTimeoutError(), kafka.errors.KafkaTimeoutError()],
    ids=repr,
)
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, may(KAFKA, "READ"):
        raise error
    assert caught.value is error
