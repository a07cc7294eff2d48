"""What there is to know before it is judged. Whatever could not be found out is `Unknown`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from streamrec.events import ModelRelease
from streamrec.state.rows import Watermark
from streamrec.topics import Problem

__all__ = [
    "Clock",
    "Cluster",
    "Disk",
    "Facts",
    "Group",
    "KafkaFacts",
    "Known",
    "Model",
    "Package",
    "RegistryFolder",
    "Span",
    "Tail",
    "Topic",
    "Unknown",
]


@dataclass(frozen=True)
class Unknown:
    """What could not be found out."""

    why: str


T = TypeVar("T")
Known: TypeAlias = T | Unknown
"""Something, or why it is not known."""


@dataclass(frozen=True)
class Cluster:
    """The brokers."""

    answer_s: float
    """From a request to its answer."""
    version: tuple[int, ...]
    """Of Kafka, as far as the protocol tells it: major, minor."""
    features: Mapping[str, int]
    """Features in force, with their level."""
    brokers: int
    """Those that take part."""
    controller: int | None
    """Node id; None without one."""


@dataclass(frozen=True)
class Clock:
    """The cluster's clock beside ours."""

    ahead_s: float
    """Negative if it is behind."""
    within_s: float
    """How far off that can be: half the time the answer took."""


@dataclass(frozen=True)
class Disk:
    """Room where something is kept."""

    place: str
    free_bytes: int
    total_bytes: int
    fault: str | None = None
    """What Kafka says is wrong with it."""


@dataclass(frozen=True)
class Topic:
    """A topic as Kafka describes it to us."""

    topic_id: str
    copies: int
    without_leader: int
    """Partitions that nobody can read or write."""
    behind: int
    """Partitions with a copy that is not in sync."""
    allowed: frozenset[str]
    """Operations that we may do on it."""


@dataclass(frozen=True)
class Group:
    """The consumer group of an app."""

    workers: int
    committed: Mapping[int, int] = field(default_factory=dict)
    """Offsets committed for its input, by partition."""
    allowed: frozenset[str] | None = None
    """Operations that we may do on it; None if Kafka does not say."""


@dataclass(frozen=True)
class Span:
    """Offsets of a partition."""

    first: int
    end: int
    """The offset after the last."""


@dataclass(frozen=True)
class Tail:
    """What the newest rows of a partition of visitor-states say."""

    watermark: Watermark | None
    versions: Mapping[str, int]
    """Model versions that they name, each with the offset of the newest row that does."""
    fault: str | None = None
    """Why they cannot be read, if they cannot."""


@dataclass(frozen=True)
class KafkaFacts:
    """What Kafka says. Topics go by their names without prefix, groups by their apps."""

    cluster: Known[Cluster]
    clock: Known[Clock]
    disks: Known[Sequence[Disk]]
    authorizer: Known[bool]
    """Whether Kafka asks who may do what."""
    denied: frozenset[str]
    """Topics that we may not even see."""
    topics: Known[Mapping[str, Topic]]
    """Those that exist."""
    problems: Known[Sequence[Problem]]
    groups: Known[Mapping[str, Group]]
    tails: Known[Mapping[int, Tail]]
    spans: Known[Mapping[str, Mapping[int, Span]]]
    """Of interactions and visitor-states."""
    overdue: Known[Mapping[int, int]]
    """By partition of visitor-states, the offset below which rows are older than half the compaction lag."""
    releases: Known[Mapping[str, ModelRelease]]
    """By slot: `gru4rec/live`."""


@dataclass(frozen=True)
class Package:
    """A package that streamrec needs."""

    name: str
    wanted: str
    """The versions that will do, as pip writes them."""
    installed: str | None
    tested: frozenset[str] = frozenset()
    """The only versions that the apps start with; empty if any wanted one will do."""


@dataclass(frozen=True)
class RegistryFolder:
    """The registry, on this machine or in an object store."""

    path: Path | str
    disk: Disk | None
    """None for an object store."""
    writable: bool
    versions: frozenset[str]
    """Of GRU4Rec."""


@dataclass(frozen=True)
class Model:
    """A version that serves, loaded and probed here."""

    version: str
    n_items: int = 0
    load_s: float = 0.0
    fault: str | None = None
    """Why the apps would refuse it."""


@dataclass(frozen=True)
class Facts:
    """All of it."""

    addresses: Mapping[str, str | None]
    """Each bootstrap address, with the reason if it does not answer."""
    kafka: Known[KafkaFacts]
    model: Known[Model | None]
    """None if nothing is released."""
    registry: Known[RegistryFolder]
    packages: Known[Sequence[Package]]
    recommenders: Known[Mapping[str, Model]]
    """Those that the settings name as sources of lists, by name."""
