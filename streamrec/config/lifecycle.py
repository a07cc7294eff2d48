"""The life of a model: where versions are kept, and whose are served."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr

from streamrec.config.values import Place, PublicKey, Section

__all__ = [
    "AdmissionSettings",
    "ContestSettings",
    "GateSettings",
    "GuardSettings",
    "HistorySettings",
    "RegistrySettings",
    "StorageSettings",
    "TrainingSettings",
]


class RegistrySettings(Section):
    """Where model versions are kept, and whose are served."""

    path: Place = Path("build/registry")
    """Folder of the registry, or s3://bucket/prefix; the latter with the extra `s3`, and as
    STREAMREC_STORAGE__ENDPOINT and the others there say."""
    trusted_keys: tuple[PublicKey, ...] = ()
    """Public keys of those whose models are served, as `streamrec models keygen` prints them."""
    signing_key: Path | None = None
    """File with the private key that signs versions when they are published. Not for machines that serve."""
    require_signature: bool = True
    """Whether only versions signed by a trusted key are served and released. Without it, who can
    write to the registry and the models topic decides what is served."""


class StorageSettings(Section):
    """Where s3:// is. What is not set is looked for where Amazon's tools look: AWS_* variables and ~/.aws."""

    endpoint: str | None = None
    """http(s) address of the object store; without it Amazon's."""
    access_key: SecretStr | None = None
    """Access key id; never shown."""
    secret_key: SecretStr | None = None
    """Secret access key; never shown."""
    region: str | None = None
    """Region of the buckets."""


class HistorySettings(Section):
    """Where interactions are kept beyond the retention of their topic, and when a file is written."""

    url: str = "build/history"
    """A folder, or s3://bucket/prefix."""
    roll_records: PositiveInt = 100_000
    """A file is written once a partition has so many records for it,"""
    roll_bytes: PositiveInt = 64 << 20
    """or keys and values of so many bytes,"""
    roll_s: PositiveFloat = 300.0
    """or the first of them has waited for so long; and at midnight, UTC."""
    patience_s: PositiveFloat = 50.0
    """How long the archive app tries to reach the place before it ends; never longer than half of
    kafka.stall_timeout_s."""


class TrainingSettings(Section):
    """Retraining in the background: when, on what, and with how much of the machine."""

    schedule: str | None = None
    """When to train: a cron expression, UTC, such as `0 3 * * *`. Without one, drift alone starts a run."""
    drift_delta: Annotated[float, Field(gt=0, lt=1)] | None = 0.002
    """Confidence of the drift signal (ADWIN): the smaller, the surer and the later. null switches it off."""
    drift_source: str = "blend"
    """Whose hit rate is watched: blend, which are the lists as they are shown, or a source of them, which
    needs scoring.trace."""
    drift_k: PositiveInt = 20
    """Places of a list that count as a hit."""
    drift_clicks: PositiveInt = 1000
    """Judged clicks of a partition before which there is no signal."""
    drift_drop: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """By how much of itself the hit rate has to fall; less is a change, and no reason to train."""
    drift_settle_clicks: PositiveInt = 200
    """Judged clicks of a partition from the last change to the signal: they tell how large it is, and the
    run that follows has something new to learn from."""
    cool_down_s: NonNegativeFloat = 3600.0
    """From the start of a run to the next that drift may start. Schedule and people are not held up."""
    hold_out_sessions: PositiveInt = 3000
    """The newest sessions of two clicks or more, which are not trained on: the gate judges by them."""
    history_s: PositiveInt | None = None
    """Train on the clicks of so many seconds before the start of a run; null: on all there are."""
    warm_start: bool = True
    """Whether to go on from the weights of the version that is live."""
    parameters: dict[str, Any] = Field(default={})
    """Hyperparameters of GRU4Rec; see streamrec.models.gru4rec."""
    quick: bool = False
    """Whether these go on top of those for a good model soon, instead of the defaults."""
    seed: int = 0
    """Seed of initial weights, negatives and dropout."""
    device: str = "auto"
    """cpu, cuda, or auto: CUDA where present."""
    threads: PositiveInt = 1
    """Threads of torch on the CPU. The run gives way to everything else (nice 19), whatever their number."""
    timeout_s: PositiveFloat = 12 * 3600.0
    """A run that takes longer is ended and counts as failed."""
    attempts: PositiveInt = 3
    """How often a run is started that is killed each time; then it counts as failed."""
    checkpoint_s: NonNegativeFloat = 60.0
    """How long a training goes on between two writes of its checkpoint."""
    folder: Path = Path("build/training")
    """Where a run keeps its plan, checkpoint and log: of one training worker alone."""


