"""All settings in one frozen object, read once at the process edge and passed down.

Environment variables carry the prefix `STREAMREC_` and two underscores between
levels: `STREAMREC_KAFKA__BOOTSTRAP`. Hyperparameters live with their model; here
they are only passed through (`STREAMREC_ONLINE_MF__FACTORS`).
"""

import base64
import json
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from streamrec.errors import ConfigError
from streamrec.ports import KAFKA_PORT
from streamrec.variables import unknown_variables

__all__ = [
    "SESSION_SOURCES",
    "EvaluationSettings",
    "KafkaSettings",
    "PrivacySettings",
    "RegistrySettings",
    "ScoringSettings",
    "Settings",
    "StateSettings",
    "WebSettings",
    "load_settings",
]

_PREFIX: Final = "STREAMREC_"


SessionSourceName = Literal["item_knn", "markov", "vs_knn", "stan", "vmis_knn"]
SESSION_SOURCES: Final[tuple[SessionSourceName, ...]] = get_args(SessionSourceName)
"""The sources of lists that learn from sessions; each has the name of its model."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _public_key(text: str) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    # Signatures under the point of all zeros can be made without a private key.
    if len(raw) != 32 or not any(raw):
        raise ValueError(
            "an Ed25519 public key is wanted, 44 characters of base64, as `streamrec models keygen` prints it"
        )
    return text


PublicKey = Annotated[str, AfterValidator(_public_key)]


class _Section(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    pass


class KafkaSettings(_Section):
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


class StateSettings(_Section):
    """What a visitor's state holds and for how long."""

    weights: dict[str, FiniteFloat] = {
        "view": 1.0,
        "click": 1.0,
        "cart": 2.0,
        "purchase": 3.0,
        "like": 2.0,
        "rating": 1.0,
        "dislike": -1.0,
        "impression": 0.0,
    }
    """Weight of each interaction type. Above 0 it feeds the models and asks for a list;
    0 is only noted; below 0 the online model learns it as unwanted. Other types are refused."""
    session_gap_s: PositiveInt = 1800
    """Silence after which an interaction without a session id starts a new session."""
    session_items: PositiveInt = Field(default=50, le=1000)
    """Items of the session kept in the row."""
    recent_events: PositiveInt = Field(default=50, le=1000)
    """Event ids remembered for recognising repeats."""
    visitor_ttl_s: PositiveInt = 30 * 86400
    """A visitor silent for this long, by event time, is forgotten."""
    max_visitors: PositiveInt = 1_000_000
    """Visitors held per partition; beyond it those silent the longest are forgotten."""
    max_items: PositiveInt = 100_000
    """Items held by the online learner of a partition; beyond it the longest unused go."""
    max_future_s: PositiveInt = 300
    """How far event time may run ahead of the time Kafka gave the record."""
    max_event_bytes: PositiveInt = Field(default=64 * 1024, le=1 << 20)
    """Larger records are refused before they are decoded. What is not larger has to fit a dead letter."""
    recent_sessions: NonNegativeInt = 0
    """Sessions that are over, with two items or more, kept per partition, the last ones; for the sources of
    lists that learn from sessions. 0 keeps none."""
    popularity_half_life_s: PositiveFloat = 6 * 3600.0
    """Time in which a click loses half its weight in the popularity of an item: in the source `popularity`,
    which is what `streamrec evaluate` calls decayed_popularity, there with a half-life of 24 hours."""
    online: bool = True
    """Whether the online model learns; without it rows carry no factors of visitors and items."""
    seed: int = 0
    """Seed of every random draw: negatives and initial vectors."""


class ScoringSettings(_Section):
    """How a list is made."""

    k: PositiveInt = Field(default=20, le=500)
    """Items in a list."""
    weights: dict[Literal["gru4rec", "online_mf", "popularity", SessionSourceName], Weight] = {
        "gru4rec": 1.0,
        "online_mf": 0.5,
        "popularity": 0.15,
    }
    """Weight of each source in the blend; 0, or none at all, switches a source off. item_knn, markov, vs_knn,
    stan and vmis_knn learn from the sessions of the partition: they need state.recent_sessions."""
    min_share: Annotated[float, Field(ge=0, le=1 / 3)] = 0.05
    """Fraction of the k positions, rounded up, that a source gets whatever its weight,
    as long as it has proposals: what none of the others can know is tried out there."""
    rank_constant: PositiveFloat = 2.0
    """An item at rank r of a source scores weight / (rank_constant + r)."""
    exclude_session_items: bool = False
    """Leave out what the visitor has already had in this session."""
    trace: bool = False
    """Add each source's own list to every recommendation; for evaluation."""
    threads: PositiveInt = 1
    """Threads of the scoring graph."""
    max_batch: PositiveInt = 64
    """Most visitors scored in one run of the graph."""
    tick_ms: PositiveInt = 1000
    """Item rows become visible to lists at ticks of event time this far apart."""


