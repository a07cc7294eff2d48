"""All settings in one frozen object, read once at the process edge and passed down.

Environment variables carry the prefix `STREAMREC_` and two underscores between
levels: `STREAMREC_KAFKA__BOOTSTRAP`. Hyperparameters live with their model; here
they are only passed through (`STREAMREC_ONLINE_MF__FACTORS`).
"""

import json
import os
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from streamrec.config.kafka import KafkaSettings, PrivacySettings, WebSettings
from streamrec.config.lifecycle import (
    AdmissionSettings,
    ContestSettings,
    GateSettings,
    GuardSettings,
    HistorySettings,
    RegistrySettings,
    StorageSettings,
    TrainingSettings,
)
from streamrec.config.serving import EvaluationSettings, RecommenderSettings, ScoringSettings, StateSettings
from streamrec.config.values import SESSION_SOURCES
from streamrec.errors import ConfigError
from streamrec.variables import unknown_variables

__all__ = [
    "SESSION_SOURCES",
    "AdmissionSettings",
    "ContestSettings",
    "EvaluationSettings",
    "GateSettings",
    "GuardSettings",
    "HistorySettings",
    "KafkaSettings",
    "PrivacySettings",
    "RecommenderSettings",
    "RegistrySettings",
    "ScoringSettings",
    "Settings",
    "StateSettings",
    "StorageSettings",
    "TrainingSettings",
    "WebSettings",
    "load_settings",
]

_PREFIX: Final = "STREAMREC_"


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
    storage: StorageSettings = StorageSettings()
    history: HistorySettings = HistorySettings()
    training: TrainingSettings = TrainingSettings()
    contest: ContestSettings = ContestSettings()
    admission: AdmissionSettings = AdmissionSettings()
    gate: GateSettings = GateSettings()
    guard: GuardSettings = GuardSettings()
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
        n_sources = sum(weight > 0 for weight in self.scoring.source_weights.values())
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
