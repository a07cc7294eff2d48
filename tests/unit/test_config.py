"""Settings: from the environment, checked, and explained when they cannot be used."""

import json
import traceback
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from streamrec.config import Settings, load_settings
from streamrec.errors import ConfigError


def _leaves(model: BaseModel, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    leaves: list[tuple[tuple[str, ...], Any]] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        leaves += _leaves(value, (*path, name)) if isinstance(value, BaseModel) else [((*path, name), value)]
    return leaves


def _variable(path: tuple[str, ...]) -> str:
    return f"STREAMREC_{'__'.join(path).upper()}"


_DEFAULTS = [path for path, value in _leaves(load_settings()) if value is not None]


@pytest.mark.parametrize("path", _DEFAULTS, ids=_variable)
def test_every_default_reads_back_from_its_variable(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    default: Any = load_settings().model_dump(mode="json")
    for name in path:
        default = default[name]
    monkeypatch.setenv(_variable(path), default if isinstance(default, str) else json.dumps(default))
    assert load_settings() == Settings.model_construct()


def test_every_setting_says_what_it_means() -> None:
    schema = Settings.model_json_schema()
    sections = {name: section for name, section in schema["$defs"].items() if section["type"] == "object"}
    assert len(sections) >= 5
    for name, section in sections.items():
        assert section.get("description"), name
        for field, about in section["properties"].items():
            assert about.get("description"), f"{name}.{field}"


def test_variables_of_one_section_leave_its_other_settings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA__PARTITIONS", "12")
    monkeypatch.setenv("STREAMREC_KAFKA__PREFIX", "shop.")
    monkeypatch.setenv("STREAMREC_STATE__WEIGHTS", '{"play": 1}')
    monkeypatch.setenv("STREAMREC_ONLINE_MF__FACTORS", "8")
    settings = load_settings()
    assert settings.kafka.partitions == 12
    assert settings.kafka.topic("items") == "shop.items"
    assert settings.kafka.bootstrap == load_settings(kafka={}).kafka.bootstrap
    assert settings.state.weights == {"play": 1.0}
    assert settings.online_mf.keys() == {"factors"}


def test_overrides_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA__PREFIX", "environment.")
    assert load_settings(kafka={"prefix": "override."}).kafka.prefix == "override."


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("STREAMREC_KAFKA__PARTITIONS", "0", r"STREAMREC_KAFKA__PARTITIONS: .*greater than 0"),
        ("STREAMREC_KAFKA__PARTITIONS", "four", r"STREAMREC_KAFKA__PARTITIONS: .*integer"),
        (
            "STREAMREC_KAFKA",
            '{"bootstrp": "k:9092"}',
            r"STREAMREC_KAFKA__BOOTSTRP: Extra inputs are not perm",
        ),
        ("STREAMREC_KAFKA__STALL_TIMEOUT_S", "15", r"STREAMREC_KAFKA: .*at least twice session_timeout_s=10"),
        ("STREAMREC_SCORING__K", "501", r"STREAMREC_SCORING__K: .*500"),
        ("STREAMREC_LOG_LEVEL", "LOUD", r"STREAMREC_LOG_LEVEL: .*INFO"),
        ("STREAMREC_REGISTRY__TRUSTED_KEYS", '["no key"]', r"TRUSTED_KEYS__0: .*`streamrec models keygen`"),
        ("STREAMREC_REGISTRY__TRUSTED_KEYS", f'["{"A" * 43}="]', r"an Ed25519 public key is wanted"),
        ("STREAMREC_REGISTRY__TRUSTED_KEYS", f'["{"B" * 40}"]', r"an Ed25519 public key is wanted"),
        ("STREAMREC_STATE__WEIGHTS", "{view}", r"state.*have to be JSON"),
        (
            "STREAMREC_SCORING__WEIGHTS",
            '{"gru4rec": 0, "online_mf": 0, "popularity": 0}',
            r"scoring\.weights: at least one source needs a weight above 0",
        ),
        (
            "STREAMREC_SCORING__WEIGHTS",
            '{"gru4rec": 1, "vmis_knn": 0.5, "markov": 0.1}',
            r"no sessions for markov and vmis_knn to learn from; set STREAMREC_STATE__RECENT_SESSIONS, to",
        ),
        (
            "STREAMREC_SCORING",
            '{"min_share": 0.3, "weights": {"gru4rec": 1, "online_mf": 1, "popularity": 1, "markov": 1}}',
            r"scoring\.min_share: 4 sources cannot each have 0\.3 of the positions; it may be 0\.25 at most",
        ),
        ("STREAMREC_SCORING__WEIGHTS", '{"gru4rec": NaN}', r"STREAMREC_SCORING__WEIGHTS"),
        ("STREAMREC_SCORING__WEIGHTS", '{"oracle": 1}', r"STREAMREC_SCORING__WEIGHTS__ORACLE"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings()
    assert caught.value.exit_code == 2


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA__PARTITIONS", "0")
    monkeypatch.setenv("STREAMREC_WEB__PORT", "70000")
    with pytest.raises(ConfigError, match=r"STREAMREC_KAFKA__PARTITIONS(.|\n)*STREAMREC_WEB__PORT"):
        load_settings()


SECRET = "not to be told to anybody"


def test_a_child_process_gets_the_same_settings_secrets_included(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        privacy={"pseudonym_key": SECRET},
        registry={"signing_key": "keys/my.key", "require_signature": False},
        log_level="DEBUG",
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings
    assert load_settings().privacy.pseudonym_key == SecretStr(SECRET)


@pytest.mark.parametrize("value", ["too short", '["a list"]', "7"])
def test_a_wrong_secret_is_named_and_not_quoted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_PRIVACY__PSEUDONYM_KEY", value)
    with pytest.raises(ConfigError, match="STREAMREC_PRIVACY__PSEUDONYM_KEY") as caught:
        load_settings()
    assert value not in str(caught.value).replace("not 7", "")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("STREAMREC_KAFKA_BOOTSTRAP", "STREAMREC_KAFKA__BOOTSTRAP"),
        ("STREAMREC_KAFKA__BOOTSTRP", "STREAMREC_KAFKA__BOOTSTRAP"),
        ("STREAMREC_BOOTSTRAP", "STREAMREC_KAFKA__BOOTSTRAP"),
        ("STREAMREC_LOGLEVEL", "STREAMREC_LOG_LEVEL"),
        ("streamrec_scoring_k", "STREAMREC_SCORING__K"),
        ("STREAMREC_ONLINEMF", "STREAMREC_ONLINE_MF"),
        ("STREAMREC_LOG_LEVEL__X", "STREAMREC_LOG_LEVEL"),
    ],
)
def test_a_variable_that_sets_nothing_is_refused_with_the_one_that_was_meant(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "9")
    with pytest.raises(ConfigError, match=rf"{variable}: no such setting; did you mean {meant}\?") as caught:
        load_settings()
    assert str(caught.value).count(variable) == 1


def test_a_variable_unlike_any_other_is_refused_with_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_XYZZY", "1")
    monkeypatch.setenv("STREAMREC_WEB__PORT", "70000")
    with pytest.raises(
        ConfigError, match=r"XYZZY: no such setting; see `streamrec config show`(.|\n)*WEB__PORT"
    ):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STREAMREC_REQUIRE_KAFKA", "1"),
        ("STREAMREC_KAFKA_SERVICE_HOST", "10.0.0.7"),
        ("STREAMREC_KAFKA_SERVICE_PORT_CLIENTS", "9092"),
        ("STREAMREC_KAFKA_PORT", "tcp://10.0.0.7:9092"),
        ("STREAMREC_KAFKA_PORT_9092_TCP", "tcp://10.0.0.7:9092"),
        ("STREAMREC_KAFKA_PORT_9092_TCP_ADDR", "10.0.0.7"),
        ("STREAMRECORDER", "another program's"),
    ],
)
def test_variables_of_the_tests_and_those_kubernetes_makes_for_services_set_nothing(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert load_settings() == Settings.model_construct()


def test_settings_do_not_change() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.kafka = settings.kafka  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.kafka.prefix = "other."  # type: ignore[misc]


SASL = {"security_protocol": "SASL_SSL", "username": "shop", "password": SECRET}


def test_secrets_are_shown_nowhere_and_handed_to_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = {**SASL, "ssl_certfile": "c.pem", "ssl_key_password": f"{SECRET}-2"}
    settings = load_settings(kafka=kafka, privacy={"pseudonym_key": SECRET})
    for shown in (
        repr(settings),
        str(settings.kafka),
        settings.model_dump_json(),
        f"{settings.model_dump()}",
    ):
        assert SECRET not in shown
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    child = load_settings()
    assert child == settings
    assert child.kafka.password is not None
    assert child.kafka.password.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("kafka", "message"),
    [
        ({"security_protocol": "SASL_SSL"}, "SASL_SSL needs a username and a password"),
        ({**SASL, "password": ""}, "needs a username and a password"),
        (
            {**SASL, "security_protocol": "PLAINTEXT"},
            "not used with security_protocol PLAINTEXT; set it to SASL",
        ),
        ({**SASL, "security_protocol": "SSL"}, "not used with security_protocol SSL"),
        ({"ssl_cafile": "ca.pem"}, "ssl_cafile not used with security_protocol PLAINTEXT; set it to SSL"),
        ({"security_protocol": "SSL", "ssl_keyfile": "key.pem"}, "set ssl_certfile too"),
        ({"security_protocol": "SSL", "ssl_key_password": SECRET}, "set ssl_certfile too"),
        ({**SASL, "sasl_mechanism": "GSSAPI"}, "STREAMREC_KAFKA__SASL_MECHANISM: .*SCRAM-SHA-512"),
        ({**SASL, "security_protocol": "TLS"}, "STREAMREC_KAFKA__SECURITY_PROTOCOL: .*SASL_SSL"),
    ],
)
def test_settings_of_a_connection_that_do_not_fit_are_refused_without_the_password(
    kafka: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(kafka=kafka)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", [f'{{"password": "{SECRET}"', f'{{"password": ["{SECRET}"]}}'])
def test_a_password_in_a_variable_that_cannot_be_read_is_not_repeated(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA", value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
