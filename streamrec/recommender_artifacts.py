"""Trained recommenders as versions of the registry: published, and loaded by whoever makes lists of them.

An artifact holds the files of the recommender's `save`, those of a part's folder with its name before them,
and a manifest as every model has it. Its probes are visitors with their best items: what serving has to
reproduce.
"""

import hashlib
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pydantic import ValidationError

from streamrec import __version__
from streamrec.artifact import FORMAT, FileEntry, Manifest, Probe, write_manifest
from streamrec.contracts import OnStep, TrainOptions
from streamrec.errors import ArtifactError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models import recommender_class, recommender_name, recommender_of
from streamrec.nodes import asked_for, require_ratings
from streamrec.recommender import Recommender, Task, Visitor
from streamrec.registry import Registry

__all__ = ["TrainedRecommender", "as_source", "check_recommender", "load_recommender", "train_recommender"]

_FOLDER: Final = "--"
"""Between a part's folder and the file in it: artifacts are flat."""
# What models._saving and models._nodes write: nothing else is unpacked, and nothing beside the place for it.
_FILE: Final = re.compile(rf"(part\d+{_FOLDER})*(model\.json|arrays\.npz)")
_TIMES_END_MS: Final = 253_402_300_800_000
"""The year 10000, of which there is no date: a file whose times are no seconds since 1970 may say more."""
_PROBES: Final = 8
_TOP: Final = 20
# Other processors round differently in the last bits; a damaged model is far outside this.
_TOLERANCE: Final = 1e-3


class TrainedRecommender(NamedTuple):
    """A version that was trained, loaded once and published."""

    model: str
    """Its name, as it is listed."""
    version: str
    directory: Path | str
    """Where it is: a folder, or a URL."""
    interactions: int
    visitors: int
    items: int
    """That it can score."""
    train_s: float


def as_source(
    node: Mapping[str, Any], feedback: Feedback, task: Task = "top-n", *, weights: bool = False
) -> dict[str, Any]:
    """A node as a source of lists wants it: made to rank, where it can be and does not say itself what it is
    for; see nodes.asked_for, also of weights. task: "rating" for lists by the ratings expected.

    Raises ConfigError if there is no such recommender, or if it or a part of it foretells ratings and there
    are none.
    """
    asked = asked_for(node, task, weights=weights)
    require_ratings(asked, feedback)
    return asked


def train_recommender(
    node: Mapping[str, Any],
    feedback: Feedback,
    registry: Registry,
    *,
    knowledge: Knowledge = NOTHING,
    seed: int = 0,
    data: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
) -> TrainedRecommender:
    """Train a recommender of a node, publish it, and load it as serving does before anybody can.

    node: as models.recommender_of. data: where the feedback comes from, for the manifest. Raises DatasetError
    if there is nothing to learn, ConfigError, RegistryError or ArtifactError; nothing is published then.
    """
    registry.signer()  # what cannot be used is found out before the work, not after it
    model, name = recommender_of(node), recommender_name(node["model"])
    started = time.monotonic()
    model.train(feedback, knowledge, TrainOptions(seed, on_step=on_step))
    train_s = time.monotonic() - started
    told = {
        **(data or {}),
        "interactions": len(feedback),
        "visitors": len(feedback.user_ids),
        **_last(feedback),
    }
    version = _publish(registry, name, model, node, feedback.user_ids, seed, told)
    return TrainedRecommender(
        name,
        version,
        registry.location(name, version),
        len(feedback),
        len(feedback.user_ids),
        len(model.items),
        train_s,
    )


def _last(feedback: Feedback) -> dict[str, str]:
    """When the last interaction happened, told as for GRU4Rec; nothing where times are not known."""
    last_ms = int(feedback.time_ms.max(initial=0))
    if not 0 < last_ms < _TIMES_END_MS:
        return {}
    return {"last": datetime.fromtimestamp(last_ms / 1000, UTC).isoformat(timespec="milliseconds")}


def load_recommender(registry: Registry, name: str, version: str, digest: str | None = None) -> Recommender:
    """A published recommender, its signature, files and probes checked. Errors as Registry.read."""
    return _loaded(*registry.read(name, version, digest))


