"""Every error streamrec raises on purpose, in one tree.

    StreamrecError
    ├── ConfigError      a setting, or a combination of settings, that cannot work
    ├── BrokerError      no Kafka broker could be started, reached or understood
    │   └── AccessError  Kafka does not know the user, or the user lacks a right
    ├── TopicError       a topic is missing or set up differently than it has to be
    ├── RecordError      one record cannot be accepted; it goes to the dead letters
    ├── StateError       the stored state does not belong to the input
    ├── EngineError      a worker cannot go on: its engine, its settings, or its place in the group
    ├── ArtifactError    an exported model is damaged, incomplete or does not fit
    │   └── SignatureError   nobody trusted has signed it
    ├── RegistryError    a model version is missing or cannot be published
    ├── ReleaseError     a version may not have the role that is asked for
    ├── StorageError     a place for history or versions cannot be reached, or refuses
    ├── AnswerError      an answer cannot be explained: it was none of ours, or its interaction is gone
    ├── DatasetError     a file of clicks cannot be read
    └── WorkerError      a worker process ended, or did not get ready

Messages name the value, the limit and the way out. The command line prints them
without a traceback and exits with `exit_code`.
"""

from typing import Final, Literal, get_args

__all__ = [
    "REFUSALS",
    "AccessError",
    "AnswerError",
    "ArtifactError",
    "BrokerError",
    "ConfigError",
    "DatasetError",
    "EngineError",
    "RecordError",
    "Refusal",
    "RegistryError",
    "ReleaseError",
    "SignatureError",
    "StateError",
    "StorageError",
    "StreamrecError",
    "TopicError",
    "WorkerError",
    "refusal",
]

Refusal = Literal["unavailable", "damaged", "unsigned", "wrong_shape", "not_finite", "slow"]
"""Why a model version is not served: its store cannot be reached, its bytes are not those of the
training, nobody trusted has signed it, its graphs or files have another form than is served, it
gives numbers that are not finite, or it takes far longer than the one that serves."""
REFUSALS: Final[tuple[Refusal, ...]] = get_args(Refusal)


class StreamrecError(Exception):
    """Root of the tree: whatever streamrec raises on purpose."""

    exit_code = 1


class ConfigError(StreamrecError):
    """A setting, or a combination of settings, that cannot work."""

    exit_code = 2


class BrokerError(StreamrecError):
    """No Kafka broker could be started, reached or understood."""


class AccessError(BrokerError):
    """Kafka does not know the user, or the user lacks a right."""


class TopicError(StreamrecError):
    """A topic is missing or set up differently than it has to be."""


class RecordError(StreamrecError):
    """One record cannot be accepted. `reason` is a short label, fit for a metric."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StateError(StreamrecError):
    """The stored state does not belong to the input."""


class EngineError(StreamrecError):
    """A worker cannot go on: its engine, its settings, or its place in the group."""


class ArtifactError(StreamrecError):
    """An exported model is damaged, incomplete or does not fit. `reason` is a label, fit for a metric."""

    def __init__(self, message: str, reason: Refusal = "damaged") -> None:
        super().__init__(message)
        self.reason: Refusal = reason


class SignatureError(ArtifactError):
    """Nobody trusted has signed an exported model."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "unsigned")


class RegistryError(StreamrecError):
    """A model version is missing or cannot be published."""


class ReleaseError(StreamrecError):
    """A version may not have the role that is asked for: pinned, rolled back, or nothing to go back to."""


class StorageError(StreamrecError):
    """A place for history or versions cannot be reached, or refuses."""


class AnswerError(StreamrecError):
    """An answer cannot be explained: it was none of ours, or its interaction is gone."""


class DatasetError(StreamrecError):
    """A file of clicks cannot be read."""


class WorkerError(StreamrecError):
    """A worker process ended, or did not get ready."""


def refusal(error: StreamrecError) -> Refusal:
    """Why a version that failed to load is not served: what is not the artifact's fault is the store's."""
    return error.reason if isinstance(error, ArtifactError) else "unavailable"
