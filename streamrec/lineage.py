"""A version made again from what its manifest says, and compared with what it was.

In: a version in the registry and the clicks of the place that it was trained on. Out: whether the same
clicks, hyperparameters, seed and parent give the same bits, and if not, what differs and by how much.
"""

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from streamrec.artifact import Manifest, read_artifact
from streamrec.config import Settings
from streamrec.contracts import Artifact, OnStep, TrainOptions
from streamrec.datasets import Clicks, click_sessions, split_by_time
from streamrec.errors import DatasetError, RegistryError
from streamrec.models import make_config, session_model_class
from streamrec.registry import Registry
from streamrec.scorer import SessionScorer, SessionStep
from streamrec.topic_clicks import TopicClicks, read_clicks

__all__ = ["Comparison", "history_of", "reproduce", "topic_of", "trained_on"]

_MODEL: Final = "gru4rec"
_NONE: Final = np.empty(0, np.int64)
_Cut = Callable[[Clicks], Clicks]


class Comparison(NamedTuple):
    """A version and what came of making it again."""

    version: str
    equal: bool
    """Whether every file of the version has the same bytes again."""
    clicks_known: bool
    """Whether the manifest tells the clicks by a digest."""
    files: dict[str, tuple[str, str]]
    """Files that differ, with the sha256 of then and now; "" where there is none."""
    weights: dict[str, float]
    """Weights that differ, with the largest difference; infinite for another shape."""
    scores: float
    """The largest difference of the scores of all items after the sessions of the probes; NaN if the two
    have other vocabularies."""
    environment: dict[str, tuple[str, str]]
    """What the last bits depend on and is not the same, then and now."""


def reproduce(
    registry: Registry,
    version: str,
    clicks: Clicks,
    *,
    device: str | None = None,
    on_step: OnStep | None = None,
) -> Comparison:
    """Train a GRU4Rec version again on its clicks, as `trained_on` has them, in a temporary place.

    device: in place of the one it was trained on. Raises RegistryError if its parent is not there any more,
    ConfigError if the hyperparameters are unknown here or the device cannot be used, ArtifactError.
    """
    was = Artifact(*registry.read(_MODEL, version, signed=False))
    then = was.manifest.environment
    made = session_model_class(_MODEL)
    model = made(make_config(_MODEL, made.Config, was.manifest.config))
    options = TrainOptions(
        seed=was.manifest.seed,
        device=device or str(then.get("device", "cpu")),
        threads=int(then.get("threads", 1)),
        on_step=on_step,
        start=_parent(registry, was.manifest),
    )
    model.train(click_sessions(clicks), options)
    with tempfile.TemporaryDirectory(prefix="streamrec-") as place:
        model.export(Path(place), version=version, data=was.manifest.data, metrics=was.manifest.metrics)
        return compare(was, Artifact(*read_artifact(Path(place))))


def compare(was: Artifact, now: Artifact) -> Comparison:
    """What differs between two artifacts of one version. Files that only `now` has do not count."""
    files = {
        name: (entry.sha256, now.manifest.files[name].sha256 if name in now.manifest.files else "")
        for name, entry in was.manifest.files.items()
        if name not in now.manifest.files or entry.sha256 != now.manifest.files[name].sha256
    }
    then = {"code": was.manifest.code_version, **was.manifest.environment}
    today = {"code": now.manifest.code_version, **now.manifest.environment}
    return Comparison(
        version=was.manifest.version,
        equal=not files,
        clicks_known="sha256" in was.manifest.data,
        files=files,
        weights=_weights_apart(was, now) if files else {},
        scores=_scores_apart(was, now) if files else 0.0,
        environment={
            name: (str(then.get(name, "not recorded")), str(today.get(name, "")))
            for name in today | then
            if then.get(name) != today.get(name)
        },
    )


def trained_on(clicks: Clicks, manifest: Manifest) -> Clicks:
    """Those of the clicks that a version was trained on: all, or a part by time, as number and digest tell.

    Raises DatasetError if they are not among them.
    """
    data = manifest.data
    if not {"clicks", "first", "last"} <= data.keys():
        raise DatasetError(f"{manifest.version} does not say which clicks it was trained on")
    wanted = data.get("sha256")
    for found in _cuts(clicks, data):
        if len(found) == data.get("clicks") and wanted in (None, found.digest()):
            return found
    raise DatasetError(
        f"{manifest.version} was trained on {data.get('clicks', 0):,} clicks in {data.get('sessions', 0):,} "
        f"sessions from {data.get('first')} to {data.get('last')}, sha256 {str(wanted)[:12]}…; no part "
        f"by time of these {len(clicks):,} clicks is the same: they are others, or were cut into sessions "
        "under other settings (STREAMREC_STATE__SESSION_GAP_S, …__WEIGHTS)"
    )


