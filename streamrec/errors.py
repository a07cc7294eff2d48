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
    ├── DatasetError     a file of clicks cannot be read
    └── WorkerError      a worker process ended, or did not get ready

Messages name the value, the limit and the way out. The command line prints them
without a traceback and exits with `exit_code`.
"""

__all__ = [
    "AccessError",
    "ArtifactError",
    "BrokerError",
    "ConfigError",
    "DatasetError",
    "EngineError",
    "RecordError",
    "RegistryError",
    "SignatureError",
    "StateError",
    "StreamrecError",
    "TopicError",
    "WorkerError",
]


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
    """An exported model is damaged, incomplete or does not fit."""


class SignatureError(ArtifactError):
    """Nobody trusted has signed an exported model."""


class RegistryError(StreamrecError):
    """A model version is missing or cannot be published."""


class DatasetError(StreamrecError):
    """A file of clicks cannot be read."""


class WorkerError(StreamrecError):
    """A worker process ended, or did not get ready."""