def check_recommender(registry: Registry, name: str, version: str, *, signed: bool = True) -> Manifest:
    """Load and probe a version of a recommender; signed and errors as in Registry.read."""
    manifest, files = registry.read(name, version, signed=signed)
    _loaded(manifest, files)
    return manifest


def _publish(
    registry: Registry,
    name: str,
    model: Recommender,
    node: Mapping[str, Any],
    user_ids: Sequence[str],
    seed: int,
    data: dict[str, Any],
) -> str:
    with tempfile.TemporaryDirectory(prefix="streamrec-") as place:
        model.save(Path(place))
        files = {
            _FOLDER.join(path.relative_to(place).parts): path.read_bytes()
            for path in sorted(Path(place).rglob("*"))
            if path.is_file()
        }
    digest = hashlib.sha256()
    for value in files.values():
        digest.update(value)
    now = datetime.now(UTC)
    version = f"{now:%Y%m%dt%H%M%S}-{digest.hexdigest()[:8]}"
    try:
        manifest = Manifest(
            format=FORMAT,
            model=name,
            version=version,
            created=now.isoformat(timespec="seconds"),
            hidden_size=0,
            n_items=len(model.items),
            files={
                file: FileEntry(size_bytes=len(value), sha256=hashlib.sha256(value).hexdigest())
                for file, value in files.items()
            },
            probes=_probes(model, user_ids),
            config={key: value for key, value in node.items() if key != "model"},
            seed=seed,
            data=data,
            metrics={},
            code_version=__version__,
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ArtifactError(f"{name} is more than can be published: {faults}") from None
    _loaded(manifest, files)

    def write(directory: Path) -> None:
        for file, value in files.items():
            (directory / file).write_bytes(value)
        write_manifest(directory, manifest)

    registry.publish(name, version, write)
    return version


def _loaded(manifest: Manifest, files: Mapping[str, bytes]) -> Recommender:
    made = recommender_class(manifest.model)
    try:
        model = _unpacked(made, files)
        _require_as_trained(model, manifest)
    except (LookupError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{manifest.model} {manifest.version} is none that this version of streamrec reads "
            f"({type(error).__name__}: {error}); train it again"
        ) from error
    return model


def _unpacked(made: Any, files: Mapping[str, bytes]) -> Recommender:
    with tempfile.TemporaryDirectory(prefix="streamrec-") as place:
        for file, value in files.items():
            if not _FILE.fullmatch(file):
                raise ValueError(f"{file} is no file of a recommender")
            path = Path(place, *file.split(_FOLDER))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value)
        model: Recommender = made.load(Path(place))
    return model


def _require_as_trained(model: Recommender, manifest: Manifest) -> None:
    if len(model.items) != manifest.n_items:
        raise ArtifactError(
            f"{manifest.version}: the model has {len(model.items)} items, its manifest says "
            f"{manifest.n_items}; train it again",
            "wrong_shape",
        )
    for probe in manifest.probes:
        scores = model.score(Visitor(probe.visitor_id), [model.items[place] for place in probe.top])
        if not np.allclose(scores, np.array(probe.scores, np.float32), _TOLERANCE, _TOLERANCE):
            raise ArtifactError(
                f"{manifest.model} {manifest.version}: scores are not those of training; its files are "
                "damaged, or this machine computes differently: train it again"
            )


def _probes(model: Recommender, user_ids: Sequence[str]) -> list[Probe]:
    chosen = [user_ids[place] for place in np.linspace(0, len(user_ids) - 1, _PROBES).astype(int)]
    return [_probe(model, visitor_id) for visitor_id in dict.fromkeys(chosen)]


def _probe(model: Recommender, visitor_id: str) -> Probe:
    scores = model.score(Visitor(visitor_id))
    top = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:_TOP]
    top = top[~np.isnan(scores[top])]
    return Probe(items=[], hidden=[], top=top.tolist(), scores=scores[top].tolist(), visitor_id=visitor_id)