class ContestSettings(Section):
    """How versions are tried out beside the live one: shadows and a challenger."""

    shadow_share: float = Field(default=0.1, gt=0, le=1)
    """Share of the visitors, by hash, for whom shadows make lists: the same ones for every shadow."""
    shadow_lists: PositiveInt = 2000
    """Lists that wait for shadows in a scoring worker. Shadows work only while no row waits for
    its own list; those that find no room are dropped and counted."""
    visitors: PositiveInt = 20_000
    """Hidden states that a scoring worker keeps for each shadow and the challenger, of the visitors who came
    last; those of others are made again from the items of their session. One takes 4 bytes for each
    of its numbers, and as many again for the items."""


class AdmissionSettings(Section):
    """What a released version has to keep to before it serves, measured where it is loaded."""

    times_slower: Annotated[float, Field(gt=1)] = 5.0
    """A version whose graph takes more than so many times the CPU time of the one that serves is refused."""
    run_s: PositiveFloat = 1.0
    """A version whose graph takes longer, for 16 visitors at once, is refused, the first one too."""


class GateSettings(Section):
    """What a candidate has to be to become the live version; docs/decisions/015-gate.md has the figures."""

    min_sessions: PositiveInt = 2000
    """Sessions of two clicks or more that neither model was trained on; with less there is no judgement."""
    max_sessions: PositiveInt = 3000
    """The newest of them that are looked at."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    """How sure it has to be, one-sided, that a candidate is worse by less than the margin."""
    margin: NonNegativeFloat = 0.03
    """How much worse a candidate may be, as a share of the live version's figure."""
    max_latency_ratio: PositiveFloat = 2.0
    """Time for a visitor's click and list, of the candidate beside the live version."""
    max_latency_ms: PositiveFloat = 20.0
    """The same in milliseconds, whatever the live version takes."""
    max_size_ratio: PositiveFloat = 3.0
    """Bytes of the files, of the candidate beside the live version."""
    max_size_bytes: PositiveInt = 1 << 30
    """Bytes of the files, whatever the live version has."""
    min_coverage_ratio: NonNegativeFloat = 0.7
    """Different items in the lists, of the candidate beside the live version."""
    min_coverage: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Different items in the lists, as a share of those there is room for."""
    max_concentration_ratio: PositiveFloat = 1.3
    """Share of the lists' places that the most listed hundredth of the catalogue takes, beside the live
    version's. More is no fault as long as visitors' clicks are as concentrated."""
    max_concentration: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The same share, whatever the live version's is."""
    pages: Path = Path("build/gate")
    """Folder of the page about each verdict."""


class GuardSettings(Section):
    """When the evaluation app takes a version back by itself."""

    on: bool = True
    """Whether it does. A pinned version is left alone in any case."""
    canary_worse_by: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """A canary is ended when its hit rate is below that of the live version, over the same time, by more than
    this share of it."""
    live_worse_by: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """What is live is rolled back when its hit rate is below that of the version before it by more than this
    share of it. Wide: between before and after lies more than the release."""
    live_clicks: PositiveInt = 5000
    """Judged clicks of a worker after which a live version is not held against the one before any more."""
    false_alarms: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Chance that a version no worse than its bound is ever taken back, however long it is watched."""
    min_clicks: PositiveInt = 500
    """Judged clicks of either version before anything is concluded."""
    late_s: PositiveFloat = 1.0
    """Seconds from an interaction's record to its list that 1 % of the lists may exceed."""
    window_s: PositiveInt = 60
    """Length of the windows of time that this is looked at in."""
    late_windows: PositiveInt = 3
    """So many windows in turn have to exceed it before the version is taken back."""
    every_s: PositiveFloat = 10.0
    """Time between two looks."""