def _cuts(clicks: Clicks, data: Mapping[str, Any]) -> Iterator[Clicks]:
    """The ways in which a training may have cut these clicks by time, as its first and last click show.

    At either end: not at all, whole sessions, or through the middle of sessions.
    """
    first_ms, last_ms = (
        round(datetime.fromisoformat(str(data[name])).timestamp() * 1000) for name in ("first", "last")
    )
    ends: tuple[_Cut, ...] = (
        lambda each: each,
        lambda each: split_by_time(each, last_ms + 1)[0],
        lambda each: each.take(each.time_ms <= last_ms),
    )
    starts: tuple[_Cut, ...] = (
        lambda each: each,
        lambda each: split_by_time(each, first_ms)[1],
        lambda each: each.take(each.time_ms >= first_ms),
    )
    for end in ends:
        ended = end(clicks)
        for start in starts:
            yield start(ended)


def topic_of(settings: Settings, manifest: Manifest) -> TopicClicks:
    """The clicks of the interactions topic up to the offsets that a version was trained up to.

    Raises BrokerError, TopicError, or DatasetError if the topic does not reach there any more.
    """
    wanted = _offsets(manifest)
    found = read_clicks(settings, until={n: end for n, (_, end) in wanted.items()})
    if found.data["topic_id"] != manifest.data.get("topic_id"):
        raise DatasetError(
            f"{found.data['source']} was made anew since {manifest.version} was trained: it had the id "
            f"{manifest.data.get('topic_id')}, now it has {found.data['topic_id']}; --from-history reads "
            "what the archive app has kept"
        )
    for partition, (first, end) in wanted.items():
        there = found.data["offsets"].get(str(partition), [0, 0])
        if there[0] > first or there[1] < end:
            raise DatasetError(
                f"{found.data['source']} partition {partition}: {manifest.version} was trained on offsets "
                f"{first} to {end}, there are {there[0]} to {there[1]}; retention has taken the others, and "
                "--from-history reads what the archive app has kept"
            )
    return found


def history_of(settings: Settings, manifest: Manifest) -> TopicClicks:
    """The same out of history. Raises StorageError, or DatasetError if history does not reach there."""
    from streamrec.history import history_clicks

    # What was imported since, and topics made anew since, were not there.
    earlier = [each["id"] for each in manifest.data.get("earlier", ())]
    return history_clicks(
        settings,
        until={n: end for n, (_, end) in _offsets(manifest).items()},
        earlier=earlier,
        topic_id=manifest.data.get("topic_id"),
    )


def _offsets(manifest: Manifest) -> dict[int, tuple[int, int]]:
    offsets = manifest.data.get("offsets")
    if not isinstance(offsets, dict):
        raise DatasetError(
            f"{manifest.version} was trained on {manifest.data.get('source')}, not on the topic; give "
            "--data FILE or --bundled"
        )
    return {int(partition): (ends[0], ends[1]) for partition, ends in offsets.items()}


def _parent(registry: Registry, manifest: Manifest) -> Artifact | None:
    if manifest.parent is None:
        return None
    try:
        return Artifact(*registry.read(_MODEL, manifest.parent, signed=False))
    except RegistryError as error:
        raise RegistryError(
            f"{manifest.version} went on from {manifest.parent}, which is needed to make it again: {error}"
        ) from None


def _weights_apart(was: Artifact, now: Artifact) -> dict[str, float]:
    before, after = _arrays(was), _arrays(now)
    apart = {}
    for name in before.keys() & after.keys():
        one, other = before[name], after[name]
        if one.shape != other.shape:
            apart[name] = float("inf")
        elif one.size and not np.array_equal(one, other):
            apart[name] = float(np.abs(one.astype(np.float64) - other).max())
    return dict(sorted(apart.items()))


def _arrays(artifact: Artifact) -> dict[str, Any]:
    """Everything in the files that is an array of numbers, by file and name."""
    import onnx
    from onnx import numpy_helper

    found = {}
    for name, value in artifact.files.items():
        if name.endswith(".onnx"):
            for each in onnx.load_model_from_string(value).graph.initializer:
                found[f"{name}: {each.name}"] = numpy_helper.to_array(each)
        elif name.endswith(".npy"):
            found[name] = np.load(io.BytesIO(value), allow_pickle=False)
        elif name.endswith(".npz"):
            with np.load(io.BytesIO(value), allow_pickle=False) as arrays:
                found |= {f"{name}: {each}": arrays[each] for each in arrays.files}
    return found


def _scores_apart(was: Artifact, now: Artifact) -> float:
    if was.files.get("vocabulary.json") != now.files.get("vocabulary.json"):
        return float("nan")
    sessions_tried = [probe.items for probe in was.manifest.probes]
    before, after = _scores(was, sessions_tried), _scores(now, sessions_tried)
    return float(np.abs(before - after).max())


def _scores(artifact: Artifact, tried: list[list[int]]) -> Any:
    """Scores of all items after each session, as serving computes them."""
    manifest, files = artifact.manifest, dict(artifact.files)
    step, scorer = SessionStep(manifest, files), SessionScorer(manifest, files, threads=1)
    rows = []
    for items in tried:
        hidden = np.zeros((1, manifest.hidden_size), np.float32)
        for item in items:
            hidden = step.step(np.array([item]), hidden)
        indices, scores = scorer.top(hidden, manifest.n_items, _NONE)
        row = np.empty(manifest.n_items)
        row[indices[0]] = scores[0]
        rows.append(row)
    return np.array(rows)