class EvaluationSettings(_Section):
    """How lists are judged while they are made."""

    window: PositiveInt = 5000
    """Judged clicks of a partition that a fading average reaches back over: with each click that
    follows, a click loses 1/window of its weight."""
    cutoffs: tuple[Annotated[int, Field(ge=1, le=500)], ...] = Field(default=(5, 20), min_length=1)
    """Places of a list that count: the k of recall, MRR and NDCG at k."""
    releases: PositiveInt = 2
    """Model versions shown one by one: those whose lists were judged last."""
    max_visitors: PositiveInt = 20_000
    """Visitors per partition whose last list is kept for their next click; beyond it those silent the
    longest are forgotten, and what they click next is not judged. A list takes a few KiB."""


class RegistrySettings(_Section):
    """Where model versions are kept, and whose are served."""

    path: Path = Path("build/registry")
    """Folder of the local registry."""
    trusted_keys: tuple[PublicKey, ...] = ()
    """Public keys of those whose models are served, as `streamrec models keygen` prints them."""
    signing_key: Path | None = None
    """File with the private key that signs versions when they are published. Not for machines that serve."""
    require_signature: bool = True
    """Whether only versions signed by a trusted key are served and released. Without it, who can
    write to the registry and the models topic decides what is served."""


class PrivacySettings(_Section):
    """What is told of visitors."""

    pseudonym_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Key of the pseudonyms that stand for visitors in logs, 16 characters or more, the same in all
    processes. Without it each draws its own, and a visitor has another name after every restart."""


class WebSettings(_Section):
    """The operators' pages: /metrics, /livez and /readyz."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 in a container."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port; 0 takes the app's own default (state 9101, scoring 9102, evaluation 9103)."""
    fd: int = Field(default=-1, ge=-1)
    """A listening socket, inherited from whoever started the process, instead of host and port."""


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str="null",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    state: StateSettings = StateSettings()
    scoring: ScoringSettings = ScoringSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    registry: RegistrySettings = RegistrySettings()
    privacy: PrivacySettings = PrivacySettings()
    web: WebSettings = WebSettings()
    online_mf: dict[str, Any] = {}
    """Hyperparameters of the online model; see streamrec.models.online_mf."""
    item_knn: dict[str, Any] = {}
    """Hyperparameters of this source of lists; see streamrec.models.item_knn."""
    markov: dict[str, Any] = {}
    """Hyperparameters of this source of lists; see streamrec.models.markov."""
    vs_knn: dict[str, Any] = {}
    """Hyperparameters of this source of lists; see streamrec.models.vs_knn."""
    stan: dict[str, Any] = {}
    """Hyperparameters of this source of lists; see streamrec.models.stan."""
    vmis_knn: dict[str, Any] = {}
    """Hyperparameters of this source of lists; see streamrec.models.vmis_knn."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def environment(self) -> dict[str, str]:
        """The variables that give a child process the same settings, secrets included."""
        return {
            f"{_PREFIX}{name.upper()}": value if isinstance(value, str) else json.dumps(value, default=_text)
            for name, value in self.model_dump().items()
        }

    @model_validator(mode="after")
    def _some_source(self) -> Self:
        n_sources = sum(weight > 0 for weight in self.scoring.weights.values())
        if not n_sources:
            raise ValueError("scoring.weights: at least one source needs a weight above 0")
        if self.scoring.min_share * n_sources > 1:
            raise ValueError(
                f"scoring.min_share: {n_sources} sources cannot each have {self.scoring.min_share:g} of the "
                f"positions; it may be {1 / n_sources:g} at most"
            )
        return self

    @model_validator(mode="after")
    def _sessions_to_learn_from(self) -> Self:
        learning = [name for name in SESSION_SOURCES if self.scoring.weights.get(name)]
        if learning and not self.state.recent_sessions:
            raise ValueError(
                f"scoring.weights: state keeps no sessions for {' and '.join(learning)} to learn from; "
                f"set {_PREFIX}STATE__RECENT_SESSIONS, to 10000 for example, for state and scoring alike"
            )
        return self


def _text(value: SecretStr | Path) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` on top.

    Raises ConfigError naming each offending variable, those too that set nothing.
    """
    unknown = unknown_variables(Settings, _PREFIX, os.environ)
    faults = [f"{name}: no such setting; {advice}" for name, advice in unknown.items()]
    try:
        settings = Settings(**overrides)
    except SettingsError as error:
        raise ConfigError(f"settings cannot be used: {error}; tables and lists have to be JSON") from None
    except ValidationError as error:
        named = {name.upper() for name in unknown}
        for fault in error.errors():
            variable = f"{_PREFIX}{'__'.join(str(part) for part in fault['loc']).upper() or '*'}"
            if variable not in named:
                faults.append(f"{variable}: {fault['msg']}")
    if faults:
        raise ConfigError("settings cannot be used:\n  " + "\n  ".join(faults))
    return settings
